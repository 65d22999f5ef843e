"""Adapters of every kind for the embedded model, and what LyCORIS and PEFT make of its UNet with them.

    python3 make.py ../shapes-v2 .

Needs torch, diffusers, peft, lycoris_lora, safetensors.

NAME.safetensors                        as LyCORIS and kohya's scripts save it
NAME/adapter_model.safetensors          as PEFT saves it, with adapter_config.json
expected.json                           the cases: the file, the scale, the parameters that change
stacked-NAME/                           two that go on top of each other
expected.safetensors                    sample, states: the UNet's inputs at timestep 321; CASE/sample: its output;
                                        CASE/PARAMETER: the changed weight, of scale 1; plain+dora/PARAMETER and the
                                        other order: of both of stacked-NAME
"""
import copy, json, os, sys

import torch
from diffusers import UNet2DConditionModel
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.full import FullModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from peft.tuners.lora.layer import LoraLayer
from safetensors.torch import save_file

repository, out = sys.argv[1:]
torch.manual_seed(11)
torch.set_grad_enabled(False)
base = UNet2DConditionModel.from_pretrained(f"{repository}/unet", torch_dtype=torch.float32).eval()
sample, states = torch.randn(1, 4, 8, 8), torch.randn(1, 7, base.config.cross_attention_dim)
expected, cases = {"sample": sample, "states": states}, []

BLOCK = "down_blocks.0.attentions.0"
# Linear layers square and not, a convolution of one place, and of nine with and without a square form.
LAYERS = [f"{BLOCK}.transformer_blocks.0.attn1.to_q", f"{BLOCK}.transformer_blocks.0.attn2.to_k", f"{BLOCK}.proj_in", "conv_in", "conv_out"]
NORMS = [f"{BLOCK}.norm", f"{BLOCK}.transformer_blocks.0.norm1"]


def record(case, file, scale, unet, weights):
    """What the network computes, and its weights: `weights` by the names of parameters."""
    expected[f"{case}/sample"] = unet(sample, 321, states).sample.contiguous()
    # Of the whole scale the weights too.
    if scale == 1: expected.update({f"{case}/{name}": value.contiguous() for name, value in weights.items()})
    cases.append({"name": case, "file": file, "scale": scale, "parameters": sorted(weights)})


def replaced(weights):
    """The UNet with these parameters."""
    unet = copy.deepcopy(base)
    unet.load_state_dict({**unet.state_dict(), **weights})
    return unet


def randomized(module):
    for name, parameter in module.named_parameters():
        if name not in ("dora_scale", "rescale"):
            parameter.copy_(torch.randn_like(parameter) * 0.2)
        else:
            parameter.mul_(torch.rand_like(parameter) * 0.5 + 0.75)
    return module


def lycoris(name, kind, scales=(1.0,), layers=LAYERS, prefix="lora_unet_", **options):
    """Modules of LyCORIS on some layers, saved as its trainer saves them."""
    tensors, modules = {}, {}
    for layer in layers:
        module = kind("", base.get_submodule(layer), **options)
        modules[layer] = randomized(module)
        flat = prefix + layer.replace(".", "_")
        # Before it stands in a network, FullModule holds the differences themselves, and saves others.
        saved = {"diff": module.weight, "diff_b": module.bias} if kind is FullModule else module.state_dict()
        for key, value in saved.items():
            if value is not None: tensors[f"{flat}.{key}"] = value.clone().contiguous()
    save_file(tensors, f"{out}/{name}.safetensors")
    for scale in scales:
        weights = {}
        for layer, module in modules.items():
            target = base.get_submodule(layer)
            before = target.weight.data
            if kind in (LohaModule, LokrModule, LoConModule):
                # What forward() computes; get_merged_weight() of 4.1.3 scales LoHa and LoKr by alpha / rank twice.
                change = module.make_weight() * module.scale if kind is LoConModule else module.get_weight(module.shape) * module.scalar
                if module.wd:
                    # The whole change by its own function, then as much of the way as the scale says, as web UIs have it.
                    whole = module.apply_weight_decompose(before + change, 1)
                    weights[layer + ".weight"] = before + scale * (whole - before)
                else:
                    weights[layer + ".weight"] = before + scale * change
            else:
                difference, bias = module.get_diff_weight(scale, before.shape)
                weights[layer + ".weight"] = before + difference
                if bias is not None: weights[layer + ".bias"] = target.bias.data + bias
        case = name if scale == 1 else f"{name}-{scale}"
        record(case, f"{name}.safetensors", scale, replaced(weights), weights)
    return tensors


rank = dict(lora_dim=4, alpha=2)
lycoris("locon", LoConModule, (1.0, 0.8, -0.5), use_tucker=True, **rank)
lycoris("loha", LohaModule, (1.0, 0.8), **rank)
lycoris("loha-tucker", LohaModule, (1.0, -0.5), use_tucker=True, prefix="lycoris_", **rank)
lycoris("lokr", LokrModule, (1.0, 0.8), lora_dim=2, alpha=1, factor=4)
lycoris("lokr-both", LokrModule, lora_dim=1, alpha=0.5, factor=8, decompose_both=True)
lycoris("lokr-full", LokrModule, lora_dim=4, alpha=2, full_matrix=True, prefix="lycoris_")
lycoris("lokr-tucker", LokrModule, (1.0, 1.5), lora_dim=1, alpha=0.5, factor=2, use_tucker=True)
lycoris("dora", LoConModule, (1.0, 0.8, 0.5, 1.5, -0.5), weight_decompose=True, **rank)
lycoris("dora-inputs", LoConModule, (1.0, 0.5, 1.5), weight_decompose=True, wd_on_out=False, **rank)
lycoris("loha-dora", LohaModule, (1.0, 0.8), weight_decompose=True, **rank)
lycoris("lokr-dora", LokrModule, (1.0, 0.5, 1.5), lora_dim=2, alpha=1, factor=4, weight_decompose=True)
lycoris("glora", GLoRAModule, (1.0, 0.8), **rank)
lycoris("ia3", IA3Module, (1.0, 0.8), layers=LAYERS[:2] + LAYERS[3:])
lycoris("ia3-inputs", IA3Module, (1.0, -0.5), train_on_input=True, layers=LAYERS[:3])
lycoris("oft", DiagOFTModule, (1.0, 0.8, 1.5, -0.5), lora_dim=4, layers=LAYERS[:4])
lycoris("oft-rescaled", DiagOFTModule, lora_dim=8, constraint=0.01, rescaled=True, layers=LAYERS[:4])
lycoris("boft", ButterflyOFTModule, (1.0, 0.5, 1.5, -0.5), lora_dim=4, layers=LAYERS[:4])
lycoris("full", FullModule, (1.0, 0.8))
lycoris("norm", NormModule, (1.0, 0.8), layers=NORMS)


def peft(name, configuration, scales=(1.0,)):
    """An adapter that PEFT makes and saves; the weights as it merges them."""
    model = get_peft_model(copy.deepcopy(base), configuration)
    for key, parameter in model.named_parameters():
        if any(part in key for part in ("lora_A", "lora_B", "hada_", "lokr_")):
            parameter.copy_(torch.randn_like(parameter) * 0.2)
        elif "lora_magnitude_vector" in key or "ia3_l" in key:
            parameter.mul_(torch.rand_like(parameter) * 0.5 + 0.75)
    model.save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")
    for scale in scales:
        merged = copy.deepcopy(model)
        if scale != 1:
            for module in merged.modules():
                if isinstance(module, LoraLayer): module.set_scale("default", scale)
        unet = merged.merge_and_unload().eval()
        weights = {k: v for k, v in unet.state_dict().items() if not torch.equal(v, base.state_dict()[k])}
        record(name if scale == 1 else f"{name}-{scale}", f"{name}/adapter_model.safetensors", scale, unet, weights)


peft("peft-lora", LoraConfig(
    r=4, lora_alpha=2, target_modules=LAYERS, use_rslora=True, rank_pattern={"attn1.to_q": 2}, alpha_pattern={"^conv_in": 6}), (1.0, 0.8))
peft("peft-dora", LoraConfig(r=4, lora_alpha=2, target_modules=LAYERS, use_dora=True), (1.0, 0.8, 0.5, 1.5, -0.5))
peft("peft-loha", LoHaConfig(r=4, alpha=2, target_modules=LAYERS, use_effective_conv2d=True))
peft("peft-lokr", LoKrConfig(r=4, alpha=2, target_modules=LAYERS, decompose_both=True, decompose_factor=4))
FEEDFORWARD = f"{BLOCK}.transformer_blocks.0.ff.net.2"
peft("peft-ia3", IA3Config(
    target_modules=[*LAYERS[1:3], "conv_in", FEEDFORWARD, "time_embedding.linear_1"], feedforward_modules=["conv_in", FEEDFORWARD]))


# What came later, behind what is there, whose random numbers stay.
lycoris("locon-rs", LoConModule, (1.0, 0.5), rs_lora=True, **rank)
lycoris("loha-rs", LohaModule, rs_lora=True, **rank)
lycoris("lokr-rs", LokrModule, lora_dim=2, alpha=1, factor=4, rs_lora=True)
lycoris("locon-scalar", LoConModule, use_scalar=True, use_tucker=True, **rank)
lycoris("loha-scalar", LohaModule, use_scalar=True, **rank)
lycoris("lokr-scalar", LokrModule, lora_dim=2, alpha=1, factor=4, use_scalar=True)
lycoris("boft-rescaled", ButterflyOFTModule, (1.0, 0.5), lora_dim=4, constraint=0.01, rescaled=True, layers=LAYERS[:4])
# Without alpha the rank is taken.
tensors = lycoris("no-alpha", LoConModule, lora_dim=4, alpha=4)
save_file({key: value for key, value in tensors.items() if not key.endswith(".alpha")}, f"{out}/no-alpha.safetensors")


def stacked(case, kinds):
    """Two adapters of PEFT, each in a folder of its own, and the weights as it merges one after the other."""
    model = get_peft_model(copy.deepcopy(base), kinds[0][1], adapter_name=kinds[0][0])
    model.add_adapter(*kinds[1])
    for key, parameter in model.named_parameters():
        if any(part in key for part in ("lora_A", "lora_B")):
            parameter.copy_(torch.randn_like(parameter) * 0.2)
        elif "lora_magnitude_vector" in key:
            parameter.mul_(torch.rand_like(parameter) * 0.5 + 0.75)
    for name, _ in kinds:
        folder = f"{out}/{case}-{name}"
        model.save_pretrained(folder, selected_adapters=[name])
        # PEFT puts an adapter that is not the default one into a folder of its name.
        for file in os.listdir(f"{folder}/{name}"): os.replace(f"{folder}/{name}/{file}", f"{folder}/{file}")
        os.rmdir(f"{folder}/{name}")
        os.remove(f"{folder}/README.md")
    for order in ([0, 1], [1, 0]):
        names = [kinds[index][0] for index in order]
        unet = copy.deepcopy(model).merge_and_unload(adapter_names=names).eval()
        for key in STACKED: expected["+".join(names) + f"/{key}.weight"] = unet.get_submodule(key).weight.data.contiguous()


STACKED = LAYERS[:3]
stacked("stacked", [
    ("plain", LoraConfig(r=4, lora_alpha=2, target_modules=STACKED)),
    ("dora", LoraConfig(r=4, lora_alpha=2, target_modules=STACKED, use_dora=True)),
])

save_file(expected, f"{out}/expected.safetensors")
open(f"{out}/expected.json", "w").write("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")
