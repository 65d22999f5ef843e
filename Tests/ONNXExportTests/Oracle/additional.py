"""Run exported tiny autoencoders, safety checkers and ControlNets in ONNX Runtime against reference numbers.

    python3 additional.py DIRECTORY EXPECTED

EXPECTED is the expected.safetensors of Tests/DiffusionTests/Oracle/networks.py, DIRECTORY what was exported from its
networks. Prints the relative error of each output; exits 1 where one is above 1e-5.
"""
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

directory, expected = sys.argv[1], load_file(sys.argv[2])
failures = 0


def run(name, inputs, references):
    global failures
    path = f"{directory}/{name}/model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for output, value in zip(names, session.run(names, inputs)):
        reference = references[output]
        error = np.linalg.norm((value - reference).astype(np.float64)) / np.linalg.norm(reference)
        failures += not (value.shape == reference.shape and error < 1e-5)
        print(name, output, error)


signed = lambda picture: (picture + 1) / 2
run("tiny_decoder", {"latent_sample": expected["tiny.latents"]}, {"sample": signed(expected["tiny.decoded"])})
run("tiny_encoder", {"sample": signed(expected["tiny.picture"])}, {"latents": expected["tiny.encoded"]})
run("safety_checker", {"clip_input": expected["safety.clip_input"]}, {"image_embeds": expected["safety.image_embeds"]})
# Two pictures at once: the class token is repeated.
twice = np.concatenate([expected["safety.clip_input"]] * 2)
run("safety_checker", {"clip_input": twice}, {"image_embeds": np.concatenate([expected["safety.image_embeds"]] * 2)})
prefix = "control."
run("controlnet", {
    "sample": expected["sample"], "encoder_hidden_states": expected["states"], "timestep": np.array(321, np.float32),
    "controlnet_cond": expected["control.picture"],
}, {name.removeprefix(prefix): value for name, value in expected.items() if name.startswith(prefix)})
sys.exit(failures > 0)
