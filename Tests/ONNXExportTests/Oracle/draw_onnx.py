"""Draw a picture with exported models in ONNX Runtime, and compare it with another.

    python3 draw_onnx.py DIRECTORY --repository REPOSITORY [--scheduler ddim|pndm] [--steps 20]
        [--guidance 3] [--size 16] [-o FILE.png] [--compare FILE.png] [--minimum 45]

DIRECTORY holds all of text_encoder, unet and vae_decoder. The prompt is the first of the embedded
model's golden tokens, the negative prompt is empty, and the first latents are numpy's, or those of
the golden trace where the size is theirs. Schedulers are written out below after Song et al. 2021
(DDIM) and Liu et al. 2022 (PNDM), with Stable Diffusion's settings. With --compare, the peak
signal-to-noise ratio of the 8-bit pictures must be at least --minimum decibels.

Needs numpy, onnxruntime, pillow and safetensors. Exits 1 where the pictures differ more.
"""
import argparse
import json
import os
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import layout
import models

GOLDEN = os.path.join(os.path.dirname(__file__), "../../../Fixtures/shapes-v2/golden")


class Schedule:
    """The noise that is left at each timestep, and the timesteps of a number of steps."""

    def __init__(self, repository, steps):
        with open(f"{repository}/scheduler/scheduler_config.json") as file:
            config = json.load(file)
        assert config["beta_schedule"] == "scaled_linear" and not config["set_alpha_to_one"]
        self.count = config["num_train_timesteps"]
        roots = np.linspace(
            config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, self.count)
        self.kept = np.cumprod(1 - roots ** 2)
        self.stride = self.count // steps
        self.timesteps = np.arange(steps)[::-1] * self.stride + config["steps_offset"]

    def share(self, timestep):
        """How much of the picture's variance is kept; at the end, what the first timestep keeps."""
        return self.kept[timestep] if timestep >= 0 else self.kept[0]


def ddim(schedule, latents, noise_at):
    for timestep in schedule.timesteps:
        noise = noise_at(latents, timestep)
        now, then = schedule.share(timestep), schedule.share(timestep - schedule.stride)
        picture = (latents - (1 - now) ** 0.5 * noise) / now ** 0.5
        latents = then ** 0.5 * picture + (1 - then) ** 0.5 * noise
    return latents


def pndm(schedule, latents, noise_at):
    """Linear multistep; the first step is done twice, the second time with the mean of two."""

    def transfer(latents, noise, start, end):
        now, then = schedule.share(start), schedule.share(end)
        scale = now * (1 - then) ** 0.5 + (now * (1 - now) * then) ** 0.5
        return (then / now) ** 0.5 * latents - (then - now) * noise / scale

    first = schedule.timesteps[0]
    history = [noise_at(latents, first)]
    guess = transfer(latents, history[0], first, first - schedule.stride)
    mean = (history[0] + noise_at(guess, first - schedule.stride)) / 2
    latents = transfer(latents, mean, first, first - schedule.stride)
    weights = {2: [3, -1], 3: [23, -16, 5], 4: [55, -59, 37, -9]}
    for timestep in schedule.timesteps[1:]:
        history = [noise_at(latents, timestep), *history[:3]]
        factors = weights[len(history)]
        noise = sum(f * n for f, n in zip(factors, history)) / sum(factors)
        latents = transfer(latents, noise, timestep, timestep - schedule.stride)
    return latents


def draw(directory, repository, scheduler, steps, guidance, size):
    def model(name):
        return models.Runner(layout.find(directory, name))

    with open(f"{GOLDEN}/tokens.json") as file:
        ids = {entry["prompt"]: entry["ids"] for entry in json.load(file)}
    prompts = [ids[""], next(iter(ids.values()))]
    encoder = model("text_encoder")
    if encoder.takes(prompts):
        hidden = encoder(prompts)[0]
    else:
        hidden = np.concatenate([encoder([prompt])[0] for prompt in prompts])
    unet = model("unet")

    def noise_at(latents, timestep):
        plain, guided = unet(np.concatenate([latents] * 2), timestep, hidden)[0].astype(np.float64)
        return (plain + guidance * (guided - plain))[None]

    trace = load_file(f"{GOLDEN}/{scheduler}.safetensors")["trace"][:1]
    if trace.shape[2] != size:
        trace = np.random.default_rng(42).standard_normal((1, 4, size, size))
    start = trace.astype(np.float64)
    latents = {"ddim": ddim, "pndm": pndm}[scheduler](Schedule(repository, steps), start, noise_at)
    with open(f"{repository}/vae/config.json") as file:
        scale = json.load(file).get("scaling_factor", 0.18215)
    picture = model("vae_decoder")(latents / scale)[0][0]
    return np.round((picture.transpose(1, 2, 0) / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directory")
    arguments.add_argument("--repository", required=True)
    arguments.add_argument("--scheduler", choices=["ddim", "pndm"], default="ddim")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--guidance", type=float, default=3)
    arguments.add_argument("--size", type=int, default=16)
    arguments.add_argument("-o", dest="output")
    arguments.add_argument("--compare")
    arguments.add_argument("--minimum", type=float, default=45)
    arguments = arguments.parse_args()
    picture = draw(
        arguments.directory, arguments.repository, arguments.scheduler, arguments.steps,
        arguments.guidance, arguments.size)
    if arguments.output:
        Image.fromarray(picture).save(arguments.output)
    if arguments.compare:
        other = np.asarray(Image.open(arguments.compare).convert("RGB"))
        error = np.mean((picture.astype(float) - other) ** 2)
        ratio = np.inf if error == 0 else 10 * np.log10(255 ** 2 / error)
        passed = ratio >= arguments.minimum
        print(f"{'ok  ' if passed else 'FAIL'} {ratio:.1f} dB from {arguments.compare}")
        sys.exit(not passed)


if __name__ == "__main__":
    main()
