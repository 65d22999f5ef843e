"""What diffusers computes from the embedded model with tokens merged as docs/speed.md describes.

    python3 token_merging.py ../../../Fixtures/shapes-v2 ../../../Fixtures/engine/odd-sizes.safetensors \
        ../../../Fixtures/engine/token-merging.safetensors

float32 arithmetic on the model's F16 weights. Inputs are those of shapes-v2/golden/unet.safetensors at the
timesteps 0 and 321, and those of odd-sizes.safetensors at 700.
"""
import struct
import sys

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from safetensors.torch import load_file, save_file

repository, odd_sizes, output = sys.argv[1:]
MASK = 0xFFFFFFFF


def mixed(seed, window):
    x = (seed * 0x9E3779B1 + window) & MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def destinations(height, width, seed):
    """One token of each window of 2x2, cut off at the edges."""
    tokens = []
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            choice = mixed(seed, len(tokens)) if seed else 0
            down = (choice >> 1) & 1 and row + 1 < height
            right = choice & 1 and column + 1 < width
            tokens.append((row + (1 if down else 0)) * width + column + (1 if right else 0))
    return tokens


class Merging:
    def __init__(self, height, width, thousandths, timestep):
        self.height, self.width, self.thousandths = height, width, thousandths
        # The bits of the timestep as a 32-bit number.
        self.seed = struct.unpack("<I", struct.pack("<f", timestep))[0]

    def groups(self, x):
        """For each kept token of one sample, in order, the tokens whose mean it becomes."""
        count = x.shape[0]
        chosen = destinations(self.height, self.width, self.seed)
        others = sorted(set(range(count)) - set(chosen))
        merged = count - max(len(chosen), count - count * self.thousandths // 1000)
        unit = x / x.norm(dim=1, keepdim=True)
        groups = {token: [token] for token in range(count)}
        if others:
            best, nearest = (unit[others] @ unit[chosen].T).max(dim=1)
            for index in best.argsort(descending=True, stable=True)[:merged].tolist():
                del groups[others[index]]
                groups[chosen[nearest[index]]].append(others[index])
        return [groups[token] for token in sorted(groups)]


def forward(block, merging, hidden_states, encoder_hidden_states, **_):
    """BasicTransformerBlock as Stable Diffusion has it, with merging where the tokens are a whole picture's."""
    normal = block.norm1(hidden_states)
    if hidden_states.shape[1] == merging.height * merging.width:
        results = []
        for x, y in zip(hidden_states, normal):
            groups = merging.groups(x)
            means = torch.stack([y[group].mean(dim=0) for group in groups])
            attended = block.attn1(means[None])[0]
            result = torch.empty_like(y)
            for group, row in zip(groups, attended):
                result[group] = row
            results.append(result)
        hidden_states = hidden_states + torch.stack(results)
    else:
        hidden_states = hidden_states + block.attn1(normal)
    hidden_states = hidden_states + block.attn2(
        block.norm2(hidden_states), encoder_hidden_states=encoder_hidden_states)
    return hidden_states + block.ff(block.norm3(hidden_states))


unet = UNet2DConditionModel.from_pretrained(repository, subfolder="unet").float().eval()


def run(thousandths, timestep, sample, states):
    merging = Merging(sample.shape[2], sample.shape[3], thousandths, timestep)
    for module in unet.modules():
        if isinstance(module, BasicTransformerBlock):
            module.forward = (
                lambda hidden_states, encoder_hidden_states=None, *, block=module, **rest: forward(
                    block, merging, hidden_states, encoder_hidden_states))
    with torch.no_grad():
        return unet(sample, timestep, states).sample.contiguous()


golden = load_file(repository + "/golden/unet.safetensors")
odd = load_file(odd_sizes)
tensors = {}
for thousandths in (250, 500, 750):
    for timestep in (0, 321):
        tensors[f"out_{thousandths}_{timestep}"] = run(
            thousandths, timestep, golden["sample"], golden["encoder_hidden_states"])
    tensors[f"odd_{thousandths}"] = run(thousandths, 700, odd["sample"], odd["states"])
save_file(tensors, output)
