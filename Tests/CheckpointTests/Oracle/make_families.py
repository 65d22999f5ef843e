"""Names, shapes and parameter counts of published models, from their classes in diffusers and transformers.

    python make_families.py ../../../Fixtures/families            the headers and families.json
    python make_families.py OUT --sparse                          also a safetensors file of each, its values a hole

The classes are built on torch's meta device with the published configurations, so no weights are loaded; the counts are
torch's own sums. Where a model's original file has other names, they are made here and checked: diffusers' own converter
must turn them into exactly the names and shapes of its class.

A header has a line for each tensor: its name, a tab, its dimensions. `{0-37}` in a name stands for each number of the
range.
"""
import argparse
import itertools
import json
import os
import re
import struct

import torch
import diffusers
import transformers
from diffusers.loaders import single_file_utils as published


def meta(make):
    """The names and shapes of a network that `make` builds without memory for its weights; buffers too."""
    with torch.device("meta"):
        network = make()
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def total(shapes):
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def behind(prefix, shapes):
    return {prefix + name: shape for name, shape in shapes.items()}


def check(original, converter, expected, **arguments):
    """Fails unless diffusers' converter makes of the original names what its class has."""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in original.items()}
    made = {name: list(tensor.shape) for name, tensor in converter(tensors, **arguments).items()}
    expected = {name: shape for name, shape in expected.items() if name in made or not name.endswith("position_ids")}
    if made != expected:
        missing, more = expected.keys() - made.keys(), made.keys() - expected.keys()
        other = [name for name in made.keys() & expected.keys() if made[name] != expected[name]]
        raise SystemExit(f"{converter.__name__}: missing {sorted(missing)[:5]}, more {sorted(more)[:5]}, shapes {other[:5]}")
    return original


def renamed(shapes, rules):
    """Every rule, a pattern and its replacement, in turn on every name."""
    made = {}
    for name, shape in shapes.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        made[name] = shape
    return made


def fused(shapes, parts, whole):
    """Rows of the tensors whose names match `parts` in turn, as one tensor."""
    made = dict(shapes)
    for name in shapes:
        match = re.fullmatch(parts[0], name)
        if not match:
            continue
        names = [name] + [match.expand(part) for part in parts[1:]]
        rows = sum(made[part][0] for part in names)
        shape = [rows] + made[name][1:]
        for part in names:
            del made[part]
        made[match.expand(whole)] = shape
    return made


# MARK: Networks in their original names


def unet(**configuration):
    return meta(lambda: diffusers.UNet2DConditionModel(**configuration))


RESNET = [
    (r"(resnets\.\d+\.)norm1\.", r"\1in_layers.0."), (r"(resnets\.\d+\.)conv1\.", r"\1in_layers.2."),
    (r"(resnets\.\d+\.)norm2\.", r"\1out_layers.0."), (r"(resnets\.\d+\.)conv2\.", r"\1out_layers.3."),
    (r"time_emb_proj\.", "emb_layers.1."), (r"conv_shortcut\.", "skip_connection."),
]


def original_unet(shapes, layers, attends=True):
    """The names of CompVis' code; `layers` resnets in each level of the way down."""
    made = {}
    heads = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
             "time_embedding.cond_proj": "time_embed.cond_proj",
             "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
             "class_embedding.linear_1": "label_emb.0.0", "class_embedding.linear_2": "label_emb.0.2",
             "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
    for name, shape in renamed(shapes, RESNET).items():
        stem, leaf = name.rsplit(".", 1)
        if stem in heads:
            made[f"{heads[stem]}.{leaf}"] = shape
            continue
        parts = name.split(".")
        rest = ".".join(parts[4:])
        if parts[0] == "mid_block":
            place = {"resnets": 2 * int(parts[2]), "attentions": 1}[parts[1]]
            made[f"middle_block.{place}." + ".".join(parts[3:])] = shape
            continue
        level, kind, index = int(parts[1]), parts[2], int(parts[3])
        if parts[0] == "down_blocks":
            block = 1 + level * (layers + 1) + index
            if kind == "downsamplers":
                made[f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{leaf}"] = shape
            else:
                made[f"input_blocks.{block}.{0 if kind == 'resnets' else 1}.{rest}"] = shape
        else:
            block = level * (layers + 1) + index
            if kind == "upsamplers":
                attention = any(n.startswith(f"up_blocks.{level}.attentions") for n in shapes)
                made[f"output_blocks.{level * (layers + 1) + layers}.{2 if attention else 1}.conv.{leaf}"] = shape
            else:
                made[f"output_blocks.{block}.{0 if kind == 'resnets' else 1}.{rest}"] = shape
    return made


def original_text(shapes):
    """A CLIP text model as OpenCLIP names it; the projection is a plain matrix."""
    shapes = {n: s for n, s in shapes.items() if not n.endswith("position_ids")}
    made = renamed(shapes, [
        (r"^text_model\.encoder\.layers\.", "transformer.resblocks."), (r"\.layer_norm", ".ln_"),
        (r"\.fc1\.", ".c_fc."), (r"\.fc2\.", ".c_proj."), (r"\.self_attn\.", ".attn."),
        (r"^text_model\.embeddings\.token_embedding", "token_embedding"),
        (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"^text_model\.final_layer_norm", "ln_final"), (r"^text_projection\.weight", "text_projection")])
    return fused(made, [r"(.*attn\.)q_proj\.(weight|bias)", r"\1k_proj.\2", r"\1v_proj.\2"], r"\1in_proj_\2")


def original_vision(shapes):
    """A CLIP vision model as OpenCLIP names it."""
    shapes = {n: s for n, s in shapes.items() if not n.endswith("position_ids")}
    made = renamed(shapes, [
        (r"^vision_model\.encoder\.layers\.", "transformer.resblocks."), (r"\.layer_norm", ".ln_"),
        (r"\.fc1\.", ".c_fc."), (r"\.fc2\.", ".c_proj."), (r"\.self_attn\.", ".attn."),
        (r"^vision_model\.embeddings\.class_embedding", "class_embedding"),
        (r"^vision_model\.embeddings\.patch_embedding", "conv1"),
        (r"^vision_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"^vision_model\.pre_layrnorm", "ln_pre"), (r"^vision_model\.post_layernorm", "ln_post"),
        (r"^visual_projection\.weight", "proj")])
    return fused(made, [r"(.*attn\.)q_proj\.(weight|bias)", r"\1k_proj.\2", r"\1v_proj.\2"], r"\1in_proj_\2")


def original_vae(shapes):
    levels = len({n.split(".")[2] for n in shapes if n.startswith("encoder.down_blocks.")})
    made = {}
    for name, shape in shapes.items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{levels - 1 - int(m[1])}.upsample.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("conv_norm_out", "norm_out")
        name = name.replace("conv_shortcut", "nin_shortcut")
        if "attn_1" in name:
            name = name.replace("group_norm", "norm").replace("to_out.0", "proj_out")
            name = re.sub(r"to_(q|k|v)\.", r"\1.", name)
            if name.endswith(".weight") and "norm" not in name:
                shape = shape + [1, 1]
        made[name] = shape
    return made


JOINT = [r"(.*)\.to_q\.(weight|bias)", r"\1.to_k.\2", r"\1.to_v.\2"]
ADDED = [r"(.*)\.add_q_proj\.(weight|bias)", r"\1.add_k_proj.\2", r"\1.add_v_proj.\2"]


def original_sd3(shapes):
    made = fused(shapes, JOINT, r"\1.qkv.\2")
    made = fused(made, ADDED, r"\1.added_qkv.\2")
    return renamed(made, [
        (r"^pos_embed\.pos_embed", "pos_embed"), (r"^pos_embed\.proj", "x_embedder.proj"),
        (r"^time_text_embed\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
        (r"^time_text_embed\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
        (r"^time_text_embed\.text_embedder\.linear_1", "y_embedder.mlp.0"),
        (r"^time_text_embed\.text_embedder\.linear_2", "y_embedder.mlp.2"),
        (r"^transformer_blocks\.(\d+)\.attn(2?)\.qkv", r"joint_blocks.\1.x_block.attn\2.qkv"),
        (r"^transformer_blocks\.(\d+)\.attn\.added_qkv", r"joint_blocks.\1.context_block.attn.qkv"),
        (r"^transformer_blocks\.(\d+)\.attn(2?)\.norm_(q|k)\.", r"joint_blocks.\1.x_block.attn\2.ln_\3."),
        (r"^transformer_blocks\.(\d+)\.attn\.norm_added_(q|k)\.", r"joint_blocks.\1.context_block.attn.ln_\2."),
        (r"^transformer_blocks\.(\d+)\.attn(2?)\.to_out\.0", r"joint_blocks.\1.x_block.attn\2.proj"),
        (r"^transformer_blocks\.(\d+)\.attn\.to_add_out", r"joint_blocks.\1.context_block.attn.proj"),
        (r"^transformer_blocks\.(\d+)\.norm1\.linear", r"joint_blocks.\1.x_block.adaLN_modulation.1"),
        (r"^transformer_blocks\.(\d+)\.norm1_context\.linear", r"joint_blocks.\1.context_block.adaLN_modulation.1"),
        (r"^transformer_blocks\.(\d+)\.ff\.net\.0\.proj", r"joint_blocks.\1.x_block.mlp.fc1"),
        (r"^transformer_blocks\.(\d+)\.ff\.net\.2", r"joint_blocks.\1.x_block.mlp.fc2"),
        (r"^transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj", r"joint_blocks.\1.context_block.mlp.fc1"),
        (r"^transformer_blocks\.(\d+)\.ff_context\.net\.2", r"joint_blocks.\1.context_block.mlp.fc2"),
        (r"^proj_out", "final_layer.linear"), (r"^norm_out\.linear", "final_layer.adaLN_modulation.1")])


FLUX = [
    (r"^time_text_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
    (r"^time_text_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
    (r"^time_text_embed\.text_embedder\.linear_1", "vector_in.in_layer"),
    (r"^time_text_embed\.text_embedder\.linear_2", "vector_in.out_layer"),
    (r"^time_text_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
    (r"^time_text_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
    (r"^context_embedder", "txt_in"), (r"^x_embedder", "img_in"),
    (r"^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight", r"single_blocks.\1.norm.query_norm.scale"),
    (r"^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight", r"single_blocks.\1.norm.key_norm.scale"),
    (r"^single_transformer_blocks\.(\d+)\.norm\.linear", r"single_blocks.\1.modulation.lin"),
    (r"^single_transformer_blocks\.(\d+)\.proj_out", r"single_blocks.\1.linear2"),
    (r"^single_transformer_blocks\.(\d+)\.linear1", r"single_blocks.\1.linear1"),
    (r"^transformer_blocks\.", "double_blocks."),
    (r"\.norm1\.linear", ".img_mod.lin"), (r"\.norm1_context\.linear", ".txt_mod.lin"),
    (r"\.attn\.qkv", ".img_attn.qkv"), (r"\.attn\.added_qkv", ".txt_attn.qkv"),
    (r"\.attn\.norm_q\.weight", ".img_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_k\.weight", ".img_attn.norm.key_norm.scale"),
    (r"\.attn\.norm_added_q\.weight", ".txt_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_added_k\.weight", ".txt_attn.norm.key_norm.scale"),
    (r"\.attn\.to_out\.0", ".img_attn.proj"), (r"\.attn\.to_add_out", ".txt_attn.proj"),
    (r"\.ff\.net\.0\.proj", ".img_mlp.0"), (r"\.ff\.net\.2", ".img_mlp.2"),
    (r"\.ff_context\.net\.0\.proj", ".txt_mlp.0"), (r"\.ff_context\.net\.2", ".txt_mlp.2"),
    (r"^proj_out", "final_layer.linear"), (r"^norm_out\.linear", "final_layer.adaLN_modulation.1"),
]


def original_flux(shapes):
    single = r"(single_transformer_blocks\.\d+)\.attn\.to_q\.(weight|bias)"
    made = fused(shapes, [single, r"\1.attn.to_k.\2", r"\1.attn.to_v.\2", r"\1.proj_mlp.\2"], r"\1.linear1.\2")
    made = fused(made, JOINT, r"\1.qkv.\2")
    return renamed(fused(made, ADDED, r"\1.added_qkv.\2"), FLUX)


def original_chroma(shapes):
    made = renamed(original_flux(shapes), [
        (r"(distilled_guidance_layer\.layers\.\d+\.)linear_1", r"\1in_layer"),
        (r"(distilled_guidance_layer\.layers\.\d+\.)linear_2", r"\1out_layer"),
        (r"(distilled_guidance_layer\.norms\.\d+\.)weight", r"\1scale")])
    return made


def original_flux2(shapes):
    made = fused(fused(shapes, JOINT, r"\1.qkv.\2"), ADDED, r"\1.added_qkv.\2")
    return renamed(made, [
        (r"^time_guidance_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
        (r"^time_guidance_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
        (r"^time_guidance_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
        (r"^time_guidance_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
        (r"(_stream_modulation\w*)\.linear", r"\1.lin"),
        (r"^context_embedder", "txt_in"), (r"^x_embedder", "img_in"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj", r"single_blocks.\1.linear1"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.to_out", r"single_blocks.\1.linear2"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight", r"single_blocks.\1.norm.query_norm.scale"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight", r"single_blocks.\1.norm.key_norm.scale"),
        (r"\.ff\.linear_in", ".img_mlp.0"), (r"\.ff\.linear_out", ".img_mlp.2"),
        (r"\.ff_context\.linear_in", ".txt_mlp.0"), (r"\.ff_context\.linear_out", ".txt_mlp.2"),
        *[rule for rule in FLUX if "single" not in rule[0] and "time_text" not in rule[0]]])


def original_wan(shapes):
    return renamed(shapes, [
        (r"^condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
        (r"^condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
        (r"^condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
        (r"^condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
        (r"^condition_embedder\.time_proj", "time_projection.1"),
        (r"^condition_embedder\.image_embedder\.norm1", "img_emb.proj.0"),
        (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj", "img_emb.proj.1"),
        (r"^condition_embedder\.image_embedder\.ff\.net\.2", "img_emb.proj.3"),
        (r"^condition_embedder\.image_embedder\.norm2", "img_emb.proj.4"),
        (r"^scale_shift_table", "head.modulation"), (r"^proj_out", "head.head"),
        (r"\.scale_shift_table", ".modulation"), (r"\.attn1\.", ".self_attn."), (r"\.attn2\.", ".cross_attn."),
        (r"\.to_out\.0\.", ".o."), (r"\.to_(q|k|v)\.", r".\1."), (r"\.add_(k|v)_proj\.", r".\1_img."),
        (r"\.norm_added_k\.", ".norm_k_img."), (r"\.ffn\.net\.0\.proj", ".ffn.0"), (r"\.ffn\.net\.2", ".ffn.2"),
        (r"(blocks\.\d+)\.norm2\.", r"\1.placeholder."), (r"(blocks\.\d+)\.norm3\.", r"\1.norm2."),
        (r"\.placeholder\.", ".norm3.")])


def original_ltx(shapes):
    return renamed(shapes, [
        (r"^proj_in", "patchify_proj"), (r"^time_embed", "adaln_single"),
        (r"norm_q", "q_norm"), (r"norm_k", "k_norm")])


def original_hunyuan(shapes):
    single = r"(single_transformer_blocks\.\d+)\.attn\.to_q\.(weight|bias)"
    made = fused(shapes, [single, r"\1.attn.to_k.\2", r"\1.attn.to_v.\2", r"\1.proj_mlp.\2"], r"\1.linear1.\2")
    made = fused(fused(made, JOINT, r"\1.qkv.\2"), ADDED, r"\1.added_qkv.\2")
    return renamed(made, [
        (r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_1", "txt_in.t_embedder.mlp.0"),
        (r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_2", "txt_in.t_embedder.mlp.2"),
        (r"^context_embedder\.time_text_embed\.text_embedder", "txt_in.c_embedder"),
        (r"^context_embedder\.proj_in", "txt_in.input_embedder"),
        (r"^context_embedder\.token_refiner\.refiner_blocks", "txt_in.individual_token_refiner.blocks"),
        (r"(txt_in\..*)\.attn\.qkv", r"\1.self_attn_qkv"), (r"(txt_in\..*)\.attn\.to_out\.0", r"\1.self_attn_proj"),
        (r"(txt_in\..*)\.norm_out\.linear", r"\1.adaLN_modulation.1"),
        (r"(txt_in\..*_embedder\.)linear_", r"\1linear_"),
        (r"(txt_in\..*)\.ff\.net\.0\.proj", r"\1.mlp.fc1"), (r"(txt_in\..*)\.ff\.net\.2", r"\1.mlp.fc2"),
        (r"^time_text_embed\.timestep_embedder\.linear_1", "time_in.mlp.0"),
        (r"^time_text_embed\.timestep_embedder\.linear_2", "time_in.mlp.2"),
        (r"^time_text_embed\.guidance_embedder\.linear_1", "guidance_in.mlp.0"),
        (r"^time_text_embed\.guidance_embedder\.linear_2", "guidance_in.mlp.2"),
        (r"^time_text_embed\.text_embedder\.linear_1", "vector_in.in_layer"),
        (r"^time_text_embed\.text_embedder\.linear_2", "vector_in.out_layer"),
        (r"^x_embedder", "img_in"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.norm_(q|k)", r"single_blocks.\1.\2_norm"),
        (r"^single_transformer_blocks\.(\d+)\.norm\.linear", r"single_blocks.\1.modulation.linear"),
        (r"^single_transformer_blocks\.(\d+)\.proj_out", r"single_blocks.\1.linear2"),
        (r"^single_transformer_blocks\.(\d+)\.linear1", r"single_blocks.\1.linear1"),
        (r"^transformer_blocks\.", "double_blocks."),
        (r"(double_blocks\.\d+)\.attn\.qkv", r"\1.img_attn_qkv"),
        (r"(double_blocks\.\d+)\.attn\.added_qkv", r"\1.txt_attn_qkv"),
        (r"(double_blocks\.\d+)\.attn\.norm_(q|k)", r"\1.img_attn_\2_norm"),
        (r"(double_blocks\.\d+)\.attn\.norm_added_(q|k)", r"\1.txt_attn_\2_norm"),
        (r"(double_blocks\.\d+)\.attn\.to_out\.0", r"\1.img_attn_proj"),
        (r"(double_blocks\.\d+)\.attn\.to_add_out", r"\1.txt_attn_proj"),
        (r"(double_blocks\.\d+)\.norm1\.linear", r"\1.img_mod.linear"),
        (r"(double_blocks\.\d+)\.norm1_context\.linear", r"\1.txt_mod.linear"),
        (r"(double_blocks\.\d+)\.ff\.net\.0\.proj", r"\1.img_mlp.fc1"),
        (r"(double_blocks\.\d+)\.ff\.net\.2", r"\1.img_mlp.fc2"),
        (r"(double_blocks\.\d+)\.ff_context\.net\.0\.proj", r"\1.txt_mlp.fc1"),
        (r"(double_blocks\.\d+)\.ff_context\.net\.2", r"\1.txt_mlp.fc2"),
        (r"^proj_out", "final_layer.linear"), (r"^norm_out\.linear", "final_layer.adaLN_modulation.1")])


def original_lumina2(shapes):
    return renamed(fused(shapes, JOINT, r"\1.qkv.\2"), [
        (r"^time_caption_embed\.caption_embedder", "cap_embedder"),
        (r"^time_caption_embed\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
        (r"^time_caption_embed\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
        (r"^norm_out\.linear_1", "final_layer.adaLN_modulation.1"), (r"^norm_out\.linear_2", "final_layer.linear"),
        (r"\.attn\.", ".attention."), (r"\.to_out\.0\.", ".out."), (r"norm_(q|k)\.", r"\1_norm."),
        (r"\.linear_(\d)\.", r".w\1."), (r"norm1\.linear\.", "adaLN_modulation.1."),
        (r"\.norm1\.norm\.", ".attention_norm1."), (r"(context_refiner\.\d+)\.norm1\.", r"\1.attention_norm1."),
        (r"\.norm2\.", ".attention_norm2.")])


def original_z_image(shapes):
    return renamed(fused(shapes, JOINT, r"\1.qkv.\2"), [
        (r"^all_final_layer\.2-1\.", "final_layer."), (r"^all_x_embedder\.2-1\.", "x_embedder."),
        (r"\.attention\.norm_(q|k)\.", r".attention.\1_norm."), (r"\.attention\.to_out\.0\.", ".attention.out.")])


# MARK: Published configurations

SD1 = dict(sample_size=64, cross_attention_dim=768)
SD2 = dict(sample_size=96, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True)
SDXL = dict(
    sample_size=128, block_out_channels=[320, 640, 1280], layers_per_block=2, cross_attention_dim=2048,
    attention_head_dim=[5, 10, 20], transformer_layers_per_block=[1, 2, 10], use_linear_projection=True,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)
REFINER = dict(
    sample_size=128, block_out_channels=[384, 768, 1536, 1536], layers_per_block=2, cross_attention_dim=1280,
    attention_head_dim=[6, 12, 24, 24], transformer_layers_per_block=4, use_linear_projection=True,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2560)
SMALL = dict(
    sample_size=64, cross_attention_dim=768, layers_per_block=1, mid_block_type=None)
TINY = dict(
    SMALL, block_out_channels=[320, 640, 1280], down_block_types=["CrossAttnDownBlock2D"] * 3,
    up_block_types=["CrossAttnUpBlock2D"] * 3)
BASE = dict(sample_size=64, cross_attention_dim=768, layers_per_block=1)


def text(**configuration):
    return transformers.CLIPTextConfig(**configuration)


CLIP_L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768)
CLIP_H = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, projection_dim=1024)
CLIP_G = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280)
VISION_H = dict(
    hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14,
    image_size=224, projection_dim=1024)
VISION_L = dict(
    hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14,
    image_size=224, projection_dim=768)
T5_XXL = dict(
    d_model=4096, d_ff=10240, d_kv=64, num_layers=24, num_heads=64, vocab_size=32128,
    feed_forward_proj="gated-gelu", is_encoder_decoder=False, tie_word_embeddings=False)
VAE = dict(
    block_out_channels=[128, 256, 512, 512], layers_per_block=2, down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4)


def clip_text(options, projection=False):
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    shapes = meta(lambda: kind(text(**options)))
    # transformers 5 leaves the prefix away that published files have.
    made = {}
    for name, shape in shapes.items():
        inner = name.startswith("text_model.") or name.startswith("text_projection")
        made[name if inner else "text_model." + name] = shape
    return {n: s for n, s in made.items() if not n.endswith("position_ids")}


def clip_vision(options, projection=True):
    kind = transformers.CLIPVisionModelWithProjection if projection else transformers.CLIPVisionModel
    shapes = meta(lambda: kind(transformers.CLIPVisionConfig(**options)))
    made = {}
    for name, shape in shapes.items():
        inner = name.startswith("vision_model.") or name.startswith("visual_projection")
        made[name if inner else "vision_model." + name] = shape
    return {n: s for n, s in made.items() if not n.endswith("position_ids")}


def t5(**changes):
    shapes = meta(lambda: transformers.T5EncoderModel(transformers.T5Config(**{**T5_XXL, **changes})))
    # The table is stored once.
    return {n: s for n, s in shapes.items() if n != "encoder.embed_tokens.weight"}


def umt5():
    options = {**T5_XXL, "vocab_size": 256384}
    shapes = meta(lambda: transformers.UMT5EncoderModel(transformers.UMT5Config(**options)))
    return {n: s for n, s in shapes.items() if n != "encoder.embed_tokens.weight"}


def sd3(**changes):
    options = dict(
        sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
        caption_projection_dim=1536, pooled_projection_dim=2048, out_channels=16, pos_embed_max_size=192)
    return meta(lambda: diffusers.SD3Transformer2DModel(**{**options, **changes}))


def flux(**changes):
    return meta(lambda: diffusers.FluxTransformer2DModel(**changes))


def wan(**changes):
    return meta(lambda: diffusers.WanTransformer3DModel(**changes))


def ip_adapter(cross=768, widths=None, vision=1024, tokens=4, plus=False):
    """Tencent's file: the projection of the picture, and keys and values for each cross attention of SD 1.5.

    Names as diffusers' loader reads them (`_convert_ip_adapter_image_proj_to_diffusers`); check_by_classes() counts.
    """
    widths = widths or [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]
    made = {}
    if plus:
        made["image_proj.latents"] = [1, 16, 768]
        made |= {"image_proj.proj_in.weight": [768, 1280], "image_proj.proj_in.bias": [768],
                 "image_proj.proj_out.weight": [cross, 768], "image_proj.proj_out.bias": [cross],
                 "image_proj.norm_out.weight": [cross], "image_proj.norm_out.bias": [cross]}
        for i in range(4):
            for norm in ("norm1", "norm2"):
                made |= {f"image_proj.layers.{i}.0.{norm}.weight": [768], f"image_proj.layers.{i}.0.{norm}.bias": [768]}
            made |= {f"image_proj.layers.{i}.0.to_q.weight": [768, 768], f"image_proj.layers.{i}.0.to_kv.weight": [1536, 768],
                     f"image_proj.layers.{i}.0.to_out.weight": [768, 768], f"image_proj.layers.{i}.1.0.weight": [768],
                     f"image_proj.layers.{i}.1.0.bias": [768], f"image_proj.layers.{i}.1.1.weight": [3072, 768],
                     f"image_proj.layers.{i}.1.3.weight": [768, 3072]}
    else:
        made |= {"image_proj.proj.weight": [tokens * cross, vision], "image_proj.proj.bias": [tokens * cross],
                 "image_proj.norm.weight": [cross], "image_proj.norm.bias": [cross]}
    for i, width in enumerate(widths):
        made |= {f"ip_adapter.{2 * i + 1}.to_k_ip.weight": [width, cross], f"ip_adapter.{2 * i + 1}.to_v_ip.weight": [width, cross]}
    return made


def control_lora(shapes, layers, rank=128):
    """Stability AI's file: a ControlNet whose matrices are low-rank differences to the UNet's.

    Names as ComfyUI reads them (`ControlLora` in comfy/controlnet.py: `lora_controlnet`, `.up`, `.down`).
    """
    made = {"lora_controlnet": []}
    for name, shape in shapes.items():
        keeps = "zero_convs" in name or "middle_block_out" in name or "input_hint" in name
        if name.endswith(".weight") and len(shape) >= 2 and not keeps:
            stem = name[: -len(".weight")]
            made[stem + ".up"] = [shape[0], rank] + [1] * (len(shape) - 2)
            made[stem + ".down"] = [rank] + shape[1:]
        else:
            made[name] = shape
    return made


def original_controlnet(shapes, layers):
    hint = {n: s for n, s in shapes.items() if n.startswith("controlnet_cond_embedding.")}
    zero = {n: s for n, s in shapes.items() if n.startswith("controlnet_down_blocks.") or n.startswith("controlnet_mid")}
    rest = {n: s for n, s in shapes.items() if n not in hint and n not in zero}
    made = original_unet(rest, layers)
    for name, shape in hint.items():
        name = name.replace("controlnet_cond_embedding.", "")
        place, leaf = name.rsplit(".", 1)
        index = {"conv_in": 0, "conv_out": 14}.get(place)
        index = 2 + 2 * int(place.split(".")[1]) if index is None else index
        made[f"input_hint_block.{index}.{leaf}"] = shape
    for name, shape in zero.items():
        name = re.sub(r"controlnet_down_blocks\.(\d+)\.", r"zero_convs.\1.0.", name)
        made[name.replace("controlnet_mid_block.", "middle_block_out.0.")] = shape
    return made


def llm(config):
    """A language model's inner network without its head."""
    return meta(lambda: transformers.AutoModel.from_config(config))


def qwen(hidden, inner, layers, heads, kv, vocab=151936, kind="Qwen2"):
    return getattr(transformers, kind + "Config")(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, vocab_size=vocab, head_dim=128)


def cases():
    """Name, family id, and components: name, tensors as the file names them, and whether they count as a network."""
    prefix = "model.diffusion_model."

    def diffusion(name, family, shapes, original, component="transformer", converter=None, **arguments):
        if converter:
            check(dict(original), converter, shapes, **arguments)
        yield f"{name}", family, {component: shapes}
        yield f"{name}-original", family, {component: behind(prefix, original)}

    def sd(name, family, options, layers=2, configuration=None):
        shapes = unet(**options)
        original = original_unet(shapes, layers)
        if options.get("mid_block_type", 1) and "time_cond_proj_dim" not in options:
            config = {"num_class_embeds": None, "class_embed_type": None, "addition_embed_type": None,
                      "layers_per_block": layers,
                      "down_block_types": ["D"] * 4, "up_block_types": ["U"] * 4, **options}
            levels = len(options.get("block_out_channels", [0] * 4))
            config["down_block_types"], config["up_block_types"] = ["D"] * levels, ["U"] * levels
            config["block_out_channels"] = options.get("block_out_channels", [320, 640, 1280, 1280])
            check(behind(prefix, original), published.convert_ldm_unet_checkpoint, shapes, config=config)
        yield name, family, {"unet": shapes}
        yield f"{name}-original", family, {"unet": behind(prefix, original)}

    yield from sd("sd1", "sd1", SD1)
    yield from sd("sd1-inpainting", "sd1-inpainting", {**SD1, "in_channels": 9})
    yield from sd("sd1-pix2pix", "sd1-pix2pix", {**SD1, "in_channels": 8})
    yield from sd("sd1-lcm", "sd1-lcm", {**SD1, "time_cond_proj_dim": 256})
    yield from sd("sd1-tiny", "sd1-distilled", TINY, layers=1)
    yield from sd("sd1-small", "sd1-distilled", SMALL, layers=1)
    yield from sd("sd1-base", "sd1-distilled", BASE, layers=1)
    yield from sd("sd2", "sd2", SD2)
    yield from sd("sd2-inpainting", "sd2-inpainting", {**SD2, "in_channels": 9})
    yield from sd("sd2-depth", "sd2-depth", {**SD2, "in_channels": 5})
    yield from sd("sd2-unclip-h", "sd2-unclip", {
        **SD2, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048})
    yield from sd("sd2-unclip-l", "sd2-unclip", {
        **SD2, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 1536})
    yield from sd("sdxl", "sdxl", SDXL)
    yield from sd("sdxl-inpainting", "sdxl-inpainting", {**SDXL, "in_channels": 9})
    yield from sd("sdxl-refiner", "sdxl-refiner", REFINER)
    yield "svd", "svd", {"unet": meta(lambda: diffusers.UNetSpatioTemporalConditionModel(num_frames=25))}
    yield from sd("custom-sd", "custom-sd", dict(
        block_out_channels=[32, 64, 128, 128], cross_attention_dim=64))

    for name, family, options in [
        ("sd3-medium", "sd3", {}),
        ("sd3.5-large", "sd3.5", dict(
            num_layers=38, num_attention_heads=38, caption_projection_dim=2432, qk_norm="rms_norm")),
        ("sd3.5-medium", "sd3.5", dict(
            pos_embed_max_size=384, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm")),
    ]:
        shapes = sd3(**options)
        yield from diffusion(
            name, family, shapes, original_sd3(shapes),
            converter=published.convert_sd3_transformer_checkpoint_to_diffusers)
    for name, options in [
        ("dev", dict(guidance_embeds=True)), ("schnell", {}),
        ("fill", dict(guidance_embeds=True, in_channels=384, out_channels=64)),
        ("control", dict(guidance_embeds=True, in_channels=128, out_channels=64)),
    ]:
        shapes = flux(**options)
        yield from diffusion(
            f"flux1-{name}", f"flux1-{name}", shapes, original_flux(shapes),
            converter=published.convert_flux_transformer_checkpoint_to_diffusers)
    shapes = meta(diffusers.Flux2Transformer2DModel)
    yield from diffusion(
        "flux2", "flux2", shapes, original_flux2(shapes),
        converter=published.convert_flux2_transformer_checkpoint_to_diffusers)
    shapes = meta(diffusers.ChromaTransformer2DModel)
    yield from diffusion("chroma", "chroma", shapes, original_chroma(shapes),
                         converter=published.convert_chroma_transformer_checkpoint_to_diffusers)
    shapes = meta(diffusers.QwenImageTransformer2DModel)
    yield from diffusion("qwen-image", "qwen-image", shapes, shapes)
    shapes = meta(diffusers.ZImageTransformer2DModel)
    yield from diffusion("z-image", "z-image", shapes, original_z_image(shapes),
                         converter=published.convert_z_image_transformer_checkpoint_to_diffusers)
    shapes = meta(diffusers.Lumina2Transformer2DModel)
    yield from diffusion("lumina2", "lumina2", shapes, original_lumina2(shapes),
                         converter=published.convert_lumina2_to_diffusers)
    for name, options in [
        ("wan-t2v-14b", {}),
        ("wan-t2v-1.3b", dict(num_attention_heads=12, ffn_dim=8960, num_layers=30)),
        ("wan-i2v-14b", dict(in_channels=36, image_dim=1280, added_kv_proj_dim=5120)),
    ]:
        shapes = wan(**options)
        yield from diffusion(name, "wan", shapes, original_wan(shapes),
                             converter=published.convert_wan_transformer_to_diffusers)
    shapes = meta(lambda: diffusers.HunyuanVideoTransformer3DModel(guidance_embeds=True))
    yield from diffusion("hunyuan-video", "hunyuan-video", shapes, original_hunyuan(shapes),
                         converter=published.convert_hunyuan_video_transformer_to_diffusers)
    shapes = meta(diffusers.LTXVideoTransformer3DModel)
    yield from diffusion("ltx", "ltx", shapes, original_ltx(shapes),
                         converter=published.convert_ltx_transformer_checkpoint_to_diffusers)
    yield "pixart-alpha", "pixart", {"transformer": meta(lambda: diffusers.PixArtTransformer2DModel(
        sample_size=128, interpolation_scale=2, use_additional_conditions=True))}
    yield "pixart-sigma", "pixart", {"transformer": meta(lambda: diffusers.PixArtTransformer2DModel(
        sample_size=128, interpolation_scale=2, use_additional_conditions=False))}

    # Other diffusion transformers, which nothing here may call by a name that is not theirs.
    for name, kind in [
        ("auraflow", diffusers.AuraFlowTransformer2DModel), ("mochi", diffusers.MochiTransformer3DModel),
        ("sana", diffusers.SanaTransformer2DModel), ("cogview4", diffusers.CogView4Transformer2DModel),
        ("bria", diffusers.BriaTransformer2DModel),
        ("stable-audio", diffusers.StableAudioDiTModel),
        ("cogvideox", diffusers.CogVideoXTransformer3DModel), ("longcat", diffusers.LongCatImageTransformer2DModel),
    ]:
        yield f"other-{name}", "other", {"transformer": meta(kind)}

    yield "t5-xxl", "t5", {"text_encoder": t5()}
    yield "umt5-xxl", "t5", {"text_encoder": umt5()}
    yield "clip-text-l", "clip", {"text_encoder": clip_text(CLIP_L)}
    yield "clip-text-g", "clip", {"text_encoder": clip_text(CLIP_G, projection=True)}
    yield "clip-text-g-original", "clip", {"text_encoder": original_text(clip_text(CLIP_G, projection=True))}
    yield "clip-vision-h", "clip", {"image_encoder": clip_vision(VISION_H)}
    scale = {"logit_scale": []}
    yield "clip-l", "clip", {
        "text_encoder": {**clip_text(CLIP_L, projection=True)}, "image_encoder": clip_vision(VISION_L), "other": scale}
    yield "open-clip-h", "clip", {
        "text_encoder": original_text(clip_text(CLIP_H, projection=True)),
        "image_encoder": behind("visual.", original_vision(clip_vision(VISION_H))), "other": scale}
    # Torch keeps its concepts among the parameters, though they are never learned.
    checker = meta(lambda: diffusers.pipelines.stable_diffusion.safety_checker.StableDiffusionSafetyChecker(
        transformers.CLIPConfig(
            vision_config=VISION_L, text_config=CLIP_L, projection_dim=768)))
    yield "safety-checker", "safety-checker", {
        "safety_checker": {n: s for n, s in checker.items() if not n.endswith("position_ids")}}
    yield "vae", "vae", {"vae": meta(lambda: diffusers.AutoencoderKL(**VAE))}
    wide = meta(lambda: diffusers.AutoencoderKL(
        **VAE, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False))
    yield "vae-16", "vae", {"vae": wide}
    yield "vae-16-original", "vae", {"vae": original_vae(wide)}
    yield "vae-tiny", "tiny-autoencoder", {"tiny_vae": meta(diffusers.AutoencoderTiny)}

    controlnet = meta(lambda: diffusers.ControlNetModel(cross_attention_dim=768))
    yield "controlnet", "controlnet", {"controlnet": controlnet}
    yield "controlnet-original", "controlnet", {
        "controlnet": behind("control_model.", original_controlnet(controlnet, 2))}
    xl = {k: v for k, v in SDXL.items() if k not in ("sample_size", "up_block_types")}
    controlnet = meta(lambda: diffusers.ControlNetModel(**xl))
    yield "controlnet-sdxl", "controlnet", {"controlnet": controlnet}
    yield "control-lora", "control-lora", {"model": control_lora(original_controlnet(controlnet, 2), 2)}
    yield "t2i-adapter", "t2i-adapter", {"t2i_adapter": meta(lambda: diffusers.T2IAdapter(
        adapter_type="full_adapter", downscale_factor=8))}
    yield "t2i-adapter-xl", "t2i-adapter", {"t2i_adapter": meta(lambda: diffusers.T2IAdapter(
        adapter_type="full_adapter_xl", downscale_factor=16))}
    yield "t2i-adapter-light", "t2i-adapter", {"t2i_adapter": meta(lambda: diffusers.T2IAdapter(
        adapter_type="light_adapter", downscale_factor=8, channels=[320, 640, 1280], num_res_blocks=4))}
    motion = meta(lambda: diffusers.MotionAdapter(use_motion_mid_block=False))
    yield "motion-module", "motion-module", {"motion_module": motion}
    old = renamed(motion, [
        (r"(motion_modules\.\d+)\.", r"\1.temporal_transformer."),
        (r"\.norm1\.", ".norms.0."), (r"\.norm2\.", ".norms.1."), (r"\.norm3\.", ".ff_norm."),
        (r"\.attn1\.", ".attention_blocks.0."), (r"\.attn2\.", ".attention_blocks.1.")])
    for name in [n for n in old if n.endswith("norms.0.weight")]:
        stem = name[: -len("norms.0.weight")]
        for block in "01":
            old[f"{stem}attention_blocks.{block}.pos_encoder.pe"] = [1, 24, old[name][0]]
    old = {n: s for n, s in old.items() if ".pos_embed." not in n}
    yield "motion-module-original", "motion-module", {"motion_module": old}
    adapter = ip_adapter()
    yield "ip-adapter", "ip-adapter", {
        "image_proj": {n: s for n, s in adapter.items() if n.startswith("image_proj.")},
        "ip_adapter": {n: s for n, s in adapter.items() if n.startswith("ip_adapter.")}}
    adapter = ip_adapter(plus=True)
    yield "ip-adapter-plus", "ip-adapter", {
        "image_proj": {n: s for n, s in adapter.items() if n.startswith("image_proj.")},
        "ip_adapter": {n: s for n, s in adapter.items() if n.startswith("ip_adapter.")}}
    # The web UI's default layers: 1, 2, 1 times the width (`HypernetworkModule` in its hypernetwork.py).
    yield "hypernetwork", "hypernetwork", {"model": {
        f"{width}.{half}.linear.{i}.{leaf}": ([2 * width, width] if i == 0 else [width, 2 * width])
        if leaf == "weight" else [2 * width if i == 0 else width]
        for width in (320, 640, 768, 1280) for half in (0, 1) for i in (0, 1) for leaf in ("weight", "bias")}}

    # Whole models in one file.
    clip_l = clip_text(CLIP_L)
    vae = original_vae(meta(lambda: diffusers.AutoencoderKL(**VAE)))
    yield "sd1-whole", "sd1", {
        "text_encoder": behind("cond_stage_model.transformer.", clip_l),
        "unet": behind(prefix, original_unet(unet(**SD1), 2)), "vae": behind("first_stage_model.", vae)}
    yield "sdxl-whole", "sdxl", {
        "text_encoder": behind("conditioner.embedders.0.transformer.", clip_l),
        "text_encoder_2": behind(
            "conditioner.embedders.1.model.", {**original_text(clip_text(CLIP_G, projection=True)), "logit_scale": []}),
        "unet": behind(prefix, original_unet(unet(**SDXL), 2)), "vae": behind("first_stage_model.", vae)}
    yield "sdxl-refiner-whole", "sdxl-refiner", {
        "text_encoder_2": behind(
            "conditioner.embedders.0.model.", {**original_text(clip_text(CLIP_G, projection=True)), "logit_scale": []}),
        "unet": behind(prefix, original_unet(unet(**REFINER), 2)), "vae": behind("first_stage_model.", vae)}
    medium = original_sd3(sd3())
    yield "sd3-whole", "sd3", {
        "text_encoder": behind("text_encoders.clip_l.transformer.", clip_text(CLIP_L, projection=True)),
        "text_encoder_2": behind("text_encoders.clip_g.transformer.", clip_text(CLIP_G, projection=True)),
        "text_encoder_3": behind("text_encoders.t5xxl.transformer.", t5()),
        "transformer": behind(prefix, medium), "vae": behind("first_stage_model.", original_vae(wide))}
    schnell = original_flux(flux())
    yield "flux1-schnell-whole", "flux1-schnell", {
        "text_encoder": behind("text_encoders.clip_l.transformer.", clip_l),
        "text_encoder_2": behind("text_encoders.t5xxl.transformer.", t5()),
        "transformer": behind(prefix, schnell), "vae": behind("vae.", original_vae(wide))}
    gemma = transformers.Gemma2Config(
        hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4,
        head_dim=256, vocab_size=256000)
    yield "lumina2-whole", "lumina2", {
        "text_encoder": behind("text_encoders.gemma2_2b.transformer.model.", llm(gemma)),
        "transformer": behind(prefix, original_lumina2(meta(diffusers.Lumina2Transformer2DModel))),
        "vae": behind("vae.", original_vae(wide))}
    yield "z-image-whole", "z-image", {
        "text_encoder": behind("text_encoders.qwen3_4b.transformer.model.", llm(
            qwen(2560, 9728, 36, 32, 8, kind="Qwen3"))),
        "transformer": behind(prefix, original_z_image(meta(diffusers.ZImageTransformer2DModel))),
        "vae": behind("vae.", original_vae(wide))}
    yield "qwen-image-whole", "qwen-image", {
        "text_encoder": behind("text_encoders.qwen25_7b.transformer.model.", llm(
            qwen(3584, 18944, 28, 28, 4, vocab=152064))),
        "transformer": behind(prefix, meta(diffusers.QwenImageTransformer2DModel)),
        "vae": behind("vae.", meta(diffusers.AutoencoderKLQwenImage))}


# MARK: Files


# What is not learned: `requires_grad` is false in the class, which check_by_classes() asks.
FROZEN = re.compile(r"(special_care|concept)_embeds(_weights)?")
NUMBER = re.compile(r"(?<![^.])(?:\d+|\{\d+-\d+\})(?![^.])")


def folded(shapes):
    """Lines of a header, numbers that only count written as ranges."""
    lines = {(name, tuple(shape)) for name, shape in shapes.items()}
    for position in range(4):
        groups, done = {}, set()
        for name, shape in lines:
            numbers = list(NUMBER.finditer(name))
            if len(numbers) <= position or numbers[position][0].startswith("{"):
                done.add((name, shape))
                continue
            match = numbers[position]
            groups.setdefault((name[: match.start()], name[match.end():], shape), []).append(int(match[0]))
        for (head, tail, shape), numbers in groups.items():
            numbers.sort()
            for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
                run = [number for _, number in run]
                span = f"{run[0]}" if len(run) == 1 else f"{{{run[0]}-{run[-1]}}}"
                done.add((head + span + tail, shape))
        lines = done
    return sorted(f"{name}\t{' '.join(map(str, shape))}" for name, shape in lines)


def unfolded(lines):
    """The names and shapes of a header."""
    shapes = {}
    for line in lines:
        name, dimensions = line.split("\t")
        parts = re.split(r"\{(\d+)-(\d+)\}", name)
        ranges = [range(int(a), int(b) + 1) for a, b in zip(parts[1::3], parts[2::3])]
        for numbers in itertools.product(*ranges):
            text = parts[0] + "".join(f"{n}{tail}" for n, tail in zip(numbers, parts[3::3]))
            shapes[text] = [int(n) for n in dimensions.split()]
    return shapes


def write_sparse(path, shapes):
    """A safetensors file of F16 whose values are a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def check_by_classes():
    """Compares what is written down here by hand with diffusers' own classes."""
    with torch.device("meta"):
        checker = diffusers.pipelines.stable_diffusion.safety_checker.StableDiffusionSafetyChecker(
            transformers.CLIPConfig(vision_config=VISION_L, text_config=CLIP_L, projection_dim=768))
        simple = diffusers.models.embeddings.ImageProjection(
            image_embed_dim=1024, cross_attention_dim=768, num_image_text_embeds=4)
        plus = diffusers.models.embeddings.IPAdapterPlusImageProjection(
            embed_dims=1280, output_dims=768, hidden_dims=768, heads=12, num_queries=16)
        base = diffusers.UNet2DConditionModel(**SD1)
        keys = 0
        for name in base.attn_processors:
            if not name.endswith("attn2.processor"):
                continue
            # The queries' width is that of the layer.
            width = base.get_submodule(name.removesuffix(".processor")).to_q.in_features
            processor = diffusers.models.attention_processor.IPAdapterAttnProcessor(
                hidden_size=width, cross_attention_dim=768, num_tokens=[4])
            keys += sum(parameter.numel() for parameter in processor.parameters())
    frozen = {name for name, parameter in checker.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in checker.named_parameters() if FROZEN.fullmatch(name)}, frozen
    for adapter, projection in ((ip_adapter(), simple), (ip_adapter(plus=True), plus)):
        for prefix, count in (("image_proj.", sum(p.numel() for p in projection.parameters())), ("ip_adapter.", keys)):
            ours = sum(torch.Size(s).numel() for n, s in adapter.items() if n.startswith(prefix))
            assert ours == count, (prefix, ours, count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output")
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    os.makedirs(arguments.output, exist_ok=True)
    check_by_classes()
    golden = {}
    for name, family, components in cases():
        if arguments.only and arguments.only not in name:
            continue
        shapes = {n: s for part in components.values() for n, s in part.items()}
        assert len(shapes) == sum(len(part) for part in components.values()), name
        counts = {
            part: total({n: s for n, s in tensors.items() if not FROZEN.fullmatch(n)})
            for part, tensors in components.items()}
        golden[name] = {
            "family": family, "components": counts, "buffers": total(shapes) - sum(counts.values()),
            "tensors": len(shapes)}
        if not arguments.sparse:
            with open(os.path.join(arguments.output, name + ".txt"), "w") as file:
                lines = folded(shapes)
                assert unfolded(lines) == shapes, name
                file.write("\n".join(lines) + "\n")
        else:
            write_sparse(os.path.join(arguments.output, name + ".safetensors"), shapes)
        print(name, family, golden[name]["components"], flush=True)
    with open(os.path.join(arguments.output, "families.json"), "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
