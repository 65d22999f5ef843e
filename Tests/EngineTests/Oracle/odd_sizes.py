"""What diffusers computes from the embedded model for sizes that are no multiple of eight.

    python3 odd_sizes.py ../../../Fixtures/shapes-v2 ../../../Fixtures/engine/odd-sizes.safetensors

float32 arithmetic on the model's F16 weights; inputs from a fixed seed are written too.
"""
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

repository, output = sys.argv[1:]
generator = torch.Generator().manual_seed(11)
unet = UNet2DConditionModel.from_pretrained(repository, subfolder="unet").float().eval()
vae = AutoencoderKL.from_pretrained(repository, subfolder="vae").float().eval()
tensors = {
    "sample": torch.randn(1, 4, 9, 13, generator=generator),
    "states": torch.randn(1, 12, 64, generator=generator),
    "latent": torch.randn(1, 4, 5, 7, generator=generator),
    "picture": torch.rand(1, 3, 24, 40, generator=generator) * 2 - 1,
}
with torch.no_grad():
    tensors["out_700"] = unet(tensors["sample"], 700, tensors["states"]).sample
    tensors["image"] = vae.decode(tensors["latent"]).sample
    tensors["moments"] = vae.encode(tensors["picture"]).latent_dist.parameters
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, output)
