"""Small networks of kinds that Stable Diffusion 1.5's users have, and what diffusers computes with them: make.py MODEL OUT

OUT/ gets, each with its config.json and F16 weights:

distilled/  a UNet of three levels without a middle block, one layer a level, as BK-SDM-Tiny and tiny-sd are
mixed/      a UNet without a middle block of one and two layers a level, whose first level attends to the prompt alone, as
            SDXS does, with two transformer blocks in the second
lcm/        a latent consistency model's UNet, which takes the guidance scale as an embedding; with its scheduler
vae16/      an autoencoder of 16 latent channels without attention in the middle and without quant_conv

and expected.safetensors, in float32 arithmetic on those weights. The latents of pipelines are with text encoder and VAE of
MODEL, the embedded model. signatures.json holds the defaults of the classes whose configurations are read.
"""
import inspect, json, sys

import torch
from diffusers import (
    AutoencoderKL, AutoencoderTiny, ControlNetModel, LatentConsistencyModelPipeline, LCMScheduler, StableDiffusionPipeline,
    UNet2DConditionModel)
from safetensors.torch import save_file
from transformers import CLIPTextConfig

repository, out = sys.argv[1:]
torch.manual_seed(13)
torch.set_grad_enabled(False)
expected = {}


def made(model, name):
    """Every parameter away from the zeros and ones that some begin with, rounded to F16 and saved so."""
    for parameter in model.parameters():
        if parameter.dim() <= 1: parameter.add_(torch.randn_like(parameter) * 0.1)
    # What guidance adds counts as much as the timestep.
    if getattr(model, "time_embedding", None) and model.time_embedding.cond_proj: model.time_embedding.cond_proj.weight.mul_(8)
    model.half().save_pretrained(f"{out}/{name}")
    return model.float().eval()


form = dict(norm_num_groups=4, cross_attention_dim=64, attention_head_dim=2, sample_size=16)
cross, plain = ["CrossAttnDownBlock2D", "CrossAttnUpBlock2D"], ["DownBlock2D", "UpBlock2D"]
distilled = made(UNet2DConditionModel(
    block_out_channels=(8, 16, 16), layers_per_block=1, mid_block_type=None, down_block_types=(cross[0],) * 3,
    up_block_types=(cross[1],) * 3, **form), "distilled")
mixed = made(UNet2DConditionModel(
    block_out_channels=(8, 8, 16), layers_per_block=(1, 2, 1), transformer_layers_per_block=(1, 2, 1),
    only_cross_attention=(True, False, False), mid_block_type=None, down_block_types=(cross[0], cross[0], plain[0]),
    up_block_types=(plain[1], cross[1], cross[1]), **form), "mixed")
lcm = made(UNet2DConditionModel(
    block_out_channels=(8, 16), layers_per_block=1, time_cond_proj_dim=256, down_block_types=(cross[0], plain[0]),
    up_block_types=(plain[1], cross[1]), **form), "lcm")
vae = made(AutoencoderKL(
    block_out_channels=(8, 8, 8, 8), latent_channels=16, layers_per_block=1, norm_num_groups=4, sample_size=128,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, use_quant_conv=False,
    use_post_quant_conv=False, mid_block_add_attention=False), "vae16")

sample, states = torch.randn(2, 4, 16, 24), torch.randn(2, 20, 64)
expected |= {"sample": sample, "states": states}
expected["distilled"] = distilled(sample, 321, states).sample
expected["mixed"] = mixed(sample, 321, states).sample
scales = [1.0, 7.5, 8.1]
for scale in scales:
    weight = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([scale - 1] * 2), 256)
    expected[f"guidance.{scale}"] = weight[:1]
    expected[f"lcm.{scale}"] = lcm(sample, 321, states, timestep_cond=weight).sample
latents, picture = torch.randn(1, 16, 5, 7), torch.rand(1, 3, 40, 56) * 2 - 1
expected |= {"vae16.latents": latents, "vae16.picture": picture}
expected["vae16.image"] = vae.decode(latents).sample
expected["vae16.moments"] = vae.encode(picture).latent_dist.parameters

# Pipelines.
base = StableDiffusionPipeline.from_pretrained(
    repository, torch_dtype=torch.float32, safety_checker=None)
parts = dict(
    vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, safety_checker=None, feature_extractor=None,
    requires_safety_checker=False)
scheduler = LCMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True, steps_offset=1)
scheduler.save_pretrained(f"{out}/lcm")
call = dict(prompt="a red circle", width=128, height=128, output_type="latent")
seeded = lambda: torch.Generator().manual_seed(7)
consistent = LatentConsistencyModelPipeline(unet=lcm, scheduler=scheduler, **parts)
for scale in scales:
    expected[f"pipeline.lcm.{scale}"] = consistent(
        **call, num_inference_steps=4, guidance_scale=scale, generator=seeded()).images
for name, unet in (("distilled", distilled), ("mixed", mixed)):
    pipeline = StableDiffusionPipeline(unet=unet, scheduler=base.scheduler, **parts)
    expected[f"pipeline.{name}"] = pipeline(
        **call, negative_prompt="blue", num_inference_steps=5, guidance_scale=5.0, generator=seeded()).images
save_file({name: value.contiguous() for name, value in expected.items()}, f"{out}/expected.safetensors")


def defaults(function):
    return {
        name: parameter.default for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty}


signatures = {model.__name__: defaults(model.__init__) for model in (UNet2DConditionModel, AutoencoderKL, ControlNetModel, AutoencoderTiny)}
text = CLIPTextConfig()
signatures["CLIPTextModel"] = {
    name: getattr(text, name) for name in CLIPTextConfig.__annotations__
    if name not in ("model_type", "base_config_key")}
with open(f"{out}/signatures.json", "w") as file: json.dump(signatures, file, indent=1)
