"""Run a text encoder exported with one more embedding and the states of every layer against transformers.

    python3 text_graph.py MODEL.onnx TEXT_ENCODER

The additional embedding is twice that of token 7. Each output must be within 1e-5 (norm of the difference over norm of
the reference). Exits 1 if one is not.
"""
import sys

import numpy as np
import torch
from transformers import CLIPTextModel

import check_onnx
import models

path, folder = sys.argv[1:]
torch.set_grad_enabled(False)
text = CLIPTextModel.from_pretrained(folder).eval()
count = text.get_input_embeddings().weight.shape[0]
text.resize_token_embeddings(count + 1, mean_resizing=False)
table = text.get_input_embeddings().weight
table[count] = 2 * table[7]
ids = np.array([[49406, 320, 7, count, 1929, 49407], [49406, count, count, 5, 49407, 49407]])
states = text(torch.from_numpy(ids), output_hidden_states=True).hidden_states
norm = next(module for name, module in text.named_modules() if name.endswith("final_layer_norm"))

check_onnx.check_structure("text_encoder", path)
run = models.Runner(path)
layers = len(states) - 1
names = [f"hidden_state_{n}" for n in range(layers, 1, -1)] + ["last_hidden_state"]
check_onnx.check(run.outputs == names, f"outputs {', '.join(run.outputs)}")
for output, value, reference in zip(run.outputs, run(ids), states[1:]):
    reference = norm(reference).numpy()
    error = np.linalg.norm((value - reference).astype(np.float64)) / np.linalg.norm(reference)
    check_onnx.check(value.shape == reference.shape and error < 1e-5, f"{output}: relative error {error:.1e}")
sys.exit(check_onnx.failures > 0)
