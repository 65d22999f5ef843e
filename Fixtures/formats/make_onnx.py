"""Makes types.onnx, external.onnx and external.onnx.data beside it, and onnx.json with what they hold.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2 numpy
    venv/bin/python Fixtures/formats/make_onnx.py

What a file holds is what onnx.load and onnx.numpy_helper.to_array give for it.
"""

import hashlib
import json
import pathlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
random = numpy.random.default_rng(0)

# Our spelling, the kind, and whether its values are integers.
KINDS = {
    "float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8,
    "uint16": TensorProto.UINT16, "int16": TensorProto.INT16, "int32": TensorProto.INT32,
    "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64,
    "complex64": TensorProto.COMPLEX64, "complex128": TensorProto.COMPLEX128,
    "bfloat16": TensorProto.BFLOAT16, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e4m3fnuz": TensorProto.FLOAT8E4M3FNUZ, "float8_e5m2": TensorProto.FLOAT8E5M2,
    "float8_e5m2fnuz": TensorProto.FLOAT8E5M2FNUZ, "float8_e8m0fnu": TensorProto.FLOAT8E8M0,
}


def values(kind, count):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    if kind == TensorProto.BOOL:
        return random.integers(0, 2, count).astype(dtype)
    if dtype.kind in "iu":
        low = -100 if dtype.kind == "i" else 0
        return random.integers(low, 100, count).astype(dtype)
    numbers = random.standard_normal(count)
    if dtype.kind == "c":
        return (numbers + 1j * random.standard_normal(count)).astype(dtype)
    return numbers.astype(dtype)


def describe(tensor):
    array = numpy_helper.to_array(tensor, base_dir=str(HERE))
    spelling = next(k for k, v in KINDS.items() if v == tensor.data_type)
    return {
        "dtype": spelling,
        "shape": list(tensor.dims),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }


def types():
    tensors = []
    for spelling, kind in KINDS.items():
        array = values(kind, 6).reshape(2, 3)
        raw = numpy_helper.from_array(array, f"raw.{spelling}")
        tensors.append(raw)
        typed = helper.make_tensor(f"typed.{spelling}", kind, [2, 3], array)
        assert not typed.HasField("raw_data")
        tensors.append(typed)
    tensors.append(numpy_helper.from_array(numpy.float32(0.5), "scalar"))
    tensors.append(numpy_helper.from_array(numpy.zeros((0, 4), numpy.float32), "empty"))
    left_out = [
        helper.make_tensor("int4", TensorProto.INT4, [4], [1, -2, 3, -4]),
        helper.make_tensor("texts", TensorProto.STRING, [2], ["a", "b"]),
    ]
    inner = numpy_helper.from_array(values(TensorProto.FLOAT, 3), "c")

    def branch(name):
        node = helper.make_node("Identity", ["c"], [f"{name}.out"])
        out = helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, [3])
        return helper.make_graph([node], name, [], [out], [inner])

    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(
            numpy.arange(4, dtype=numpy.int64))),
        helper.make_node("Constant", [], ["l"], value_float=0.5),
        helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=branch("then"),
                         else_branch=branch("else")),
        helper.make_node("Add", ["x", "raw.float32"], ["z"]),
        helper.make_node("Custom", ["z"], ["w"], domain="our.own"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        helper.make_tensor_value_info("raw.float32", TensorProto.FLOAT, [2, 3]),
    ]
    outputs = [helper.make_tensor_value_info("w", TensorProto.FLOAT16, None)]
    graph = helper.make_graph(nodes, "types", inputs, outputs, tensors + left_out)
    model = helper.make_model(
        graph, producer_name="make_onnx.py", producer_version="1",
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("our.own", 1)])
    helper.set_model_props(model, {"note": "a β"})
    found = {t.name: describe(t) for t in tensors}
    for name in ("then_branch", "else_branch"):
        found[f"choice.{name}.c"] = describe(inner)
    return model, found


def external():
    tensors = [
        numpy_helper.from_array(values(TensorProto.FLOAT, 20).reshape(4, 5), "first"),
        numpy_helper.from_array(values(TensorProto.FLOAT16, 7), "second"),
    ]
    node = helper.make_node("Identity", ["first"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 5])
    model = helper.make_model(helper.make_graph([node], "external", [], [out], tensors))
    return model, {t.name: describe(t) for t in tensors}


expected = []
model, found = types()
onnx.save(model, HERE / "types.onnx")
expected.append({"file": "types.onnx", "oracle": "onnx", "tensors": found})
model, found = external()
(HERE / "external.onnx.data").unlink(missing_ok=True)
onnx.save(model, HERE / "external.onnx", save_as_external_data=True,
          location="external.onnx.data", size_threshold=0)
again = onnx.load(HERE / "external.onnx")
assert {t.name: describe(t) for t in again.graph.initializer} == found
expected.append({"file": "external.onnx", "oracle": "onnx", "tensors": found})
(HERE / "onnx.json").write_text(json.dumps(expected, indent=1) + "\n")
