"""Writes eight_bit.safetensors and eight_bit.json: every byte of the 8-bit floating-point types, and scaled weights.

    python make_eight_bit.py FOLDER

The JSON holds for each weight the SHA-256 of its values as F32, F16 and BF16 by torch, scales multiplied in, every NaN
as 0x7FC00000, 0x7E00 and 0x7FC0.
"""
import hashlib, json, sys
import torch
from safetensors.torch import save_file

folder = sys.argv[1]
generator = torch.Generator().manual_seed(0)
types = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2,
         "e4m3fnuz": torch.float8_e4m3fnuz, "e5m2fnuz": torch.float8_e5m2fnuz}
tensors, values = {}, {}
for name, dtype in types.items():
    tensors[f"{name}.weight"] = torch.arange(256, dtype=torch.uint8).clone().view(dtype).reshape(16, 16)
    values[f"{name}.weight"] = tensors[f"{name}.weight"].float()


def scaled(name, shape, scale, suffix, wide):
    """wide: the scale as it is multiplied, broadcast to the weight's shape."""
    weight = (torch.randn(shape, generator=generator) * 40).to(torch.float8_e4m3fn)
    tensors[f"{name}.weight"], tensors[f"{name}.{suffix}"] = weight, scale
    values[f"{name}.weight"] = weight.float() * wide(scale.float())


rows = lambda shape: torch.rand(shape, generator=generator)
scaled("comfy", (8, 12), torch.tensor([0.37]), "scale_weight", lambda s: s)
scaled("scalar", (8, 12), torch.tensor(0.011), "weight_scale", lambda s: s)
scaled("half", (8, 12), torch.tensor([0.3], dtype=torch.bfloat16), "weight_scale", lambda s: s)
scaled("row", (8, 12), rows((8, 1)), "weight_scale", lambda s: s)
scaled("flat", (8, 12), rows((8,)), "weight_scale", lambda s: s.reshape(8, 1))
scaled("convolution", (8, 3, 3, 3), rows((8, 1, 1, 1)), "scale_weight", lambda s: s)
scaled("group", (8, 64), rows((8, 2)), "weight_scale", lambda s: s.repeat_interleave(32, 1))
scaled("block", (200, 256), rows((2, 2)), "weight_scale_inv",
       lambda s: s.repeat_interleave(128, 0)[:200].repeat_interleave(128, 1))
tensors["comfy.scale_input"] = torch.tensor([2.0])
tensors["comfy.bias"] = torch.randn(8, generator=generator)
tensors["scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
save_file(tensors, f"{folder}/eight_bit.safetensors")


def digest(value, dtype, integer, nan):
    bits = value.to(dtype).view(integer).clone()
    bits[value.isnan()] = nan
    return hashlib.sha256(bits.numpy().tobytes()).hexdigest()


result = {name: {"F32": digest(v, torch.float32, torch.int32, 0x7FC00000),
                 "F16": digest(v, torch.float16, torch.int16, 0x7E00),
                 "BF16": digest(v, torch.bfloat16, torch.int16, 0x7FC0)} for name, v in sorted(values.items())}
with open(f"{folder}/eight_bit.json", "w") as file:
    json.dump(result, file, indent=1)
    file.write("\n")
