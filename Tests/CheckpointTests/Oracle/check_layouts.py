"""Load what `sdinspect convert` wrote with the libraries of others, and compare every value.

    python3 check_layouts.py REFERENCE DIRECTORY torch|gguf

REFERENCE is a repository of safetensors. DIRECTORY holds, for torch, safetensors, diffusers and
transformers:

    ldm.safetensors, ldm.ckpt, vae.safetensors   single files; the VAE alone
    repository, repository-bin                   directories

and for gguf, which needs no torch:

    ldm.safetensors, model.gguf                  the same tensors under single-file names

Prints one line `ok` for each check; any other outcome is an exception.
"""
import json, os, sys
import numpy as np

reference, directory, library = sys.argv[1:4]
STEMS = {"text_encoder": "model", "unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
PREFIXES = {"text_encoder": "cond_stage_model.transformer.", "unet": "model.diffusion_model.", "vae": "first_stage_model."}


def path(name):
    return os.path.join(directory, name)


def raw(array):
    """The bytes of a numpy array or a torch tensor, which may be of a type that numpy lacks."""
    if isinstance(array, np.ndarray): return np.ascontiguousarray(array).tobytes()
    import torch
    return array.contiguous().view(torch.uint8).numpy().tobytes() if array.ndim else array.numpy().tobytes()


def single_names():
    """LDM names of the reference by diffusers' own conversion, which goes the other way."""
    from diffusers.loaders import single_file_utils as utilities
    import torch
    config = lambda name: json.load(open(f"{reference}/{name}/config.json"))
    ldm = load(path("ldm.safetensors"))
    maps = {}
    for name, convert in (("unet", utilities.convert_ldm_unet_checkpoint), ("vae", utilities.convert_ldm_vae_checkpoint)):
        # Every tensor is its own number, so that the conversion shows where each goes.
        keys = [key for key in ldm if key.startswith(PREFIXES[name])]
        marks = {key: torch.full(ldm[key].shape, float(i)) if ".attn_1." in key else torch.tensor(float(i)).expand(ldm[key].shape) for i, key in enumerate(keys)}
        converted = convert(dict(marks), config=dict(config(name)))
        maps[name] = {new: keys[int(value.flatten()[0])] for new, value in converted.items()}
    return maps


def load(file):
    if file.endswith(".safetensors"):
        from safetensors.torch import load_file
        return load_file(file)
    import torch
    return torch.load(file, map_location="cpu", weights_only=True)


def modern(name, key):
    """Today's name of a parameter of the reference."""
    if name != "vae": return key
    for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")):
        key = key.replace(f"attentions.0.{old}.", f"attentions.0.{new}.")
    return key


def expected():
    return {name: {modern(name, key): value for key, value in load(f"{reference}/{name}/{stem}.safetensors").items()} for name, stem in STEMS.items()}


def compare(what, state, wanted):
    missing, more = set(wanted) - set(state), set(state) - set(wanted)
    assert not missing and not more, f"{what}: missing {sorted(missing)[:3]}, more {sorted(more)[:3]}"
    for key, value in wanted.items():
        assert state[key].dtype == value.dtype, f"{what}: {key} is {state[key].dtype}"
        assert raw(state[key]) == raw(value), f"{what}: {key} differs"
    print(f"ok   {what}: {len(wanted)} tensors")


def single(what, state, wanted, maps):
    flat = {}
    for name, tensors in wanted.items():
        for key, value in tensors.items():
            flat[maps[name][key] if name in maps else PREFIXES[name] + key] = value
    compare(what, state, flat)


if library == "torch":
    wanted, maps = expected(), single_names()
    single("safetensors: ldm.safetensors", load(path("ldm.safetensors")), wanted, maps)
    single("torch: ldm.ckpt", load(path("ldm.ckpt"))["state_dict"], wanted, maps)
    bare = {key[len(PREFIXES["vae"]):]: value for key, value in load(path("ldm.safetensors")).items() if key.startswith(PREFIXES["vae"])}
    compare("safetensors: vae.safetensors", load(path("vae.safetensors")), bare)
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    dtype = next(iter(wanted["unet"].values())).dtype
    for kind in ("repository", "repository-bin"):
        pipeline = StableDiffusionPipeline.from_pretrained(path(kind), local_files_only=True, torch_dtype=dtype)
        for name, network in (("unet", pipeline.unet), ("vae", pipeline.vae)):
            compare(f"diffusers from_pretrained: {kind}/{name}", network.state_dict(), wanted[name])
        own = pipeline.text_encoder.state_dict()
        text = {key.removeprefix("text_model."): value for key, value in wanted["text_encoder"].items() if not key.endswith("position_ids")}
        compare(f"transformers from_pretrained: {kind}/text_encoder", {key.removeprefix("text_model."): value for key, value in own.items() if not key.endswith("position_ids")}, text)
    for file in ("ldm.safetensors", "ldm.ckpt"):
        unet = UNet2DConditionModel.from_single_file(path(file), config=f"{reference}/unet", torch_dtype=dtype, local_files_only=True)
        compare(f"diffusers from_single_file: unet of {file}", unet.state_dict(), wanted["unet"])
        vae = AutoencoderKL.from_single_file(path(file), config=f"{reference}/vae", torch_dtype=dtype, local_files_only=True)
        compare(f"diffusers from_single_file: vae of {file}", vae.state_dict(), wanted["vae"])

if library == "gguf":
    from gguf import GGUFReader
    from safetensors.numpy import load_file
    reader = GGUFReader(path("model.gguf"))
    single_file = load_file(path("ldm.safetensors"))
    read = {tensor.name: tensor for tensor in reader.tensors}
    assert set(read) == set(single_file), "gguf: other names"
    for key, value in single_file.items():
        shape = [int(n) for n in read[key].shape][::-1]
        assert shape == list(value.shape), f"gguf: {key} has the shape {shape}"
        assert read[key].data.tobytes() == value.tobytes(), f"gguf: {key} differs"
    print(f"ok   gguf: model.gguf: {len(read)} tensors")
