"""Makes the inputs that fuzzing starts from.

    python3 Fuzz/make_seeds.py FOLDER [CORPUS]

Gathers what Fixtures/ holds, adds files made by hand, and takes the small files of CORPUS where
one is given. One folder for each target of Fuzz/Sources/Main.swift.
"""

import io
import json
import pathlib
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATS = ROOT / "Fixtures" / "formats"
LIMIT = 64 << 10

out = pathlib.Path(sys.argv[1])
corpus = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None


def seed(target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    if len(data) <= LIMIT:
        (folder / name.replace("/", "_")).write_bytes(data)


def safetensors(header, data=b"", padding=0):
    text = (header if isinstance(header, str) else json.dumps(header)).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + data


def archive(records, method=zipfile.ZIP_STORED, comment=b""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in records:
            file.writestr(zipfile.ZipInfo(name), data, method)
        file.comment = comment
    return buffer.getvalue()


# A dictionary with one tensor over the storage "0" of 6 floats, as torch.save pickles it.
def storage(kind, key, count, view=b""):
    return (b"(X\x07\0\0\0storagectorch\n" + kind + b"\nX\x01\0\0\0" + key
            + b"X\x03\0\0\0cpuK" + bytes([count]) + view + b"tQ")


def tensor(reference, offset=0, sizes=(2, 3), strides=(3, 1), call=b"_rebuild_tensor_v2"):
    def numbers(values):
        return b"(" + b"".join(b"M" + struct.pack("<H", value) for value in values) + b"t"
    return (b"ctorch._utils\n" + call + b"\n(" + reference + b"K" + bytes([offset])
            + numbers(sizes) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR")


def dictionary(*tensors):
    body = b"".join(b"X\x01\0\0\0" + bytes([97 + i]) + t for i, t in enumerate(tensors))
    return b"\x80\x02}(" + body + b"u."


FLOATS = storage(b"FloatStorage", b"0", 6)
LONGS = storage(b"LongStorage", b"1", 8)
BYTES = storage(b"ByteStorage", b"2", 0).replace(b"K\0t", b"M\0\x10t")
NOTHING = storage(b"HalfStorage", b"3", 0)
V3 = (b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage(b"UntypedStorage", b"0", 24)
      + b"K\0(K\x02K\x03t(K\x03K\x01t\x89ccollections\nOrderedDict\n)Rctorch\nfloat8_e4m3fn\ntR")
PICKLES = {
    "tensors": dictionary(
        tensor(FLOATS), tensor(LONGS, 1, (2, 2), (1, 2)), tensor(BYTES, 0, (4096,), (1,)),
        tensor(NOTHING, 0, (0, 4), (4, 1)), tensor(FLOATS, 0, (1000,), (0,))),
    "untyped": dictionary(V3),
    "parameter": dictionary(
        b"ctorch._utils\n_rebuild_parameter\n(" + tensor(FLOATS)
        + b"\x88ccollections\nOrderedDict\n)RtR"),
    "module": b"\x80\x02cm\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x01\0\0\0w" + tensor(FLOATS)
              + b"sX\x08\0\0\0_buffers}X\x08\0\0\0_modules}ub.",
    "harmful": b"cos\nsystem\n(S'id'\ntR.",
    "cycle": b"]\x94h\0a.",
    "doubling": b"]q\0" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(9)) + b".",
}

for path in sorted(FORMATS.iterdir()):
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        seed("safetensors", path.name, data)
    elif path.suffix == ".gguf":
        seed("gguf", path.name, data)
    elif path.suffix == ".pt":
        if data[:2] == b"PK":
            seed("torch-zip", path.name, data)
            seed("zip", path.name, data)
            seed("safety", path.name, data)
            with zipfile.ZipFile(path) as file:
                name = next(name for name in file.namelist() if name.endswith("data.pkl"))
                seed("torch-zip", path.stem + ".pkl", b"\0" + file.read(name))
                seed("pickle", path.stem + ".pkl", file.read(name))
                seed("safety", path.stem + ".pkl", file.read(name))
        elif data[257:262] == b"ustar":
            seed("torch-tar", path.name, data)
            with tarfile.open(path) as file:
                parts = [file.extractfile(name).read() for name in ("storages", "tensors", "pickle")]
            lengths = struct.pack("<HH", len(parts[0]), len(parts[1]))
            seed("torch-tar", path.stem + ".parts", lengths + b"".join(parts))
        else:
            seed("torch-legacy", path.name, data)
    seed("any", path.name, data)

for entry in json.loads((FORMATS / "pickles.json").read_text()):
    seed("pickle", entry["name"], bytes.fromhex(entry["hex"]))
    seed("safety", entry["name"], bytes.fromhex(entry["hex"]))
for name, data in PICKLES.items():
    seed("pickle", name, data)
    seed("torch-zip", name, b"\0" + data)
    seed("torch-zip", name + "-big", b"\3" + data)
    seed("torch-zip", name + ".pt", archive([
        ("archive/data.pkl", data), ("archive/version", b"3\n"),
        ("archive/data/0", bytes(24)), ("archive/data/1", bytes(64)),
        ("archive/data/2", bytes(4096)), ("archive/data/3", b"")]))
    seed("any", name + ".pkl", data)

# PyTorch before 1.6, without and with a view.
HEAD = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
        + pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2))
for name, view in {"plain": b"N", "view": b"(X\x01\0\0\0vK\x02K\x03t"}.items():
    sizes, strides = ((2, 3), (3, 1)) if view == b"N" else ((3,), (1,))
    reference = storage(b"FloatStorage", b"0", 6, view)
    seed("torch-legacy", name, HEAD + dictionary(tensor(reference, 0, sizes, strides))
         + b"\x80\x02]X\x01\0\0\x000a." + struct.pack("<q", 6) + bytes(24))

# PyTorch before 0.1.10: one storage of 6 floats, a view of it, and a tensor.
members = {
    "sys_info": pickle.dumps({"little_endian": True}, 2),
    "storages": pickle.dumps(1, 2) + b"\x80\x02(K\5X\3\0\0\0cpuctorch\nFloatStorage\nt."
                + struct.pack("<q", 6) + bytes(24) + pickle.dumps([(6, 5, 2, 3)], 2),
    "tensors": pickle.dumps(1, 2) + b"\x80\x02(K\7K\5ctorch\nFloatTensor\nt."
               + struct.pack("<iiqqqqq", 2, 0, 2, 3, 3, 1, 0),
    "pickle": b"\x80\x02}X\1\0\0\0wX\1\0\0\x007Qs.",
}
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as file:
    for name, data in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        file.addfile(member, io.BytesIO(data))
seed("torch-tar", "whole", buffer.getvalue())

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
seed("safetensors", "one", safetensors({"a": ENTRY}, bytes(8)))
seed("safetensors", "none", safetensors({}))
seed("safetensors", "metadata", safetensors({"__metadata__": {"format": "pt"}, "a": ENTRY}, bytes(8), 5))
seed("safetensors", "unknown", safetensors({"a": dict(ENTRY, more=[{}])}, bytes(8)))
seed("safetensors", "packed", safetensors(
    {"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]},
     "b": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [2, 5]},
     "c": {"dtype": "C64", "shape": [], "data_offsets": [5, 13]},
     "d": {"dtype": "I64", "shape": [0, 3], "data_offsets": [13, 13]}}, bytes(13)))

seed("zip", "deflated", archive([("a", b"a" * 999), ("b/c", b"")], zipfile.ZIP_DEFLATED))
seed("zip", "comment", archive([("a", b"1")], comment=b"a comment PK\5\6"))
seed("zip", "empty", archive([]))
# A record whose sizes follow its data, and zip64 sizes.
buffer = io.BytesIO()
buffer.seekable = lambda: False
with zipfile.ZipFile(buffer, "w") as file:
    with file.open("streamed", "w", force_zip64=True) as record:
        record.write(b"values")
seed("zip", "streamed", buffer.getvalue())

JSONS = [
    "{}", "[]", '{"a":[1,-2.5e3,true,false,null,"\\u00e9\\ud834\\udd1e\\n"]}', "[[[[[[]]]]]]",
    "1e999", "9223372036854775808", '"\u2028"', " [1 , 2 ] ", '{"a":1,"a":2}',
]
for index, text in enumerate(JSONS):
    seed("json", f"hand-{index}", text.encode())
for path in ROOT.glob("Fixtures/shapes-v2/*/*config.json"):
    seed("json", path.parent.name + "-" + path.name, path.read_bytes())

INDEX = {"metadata": {"total_size": 8}, "weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
seed("shard-index", "two", json.dumps(INDEX).encode())
seed("shard-index", "outside", json.dumps(
    {"weight_map": {"a": "../x.safetensors", "b": "/x.safetensors"}}).encode())


def gguf_text(text):
    return struct.pack("<Q", len(text)) + text


PAIRS = [
    (b"general.architecture", 8, gguf_text(b"sd1")), (b"general.alignment", 4, struct.pack("<I", 32)),
    (b"a", 9, struct.pack("<IQ", 8, 2) + gguf_text(b"x") + gguf_text(b"y")),
    (b"b", 7, b"\1"), (b"c", 12, struct.pack("<d", 1.5)), (b"d", 9, struct.pack("<IQ", 0, 20) + bytes(20)),
]
TENSORS = [(b"f32", (2, 3), 0, 24, 0), (b"q8_0", (32, 2), 8, 68, 32), (b"q4_k", (256,), 12, 144, 128)]
head = b"GGUF" + struct.pack("<Iqq", 3, len(TENSORS), len(PAIRS))
for key, kind, value in PAIRS:
    head += gguf_text(key) + struct.pack("<I", kind) + value
for name, shape, kind, size, offset in TENSORS:
    head += gguf_text(name) + struct.pack("<I", len(shape))
    head += b"".join(struct.pack("<q", size) for size in shape) + struct.pack("<IQ", kind, offset)
seed("gguf", "three", head + bytes(-len(head) % 32) + bytes(128 + 160))

def field(number, value):
    """A field of a Protocol Buffers message: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    output = b""
    while value > 127:
        output += bytes([value & 127 | 128])
        value >>= 7
    return output + bytes([value])


RAW = field(1, 2) + field(2, 1) + field(8, b"raw") + field(9, bytes(8))
FLOATS = field(1, 2) + field(2, 1) + field(8, b"floats") + field(4, bytes(8))
LONGS = field(1, 3) + field(2, 7) + field(8, b"longs") + field(7, b"\1\2\3")
OUTSIDE = (field(1, 4) + field(2, 1) + field(8, b"outside") + field(14, 1)
           + field(13, field(1, b"location") + field(2, b"data.bin"))
           + field(13, field(1, b"offset") + field(2, b"16")))
INNER = field(2, b"inner") + field(5, RAW)
NODE = (field(2, b"out") + field(3, b"node") + field(4, b"If")
        + field(5, field(1, b"then_branch") + field(6, INNER)))
CONSTANT = field(2, b"c") + field(4, b"Constant") + field(5, field(1, b"value") + field(5, RAW))
VALUE = field(1, b"x") + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 2)) + field(
    1, field(2, b"batch")))))
for name, tensors in {"inside": [RAW, FLOATS, LONGS], "outside": [OUTSIDE]}.items():
    graph = (field(1, NODE) + field(1, CONSTANT) + field(2, b"graph")
             + b"".join(field(5, tensor) for tensor in tensors) + field(11, VALUE) + field(12, VALUE))
    seed("onnx", name, field(1, 8) + field(2, b"sdloom") + field(7, graph)
         + field(8, field(1, b"") + field(2, 17)) + field(14, field(1, b"k") + field(2, b"v")))

REGION = {"offset": 0, "bytes": 8, "xxh3": "0123456789abcdef"}
FLAT = {
    "files": [dict(REGION, path="unet/config.json")],
    "components": [{
        "name": "unet", "architecture": "UNet2DConditionModel", "configuration": "unet/config.json",
        "tensors": [
            dict(REGION, name="a", dtype="F32", shape=[2], offset=64),
            dict(REGION, name="b", dtype="F16", shape=[2, 2], offset=128)]}],
    "provenance": {"tool": "sdloom"}, "requires": ["files"],
}
seed("flat-header", "whole", b"\2" + json.dumps(FLAT).encode())
seed("flat-header", "empty", b"\0" + b'{"files":[],"components":[]}')

# Pictures that are there already, of every kind, and such as test their readers' limits.
for path in sorted((ROOT / "Fixtures" / "pictures").iterdir()):
    if path.suffix in (".png", ".jpg", ".webp"):
        seed("picture", path.name, path.read_bytes())


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, depth, colour, rows, *chunks, interlaced=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(*part) for part in chunks)
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


PARAMETERS = b"a star\nSteps: 1, Seed: 2"
EXIF = (b"MM\0*\0\0\0\x08\0\2\x01\x12\0\3\0\0\0\1\0\6\0\0\x87\x69\0\4\0\0\0\1\0\0\0\x26\0\0\0\0"
        b"\0\1\x92\x86\0\7\0\0\0\x0c\0\0\0\x38\0\0\0\0UNICODE\0\0a\0b")
for name, data in {
    "text": png(2, 2, 8, 2, (b"\0" + bytes(6)) * 2, (b"tEXt", b"parameters\0" + PARAMETERS)),
    "compressed-text": png(1, 1, 8, 0, b"\0\0", (b"zTXt", b"parameters\0\0" + zlib.compress(PARAMETERS * 40))),
    "international": png(1, 1, 8, 0, b"\0\0", (b"iTXt", b"sdloom\0\0\0\0\0" + b'{"version":1}')),
    "exif": png(3, 2, 8, 0, b"\0\0\1\2" * 2, (b"eXIf", EXIF)),
    "interlaced": png(3, 3, 1, 0, b"\0\x80" * 6, interlaced=1),
    "deep": png(1, 1, 16, 6, b"\0" + bytes(8), (b"gAMA", struct.pack(">I", 45455))),
    "palette": png(4, 1, 2, 3, b"\0\x1b", (b"PLTE", bytes(range(12))), (b"tRNS", b"\0\x7f")),
    "wide": png(65535, 1, 1, 0, b"\0" + bytes(8192)), "bomb": png(8192, 8192, 1, 0, bytes(64)),
}.items():
    seed("picture", name + ".png", data)
LOSSLESS = b"\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
WEBP = b"VP8L" + struct.pack("<I", len(LOSSLESS)) + LOSSLESS
VP8X = b"VP8X" + struct.pack("<I", 10) + b"\x08" + bytes(9)
for name, body in {"small": WEBP, "exif": VP8X + WEBP + b"EXIF" + struct.pack("<I", len(EXIF)) + EXIF}.items():
    seed("picture", name + ".webp", b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
for name in ["source.jpg", "progressive.jpg"]:
    data = (ROOT / "Fixtures" / "pictures" / name).read_bytes()
    scan = data.index(b"\xff\xda")
    seed("picture", "garbage-" + name, data[:scan] + b"\0\1" + data[scan:])
    seed("picture", "damaged-" + name, data[:scan + 40] + b"\xff\xd9")
    seed("picture", "two-" + name, data[:-2] + data[2:])

for name, data in {
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n",
    "page": b"<!DOCTYPE html><html>", "zeros": bytes(300), "flat": b"SDFLAT\0\1" + bytes(56),
    "gguf": b"GGUF\3\0\0\0" + bytes(16), "7z": b"7z\xbc\xaf\x27\x1c\0\4", "text": b"Entry not found",
    "zip": archive([("readme.txt", b"hello")]),
}.items():
    seed("any", name, data)
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as file:
    member = tarfile.TarInfo("pickle")
    member.size = 3
    file.addfile(member, io.BytesIO(b"N.."))
seed("any", "tar", buffer.getvalue())

if corpus:
    for path in sorted(corpus.iterdir()):
        data = path.read_bytes() if path.is_file() else b""
        seed("any", path.name, data)
        if data[:2] == b"PK":
            seed("torch-zip", path.name, data)
            seed("zip", path.name, data)
        elif data[257:262] == b"ustar":
            seed("torch-tar", path.name, data)
        elif path.suffix == ".onnx":
            seed("onnx", path.name, data)
        elif data[5:9] == b"\0\0\0{":
            seed("safetensors", path.name, data)
        elif b"\x9cF\xf9 j\xa8P\x19" in data[:32]:
            seed("torch-legacy", path.name, data)
