"""Run exported small UNets and the autoencoder of 16 channels in ONNX Runtime against diffusers' numbers.

    python3 small_networks.py DIRECTORY EXPECTED

EXPECTED is Fixtures/networks/expected.safetensors; DIRECTORY holds a folder for each of its networks, as
`sdinspect onnx` writes it, or with the names and shapes of the graphs. Prints the relative error of each output; exits 1 where one is above 1e-5.
"""
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

directory, expected = sys.argv[1], load_file(sys.argv[2])
failures = 0


def run(path, inputs, reference):
    global failures
    path = f"{directory}/{path}/model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = dict(inputs)
    for given in session.get_inputs():
        if given.name == "timestep":
            inputs[given.name] = inputs[given.name].reshape(given.shape)
        elif given.name == "timestep_cond" and given.shape[0] == 1:
            # The graph's own shape: one row for all pictures.
            if (inputs[given.name] != inputs[given.name][:1]).any():
                return
            inputs[given.name] = inputs[given.name][:1]
    value = session.run(None, inputs)[0]
    error = np.linalg.norm((value - reference).astype(np.float64)) / np.linalg.norm(reference)
    failures += not (value.shape == reference.shape and error < 1e-5)
    print(path, error)


common = {"sample": expected["sample"], "encoder_hidden_states": expected["states"], "timestep": np.array(321, np.float32)}
for name in ("distilled", "mixed"):
    run(f"{name}/unet", common, expected[name])
for scale in ("1.0", "7.5", "8.1"):
    # A row for each picture, as optimum's pipelines give it.
    guidance = np.concatenate([expected[f"guidance.{scale}"]] * 2)
    run("lcm/unet", common | {"timestep_cond": guidance}, expected[f"lcm.{scale}"])
# Rows that differ.
guidance = np.concatenate([expected["guidance.1.0"], expected["guidance.7.5"]])
mixed = np.concatenate([expected["lcm.1.0"][:1], expected["lcm.7.5"][1:]])
run("lcm/unet", common | {"timestep_cond": guidance}, mixed)
run("vae16/vae_decoder", {"latent_sample": expected["vae16.latents"]}, expected["vae16.image"])
run("vae16/vae_encoder", {"sample": expected["vae16.picture"]}, expected["vae16.moments"])
sys.exit(failures > 0)
