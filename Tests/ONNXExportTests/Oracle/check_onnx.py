"""Check exported models with ONNX's own tools and run them against golden numbers.

    python3 check_onnx.py DIRECTORY [--golden FOLDER] [--shapes] [--readers]

For each network of layout.NAMES found in DIRECTORY, by any convention of names: onnx.checker's
full check by path; strict shape inference, after which every value must have a type whose
dimensions are all a number or a name; external data inside its file; a session in ONNX Runtime. With --golden, ONNX Runtime must give the numbers of the reference within 1e-4
(norm of the difference over norm of the reference), 2e-2 in F16. With --shapes, every intermediate
value is computed for even and odd latent sizes and must have the shape that the model states for
it. With --readers, OpenVINO must read the model and netron draw it.

Needs numpy, onnx, onnxruntime and safetensors, for --readers openvino, netron and Chromium. Prints
a line per check; exits 1 if one fails.
"""
import argparse
import math
import os
import sys
import tempfile

import numpy as np
import onnx
from safetensors.numpy import load_file

import layout
import models
from residuals import residual

failures = 0


def check(passed, text):
    global failures
    failures += not passed
    print("ok  " if passed else "FAIL", text, flush=True)


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


def check_readers(name, path):
    import openvino

    import viewer

    graph = onnx.load(path, load_external_data=False).graph
    model = openvino.Core().read_model(path)
    check(
        len(model.inputs) == len(graph.input),
        f"{name}: OpenVINO reads {len(model.get_ops())} operations")
    del model
    drawn = viewer.drawn_nodes(path)
    if drawn is None:
        print(f"skipped: {name} in netron, without Chromium")
        return
    # Weights are drawn inside the nodes that read them; inputs and outputs are nodes too.
    expected = len(graph.node) + len(graph.input) + len(graph.output)
    check(drawn >= expected, f"{name}: netron draws {drawn} nodes of {expected}")


def compare(name, run, found, expected):
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    check(
        found.shape == expected.shape and error < (2e-2 if run.is_half else 1e-4),
        f"{name}: relative error {error:.1e}, largest {np.abs(found - expected).max():.1e}")


def compare_unet(run, golden):
    g = load_file(f"{golden}/unet.safetensors")
    hidden = g["encoder_hidden_states"]
    cases = [(f"out_{t}", g["sample"], t, hidden) for t in g["timesteps"]]
    cases.append(("wide_out_500", g["wide_sample"], 500, hidden[:1]))
    compared = 0
    for key, sample, t, hidden in cases:
        expected = g[key]
        if run.inputs[0].shape[0] == 1:
            sample, hidden, expected = sample[:1], hidden[:1], expected[:1]
        if not run.takes(sample):
            continue
        residuals = [
            np.zeros([sample.shape[0], value.shape[1], *residual_size(value, sample)], np.float32)
            for value in run.inputs[3:]]
        compare(f"unet {key}", run, run(sample, t, hidden, *residuals)[0], expected)
        compared += 1
    if len(run.inputs) > 3:
        # A ControlNet's residuals, of the shapes that the model has for them.
        expected = load_file(os.path.join(os.path.dirname(__file__), "residuals.safetensors"))
        sample = g["sample"]
        residuals = [
            residual(index, [sample.shape[0], value.shape[1], *residual_size(value, sample)])
            for index, value in enumerate(run.inputs[3:])]
        found = run(sample, 500, g["encoder_hidden_states"], *residuals)[0]
        compare("unet with residuals", run, found, expected["out_500"])
    check(compared > 0, f"unet: {compared} of {len(cases)} goldens have its sizes")


def residual_size(value, sample):
    """Height and width of a ControlNet's residual, which an expression of the sample's gives."""
    sizes = {"height": sample.shape[2], "width": sample.shape[3]}
    return [models.evaluate(size, sizes) for size in value.shape[2:]]


def compare_text_encoder(run, golden):
    g = load_file(f"{golden}/text.safetensors")
    ids, expected = g["ids"], g["last_hidden_state"]
    if not run.takes(ids):
        count = run.inputs[0].shape[0]
        ids, expected = ids[:count], expected[:count]
    hidden, *pooled = run(ids)
    compare("text_encoder hidden states", run, hidden, expected)
    # The end token has the greatest id of the vocabulary.
    ends = expected[np.arange(len(ids)), ids.argmax(axis=1)]
    for states in pooled:
        compare("text_encoder pooler_output", run, states, ends)
    # Attention is causal, so that a shorter prompt has the same states.
    if run.takes(ids[:, :9]):
        compare("text_encoder with 9 tokens", run, run(ids[:, :9])[0], expected[:, :9])


def compare_vae_decoder(run, golden):
    g = load_file(f"{golden}/vae.safetensors")
    latent, image = batch_like(run, g["latent"], g["image"])
    compare("vae_decoder", run, run(latent)[0], image)


def compare_vae_encoder(run, golden):
    g = load_file(f"{golden}/vae.safetensors")
    picture, moments = batch_like(run, g["picture"], g["moments"])
    found = run(picture)[0]
    # TensorRT's demonstration takes latents: here the means, which are the first half.
    compare("vae_encoder", run, found, moments[:, :found.shape[1]])


def batch_like(run, *arrays):
    """The arrays, repeated where the model's batch is fixed."""
    count = run.inputs[0].shape[0]
    count = count if isinstance(count, int) else 1
    return [np.repeat(array, count, axis=0) for array in arrays]


def extents(value):
    return [d.dim_value if d.WhichOneof("value") == "dim_value" else d.dim_param
            for d in value.type.tensor_type.shape.dim]


def check_shapes(name, path):
    """Every intermediate value has the shape and type that the model states for it."""
    model = onnx.load(path, load_external_data=False)
    stated = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(v for v in model.graph.value_info if v.name not in outputs)
    handle, everything = tempfile.mkstemp(suffix=".onnx", dir=os.path.dirname(path))
    try:
        os.write(handle, model.SerializeToString())
        os.close(handle)
        session = models.Runner(everything).session
    finally:
        os.remove(everything)
    names = [output.name for output in session.get_outputs()]
    isStatic = all(isinstance(size, int) for v in model.graph.input for size in extents(v))
    cases = [(1, 8, 8, 77), (2, 5, 11, 7), (3, 6, 9, 77)]
    for batch, height, width, sequence in cases[:1] if isStatic else cases:
        unit = 8 if name in ("vae_encoder", "tiny_encoder") else 1
        sizes = {"batch_size": batch, "batch": batch, "sequence_length": sequence,
                 "sequence": sequence,
                 "num_embeds": sequence, "H": height, "W": width,
                 "B": batch / 2 if name == "unet" else batch}
        for prefix in ["", "latent_", "sample_"]:
            sizes |= {prefix + "height": unit * height, prefix + "width": unit * width}
        feeds = {}
        for value in model.graph.input:
            shape = [models.evaluate(size, sizes) for size in extents(value)]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = np.full(shape, 3 if dtype in (np.int64, np.int32) else 0.5, dtype)
        wrong = []
        for value, array in zip(names, session.run(names, feeds)):
            expected = tuple(models.evaluate(size, sizes) for size in extents(stated[value]))
            dtype = onnx.helper.tensor_dtype_to_np_dtype(stated[value].type.tensor_type.elem_type)
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
    arguments.add_argument("--readers", action="store_true")
    arguments = arguments.parse_args()
    found = 0
    for name in layout.NAMES:
        path = layout.find(arguments.directory, name)
        if path is None:
            continue
        found += 1
        check_structure(name, path)
        if arguments.readers:
            check_readers(name, path)
        run = models.Runner(path)
        check(True, f"{name}: ONNX Runtime opens it")
        if arguments.shapes:
            check_shapes(name, path)
        if arguments.golden and f"compare_{name}" in globals():
            globals()[f"compare_{name}"](run, arguments.golden)
    check(found > 0, f"{found} models in {arguments.directory}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
