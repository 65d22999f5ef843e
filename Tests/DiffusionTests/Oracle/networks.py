"""Narrow networks with random weights as diffusers and transformers save them, and what they compute.

    python3 networks.py OUT TOKENIZER

OUT/ gets repository/ (a Stable Diffusion pipeline with its safety checker), controlnet/, tiny/ (an AutoencoderTiny),
sd2/ (text encoder and UNet in the forms of Stable Diffusion 2), the same under the names of original single files,
LoRA files, and expected.safetensors, expected.json. TOKENIZER is a directory with CLIP's vocab.json and merges.txt.
"""
import json, shutil, sys

import numpy as np
import torch
from diffusers import (
    AutoencoderKL, AutoencoderTiny, ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline,
    StableDiffusionPipeline, UNet2DConditionModel)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

try:  # From transformers 5 on the plain name is of another way to resize, equal but for a level here and there.
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor
except ImportError:
    from transformers import CLIPImageProcessor

out, tokenizer_path = sys.argv[1:]
torch.manual_seed(5)
torch.set_grad_enabled(False)
expected, numbers = {}, {}
widths, hidden = (32, 64, 64, 64), 64


def randomized(model):
    """Every parameter away from the zeros and ones that some begin with."""
    for parameter in model.parameters():
        if parameter.dim() <= 1 or parameter.abs().max() == 0:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


# The pipeline.
text = randomized(CLIPTextModel(CLIPTextConfig(
    vocab_size=49408, hidden_size=hidden, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    projection_dim=64, bos_token_id=0, eos_token_id=2, pad_token_id=1)))
unet_form = dict(
    block_out_channels=widths, cross_attention_dim=hidden, attention_head_dim=4, layers_per_block=1,
    norm_num_groups=16)
unet = randomized(UNet2DConditionModel(sample_size=16, **unet_form))
vae = randomized(AutoencoderKL(
    block_out_channels=(16, 16, 32, 32), latent_channels=4, layers_per_block=1, norm_num_groups=8, sample_size=128,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4))
tokenizer = CLIPTokenizer.from_pretrained(tokenizer_path)
scheduler = DDIMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
    steps_offset=1)
checker = randomized(StableDiffusionSafetyChecker(CLIPConfig(
    vision_config=dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=224, patch_size=14,
        projection_dim=48),
    text_config=dict(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, intermediate_size=32),
    projection_dim=48)))
checker.concept_embeds.copy_(torch.randn_like(checker.concept_embeds))
checker.special_care_embeds.copy_(torch.randn_like(checker.special_care_embeds))
checker.concept_embeds_weights.fill_(0.9)
checker.special_care_embeds_weights.fill_(0.9)
extractor = CLIPImageProcessor()
pipeline = StableDiffusionPipeline(
    vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=checker,
    feature_extractor=extractor)
pipeline.save_pretrained(f"{out}/repository")
pipeline.set_progress_bar_config(disable=True)
shutil.rmtree(f"{out}/repository/tokenizer")
shutil.copytree(tokenizer_path, f"{out}/repository/tokenizer")

# A ControlNet, as diffusers saves it and under the names of the original code.
control = randomized(ControlNetModel(**unet_form, conditioning_embedding_out_channels=(16, 32, 48, 64)))
control.save_pretrained(f"{out}/controlnet")


def original(name):
    parts = name.split(".")
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    tail = lambda rest: ".".join([inner.get(rest[0], rest[0])] + rest[1:])
    match parts:
        case ["conv_in", *rest]: return ".".join(["input_blocks.0.0", *rest])
        case ["time_embedding", layer, *rest]: return ".".join(["time_embed", {"linear_1": "0", "linear_2": "2"}[layer], *rest])
        case ["controlnet_cond_embedding", "conv_in", *rest]: return ".".join(["input_hint_block.0", *rest])
        case ["controlnet_cond_embedding", "blocks", index, *rest]:
            return ".".join([f"input_hint_block.{2 * int(index) + 2}", *rest])
        case ["controlnet_cond_embedding", "conv_out", *rest]: return ".".join(["input_hint_block.14", *rest])
        case ["controlnet_down_blocks", index, *rest]: return ".".join([f"zero_convs.{index}.0", *rest])
        case ["controlnet_mid_block", *rest]: return ".".join(["middle_block_out.0", *rest])
        case ["mid_block", "attentions", _, *rest]: return ".".join(["middle_block.1", *rest])
        case ["mid_block", "resnets", index, *rest]: return f"middle_block.{2 * int(index)}." + tail(rest)
        # One layer and one convolution that halves in each level.
        case ["down_blocks", level, "resnets", _, *rest]: return f"input_blocks.{2 * int(level) + 1}.0." + tail(rest)
        case ["down_blocks", level, "attentions", _, *rest]: return ".".join([f"input_blocks.{2 * int(level) + 1}.1", *rest])
        case ["down_blocks", level, "downsamplers", _, _, *rest]: return ".".join([f"input_blocks.{2 * int(level) + 2}.0.op", *rest])
    raise ValueError(name)


save_file(
    {"control_model." + original(k): v.contiguous() for k, v in control.state_dict().items()},
    f"{out}/controlnet-original.safetensors")
sample, states = torch.randn(2, 4, 16, 24), torch.randn(2, 77, hidden)
picture = torch.rand(2, 3, 128, 192)
down, middle = control(sample, 321, states, picture, return_dict=False)
expected |= {"sample": sample, "states": states, "control.picture": picture, "control.mid_block_res_sample": middle}
expected |= {f"control.down_block_res_samples_{i}": v for i, v in enumerate(down)}
expected["control.unet"] = unet(
    sample, 321, states, down_block_additional_residuals=down, mid_block_additional_residual=middle).sample
expected["unet"] = unet(sample, 321, states).sample

# The same in a pipeline, in a part of the steps; the picture has another size than the one that is drawn.
hint = (np.random.default_rng(3).random((100, 150, 3)) * 255).astype(np.uint8)
Image.fromarray(hint).save(f"{out}/hint.png")
guided = StableDiffusionControlNetPipeline(
    vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, controlnet=control, scheduler=scheduler,
    safety_checker=None, feature_extractor=None, requires_safety_checker=False)
guided.set_progress_bar_config(disable=True)
call = dict(prompt="a red circle", negative_prompt="blue", num_inference_steps=5, guidance_scale=5.0, width=192, height=128)
expected["pipeline.control"] = guided(
    **call, image=Image.open(f"{out}/hint.png"), controlnet_conditioning_scale=0.8, control_guidance_start=0.2,
    control_guidance_end=0.8, generator=torch.Generator().manual_seed(7), output_type="latent").images

# LoRA of the UNet and the text encoder in kohya's names, a convolution in Tucker's form among them; the weights with it.
modules = {
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (unet, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"),
    "lora_unet_mid_block_attentions_0_proj_in": (unet, "mid_block.attentions.0.proj_in"),
    "lora_unet_up_blocks_1_resnets_0_conv1": (unet, "up_blocks.1.resnets.0.conv1"),
    "lora_te_text_model_encoder_layers_1_mlp_fc2": (text, "text_model.encoder.layers.1.mlp.fc2"),
}
lora, peft, saved, rank, alpha, scale = {}, {}, [], 4, 2.0, 0.7
for name, (model, path) in modules.items():
    try: weight = model.get_submodule(path).weight
    except AttributeError: weight = model.get_submodule(path.removeprefix("text_model.")).weight
    up, down_ = torch.randn(weight.shape[0], rank) * 0.3, torch.randn(rank, weight.shape[1]) * 0.3
    if weight.dim() == 4 and weight.shape[2] == 3:
        core = torch.randn(rank, rank, 3, 3) * 0.3
        lora[f"{name}.lora_mid.weight"] = core
        update = torch.einsum("oa,abhw,bi->oihw", up, core, down_)
        up, down_ = up[:, :, None, None], down_[:, :, None, None]
    else:
        update = (up @ down_).reshape(weight.shape)
        if weight.dim() == 4: up, down_ = up[:, :, None, None], down_[:, :, None, None]
    lora |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down_, f"{name}.alpha": torch.tensor(alpha)}
    saved.append((weight, weight.clone()))
    weight.add_(update * scale * alpha / rank)
lora["lora_unet_down_blocks_9_attentions_0_proj_in.lora_up.weight"] = torch.zeros(4, 4)
lora["lora_unet_down_blocks_9_attentions_0_proj_in.lora_down.weight"] = torch.zeros(4, 4)
save_file({k: v.contiguous() for k, v in lora.items()}, f"{out}/lora.safetensors")
expected["pipeline.lora"] = pipeline(**call, generator=torch.Generator().manual_seed(7), output_type="latent").images
expected["lora.unet"] = unet(sample, 321, states).sample
for weight, before in saved: weight.copy_(before)
expected["pipeline"] = pipeline(**call, generator=torch.Generator().manual_seed(7), output_type="latent").images

# A tiny autoencoder, and its halves under the names of the original code.
tiny = randomized(AutoencoderTiny(
    encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4, num_encoder_blocks=(1, 3, 3, 3),
    num_decoder_blocks=(3, 3, 3, 1)))
tiny.save_pretrained(f"{out}/tiny")
state = tiny.state_dict()
halves = {"encoder": {}, "decoder": {}}
for name, value in state.items():
    half, _, index, *rest = name.split(".")
    halves[half][".".join([str(int(index) + (half == "decoder")), *rest])] = value
torch.save(halves["decoder"], f"{out}/taesd_decoder.pth")
torch.save(halves["encoder"], f"{out}/taesd_encoder.pth")
latents = torch.randn(1, 4, 9, 12) * 3
seen = torch.rand(1, 3, 72, 96) * 2 - 1
expected |= {"tiny.latents": latents, "tiny.picture": seen}
expected["tiny.decoded"] = tiny.decode(latents).sample
expected["tiny.encoded"] = tiny.encode(seen).latents

# The safety checker: what it sees, and verdicts with thresholds between the scores.
shown = (np.random.default_rng(4).random((90, 130, 3)) * 255).astype(np.uint8)
Image.fromarray(shown).resize((300, 208), Image.BILINEAR).save(f"{out}/shown.png")
image = Image.open(f"{out}/shown.png")
clip_input = extractor(image, return_tensors="pt").pixel_values
expected["safety.clip_input"] = clip_input
pooled = checker.vision_model(clip_input)[1]
expected["safety.image_embeds"] = checker.visual_projection(pooled)
numbers["safety"] = {}
from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance
cosines = cosine_distance(expected["safety.image_embeds"], checker.concept_embeds)[0]
care = cosine_distance(expected["safety.image_embeds"], checker.special_care_embeds)[0]
for name, threshold, special in [
    ("none", cosines.max() + 0.02, care.max() + 0.02), ("one", cosines.max() - 0.004, care.max() + 0.02),
    ("care", cosines.max() + 0.004, care.max() - 0.1)]:
    checker.concept_embeds_weights.fill_(float(threshold))
    checker.special_care_embeds_weights.fill_(float(special))
    checker.save_pretrained(f"{out}/safety-{name}")
    _, flagged = checker(clip_input, np.ones((1, 8, 8, 3), np.float32))
    numbers["safety"][name] = {"flagged": bool(flagged[0])}
checker.concept_embeds_weights.fill_(-1)
checker.save_pretrained(f"{out}/safety-all")

# Stable Diffusion 2: the plain GELU, one layer less, linear projections, heads of one width.
text2 = randomized(CLIPTextModel(CLIPTextConfig(
    vocab_size=49408, hidden_size=96, intermediate_size=384, num_hidden_layers=3, num_attention_heads=6,
    hidden_act="gelu", projection_dim=32, bos_token_id=0, eos_token_id=2, pad_token_id=1)))
text2.save_pretrained(f"{out}/sd2/text_encoder")
unet2 = randomized(UNet2DConditionModel(
    sample_size=16, block_out_channels=(32, 64, 96, 96), cross_attention_dim=96, attention_head_dim=[2, 4, 6, 6],
    layers_per_block=2, norm_num_groups=16, use_linear_projection=True, upcast_attention=True))
unet2.save_pretrained(f"{out}/sd2/unet")
ids = torch.randint(0, 49405, (2, 77))
ids[:, 0], ids[0, 20:], ids[1, 76] = 49406, 0, 49407
ids[0, 19] = 49407
expected["sd2.ids"] = ids
expected["sd2.states"] = text2(ids).last_hidden_state
expected["sd2.unet"] = unet2(sample, 500, expected["sd2.states"]).sample

save_file({k: v.contiguous() for k, v in expected.items()}, f"{out}/expected.safetensors")
json.dump(numbers, open(f"{out}/expected.json", "w"))
