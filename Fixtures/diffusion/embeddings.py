"""Textual inversions as other programs save them with torch: embeddings.py DIRECTORY (Fixtures/diffusion/embeddings)

a1111.pt as the web UI's trainer does, parameter_dict.pt as the original code did, with a ParameterDict,
two_tokens.bin as diffusers' scripts do for several tokens, sdxl.pt for the two text encoders of Stable Diffusion XL.
"""
import sys
import torch

out = sys.argv[1] + "/"
values = lambda *shape: (torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape) % 97 - 48) / 64
token = torch.tensor(265)
torch.save({"string_to_token": {"*": token}, "string_to_param": {"*": values(3, 64)}, "name": "mine", "step": 1500, "sd_checkpoint": None,
            "sd_checkpoint_name": None}, out + "a1111.pt")
torch.save({"string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(values(2, 64))})},
           out + "parameter_dict.pt")
torch.save({"<a>": values(2, 64), "<b>": values(64)}, out + "two_tokens.bin")
torch.save({"clip_g": values(2, 1280).half(), "clip_l": values(2, 768).half(), "name": "both", "step": 10}, out + "sdxl.pt")
