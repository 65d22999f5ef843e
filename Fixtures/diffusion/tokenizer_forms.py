"""Token ids that transformers' CLIPTokenizer (5.23) gives for tokenizers in all forms of files:
tokenizer_forms.py TOKENIZER_DIRECTORY > tokenizer_forms.json

TOKENIZER_DIRECTORY holds CLIP's vocab.json and merges.txt. Each form is a set of small files beside a model: "files" (those two
as they are), "pairs" or "strings" (a tokenizer.json with CLIP's vocabulary and its merges spelled so), "both" (files and pairs), or
"own" (all is in the form's own files). The test makes the directory from this table, and must get the same ids: neither cut nor
padded, start and end left out. A row that equals the first form's row is null.
"""
import json, os, sys, tempfile, warnings
warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers, Regex
from transformers import CLIPTokenizer

PROMPTS = [
    "", " ", "a", "a photo of a cat", "A Photo OF a Cat, 4K!", "hello! world!!", "it's the dog's 2nd 10.5",
    "na\u00efve caf\u00e9 \u00c9T\u00c9 \u00e9t\u00e9", "cafe\u0301 e\u0301te\u0301", "\u65e5\u672c\u8a9e \u6771\u4eac", "\u041f\u0440\u0438\u0432\u0435\u0442", "\U0001f642\U0001f44d\U0001f3fd",
    "a \U0001f642b", "\U0001f469\u200d\U0001f469\u200d\U0001f467 family", "\ufb01ne \u212b \u0130stanbul \u1e9e", "x\u00b2\u2167\u00bd",
    "<cat-toy>", "a <cat-toy> circle", "a<cat-toy>circle", "<cat-toy><cat-toy>", "<cat-toy>, <cat-toy>!", "(<cat-toy>:1.2)", "<CAT-TOY>", "<Cat-Toy> a",
    "<cat-toy", "cat-toy>", "<cat<cat-toy>toy>", "<cat-toys>", "my <cat-toy>s", "a   <cat-toy>   b", "\u00a0<cat-toy>\t\n<dog-toy>\u2003c",
    "<dog-toy>", "<Dog-Toy>s", "a <dog-toy>b", "<DOG-TOY>",
    "zzyzx", "Zzyzx road", "a zzyzxb", "zzyzx,zzyzx", "Zzyzx_zzyzx zzyzx9 zzyzx\u0301 \u0301zzyzx", "9zzyzx \u00e9zzyzx \u65e5zzyzx", "-zzyzx-",
    "sks", "SKS dog", "sksdog", "asks", "sks's", "a photo of sks dog",
    "left right", "aleft  left b", "right   right b", " left right ", "left  <cat-toy>  right", "sp\u00e9cial", "spe\u0301cial",
    "<|startoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "<|StartOfText|>x", "a<|endoftext|><cat-toy>", "<|pad|> <pad> [PAD] <image> <extra>",
    "a red circle", "a  red  circle", "A Red Circles", "red circle, blue square", "catty cat scat", "!<cat-toy>!", "\u200b<cat-toy>\ufeff<cat-toy>",
    "supercalifragilisticexpialidocious", "cat " * 90, "ab" * 150,
]


def added(content, special=False, normalized=None, **flags):
    token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": not special, "special": special}
    if normalized is not None:
        token["normalized"] = normalized
    return {**token, **flags}


def listed(*tokens, first=49408):
    return [{"id": i, **t} for i, t in enumerate(tokens, first)]


START, END = added("<|startoftext|>", True), added("<|endoftext|>", True)
OLD = {"bos_token": {"__type": "AddedToken", **added("<|startoftext|>", normalized=True)}, "do_lower_case": True,
       "eos_token": {"__type": "AddedToken", **added("<|endoftext|>", normalized=True)}, "errors": "replace", "model_max_length": 77,
       "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer",
       "unk_token": {"__type": "AddedToken", **added("<|endoftext|>", normalized=True)}}
NEW = {"backend": "tokenizers", "bos_token": "<|startoftext|>", "do_lower_case": True, "eos_token": "<|endoftext|>", "model_max_length": 77,
       "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>"}
MAP = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
TOYS = {"<cat-toy>": 49408, "<Dog-Toy>": 49409, "Zzyzx": 49410, "sks": 49411}
FLAGGED = [added("<cat-toy>", lstrip=True, rstrip=True), added("<Dog-Toy>", normalized=False), added("zzyzx", single_word=True), added("left", lstrip=True),
           added("right", rstrip=True), added("sks", True, single_word=True), added("sp\u00e9cial", normalized=False), added("<image>", True, lstrip=True)]
IDS = [{"id": 49406, **START}, {"id": 49407, **END}]


def head(tokens, **fields):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, **fields}


def trained():
    """A tokenizer of 600 tokens, of CLIP's kind, saved as tokenizer.json by the library."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|startoftext|>", "<|endoftext|>", "<pad>"], end_of_word_suffix="</w>",
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(PROMPTS * 3, trainer)
    return json.loads(tokenizer.to_str())


FORMS = [
    ("bare", "files", {}),
    ("old", "files", {"tokenizer_config.json": OLD, "special_tokens_map.json": MAP}),
    ("old without a map", "files", {"tokenizer_config.json": OLD}),
    ("added_tokens.json", "files", {"tokenizer_config.json": OLD, "special_tokens_map.json": MAP, "added_tokens.json": TOYS}),
    ("added_tokens.json alone", "files", {"added_tokens.json": {"<cat-toy>": 49408, "<pad>": 49409}}),
    ("other ids", "files", {"added_tokens.json": {"<cat-toy>": 50000, "<Dog-Toy>": 49999}}),
    ("special in added_tokens.json", "files", {
        "special_tokens_map.json": {**MAP, "additional_special_tokens": ["<Dog-Toy>", "<extra>"], "pad_token": "<pad>"},
        "tokenizer_config.json": {**OLD, "additional_special_tokens": ["<Dog-Toy>"]},
        "added_tokens.json": {"<cat-toy>": 49408, "<Dog-Toy>": 49409, "<pad>": 49410}}),
    ("map alone lists special tokens", "files", {"special_tokens_map.json": {**MAP, "additional_special_tokens": ["<cat-toy>", "Zzyzx"]}}),
    ("extra special tokens", "files", {"tokenizer_config.json": {**NEW, "extra_special_tokens": ["<cat-toy>", "<extra>"], "image_token": "<image>"}}),
    ("named special tokens", "files", {"tokenizer_config.json": {**NEW, "extra_special_tokens": {"image_token": "<image>", "extra_token": "<extra>"}}}),
    ("pad as text", "files", {"tokenizer_config.json": {**NEW, "pad_token": "!"}}),
    ("pad as token", "files", {"tokenizer_config.json": OLD, "special_tokens_map.json": {
        **MAP, "pad_token": {"content": "<pad>", "lstrip": True, "normalized": False, "rstrip": True, "single_word": False}}}),
    ("mask and sep", "files", {"tokenizer_config.json": {**NEW, "sep_token": "<cat-toy>", "mask_token": {"__type": "AddedToken", **added("<image>", lstrip=True)},
                                                         "cls_token": None}}),
    ("decoder", "files", {"tokenizer_config.json": {**NEW, "pad_token": "!", "added_tokens_decoder": {
        "0": added("!", True), "49406": added("<|startoftext|>", True, True), "49407": added("<|endoftext|>", True, True),
        **{str(i): t for i, t in enumerate(FLAGGED, 49408)}}}, "special_tokens_map.json": {**MAP, "pad_token": "<pad>"}, "added_tokens.json": {"zebra": 49408}}),
    ("decoder of strings' roles", "files", {"tokenizer_config.json": {**OLD, "added_tokens_decoder": {
        "49406": added("<|startoftext|>", True, True), "49407": added("<|endoftext|>", True, True), "49408": added("<cat-toy>")}}}),
    ("split special tokens", "files", {"tokenizer_config.json": {**NEW, "split_special_tokens": True}, "added_tokens.json": TOYS}),
    ("words of the vocabulary", "files", {"added_tokens.json": {"cat": 2368, "red circle": 49408, "a red": 49409, "\U0001f642": 49410, "e\u0301te\u0301": 49411, " ": 49412}}),
    ("saved by 5", "pairs", {"tokenizer_config.json": NEW, "tokenizer.json": head(IDS + listed(*FLAGGED))}),
    ("strings", "strings", {"tokenizer_config.json": NEW, "tokenizer.json": head(IDS + listed(*FLAGGED))}),
    ("tokenizer.json alone", "pairs", {"tokenizer.json": head(IDS + listed(added("<cat-toy>")))}),
    ("truncation and padding", "strings", {"tokenizer_config.json": {**NEW, "pad_token": "!"}, "tokenizer.json": head(
        IDS, truncation={"direction": "Right", "max_length": 77, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 77}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"})}),
    ("both", "both", {"tokenizer_config.json": NEW, "tokenizer.json": head(IDS + listed(added("<cat-toy>")))}),
    ("both and added_tokens.json", "both", {"tokenizer_config.json": NEW, "added_tokens.json": {"Zzyzx": 49408, "sks": 49409},
                                            "tokenizer.json": head(IDS + listed(added("<cat-toy>")))}),
    ("decoder before tokenizer.json", "pairs", {"tokenizer_config.json": {**NEW, "added_tokens_decoder": {"49408": added("sks")}},
                                                "tokenizer.json": head(IDS + listed(added("<cat-toy>")))}),
    ("short", "files", {"tokenizer_config.json": {**NEW, "model_max_length": 32}}),
    ("no limit", "files", {"tokenizer_config.json": {**NEW, "model_max_length": 1000000000000000019884624838656}}),
    ("trained", "own", {"tokenizer_config.json": {**NEW, "pad_token": "<pad>"}, "tokenizer.json": trained()}),
    ("trained with additions", "own", {"tokenizer_config.json": {**NEW, "pad_token": "<pad>"}, "added_tokens.json": {"<cat-toy>": 600}, "tokenizer.json": trained()}),
]

source = sys.argv[1]
vocabulary = json.load(open(f"{source}/vocab.json", encoding="utf-8"))
lines = [l for l in open(f"{source}/merges.txt", encoding="utf-8").read().split("\n")[1:] if l]
forms, first = [], None
for name, model, files in FORMS:
    with tempfile.TemporaryDirectory() as directory:
        for file, contents in files.items():
            if file == "tokenizer.json" and model != "own":
                contents = {**contents, "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary,
                                                  "merges": lines if model == "strings" else [l.split(" ") for l in lines]}}
            json.dump(contents, open(f"{directory}/{file}", "w", encoding="utf-8"))
        if model in ("files", "both"):
            for file in ("vocab.json", "merges.txt"):
                os.symlink(os.path.abspath(f"{source}/{file}"), f"{directory}/{file}")
        tokenizer = CLIPTokenizer.from_pretrained(directory)
        rows = [tokenizer(p).input_ids for p in PROMPTS]
    assert all(r[0] == tokenizer.bos_token_id and r[-1] == tokenizer.eos_token_id for r in rows)
    rows = [r[1:-1] for r in rows]
    first = first or rows
    limit = tokenizer.model_max_length
    forms.append({"name": name, "model": model, "files": files, "start": tokenizer.bos_token_id, "end": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id,
                  "tokens": len(tokenizer), "limit": limit if limit < 1e6 else None,
                  "ids": rows if first is rows else [None if r == f else r for r, f in zip(rows, first)]})
print(json.dumps({"prompts": PROMPTS}, separators=(",", ":"))[:-1] + ',"forms":[')
print(",\n".join(json.dumps(f, separators=(",", ":")) for f in forms) + "\n]}")
