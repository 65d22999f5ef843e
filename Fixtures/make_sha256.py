"""SHA-256 of every tensor of the embedded model's weights, as torch and safetensors read them.

    python3 Fixtures/make_sha256.py   (torch 2.15, safetensors 0.8)

Writes Fixtures/shapes-v2-sha256.json: {file: {tensor: [dtype, shape, SHA-256 of the contiguous values]}}.
"""
import hashlib, json, os
import torch
from safetensors.torch import load_file

here = os.path.dirname(os.path.abspath(__file__))
names = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}
result = {}
for path in ("text_encoder/pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors"):
    full = f"{here}/shapes-v2/{path}"
    tensors = load_file(full) if path.endswith(".safetensors") else torch.load(full, weights_only=True)
    result[path] = {name: [names[t.dtype], list(t.shape), hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()] for name, t in tensors.items()}
with open(f"{here}/shapes-v2-sha256.json", "w") as f:
    json.dump(result, f, indent=0)
    f.write("\n")
