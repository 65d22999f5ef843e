"""Makes the small checkpoint files beside it, and expected.json with what they hold.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 safetensors==0.8.0 numpy
    venv/bin/python Fixtures/formats/make.py

Made with torch 2.15.0, safetensors 0.8.0, numpy 2.4.6, Python 3.11. What a file holds is what
torch.load or safetensors give for it here, written as SHA-256 of the contiguous little-endian
values; a tensor's name is its path in the object.
"""

import collections
import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zipfile

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent
warnings.simplefilter("ignore")
torch.manual_seed(0)


def describe(tensor):
    values = tensor.detach().contiguous().reshape(-1)
    data = values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def flatten(value, path=""):
    def join(key):
        return f"{path}.{key}" if path else str(key)

    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if isinstance(value, torch.nn.ParameterDict):
        value = dict(value.items())
    if isinstance(value, torch.Tensor):
        return {path: describe(value)}
    found = {}
    if isinstance(value, dict):
        for key, item in value.items():
            found.update(flatten(item, join(key)))
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            found.update(flatten(item, join(key)))
    return found


expected = []


def record(name, oracle, tensors):
    expected.append({"file": name, "oracle": oracle, "tensors": tensors})


def load(name):
    return torch.load(HERE / name, weights_only=False)


def save(name, value, **options):
    torch.save(value, HERE / name, **options)
    record(name, f"torch {torch.__version__.split('+')[0]}", flatten(load(name)))


def numbers(dtype, shape):
    count = 1
    for size in shape:
        count *= size
    bits = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8)
    if dtype == torch.bool:
        bits %= 2
    return bits.view(dtype).reshape(shape)


DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
    torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]
every = collections.OrderedDict(
    (str(dtype).removeprefix("torch."), numbers(dtype, (2, 3))) for dtype in DTYPES)
every["scalar"] = torch.tensor(2.5)
every["empty"] = torch.zeros(0, 4)
save("types.pt", every)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
views = {
    "whole": base,
    "transposed": base.t(),
    "rows": base[1:3],
    "columns": base[:, 2:5],
    "every_other": base[::2, ::3],
    "expanded": base[:, :1].expand(4, 5),
    "channels_last": torch.arange(48, dtype=torch.int16).reshape(1, 3, 4, 4).to(
        memory_format=torch.channels_last),
    "single": base[2:3, 4:5],
    "tied": base,
    "parameter": torch.nn.Parameter(base[0]),
}
save("views.pt", views)

nested = {
    "state_dict": collections.OrderedDict(
        [("conv.weight", torch.randn(2, 1, 3, 3)), ("conv.bias", torch.randn(2))]),
    "epoch": 3, "lr": 1e-4, "note": "naïve", "none": None, "flag": True, "big": 2**70,
    "list": [torch.ones(1), {"x": torch.zeros(2)}, 5],
    "tuple": (torch.ones(2, dtype=torch.int8),),
    "optimizer": {"state": {0: {"exp_avg": torch.randn(2)}, 1: {"exp_avg": torch.randn(2)}}},
    "set": {1, 2}, "bytes": b"\x00\xff", "complex": 1 + 2j,
}
save("nested.pt", nested)
save("nested_protocol4.pt", nested, pickle_protocol=4)
save("nested_protocol5.pt", nested, pickle_protocol=5)
save("lone.pt", torch.arange(5))
save("legacy.pt", nested, _use_new_zipfile_serialization=False)
save("legacy_views.pt", views, _use_new_zipfile_serialization=False)

module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
save("module.pt", module)
save("parameter_dict.pt", {
    "string_to_token": {"*": 265},
    "string_to_param": torch.nn.ParameterDict({"*": torch.randn(1, 4)}),
})

class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3))
        self.register_buffer("shift", torch.arange(3))

    def forward(self, x):
        return x * self.weight + self.shift


class Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.second = Scale()

    def forward(self, x):
        return self.second(self.first(x))


torch.jit.save(torch.jit.script(Pair()), HERE / "script.pt")
# Without the records of where the source lay.
with zipfile.ZipFile(HERE / "script.pt") as archive:
    kept = [(item, archive.read(item)) for item in archive.infolist()
            if not item.filename.endswith(".debug_pkl")]
with zipfile.ZipFile(HERE / "script.pt", "w") as archive:
    for item, data in kept:
        archive.writestr(zipfile.ZipInfo(item.filename), data, item.compress_type)
record("script.pt", "torch.jit", flatten(
    dict(torch.jit.load(HERE / "script.pt").state_dict())))


# Tensors that are not read are left out, and the rest is.
quantized = torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8)
torch.save({"quantized": quantized, "sparse": torch.eye(2).to_sparse(), "dense": torch.ones(2)},
           HERE / "left_out.pt")
record("left_out.pt", "torch", flatten({"dense": load("left_out.pt")["dense"]}))


def records(name):
    with zipfile.ZipFile(HERE / name) as archive:
        return {item.split("/", 1)[1]: archive.read(item) for item in archive.namelist()}


def rezip(name, contents, root, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(HERE / name, "w", compression) as archive:
        for key, data in contents.items():
            archive.writestr(zipfile.ZipInfo(f"{root}/{key}"), data, compression)
    record(name, "torch", flatten(load(name)))


# As PyTorch 1.6 to 2.0 wrote: no byteorder, no .format_version. The storages are not aligned.
contents = {
    key: data for key, data in records("views.pt").items()
    if key in ("data.pkl", "version") or key.startswith("data/")}
rezip("old.pt", contents, "any name")
rezip("deflated.pt", contents, "archive", zipfile.ZIP_DEFLATED)

# As a big-endian machine writes. A storage's type says in which pieces to swap.
torch.save({key: value for key, value in list(every.items())[:12]} | views, HERE / "big_endian.pt")
contents = records("big_endian.pt")
widths = {}


class Storages(__import__("pickle").Unpickler):
    def persistent_load(self, identifier):
        kind = identifier[1]
        size = torch._utils._element_size(kind.dtype)
        widths[identifier[2]] = size // 2 if kind.dtype.is_complex else size
        return torch.storage.TypedStorage(identifier[4], dtype=kind.dtype)


Storages(io.BytesIO(contents["data.pkl"])).load()
for key, width in widths.items():
    data = contents[f"data/{key}"]
    contents[f"data/{key}"] = b"".join(
        data[start:start + width][::-1] for start in range(0, len(data), width))
contents["byteorder"] = b"big"
rezip("big_endian.pt", contents, "archive")

named = {key: value for key, value in every.items() if value.dtype != torch.complex128}
safetensors.torch.save_file(named, HERE / "types.safetensors", metadata={"format": "pt"})
record("types.safetensors", "safetensors", flatten(
    safetensors.torch.load_file(HERE / "types.safetensors")))

# The same with one byte of padding more, so that no value is aligned.
data = (HERE / "types.safetensors").read_bytes()
length, = struct.unpack("<Q", data[:8])
(HERE / "unaligned.safetensors").write_bytes(
    struct.pack("<Q", length + 1) + data[8:8 + length] + b" " + data[8 + length:])
record("unaligned.safetensors", "safetensors", flatten(
    safetensors.torch.load_file(HERE / "unaligned.safetensors")))

(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
print(sum(path.stat().st_size for path in HERE.iterdir()), "bytes", sys.version)
