"""Writes random pickles into a folder, and beside each the classes and functions that CPython asks
for when it unpickles it: what the scan must not miss.

Usage: pickle_names.py FOLDER COUNT SEED

N.pkl is a pickle, N.txt the names, one to a line. Nothing is imported: every name becomes an object
that takes any call and any state.
"""
import io
import os
import pickle
import random
import struct
import sys

NAMES = [("vendor", "f"), ("os", "system"), ("collections", "OrderedDict"), ("builtins", "set"),
         ("torch.storage", "_load_from_bytes"), ("torch.jit._pickle", "build_intlist"),
         ("_codecs", "encode"), ("a.b", "c.d"), ("numpy", "ndarray"), ("x y", "z!")]


class Thing:
    """Stands for whatever was asked for, and what calling it gives."""

    def __new__(cls, *args, **keywords):
        return object.__new__(cls)

    def __init__(self, *args, **keywords):
        pass

    def __call__(self, *args, **keywords):
        return Thing()

    def __setstate__(self, state):
        pass

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def add(self, item):
        pass

    def __setitem__(self, key, value):
        pass


class Recorder(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.asked = []

    def find_class(self, module, name):
        self.asked.append(f"{module}.{name}")
        return Thing if len(self.asked) % 2 else Thing()

    def persistent_load(self, identifier):
        return Thing()


def text(choice, value):
    raw = value.encode()
    kinds = [b"X" + struct.pack("<I", len(raw)) + raw, b"\x8c" + bytes([len(raw)]) + raw,
             b"V" + raw + b"\n", b"S'" + raw + b"'\n", b"U" + bytes([len(raw)]) + raw]
    return choice(kinds)


def index(rng, value):
    """A memo index as Python's readers take it."""
    line = str(value)
    return rng.choice([line, "0" + line, "+" + line, " " + line + " ", line + "\r",
                       "0_" + line]).encode()


def piece(rng):
    module, name = rng.choice(NAMES)
    at = rng.choice([0, 1, 2, 3, 255, 256, 70000])
    byte = at % 256
    return rng.choices([
        lambda: b"c" + module.encode() + b"\n" + name.encode() + b"\n",
        lambda: text(rng.choice, module) + text(rng.choice, name) + b"\x93",
        lambda: text(rng.choice, rng.choice([module, name])),
        lambda: b"\x93",
        lambda: b"(i" + module.encode() + b"\n" + name.encode() + b"\n",
        lambda: b"(c" + module.encode() + b"\n" + name.encode() + b"\nNo",
        lambda: rng.choice([b")R", b")\x81", b"(tR", b"N\x85R", b")}\x92"]),
        lambda: rng.choice([b"N", b"K\x01", b"]", b"}", b")", b"\x8f", b"(", b"(", b"\x88",
                            b"I1\n"]),
        lambda: rng.choice([b"0", b"1", b"2", b"0", b"a", b"e", b"s", b"u", b"b", b"t", b"l", b"d",
                            b"\x85", b"\x86", b"\x87", b"\x90", b"\x91", b"Q"]),
        lambda: rng.choice([b"\x94", b"q" + bytes([byte]), b"r" + struct.pack("<I", at),
                            b"p" + index(rng, at) + b"\n"]),
        lambda: rng.choice([b"h" + bytes([byte]), b"j" + struct.pack("<I", at),
                            b"g" + index(rng, at) + b"\n"]),
        lambda: rng.choice([b"C\x03abc", b"P1\n", b"\x80\x04", b"F1.5\n", b"L5L\n",
                            b"\x8a\x01\x05"]),
    ], [3, 4, 4, 1, 1, 1, 3, 6, 5, 5, 4, 2])[0]()


def main():
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    written = 0
    while written < count:
        data = rng.choice([b"", b"\x80\x02", b"\x80\x04"])
        data += b"".join(piece(rng) for _ in range(rng.randrange(3, 40))) + b"."
        recorder = Recorder(io.BytesIO(data))
        try:
            recorder.load()
        except Exception:  # What was asked for before the fault counts all the same.
            pass
        # Streams that ask for little are common, and show little.
        if len(recorder.asked) < 2:
            continue
        with open(os.path.join(folder, f"{written}.pkl"), "wb") as file:
            file.write(data)
        with open(os.path.join(folder, f"{written}.txt"), "w") as file:
            file.write("\n".join(recorder.asked))
        written += 1


main()
