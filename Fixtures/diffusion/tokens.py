"""Token ids of odd prompts from transformers' CLIPTokenizer (5.23): tokens.py TOKENIZER_DIRECTORY > tokens.json

Ids are neither cut nor padded; start and end are included.
"""
import json, sys
from transformers import CLIPTokenizer

PROMPTS = [
    "", " ", "\n\t", "a", "A", "cat", "Cat", "CAT", "a cat", " a cat ", "a  cat", "a\tcat\r\n on a\u00a0mat\u2003here\u3000now",
    "it's", "It'S", "they're we've I'm you'll he'd can't", "rock'n'roll", "'s", "''s", "' s", "'tis o'clock", "don\u2019t",
    "1", "12", "1234567890", "3.14", "1,000,000", "abc123def", "H2O", "\uff11\uff12", "\u00bd \u2167 \u2460 \u0664", "x\u00b2 + y\u00b3",
    "!", "!!!", "?!?!", "...", "a.b.c", "(a:1.2) [b] {c} <d>", "a, b; c: d", "C++ & C#", "50% off @ $9.99", "-- --- \u2014 \u2013", "_under_score_", "\"quoted\" \u00abquoted\u00bb",
    "&amp; &lt;b&gt; &#39;", "<b>bold</b>", "http://example.com/a?b=c#d",
    "na\u00efve caf\u00e9", "cafe\u0301 na\u0131\u0308ve", "\u1e9b\u0323 \u212b \ufb01", "Z\u0351\u036b\u0343\u036a\u0302a\u0321l\u034eg\u0321o\u031e", "\u0041\u030a ngstrom", "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u0130stanbul \u03a3\u0391\u03a3 STRASSE stra\u00dfe \u1e9e", "\u01c5 \u01f2 \u02b0 \u00aa", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u65e5\u672c\u8a9e", "\u6771\u4eac\u30bf\u30ef\u30fc\u3001\u591c\u666f\u3002", "\u4f60\u597dworld", "\ud55c\uad6d\uc5b4",
    "\U0001f642", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd\u2764\ufe0f", "\U0001f1e9\U0001f1ea flag", "a\U0001f642b", "\U0001d4d0\U0001d4d1",
    "\u200b\u200ezero\u200bwidth", "a\x00b\x1cc\x85d", "\ufffd\ufffe", "\u2028line\u2029paragraph",
    "<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b <|startoftext|> c", "<|ENDOFTEXT|>!!b", "x<|EndOfText|>", "<|endoftext", "<|endoftext|>\u0301a", "<<|endoftext|>>",
    "supercalifragilisticexpialidocious", "a" * 300, "ab" * 100 + " tail", "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a photograph of an astronaut riding a horse, highly detailed, 8k, trending on artstation, by greg rutkowski",
    "masterpiece, (best quality:1.4), 1girl, solo, <lora:foo_v1.0:0.8>, cinematic lighting --ar 16:9",
]

directory = sys.argv[1]
tokenizer = CLIPTokenizer(f"{directory}/vocab.json", f"{directory}/merges.txt")
rows = [json.dumps({"prompt": p, "ids": tokenizer(p).input_ids}) for p in PROMPTS]
print("[\n" + ",\n".join(rows) + "\n]")
