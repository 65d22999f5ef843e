"""Makes residuals.safetensors: what diffusers' UNet gives when a ControlNet's residuals are added.

    python3 residuals.py ../../../Fixtures/shapes-v2 residuals.safetensors

Made with diffusers 0.42.1 and torch 2.15.0 in float32. The inputs are those of the golden
unet.safetensors at timestep 500; the residuals are `residual(index, shape)` below, which the check
computes too, so that only the result is stored.
"""
import sys

import numpy as np


def residual(index, shape):
    """Deterministic values of about the size of a skip connection's."""
    count = int(np.prod(shape))
    return (0.5 * np.sin(0.37 * np.arange(count) + index)).astype(np.float32).reshape(shape)


def main(model, output):
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.numpy import load_file, save_file

    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=torch.float32)
    golden = load_file(f"{model}/golden/unet.safetensors")
    sample = torch.from_numpy(golden["sample"])
    shapes = []
    # One skip connection for conv_in, each layer and each downsampler.
    channels, (height, width) = unet.config.block_out_channels, sample.shape[2:]
    shapes.append((channels[0], height, width))
    for level, count in enumerate(channels):
        shapes += [(count, height, width)] * unet.config.layers_per_block
        if level < len(channels) - 1:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((count, height, width))
    shapes.append((channels[-1], height, width))
    residuals = [
        torch.from_numpy(residual(index, (sample.shape[0], *shape)))
        for index, shape in enumerate(shapes)]
    with torch.no_grad():
        result = unet(
            sample, 500, torch.from_numpy(golden["encoder_hidden_states"]),
            down_block_additional_residuals=tuple(residuals[:-1]),
            mid_block_additional_residual=residuals[-1]).sample
    save_file({"out_500": result.numpy()}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
