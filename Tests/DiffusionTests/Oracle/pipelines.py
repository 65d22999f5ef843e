"""Whole pipelines of narrow networks with random weights, and what diffusers draws with them.

    python3 pipelines.py OUT TOKENIZER

OUT/ gets inpainting/ (a UNet of nine channels), sd2/ (as Stable Diffusion 2.1 is published: a text encoder of OpenCLIP
without its last layer, heads of 64 channels, linear projections, v-prediction, padding with "!"), sd2.safetensors and sd2.ckpt
(the same under the names of the original single files, the text encoder whole and in OpenCLIP's layout), the pictures
init.png and mask.png, cases.json, <case>.png and latents.safetensors. TOKENIZER is a directory with CLIP's vocab.json and
merges.txt.

    python3 pipelines.py --read FILE REPOSITORY

reads a single file as diffusers does, with the configurations of REPOSITORY, and says whether it holds the same weights.
"""
import json, os, re, shutil, sys

import numpy as np
import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler,
    StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel, UniPCMultistepScheduler)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_grad_enabled(False)
NETWORKS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}


def state(model):
    """A network's tensors; transformers 5 leaves `text_model.` out of the names in memory."""
    tensors = model.state_dict()
    if isinstance(model, CLIPTextModel) and not any(name.startswith("text_model.") for name in tensors):
        tensors = {f"text_model.{name}": value for name, value in tensors.items()}
    return {name: value for name, value in tensors.items() if not name.endswith("position_ids")}


def read(file, repository):
    pipeline = StableDiffusionPipeline.from_single_file(
        file, config=repository, local_files_only=True, safety_checker=None, torch_dtype=torch.float32)
    for name, cls in NETWORKS.items():
        expected, found = state(cls.from_pretrained(f"{repository}/{name}")), state(getattr(pipeline, name))
        assert expected.keys() == found.keys(), (name, expected.keys() ^ found.keys())
        for key, value in expected.items():
            assert torch.equal(value, found[key].float()), (name, key)
    print("the same")


if sys.argv[1] == "--read":
    read(*sys.argv[2:])
    sys.exit()

out, tokenizer_path = sys.argv[1:]
torch.manual_seed(11)
os.makedirs(out, exist_ok=True)


def randomized(model):
    """Every parameter away from the zeros and ones that some begin with."""
    for parameter in model.parameters():
        if parameter.dim() <= 1 or parameter.abs().max() == 0:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def vae():
    return randomized(AutoencoderKL(
        block_out_channels=(32, 32, 64, 64), latent_channels=4, layers_per_block=1, norm_num_groups=32, sample_size=128,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4))


def scheduler(**changes):
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, **changes)


def tokenizer(folder, padding):
    os.makedirs(folder)
    for name in ["vocab.json", "merges.txt"]:
        shutil.copy(f"{tokenizer_path}/{name}", folder)
    for name in ["tokenizer_config.json", "special_tokens_map.json"]:
        words = json.load(open(f"{tokenizer_path}/{name}"))
        words["pad_token"] = padding
        json.dump(words, open(f"{folder}/{name}", "w"))
    return CLIPTokenizer.from_pretrained(folder)


def saved(cls, name, padding, networks):
    words = tokenizer(f"{out}/{name}/tokenizer", padding)
    pipeline = cls(**networks, tokenizer=words, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.save_pretrained(f"{out}/{name}")
    # transformers 5 writes other files than those that repositories hold.
    shutil.rmtree(f"{out}/{name}/tokenizer")
    pipeline.tokenizer = tokenizer(f"{out}/{name}/tokenizer", padding)
    # As published; and as read from the file, whose fields count for other schedulers too.
    path = f"{out}/{name}/scheduler/scheduler_config.json"
    fields = json.load(open(path)) | {"skip_prk_steps": True}
    json.dump(fields, open(path, "w"))
    pipeline.scheduler = DDIMScheduler.from_pretrained(f"{out}/{name}/scheduler")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


# What is drawn with each.
classes = {
    "ddim": DDIMScheduler, "pndm": PNDMScheduler, "euler": EulerDiscreteScheduler, "dpmpp-2m": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler}
cases, latents = [], {}


def draw(pipeline, repository, name, size, **call):
    base = pipeline.scheduler
    pipeline.scheduler = classes[name].from_config(base.config)
    words = dict(prompt="a red circle on a blue background", negative_prompt="green", num_inference_steps=7, guidance_scale=4.0)
    (width, height), seed = size, 100 + len(cases)
    def run(kind):
        return pipeline(
            **words, **call, width=width, height=height, generator=torch.Generator().manual_seed(seed), output_type=kind).images
    case = f"{repository}-{name}-{call.get('strength', 0)}"
    latents[case] = run("latent").float().contiguous()
    run("pil")[0].save(f"{out}/{case}.png")
    cases.append(dict(
        name=case, repository=repository, scheduler=name, prompt=words["prompt"], negative=words["negative_prompt"], seed=seed,
        steps=words["num_inference_steps"], guidance=words["guidance_scale"], width=width, height=height,
        strength=call.get("strength")))
    pipeline.scheduler = base


# Inpainting: what goes into the UNet is the latents, the mask and the rest of the picture.
hidden = 64
text = randomized(CLIPTextModel(CLIPTextConfig(
    vocab_size=49408, hidden_size=hidden, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    projection_dim=64, bos_token_id=0, eos_token_id=2, pad_token_id=1)))
unet = randomized(UNet2DConditionModel(
    sample_size=16, in_channels=9, block_out_channels=(32, 64, 64, 64), cross_attention_dim=hidden, attention_head_dim=8,
    layers_per_block=1))
pipeline = saved(
    StableDiffusionInpaintPipeline, "inpainting", "<|endoftext|>",
    dict(text_encoder=text, unet=unet, vae=vae(), scheduler=scheduler()))
y, x = np.mgrid[0:96, 0:128].astype(float)
waves = [127 + 90 * np.sin(x / 11) * np.cos(y / 17), 30 + 1.5 * x, 210 - 1.7 * y]
init = Image.fromarray(np.stack(waves, -1).clip(0, 255).astype(np.uint8))
mask = Image.fromarray((255 * np.exp(-(((x - 80) / 30) ** 2 + ((y - 40) / 25) ** 4))).astype(np.uint8))
init.save(f"{out}/init.png")
mask.save(f"{out}/mask.png")
for name in classes:
    for strength in [1.0, 0.6]:
        draw(pipeline, "inpainting", name, (128, 96), image=init, mask_image=mask, strength=strength)

# Stable Diffusion 2: of the text encoder's four layers three are published, as 23 of 24 are.
width, layers = 128, 4
published = CLIPTextConfig(
    vocab_size=49408, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers - 1, num_attention_heads=2,
    hidden_act="gelu", projection_dim=64, bos_token_id=0, eos_token_id=2, pad_token_id=1)
whole = randomized(CLIPTextModel(CLIPTextConfig(**{**published.to_dict(), "num_hidden_layers": layers})))
text = CLIPTextModel(published).eval()
text.load_state_dict({k: v for k, v in whole.state_dict().items() if f"layers.{layers - 1}." not in k})
unet = randomized(UNet2DConditionModel(
    sample_size=16, block_out_channels=(64, 64, 128, 128), cross_attention_dim=width, attention_head_dim=[1, 1, 2, 2],
    layers_per_block=1, use_linear_projection=True, upcast_attention=True))
pipeline = saved(
    StableDiffusionPipeline, "sd2", "!",
    dict(text_encoder=text, unet=unet, vae=vae(), scheduler=scheduler(prediction_type="v_prediction")))
for name in classes:
    draw(pipeline, "sd2", name, (128, 96))
# Without its words at the end the prompt is padding: what fills it up counts.
ids = pipeline.tokenizer("a", padding="max_length", max_length=77).input_ids
assert ids[3] == 0 and ids[2] == 49407, ids

# The same as an original single file.
RESIDUAL = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def unet_name(name):
    # One layer a level: its block, and one that halves; on the way up two blocks a level.
    def inner(rest):
        first, _, tail = rest.partition(".")
        return f"{RESIDUAL.get(first, first)}.{tail}"
    if found := re.fullmatch(r"(conv_in|conv_norm_out|conv_out)\.(.+)", name):
        place = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}[found[1]]
        return f"{place}.{found[2]}"
    if found := re.fullmatch(r"time_embedding\.linear_(\d)\.(.+)", name):
        return f"time_embed.{2 * int(found[1]) - 2}.{found[2]}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        if found[1] == "attentions": return f"middle_block.1.{found[3]}"
        return f"middle_block.{2 * int(found[2])}.{inner(found[3])}"
    if found := re.fullmatch(r"down_blocks\.(\d)\.(resnets|attentions|downsamplers)\.0\.(.+)", name):
        block, rest = 2 * int(found[1]) + 1, found[3]
        if found[2] == "resnets": return f"input_blocks.{block}.0.{inner(rest)}"
        if found[2] == "attentions": return f"input_blocks.{block}.1.{rest}"
        return f"input_blocks.{block + 1}.0.op.{rest.removeprefix('conv.')}"
    found = re.fullmatch(r"up_blocks\.(\d)\.(resnets|attentions|upsamplers)\.(\d)\.(.+)", name)
    level, kind, rest = int(found[1]), found[2], found[4]
    if kind == "upsamplers":
        # Behind the attention, which the first level on the way up has not.
        return f"output_blocks.{2 * level + 1}.{1 if level == 0 else 2}.{rest}"
    block = 2 * level + int(found[3])
    return f"output_blocks.{block}.{'0.' + inner(rest) if kind == 'resnets' else '1.' + rest}"


def vae_name(name):
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        name = name.replace("to_out.0", "proj_out")
        for letter in "qkv": name = name.replace(f"to_{letter}", letter)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)


def openclip(tensors):
    result = {}
    names = {
        "embeddings.token_embedding.weight": "token_embedding.weight", "final_layer_norm.weight": "ln_final.weight",
        "embeddings.position_embedding.weight": "positional_embedding", "final_layer_norm.bias": "ln_final.bias"}
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}
    for name, value in tensors.items():
        name = name.removeprefix("text_model.")
        if name in names:
            result[names[name]] = value
            continue
        _, _, layer, rest = name.split(".", 3)
        layer = f"transformer.resblocks.{layer}"
        if found := re.fullmatch(r"self_attn\.q_proj\.(weight|bias)", rest):
            joined = [tensors[f"text_model.{name.replace('q_proj', part)}"] for part in ["q_proj", "k_proj", "v_proj"]]
            result[f"{layer}.attn.in_proj_{found[1]}"] = torch.cat(joined)
        elif not re.match(r"self_attn\.[kv]_proj", rest):
            module, kind = rest.rsplit(".", 1)
            result[f"{layer}.{parts[module]}.{kind}"] = value
    return result


single = {f"model.diffusion_model.{unet_name(k)}": v for k, v in state(unet).items()}
for name, value in state(pipeline.vae).items():
    if "attentions" in name and name.endswith("weight") and value.dim() == 2: value = value[:, :, None, None]
    single[f"first_stage_model.{vae_name(name)}"] = value
single |= {f"cond_stage_model.model.{k}": v for k, v in openclip(state(whole)).items()}
single["cond_stage_model.model.text_projection"] = torch.randn(width, width)
single["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
single["betas"] = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
single = {k: v.contiguous().clone() for k, v in single.items()}
save_file(single, f"{out}/sd2.safetensors")
torch.save({"state_dict": single, "global_step": 110000}, f"{out}/sd2.ckpt")

# As diffusers takes it apart. It drops a last layer of number 23 alone, and takes what is left of ours as one too many.
from diffusers.loaders import single_file_utils as utils
for converted, model in [
    (utils.convert_ldm_unet_checkpoint(dict(single), config=dict(unet.config)), unet),
    (utils.convert_ldm_vae_checkpoint(dict(single), config=dict(pipeline.vae.config)), pipeline.vae),
    (utils.convert_open_clip_checkpoint(text, dict(single)), text)]:
    for name, value in state(model).items():
        assert torch.equal(converted[name].reshape(value.shape), value), name

save_file(latents, f"{out}/latents.safetensors")
json.dump(cases, open(f"{out}/cases.json", "w"), indent=1)
