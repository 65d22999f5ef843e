"""Makes types.gguf, blocks.gguf and quantized.gguf beside it, and gguf.json with what they hold.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 numpy
    venv/bin/python Fixtures/formats/make_gguf.py

What a file holds is what gguf.GGUFReader gives for it, and for quantised blocks, which are random
bytes with finite scales, what gguf.quants.dequantize makes of them; Q8_K, which that lacks, is
d * q as in ggml's dequantize_row_q8_K.
"""

import hashlib
import json
import pathlib

import gguf
import numpy

HERE = pathlib.Path(__file__).parent
TYPES = gguf.GGMLQuantizationType
random = numpy.random.default_rng(0)


def describe(name, encoding, values):
    kinds = {"float32": "float32", "float16": "float16", "uint16": "bfloat16"}
    return name, {
        "encoding": encoding,
        "dtype": kinds.get(values.dtype.name, values.dtype.name),
        "shape": list(values.shape),
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }


def plain():
    path = HERE / "types.gguf"
    writer = gguf.GGUFWriter(path, "sd")
    writer.add_custom_alignment(64)
    writer.add_string("general.name", "types é")
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 4294967295)
    writer.add_int32("test.i32", -2147483648)
    writer.add_float32("test.f32", 0.5)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_int64("test.i64", -(2**63))
    writer.add_float64("test.f64", -0.25)
    writer.add_bool("test.bool", True)
    writer.add_array("test.few", ["a", "b"])
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_array("test.many", [f"token {i}" for i in range(40)])
    arrays = {
        "f32": random.standard_normal((2, 3, 5)).astype(numpy.float32),
        "f16": random.standard_normal((3, 4)).astype(numpy.float16),
        "f64": random.standard_normal((7,)),
        "i8": random.integers(-128, 127, (2, 3), dtype=numpy.int8),
        "i16": random.integers(-9, 9, (2, 2, 2, 2), dtype=numpy.int16),
        "i32": random.integers(-9, 9, (1, 5), dtype=numpy.int32),
        "i64": random.integers(-9, 9, (77,), dtype=numpy.int64),
    }
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    brain = random.integers(0, 0x7F00, (4, 6), dtype=numpy.uint16)
    writer.add_tensor("bf16", brain.view(numpy.uint8), raw_dtype=TYPES.BF16)
    return path, writer, [describe(n, n.upper(), a) for n, a in arrays.items()] + [
        describe("bf16", "BF16", brain)
    ]


def blocks():
    path = HERE / "blocks.gguf"
    writer = gguf.GGUFWriter(path, "sd")
    # Where the F16 scales stand in a block.
    scales = {
        "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
        "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q8_K": [], "IQ4_NL": [0],
    }
    found = []
    for name, places in scales.items():
        kind = TYPES[name]
        size, count = gguf.GGML_QUANT_SIZES[kind]
        data = random.integers(0, 256, (3, 2 * count), dtype=numpy.uint8)
        rows = data.reshape(6, count)
        for place in places:
            rows[:, place:place + 2] = random.standard_normal((6, 1)).astype(numpy.float16).view(
                numpy.uint8)
        if name == "Q8_K":
            rows[:, 0:4] = random.standard_normal((6, 1)).astype(numpy.float32).view(numpy.uint8)
            values = rows[:, 0:4].copy().view(numpy.float32) * rows[:, 4:260].view(
                numpy.int8).astype(numpy.float32)
            values = values.reshape(3, 2 * size)
        else:
            values = gguf.quants.dequantize(data, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        if name != "IQ4_NL":
            found.append(describe(name, name, values))
    return path, writer, found


def quantized():
    """F32 values, and the blocks that gguf.quants.quantize makes of them."""
    path = HERE / "quantized.gguf"
    writer = gguf.GGUFWriter(path, "sd")
    values = random.standard_normal((24, 64)).astype(numpy.float32)
    values[1] = 0
    values[2, :] = 0
    values[2, 5] = -127
    values[2, 6:20] = numpy.arange(14) - 6.5  # ties
    values[3] *= 1e-6
    values[4] *= 1e-9  # d becomes zero in F16
    values[5] *= 1e5
    values[6] = numpy.linspace(-127, 127, 64)
    values[7] = 0.5
    values[8, ::2] = -0.0
    writer.add_tensor("values", values)
    blocks = gguf.quants.quantize(values, TYPES.Q8_0)
    writer.add_tensor("blocks", blocks, raw_dtype=TYPES.Q8_0)
    return path, writer, [
        describe("values", "F32", values),
        describe("blocks", "Q8_0", gguf.quants.dequantize(blocks, TYPES.Q8_0)),
    ]


expected = []
for path, writer, found in (plain(), blocks(), quantized()):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = gguf.GGUFReader(path)
    assert {t.name for t in reader.tensors} >= {name for name, _ in found}
    expected.append({"file": path.name, "oracle": "gguf", "tensors": dict(found)})
(HERE / "gguf.json").write_text(json.dumps(expected, indent=1) + "\n")
