"""Check exported models with ONNX's own tools and run them against golden numbers.

    python3 check_onnx.py DIRECTORY [--golden FOLDER] [--shapes]

For each of text_encoder, unet, vae_decoder and vae_encoder found as DIRECTORY/NAME/model.onnx or
DIRECTORY/NAME.onnx: onnx.checker's full check by path; strict shape inference, after which every
value must have a type whose dimensions are all a number or a name; external data inside its file.
With --golden, ONNX Runtime must give the numbers of the reference within 1e-4 (norm of the
difference over norm of the reference). With --shapes, every intermediate value is computed for
even and odd latent sizes and must have the shape that the model states for it.

Needs numpy, onnx, onnxruntime and safetensors. Prints a line per check; exits 1 if one fails.
"""
import argparse
import math
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

NAMES = ["text_encoder", "unet", "vae_decoder", "vae_encoder"]
failures = 0


def check(passed, text):
    global failures
    failures += not passed
    print("ok  " if passed else "FAIL", text, flush=True)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_structure(name, path):
    onnx.checker.check_model(path, full_check=True)
    check(True, f"{name}: onnx.checker, full check")
    with tempfile.TemporaryDirectory() as folder:
        inferred = os.path.join(folder, "inferred.onnx")
        onnx.shape_inference.infer_shapes_path(
            path, inferred, check_type=True, strict_mode=True, data_prop=True)
        graph = onnx.load(inferred, load_external_data=False).graph
    check(True, f"{name}: strict shape inference")
    typed = {value.name: value.type.tensor_type for value in [*graph.value_info, *graph.output]}
    untyped = [
        output for node in graph.node for output in node.output
        if output not in typed or not typed[output].elem_type
        or any(not dim.WhichOneof("value") for dim in typed[output].shape.dim)]
    count = sum(len(node.output) for node in graph.node)
    check(not untyped, f"{name}: {count - len(untyped)} of {count} values typed {untyped[:3]}")
    check(all(node.name for node in graph.node), f"{name}: {len(graph.node)} nodes, all named")
    outside = []
    for tensor in graph.initializer:
        data = {entry.key: entry.value for entry in tensor.external_data}
        if not data:
            continue
        size = os.path.getsize(os.path.join(os.path.dirname(path), data["location"]))
        offset, length = int(data["offset"]), int(data["length"])
        width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        if set(data) != {"location", "offset", "length"} or offset + length > size \
                or length != width * math.prod(tensor.dims):
            outside.append(tensor.name)
    check(not outside, f"{name}: external data fits its files {outside[:3]}")


def compare(name, found, expected):
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    check(
        found.shape == expected.shape and error < 1e-4,
        f"{name}: relative error {error:.1e}, largest {np.abs(found - expected).max():.1e}")


def timestep(run, value):
    """A timestep of the shape that the model wants."""
    rank = len(next(i for i in run.get_inputs() if i.name == "timestep").shape)
    return np.full([1] * rank, value, np.float32)


def compare_unet(run, golden):
    g = load_file(f"{golden}/unet.safetensors")
    cases = [(f"out_{t}", g["sample"], t, g["encoder_hidden_states"]) for t in g["timesteps"]]
    cases.append(("wide_out_500", g["wide_sample"], 500, g["encoder_hidden_states"][:1]))
    for key, sample, t, hidden in cases:
        feeds = {"sample": sample, "timestep": timestep(run, t), "encoder_hidden_states": hidden}
        compare(f"unet {key}", run.run(["out_sample"], feeds)[0], g[key])


def compare_text_encoder(run, golden):
    g = load_file(f"{golden}/text.safetensors")
    ids, expected = g["ids"], g["last_hidden_state"]
    hidden, pooled = run.run(["last_hidden_state", "pooler_output"], {"input_ids": ids})
    compare("text_encoder last_hidden_state", hidden, expected)
    # The end token has the greatest id of the vocabulary.
    ends = expected[np.arange(len(ids)), ids.argmax(axis=1)]
    compare("text_encoder pooler_output", pooled, ends)
    # Attention is causal, so that a shorter prompt has the same states.
    shorter = run.run(["last_hidden_state"], {"input_ids": ids[:, :9]})[0]
    compare("text_encoder with 9 tokens", shorter, expected[:, :9])


def compare_vae_decoder(run, golden):
    g = load_file(f"{golden}/vae.safetensors")
    compare("vae_decoder", run.run(["sample"], {"latent_sample": g["latent"]})[0], g["image"])


def compare_vae_encoder(run, golden):
    g = load_file(f"{golden}/vae.safetensors")
    compare(
        "vae_encoder", run.run(["latent_parameters"], {"sample": g["picture"]})[0], g["moments"])


def extent(dim, sizes):
    """The size that a dimension's number or name stands for."""
    if dim.WhichOneof("value") == "dim_value":
        return dim.dim_value
    # ceil(a / b) is said with Python's own operators.
    return int(eval(dim.dim_param, {"ceil": math.ceil, "__builtins__": {}}, sizes))


def check_shapes(name, path):
    """Every intermediate value has the shape that the model states for it."""
    model = onnx.load(path, load_external_data=False)
    stated = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(v for v in model.graph.value_info if v.name not in outputs)
    handle, everything = tempfile.mkstemp(suffix=".onnx", dir=os.path.dirname(path))
    try:
        os.write(handle, model.SerializeToString())
        os.close(handle)
        run = session(everything)
    finally:
        os.remove(everything)
    names = [output.name for output in run.get_outputs()]
    for batch, height, width, sequence in [(1, 8, 8, 77), (2, 5, 11, 7), (3, 6, 9, 77)]:
        unit = 8 if name == "vae_encoder" else 1
        sizes = {"batch_size": batch, "sequence_length": sequence}
        for prefix in ["", "latent_", "sample_"]:
            sizes |= {prefix + "height": unit * height, prefix + "width": unit * width}
        feeds = {}
        for value in model.graph.input:
            tensor = value.type.tensor_type
            shape = [extent(dim, sizes) for dim in tensor.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            feeds[value.name] = np.full(shape, 0.5 if dtype == np.float32 else 3, dtype)
        wrong = []
        for value, array in zip(names, run.run(names, feeds)):
            tensor = stated[value].type.tensor_type
            expected = tuple(extent(dim, sizes) for dim in tensor.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            if array.shape != expected or array.dtype != dtype:
                wrong.append((value, array.shape, expected))
        check(
            not wrong,
            f"{name}: {len(names) - len(wrong)} of {len(names)} values have their shapes at "
            f"{batch}x{height}x{width}, {sequence} tokens {wrong[:2]}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directory")
    arguments.add_argument("--golden")
    arguments.add_argument("--shapes", action="store_true")
    arguments = arguments.parse_args()
    found = 0
    for name in NAMES:
        candidates = [f"{name}/model.onnx", f"{name}.onnx"]
        paths = [os.path.join(arguments.directory, c) for c in candidates]
        path = next((p for p in paths if os.path.exists(p)), None)
        if path is None:
            continue
        found += 1
        check_structure(name, path)
        if arguments.shapes:
            check_shapes(name, path)
        if arguments.golden:
            globals()[f"compare_{name}"](session(path), arguments.golden)
    check(found > 0, f"{found} models in {arguments.directory}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
