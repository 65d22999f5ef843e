"""Golden hidden states of weighted prompts, and the textual inversions that some of them hold: PYTHONPATH=../shared/oracle prompts.py REPOSITORY OUTPUT_DIRECTORY

transformers 5, float64, by the web UI's rules, written out here by hand: each case is what one chunk after the other holds.
prompts.json               the cases: name, prompt, and where they are not the default emphasis, clip_skip, embedding
prompts.safetensors        <name> [n]: every 61st of the hidden states [77 * chunks, width]; long/latents [1, 4, 8, 8]: four steps of
                           DDIM with guidance 4 from seed 3, the prompt of the case long and an empty one; edited/latents, the same
                           with "a red circle" for two steps and "a large blue square" for two
embedding.safetensors      three random vectors as the web UI writes them (emb_params); as .pt (string_to_param) and .bin
                           (as diffusers does, called <star>) the same vectors
"""
import json, sys
import torch
import reference
from brownian import diffusers
from safetensors.torch import save_file

repository, out = sys.argv[1:3]
tokenizer, text, unet, vae = reference.load(repository)
# In float64: the means of weighted states nearly cancel, so that float32 loses four digits in "long".
text, unet = text.double(), unet.double()
model = getattr(text, "text_model", text)
width = text.config.hidden_size
vectors = 0.02 * torch.randn(3, width, generator=torch.Generator().manual_seed(5))
STAR = object()
START, END = 49406, 49407


def states(chunks, emphasis="original", clip_skip=1):
    """chunks: lists of (text or STAR, weight)"""
    result = []
    for parts in chunks:
        ids, weights, places = [START], [1.0], []
        for words, weight in parts:
            new = [0, 0, 0] if words is STAR else tokenizer(words, add_special_tokens=False).input_ids
            if words is STAR: places.append(len(ids))
            ids += new; weights += [weight] * len(new)
        assert len(ids) <= 76
        weights += [1.0] * (77 - len(ids)); ids += [END] * (77 - len(ids))
        embedding = model.embeddings.token_embedding
        def replace(module, inputs, output):
            output = output.clone()
            for place in places: output[0, place:place + 3] = vectors.double()
            return output
        hook = embedding.register_forward_hook(replace)
        output = text(torch.tensor([ids]), output_hidden_states=True)
        hook.remove()
        z = output.last_hidden_state if clip_skip == 1 else model.final_layer_norm(output.hidden_states[-clip_skip])
        mean = z.mean()
        if emphasis != "ignore": z = z * torch.tensor(weights).double()[None, :, None]
        if emphasis == "original" and set(weights) != {1.0}: z = z * (mean / z.mean())
        result.append(z[0])
    return torch.cat(result)


LONG = "a red circle and a blue star, " * 10 + "a (large:1.3) yellow moon BREAK on a [green] background"
CASES = [
    ({"name": "plain", "prompt": "a red circle on a blue background"}, [[("a red circle on a blue background", 1)]]),
    ({"name": "weights", "prompt": "a (red:1.5) circle on a ((blue)) [background]"}, [[("a ", 1), ("red", 1.5), (" circle on a ", 1), ("blue", 1.21), (" ", 1), ("background", 1 / 1.1)]]),
    ({"name": "no-norm", "prompt": "a (red:1.5) circle", "emphasis": "no-norm"}, [[("a ", 1), ("red", 1.5), (" circle", 1)]]),
    ({"name": "ignore", "prompt": "a (red:1.5) circle", "emphasis": "ignore"}, [[("a red circle", 1)]]),
    ({"name": "none", "prompt": "a (red:1.5) circle", "emphasis": "none"}, [[("a (red:1.5) circle", 1)]]),
    ({"name": "negative-weight", "prompt": "a (red:-0.7) circle"}, [[("a ", 1), ("red", -0.7), (" circle", 1)]]),
    ({"name": "skip-2", "prompt": "a red circle", "clip_skip": 2}, [[("a red circle", 1)]]),
    ({"name": "skip-3", "prompt": "a (red:1.2) circle", "clip_skip": 3}, [[("a ", 1), ("red", 1.2), (" circle", 1)]]),
    ({"name": "break", "prompt": "a red circle BREAK a blue background"}, [[("a red circle", 1)], [("a blue background", 1)]]),
    ({"name": "star", "prompt": "a (<star>:1.2), red", "embedding": True}, [[("a ", 1), (STAR, 1.2), (", red", 1)]]),
    # Eight tokens nine times, and three: the comma is the last but three, behind which the second chunk begins.
    ({"name": "long", "prompt": LONG}, [[("a red circle and a blue star, " * 9, 1)], [("a red circle and a blue star, a ", 1), ("large", 1.3), (" yellow moon", 1)], [("on a ", 1), ("green", 1 / 1.1), (" background", 1)]]),
]
with torch.no_grad():
    tensors = {case["name"]: states(chunks, case.get("emphasis", "original"), case.get("clip_skip", 1)).flatten()[::61].contiguous() for case, chunks in CASES}
    long = torch.stack([states([[], [], []]), states(CASES[-1][1])])
    first, second = (torch.stack([states([[]]), states([[(words, 1)]])]) for words in ("a red circle", "a large blue square"))
    for name, prompts in {"long": [long] * 4, "edited": [first, first, second, second]}.items():
        scheduler = reference.scheduler(repository, "ddim"); scheduler.set_timesteps(4)
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)).double()
        for t, hidden in zip(scheduler.timesteps, prompts):
            negative, positive = unet(torch.cat([x] * 2), t, hidden, return_dict=False)[0].chunk(2)
            x = scheduler.step(negative + 4 * (positive - negative), t, x, return_dict=False)[0]
        tensors[f"{name}/latents"] = x
save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, f"{out}/prompts.safetensors")
save_file({"emb_params": vectors}, f"{out}/embedding.safetensors")
torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "star", "step": 9, "sd_checkpoint": None}, f"{out}/embedding.pt")
torch.save({"<star>": vectors}, f"{out}/embedding.bin")
open(f"{out}/prompts.json", "w").write("[\n" + ",\n".join(json.dumps(case) for case, _ in CASES) + "\n]\n")
