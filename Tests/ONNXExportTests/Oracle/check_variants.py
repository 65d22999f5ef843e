"""Compare exports of UNets of other shapes than SD v1.5's with diffusers.

    python3 check_variants.py SDINSPECT

Small UNets with random weights are made by diffusers: one for inpainting (nine channels go in),
one as SD 2 has it (linear projections, heads of one width, upcast attention), one of uneven widths
and depths. Each is exported by SDINSPECT at every opset in F32 and F16, copied and linked, and must
give diffusers' numbers in ONNX Runtime for an even and an odd size, for two pictures and 77 or 154
tokens: largest difference 1e-5 in F32 and 2e-2 in F16, on values near 1.

Needs torch and diffusers besides what check_onnx.py needs. Exits 1 if a comparison fails.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import UNet2DConditionModel

import models

SMALL = {
    "block_out_channels": (32, 64, 128, 128), "cross_attention_dim": 48, "norm_num_groups": 8,
    "attention_head_dim": 2, "sample_size": 16}
VARIANTS = {
    "inpainting": {"in_channels": 9},
    "second": {
        "use_linear_projection": True, "upcast_attention": True,
        "attention_head_dim": (1, 2, 4, 4)},
    "uneven": {
        "block_out_channels": (32, 96, 64), "layers_per_block": (1, 3, 2),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")},
}
failures = 0


def main():
    global failures
    sdinspect = sys.argv[1]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, fields in VARIANTS.items():
            unet = UNet2DConditionModel(**{**SMALL, **fields}).eval()
            repository = os.path.join(folder, name)
            unet.save_pretrained(os.path.join(repository, "unet"))
            cases = [
                (torch.randn(2, unet.config.in_channels, *size), torch.randn(2, tokens, 48))
                for size, tokens in [((16, 24), 77), ((9, 13), 154)]]
            with torch.no_grad():
                expected = [unet(sample, 481, hidden).sample.numpy() for sample, hidden in cases]
            for opset in (17, 21, 23):
                for dtype, limit in (("f32", 1e-5), ("f16", 2e-2)):
                    for weights in ("copy", "link"):
                        out = repository if weights == "link" else os.path.join(folder, "out")
                        subprocess.run(
                            [
                                sdinspect, "onnx", os.path.join(repository, "unet"), out, "--component", "unet",
                                "--opset", str(opset), "--dtype", dtype, "--weights", weights,
                                "--force"],
                            check=True, stdout=subprocess.DEVNULL)
                        run = models.Runner(os.path.join(out, "unet", "model.onnx"))
                        for (sample, hidden), wanted in zip(cases, expected):
                            found = run(sample.numpy(), 481, hidden.numpy())[0]
                            error = np.abs(found - wanted).max()
                            failures += not error <= limit
                            print(
                                "ok  " if error <= limit else "FAIL",
                                f"{name} {opset} {dtype} {weights} {sample.shape[2:]}: {error:.1e}",
                                flush=True)
    sys.exit(failures > 0)


main()
