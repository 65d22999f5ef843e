"""Run the pipeline code of docs/tensorrt.py, with ONNX Runtime in the place of TensorRT's engines.

    python3 check_pipeline.py DIRECTORY --repository REPOSITORY [--minimum 45]

DIRECTORY is an export of REPOSITORY with `--timestep vector`, perhaps with `--controlnet-inputs`.
diffusers' own pipeline, the one whose UNet alone was replaced, and the one without networks of its
own must draw the same picture. Its timing code is run once for each.

Needs onnxruntime; skipped without diffusers, torch and transformers. Exits 1 where the pictures
differ.
"""
import argparse
import os
import re
import sys

import numpy as np
import onnxruntime

try:
    import torch
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

import layout
import models

PAGE = os.path.join(os.path.dirname(__file__), "../../../docs/tensorrt.py")


class Engine:
    """What the page's Engine is, on the CPU."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, **values):
        feeds = {}
        for value in self.session.get_inputs():
            array = np.asarray(values[value.name], models.TYPES[value.type])
            assert array.ndim == len(value.shape), f"{value.name} has {array.ndim} dimensions"
            feeds[value.name] = array
        names = [output.name for output in self.session.get_outputs()]
        results = zip(names, self.session.run(names, feeds))
        return {name: torch.from_numpy(result) for name, result in results}


def load(repository):
    # The files, since the class that model_index.json may name is gone from transformers.
    tokenizer = CLIPTokenizer(
        f"{repository}/tokenizer/vocab.json", f"{repository}/tokenizer/merges.txt",
        model_max_length=77, pad_token="<|endoftext|>")
    return StableDiffusionPipeline.from_pretrained(
        repository, tokenizer=tokenizer, torch_dtype=torch.float32, safety_checker=None,
        feature_extractor=None)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directory")
    arguments.add_argument("--repository", required=True)
    arguments.add_argument("--minimum", type=float, default=45)
    arguments = arguments.parse_args()
    pipe = load(arguments.repository)
    pipe.set_progress_bar_config(disable=True)
    page = {}
    with open(PAGE) as file:
        pieces = re.split(r"^# \[(.+)\]\n", file.read(), flags=re.M)
    parts = dict(zip(pieces[1::2], pieces[2::2]))
    for name in ["pipeline", "timing"]:
        exec(compile(parts[name], PAGE, "exec"), page)

    size = 8 * pipe.unet.config.sample_size
    call = dict(
        prompt="a red circle on a blue background", num_inference_steps=5, guidance_scale=5.0,
        output_type="np", height=size, width=size)
    expected = pipe(generator=torch.Generator().manual_seed(7), **call).images[0]
    engines = [
        Engine(layout.find(arguments.directory, name))
        for name in ["text_encoder", "unet", "vae_decoder"]]
    residuals = [i for i in engines[1].session.get_inputs() if "residual" in i.name]
    text_encoder, unet, vae_decoder = engines
    passed = True
    for title, replaced in [
        ("the UNet replaced", {}),
        ("all replaced", {"text_encoder": text_encoder, "vae_decoder": vae_decoder}),
    ]:
        pipe = page["use_engines"](pipe, unet, **replaced, dtype=torch.float32, device="cpu")
        if residuals:
            add_residuals(pipe.unet, residuals)
        found = pipe(generator=torch.Generator().manual_seed(7), **call).images[0]
        error = np.mean((found - expected) ** 2)
        ratio = np.inf if error == 0 else -10 * np.log10(error)
        seconds = page["seconds_per_image"](pipe, runs=1, height=size, width=size)
        passed = passed and ratio >= arguments.minimum and seconds > 0
        print(
            f"{'ok  ' if ratio >= arguments.minimum else 'FAIL'} the page's pipeline, {title}:"
            f" {ratio:.1f} dB from diffusers', {seconds:.2f} s per image")
    sys.exit(not passed)


def add_residuals(unet, inputs):
    """Calls the UNet as a ControlNet's pipeline does, with residuals of zero."""
    forward = unet.forward

    def with_residuals(sample, *rest, **others):
        sizes = {"batch_size": len(sample), "height": sample.shape[2], "width": sample.shape[3]}
        shapes = [
            [models.evaluate(size, sizes) for size in value.shape] for value in inputs]
        zeros = [torch.zeros(shape) for shape in shapes]
        return forward(
            sample, *rest, **others, down_block_additional_residuals=zeros[:-1],
            mid_block_additional_residual=zeros[-1])

    unet.forward = with_residuals


if __name__ == "__main__":
    main()
