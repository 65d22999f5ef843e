"""How far torch's bfloat16 is from float32 on the embedded model: relative errors as JSON.

    python3 bf16_errors.py ../../../Fixtures/shapes-v2

Inputs and float32 outputs are those of the goldens; GoldenTests holds the engine to these errors.
"""
import json
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel

repository = sys.argv[1]
dtype = torch.bfloat16


def error(a, b):
    return round(float((a.double() - b.double()).norm() / b.double().norm()), 5)


errors = {}
with torch.no_grad():
    golden = load_file(f"{repository}/golden/text.safetensors")
    text = CLIPTextModel.from_pretrained(repository, subfolder="text_encoder").to(dtype).eval()
    errors["text"] = error(text(golden["ids"]).last_hidden_state, golden["last_hidden_state"])
    golden = load_file(f"{repository}/golden/unet.safetensors")
    unet = UNet2DConditionModel.from_pretrained(repository, subfolder="unet").to(dtype).eval()
    states = golden["encoder_hidden_states"].to(dtype)
    for timestep in (981, 500, 321, 1):
        output = unet(golden["sample"].to(dtype), timestep, states).sample
        errors[f"out_{timestep}"] = error(output, golden[f"out_{timestep}"])
    golden = load_file(f"{repository}/golden/vae.safetensors")
    vae = AutoencoderKL.from_pretrained(repository, subfolder="vae").to(dtype).eval()
    errors["image"] = error(vae.decode(golden["latent"].to(dtype)).sample, golden["image"])
    moments = vae.encode(golden["picture"].to(dtype)).latent_dist.parameters
    errors["moments"] = error(moments, golden["moments"])
print(json.dumps({"torch": torch.__version__} | errors))
