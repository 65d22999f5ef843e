"""Makes tar.pt beside it, a checkpoint as PyTorch before version 0.1.10 wrote them, and tar.json
with what it holds.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy
    venv/bin/python Fixtures/formats/make_tar.py

No PyTorch of today writes the form; this does it by hand, as torch.serialization.legacy_load reads
it. What the file holds is what torch.load gives for it.
"""

import collections
import hashlib
import io
import json
import pathlib
import pickle
import struct
import tarfile
import warnings

import torch

HERE = pathlib.Path(__file__).parent
warnings.simplefilter("ignore")
torch.manual_seed(0)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
half = torch.randn(10).half()
part = half[2:6]  # of a storage that is a view of another
counts = torch.arange(5)
value = collections.OrderedDict(
    [("whole", base), ("rows", base[1:3]), ("transposed", base.t()), ("tied", base),
     ("nested", {"part": part, "counts": counts, "epoch": 3}), ("empty", torch.zeros(0))])

storages = {1: base, 2: half, 4: counts, 5: value["empty"]}
views = [(3, 2, 2, 4)]  # target, root, offset, count
# Tensors by key: storage, offset, tensor.
tensors = {
    10: (1, 0, base), 11: (1, 6, value["rows"]), 12: (1, 0, value["transposed"]),
    13: (3, 0, part), 14: (4, 0, counts), 15: (5, 0, value["empty"]),
}
keys = {id(value["whole"]): 10, id(value["rows"]): 11, id(value["transposed"]): 12,
        id(part): 13, id(counts): 14, id(value["empty"]): 15}


def kind(tensor):
    return {torch.float32: torch.FloatStorage, torch.float16: torch.HalfStorage,
            torch.int64: torch.LongStorage}[tensor.dtype]


members = {"sys_info": io.BytesIO(), "storages": io.BytesIO(), "tensors": io.BytesIO(),
           "pickle": io.BytesIO()}
pickle.dump({"protocol_version": 1000, "little_endian": True}, members["sys_info"], 2)
file = members["storages"]
pickle.dump(len(storages), file, 2)
for key, tensor in storages.items():
    pickle.dump((key, "cpu", kind(tensor)), file, 2)
    data = tensor.contiguous().numpy().tobytes()
    file.write(struct.pack("<q", tensor.numel()) + data)
pickle.dump(views, file, 2)
file = members["tensors"]
pickle.dump(len(tensors), file, 2)
for key, (storage, offset, tensor) in tensors.items():
    pickle.dump((key, storage, kind(tensor)), file, 2)
    rank = tensor.dim()
    file.write(struct.pack(f"<ii{2 * rank}qq", rank, 0, *tensor.shape, *tensor.stride(), offset))


class Pickler(pickle.Pickler):
    def persistent_id(self, object):
        if isinstance(object, torch.Tensor):
            return str(keys[id(object)])
        return None


Pickler(members["pickle"], 2).dump(value)
with tarfile.open(HERE / "tar.pt", "w:", format=tarfile.PAX_FORMAT) as archive:
    for name, file in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(file.getvalue())
        info.mtime = 0.5  # as of a real file, for which an extended header is written
        file.seek(0)
        archive.addfile(info, file)


def describe(tensor):
    data = tensor.contiguous().numpy().tobytes()
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
            "sha256": hashlib.sha256(data).hexdigest()}


loaded = torch.load(HERE / "tar.pt", weights_only=False)
found = {name: describe(item) for name, item in loaded.items() if name != "nested"}
found |= {f"nested.{name}": describe(item) for name, item in loaded["nested"].items()
          if isinstance(item, torch.Tensor)}
assert all(torch.equal(loaded[name], item) for name, item in value.items() if name != "nested")
(HERE / "tar.json").write_text(
    json.dumps([{"file": "tar.pt", "oracle": "torch", "tensors": found}], indent=1) + "\n")
