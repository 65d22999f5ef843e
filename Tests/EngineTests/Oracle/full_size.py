"""What diffusers and transformers compute in float32 from a full-size repository, for FullSizeTests.

    python3 full_size.py REPOSITORY OUTPUT.safetensors

Inputs come from a fixed seed and are written beside the outputs.
"""
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel

repository, output = sys.argv[1:]
generator = torch.Generator().manual_seed(7)
tensors = {}


def normal(*shape):
    return torch.randn(shape, generator=generator)


with torch.no_grad():
    text = CLIPTextModel.from_pretrained(repository, subfolder="text_encoder").float().eval()
    tensors["ids"] = torch.randint(0, text.config.vocab_size, (2, 77), generator=generator)
    tensors["hidden"] = text(tensors["ids"]).last_hidden_state
    # How far bfloat16 is from float32 where torch does it: here and below.
    tensors["bf16_hidden"] = text.bfloat16()(tensors["ids"]).last_hidden_state.float()
    del text

    unet = UNet2DConditionModel.from_pretrained(repository, subfolder="unet").float().eval()
    width = unet.config.cross_attention_dim
    tensors["sample"], tensors["states"] = normal(2, 4, 64, 64), normal(2, 77, width)
    tensors["odd_sample"] = normal(1, 4, 35, 51)
    for timestep in (981, 1):
        tensors[f"out_{timestep}"] = unet(tensors["sample"], timestep, tensors["states"]).sample
    tensors["odd_out"] = unet(tensors["odd_sample"], 500, tensors["states"][:1]).sample
    tensors["bf16_out_981"] = (
        unet.bfloat16()(tensors["sample"].bfloat16(), 981, tensors["states"].bfloat16()).sample.float()
    )
    del unet

    vae = AutoencoderKL.from_pretrained(repository, subfolder="vae").float().eval()
    tensors["latent"] = normal(1, 4, 64, 64)
    tensors["image"] = vae.decode(tensors["latent"]).sample
    tensors["picture"] = normal(1, 3, 256, 328).clamp(-1, 1)
    tensors["moments"] = vae.encode(tensors["picture"]).latent_dist.parameters
    tensors["bf16_image"] = vae.bfloat16().decode(tensors["latent"].bfloat16()).sample.float()

save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, output)
for name, tensor in tensors.items():
    print(name, tuple(tensor.shape), tensor.dtype)
