"""Golden latents and pictures of requests unlike those of shapes-v2/golden: PYTHONPATH=../shared/oracle pipeline.py REPOSITORY OUTPUT_DIRECTORY

pipeline.json         the requests
pipeline.safetensors  <name>/latents [1, 4, h, w] after the last step, <name>/image [1, 3, 8h, 8w]
"""
import json, sys
import reference
from safetensors.torch import save_file

repository, out = sys.argv[1:3]
REQUESTS = [
    {"name": "wide", "prompt": "a large yellow star on a purple background", "negative": "a green square", "seed": 7, "steps": 4, "guidance": 3, "scheduler": "ddim", "width": 136, "height": 72},
    {"name": "unguided", "prompt": "a white moon", "negative": "never read", "seed": 4294967297, "steps": 5, "guidance": 1, "scheduler": "pndm", "width": 64, "height": 64},
    {"name": "truncated", "prompt": "a red circle and a blue triangle, " * 15, "negative": "", "seed": 0, "steps": 3, "guidance": 7.5, "scheduler": "lms", "width": 64, "height": 96},
]
parts, tensors = reference.load(repository), {}
for r in REQUESTS:
    image, trace, _ = reference.generate(parts, reference.scheduler(repository, r["scheduler"]), r["prompt"], r["negative"], r["seed"], r["steps"], r["guidance"], r["width"], r["height"])
    tensors |= {f"{r['name']}/latents": trace[-1].contiguous(), f"{r['name']}/image": image.contiguous()}
save_file(tensors, f"{out}/pipeline.safetensors")
open(f"{out}/pipeline.json", "w").write("[\n" + ",\n".join(map(json.dumps, REQUESTS)) + "\n]\n")
