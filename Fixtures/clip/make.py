"""Makes a small random CLIP and what transformers computes with it.

    OMP_NUM_THREADS=1 python Fixtures/clip/make.py [FOLDER [SEED]]     (default: the folder of this script, 5)

With another seed the model is of the form from before transformers 4.31: `eos_token_id` is 2, so that the largest id ends a
text, the two models have plain GELU, and the weights are in pytorch_model.bin.

Written with transformers 5.23 and torch 2.15 on the CPU, with Pillow's resampling. The vocabulary has CLIP's form: bytes,
bytes at the end of a word, and a few merges.
"""
import json
import os
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
model_path = f"{out}/model"
os.makedirs(model_path, exist_ok=True)
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 5
is_old = seed != 5
activation = "gelu" if is_old else "quick_gelu"
torch.manual_seed(seed)

alphabet = [c for c in range(33, 127)] + [c for c in range(161, 173)] + [c for c in range(174, 256)]
letters = [chr(c) for c in alphabet]
letters += [chr(256 + n) for n in range(256 - len(alphabet))]
merges = [("r", "e"), ("re", "d</w>"), ("b", "l"), ("u", "e</w>"), ("bl", "ue</w>"), ("c", "i"), ("ci", "r")]
words = letters + [c + "</w>" for c in letters] + [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
vocabulary = {word: number for number, word in enumerate(words)}
with open(f"{model_path}/vocab.json", "w") as file: json.dump(vocabulary, file)
with open(f"{model_path}/merges.txt", "w") as file:
    file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
settings = dict(
    tokenizer_class="CLIPTokenizer", bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
    unk_token="<|endoftext|>", model_max_length=24)
with open(f"{model_path}/tokenizer_config.json", "w") as file: json.dump(settings, file, indent=2)
tokenizer = CLIPTokenizer.from_pretrained(model_path)

# Heads of 8 channels, which no shape tells; the two models differ in every size.
configuration = CLIPConfig(
    text_config=dict(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=2 if is_old else vocabulary["<|endoftext|>"], hidden_act=activation),
    vision_config=dict(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=32, patch_size=8,
        hidden_act=activation),
    projection_dim=12)
model = CLIPModel(configuration).eval()
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.dim() > 0: parameter.add_(torch.randn_like(parameter) * 0.15)
model.logit_scale.data.fill_(2.6592)
model.save_pretrained(model_path)
if is_old:
    os.remove(f"{model_path}/model.safetensors")
    torch.save(model.state_dict(), f"{model_path}/pytorch_model.bin")
processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
processor.save_pretrained(model_path)

random = np.random.default_rng(3)
names = ["wide", "tall", "small"]
for name, (width, height) in zip(names, [(61, 40), (37, 70), (20, 20)]):
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (3 + n) + columns / (5 + 2 * n) + 7 * random.random()) for n in range(3)]
    pixels = np.stack(waves, 2) * 90 + 128 + random.normal(0, 12, (height, width, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"{out}/{name}.png")
texts = ["a red circle", "blue", "Two words, and much more than fits into the text encoder's positions", ""]
with torch.no_grad():
    pixels = processor(images=[Image.open(f"{out}/{n}.png") for n in names], return_tensors="pt").pixel_values
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    result = model(**tokens, pixel_values=pixels)
save_file(
    {
        "pixel_values": pixels.contiguous(), "image_embeds": result.image_embeds, "text_embeds": result.text_embeds,
        "logits_per_image": result.logits_per_image.contiguous(),
        "probabilities": result.logits_per_image.softmax(1).contiguous()}, f"{out}/expected.safetensors")
with open(f"{out}/expected.json", "w") as file:
    json.dump(dict(texts=texts, pictures=[f"{n}.png" for n in names], parameters=sum(p.numel() for p in model.parameters())), file, indent=2)
for folder, _, files in os.walk(out):
    for name in files: os.chmod(f"{folder}/{name}", 0o644)
