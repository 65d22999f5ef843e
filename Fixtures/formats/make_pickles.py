"""Makes pickles.json: pickles of plain values in every protocol, and what Python reads from them.

    python3 Fixtures/formats/make_pickles.py

Made with Python 3.11. `text` is the value as `render` below writes it; the tests write what they
read in the same way. Pickles that Python no longer writes are put together by hand.
"""

import collections
import json
import pathlib
import pickle
import struct


def render(value):
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        return "'" + "".join(
            c if " " <= c <= "~" and c != "'" else f"<{ord(c):x}>" for c in value) + "'"
    if isinstance(value, (bytes, bytearray)):
        return "b" + value.hex()
    if isinstance(value, complex):
        return f"complex({value.real!r}, {value.imag!r})"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(render, value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(render, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(render, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(
            f"{render(key)}: {render(item)}" for key, item in value.items()) + "}"
    raise TypeError(type(value))


shared = [1, 2]
VALUES = {
    "singletons": [None, True, False],
    "integers": [0, 1, -1, 255, 256, 65535, 65536, -128, 2**31 - 1, -2**31, 2**31, 2**63 - 1, -2**63],
    "big integers": [2**63, -2**63 - 1, 2**64, -2**64, 2**127, -2**127, 2**400],
    "floats": [0.0, -0.0, 1.5, -2.25, 1e300, float("inf"), float("-inf")],
    "strings": ["", "plain", "quote ' \" \\ \n\t", "naïve", "Ω", "𝄞"],
    "bytes": [b"", b"abc", bytes(range(0, 256, 5))],
    "bytearray": bytearray(b"\x00\x80\xff"),
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((),))],
    "lists": [[], [1], [[[]]]],
    "dictionaries": [{}, {"a": 1}, {(1, 2): {}, None: 0}],
    "sets": [set(), {1, 2, 3}, frozenset(), frozenset({4, 5})],
    "ordered dictionary": collections.OrderedDict([("b", 1), ("a", [2])]),
    "counter": collections.Counter("aab"),
    "default dictionary": collections.defaultdict(list, {"k": [1]}),
    "complex": 1.5 - 2j,
    "shared": [shared, shared, {"again": shared}],
}

HAND = {
    # OrderedDict of a list of pairs, as Python 2 wrote it.
    "ordered dictionary of pairs":
        b"\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01e](U\x01bK\x02ee\x85R.",
    "string escapes": b"(lS'a\\x41\\n\\t\\\\\\'\\101'\naS\"double\"\na.",
    "unicode escapes": b"V\\u03a9 \\U0001d11e \xe9\n.",
    "text integers": b"(I00\nI01\nI-5\nL12L\nL-340282366920938463463374607431768211456L\nl.",
    "text floats": b"(F1.5\nF-inf\nF1e-3\nl.",
    "dictionary from the stack": b"(S'a'\nI1\nS'b'\nI2\nd.",
    "put and get": b"(lp0\nI7\nag0\n\x85.",
    "pop": b"K\x01K\x020.",
    "pop at a mark": b"K\x01(0.",
    "pop to a mark": b"K\x01(K\x02K\x031.",
    "duplicate": b"]K\x01a2\x86.",
    "long of no bytes": b"\x80\x02\x8a\x00.",
    "long in four bytes": b"\x80\x02\x8b\x09\x00\x00\x00" + bytes(8) + b"\x01.",
    "binary string": b"T\x03\x00\x00\x00abc.",
    "wide string": b"\x80\x04\x8d" + struct.pack("<Q", 3) + b"abc.",
    "wide bytes": b"\x80\x04\x8e" + struct.pack("<Q", 3) + b"abc.",
    "filled after it was put elsewhere": b"\x80\x04]\x94h\x00\x85\x940(K\x01e0h\x01.",
    "class by instruction INST": b"(K\x01K\x02i__builtin__\ncomplex\n.",
    "class by instruction OBJ": b"(c__builtin__\nset\n](K\x01K\x02eo.",
}

entries = []


def add(name, data):
    # `encoding` makes Python 2 strings text.
    entries.append({"name": name, "hex": data.hex(), "text": render(
        pickle.loads(data, encoding="utf-8"))})


for name, value in VALUES.items():
    for protocol in range(6):
        add(f"{name}, protocol {protocol}", pickle.dumps(value, protocol))
# Python fills containers a thousand items at a time, and has long forms for long strings.
add("a long list", pickle.dumps([7] * 1001, 2))
add("a long dictionary", pickle.dumps(dict.fromkeys(range(1001), 0), 4))
add("long strings", pickle.dumps(["x" * 300, b"y" * 300], 4))
for name, data in HAND.items():
    add(name, data)
path = pathlib.Path(__file__).parent / "pickles.json"
path.write_text(json.dumps(entries, indent=0) + "\n")
print(len(entries), path.stat().st_size)
