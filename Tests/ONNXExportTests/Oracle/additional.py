"""Check exports of the networks beside a pipeline's own three and run them in ONNX Runtime against reference numbers.

    python3 additional.py DIRECTORY EXPECTED NAME...

DIRECTORY/NAME/model.onnx is an export of a network of Tests/DiffusionTests/Oracle/networks.py, whose
expected.safetensors is EXPECTED: controlnet, safety_checker, tiny_decoder, tiny_encoder, unet (with inputs for the
residuals of the ControlNet, or else with the LoRA added), deep_unet (with one more output, the input of its last level)
and shallow_unet (its last level alone); image_encoder is of Fixtures/clip, with its EXPECTED.
onnx's full check, strict shape inference and the shapes of all intermediate values, as in check_onnx.py; then the
relative error of each output, which must be below 1e-5, in F16 below 2e-2. Exits 1 if a check fails.
"""
import os
import sys

import numpy as np
from safetensors.numpy import load_file

import check_onnx
import models

directory, expected = sys.argv[1], load_file(sys.argv[2])


def unsigned(picture):
    """Our graph has images in 0...1, diffusers' autoencoder in -1...1."""
    return (picture + 1) / 2


def residuals(prefix):
    return {name.removeprefix(prefix): value for name, value in expected.items() if name.startswith(prefix)}


def unet(run):
    arrays = [expected["sample"], 321, expected["states"]]
    if len(run.inputs) == 3:
        return [(arrays, {"out_sample": expected["lora.unet"]})]
    # The ControlNet's outputs, by the names of the inputs.
    outputs = residuals("control.")
    for value in run.inputs[3:]:
        name = value.name.replace("mid_block_additional_residual", "mid_block_res_sample")
        arrays.append(outputs[name.replace("down_block_additional_residuals_", "down_block_res_samples_")])
    return [(arrays, {"out_sample": expected["control.unet"]})]


def deep_unet(run):
    arrays = [expected["sample"], 321, expected["states"]]
    return [(arrays, {"out_sample": expected["unet"], "deep": run(*arrays)[1]})]


def shallow_unet(run):
    inputs = {"sample": expected["sample"], "timestep": 321, "encoder_hidden_states": expected["states"]}
    inputs["deep"] = models.Runner(os.path.join(directory, "deep_unet", "model.onnx"))(*inputs.values())[1]
    return [([inputs[value.name] for value in run.inputs], {"out_sample": expected["unet"]})]


def controlnet(run):
    arrays = [expected["sample"], 321, expected["states"], expected["control.picture"]]
    return [(arrays, {k: v for k, v in residuals("control.").items() if "res_sample" in k})]


def safety_checker(run):
    seen, found = expected["safety.clip_input"], expected["safety.image_embeds"]
    # Two pictures at once: the class token is repeated.
    return [([np.concatenate([seen] * n)], {"image_embeds": np.concatenate([found] * n)}) for n in (1, 2)]


def image_encoder(run):
    # transformers' CLIPModel gives them normalized.
    return [([expected["pixel_values"]], {"image_embeds": expected["image_embeds"]})]


def tiny_decoder(run):
    return [([expected["tiny.latents"]], {"sample": unsigned(expected["tiny.decoded"])})]


def tiny_encoder(run):
    return [([unsigned(expected["tiny.picture"])], {"latents": expected["tiny.encoded"]})]


for name in sys.argv[3:]:
    path = os.path.join(directory, name, "model.onnx")
    check_onnx.check_structure(name, path)
    check_onnx.check_shapes(name, path)
    run = models.Runner(path)
    limit = 2e-2 if run.is_half else 1e-5
    for arrays, references in globals()[name](run):
        check_onnx.check(set(run.outputs) == set(references), f"{name}: outputs {', '.join(run.outputs)}")
        for output, value in zip(run.outputs, run(*arrays)):
            if name == "image_encoder":
                value = value / np.linalg.norm(value, axis=1, keepdims=True)
            reference = references[output]
            error = np.linalg.norm((value - reference).astype(np.float64)) / np.linalg.norm(reference)
            check_onnx.check(value.shape == reference.shape and error < limit, f"{name} {output}: relative error {error:.1e}")
sys.exit(check_onnx.failures > 0)
