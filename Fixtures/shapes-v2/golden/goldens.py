"""Golden numbers of a repository from the reference pipeline: goldens.py REPOSITORY OUT GUIDANCE. float32, torch CPU.

tokens.json          prompts and their 77 token ids
text.safetensors     ids I64 [n,77] -> last_hidden_state F32 [n,77,C]
unet.safetensors     sample [2,4,h,w], encoder_hidden_states [2,77,C], timesteps I64 [k] -> out_t [2,4,h,w] for each timestep t
vae.safetensors      latent [1,4,h,w] (already divided by the scaling factor) -> image [1,3,8h,8w]; picture [1,3,8h,8w] -> moments [1,8,h,w] (mean, logvar)
noise.safetensors    torch.manual_seed(s) randn of several shapes, named seed_shape
<scheduler>.safetensors   prompt 0, seed 42, that guidance scale (3 for the committed files), 20 steps: trace [21 or 22,4,h,w] (noise first, then after each step), image [1,3,8h,8w]
<scheduler>.png      the same picture as 8-bit
"""
import json, os, sys
import torch
from safetensors.torch import save_file
import reference as r

PROMPTS = ["a red circle on a blue background", "a large yellow star on a purple background", "a blue triangle to the left of a red square on a gray background", "", "it's 3:30, naïve café — 日本語 🙂 <|endoftext|> ABC123", "a white moon above an orange diamond on a green background, " * 12]
repo, out, guidance = sys.argv[1], sys.argv[2], float(sys.argv[3]); os.makedirs(out, exist_ok=True); torch.manual_seed(1234)
parts = tok, text, unet, vae = r.load(repo); n = unet.config.sample_size
with torch.no_grad():
    ids = r.ids(tok, PROMPTS); json.dump([{"prompt": p, "ids": i.tolist()} for p, i in zip(PROMPTS, ids)], open(f"{out}/tokens.json", "w"), indent=0, ensure_ascii=False)
    hidden = text(ids)[0]; save_file({"ids": ids, "last_hidden_state": hidden.contiguous()}, f"{out}/text.safetensors")
    x = torch.randn(2, 4, n, n); e = hidden[:2].contiguous(); ts = [1, 321, 500, 981]
    d = {"sample": x, "encoder_hidden_states": e, "timesteps": torch.tensor(ts)}
    for t in ts: d[f"out_{t}"] = unet(x, t, e, return_dict=False)[0].contiguous()
    wide = torch.randn(1, 4, n // 2 + 8, n + 8); d["wide_sample"] = wide; d["wide_out_500"] = unet(wide, 500, e[:1], return_dict=False)[0].contiguous()
    save_file(d, f"{out}/unet.safetensors")
    z = torch.randn(1, 4, n, n); image, _, _ = r.generate(parts, r.scheduler(repo, "ddim"), PROMPTS[1], steps=20, guidance=guidance)
    picture = image.clamp(-1, 1); save_file({"latent": z, "image": vae.decode(z, return_dict=False)[0].contiguous(), "picture": picture.contiguous(), "moments": vae.encode(picture).latent_dist.parameters.contiguous()}, f"{out}/vae.safetensors")
    noise = {}
    for seed in (0, 42, 2**32 + 7):
        for shape in ((1, 4, n, n), (3, 5), (2, 4, 5, 7), (5,), (17,)):
            g = torch.Generator().manual_seed(seed); noise[f"{seed}_{'x'.join(map(str, shape))}"] = torch.randn(*shape, generator=g)
    save_file(noise, f"{out}/noise.safetensors")
    for name in ("pndm", "ddim", "lms", "ddpm", "euler", "euler-a", "heun", "dpmpp-2m", "dpmpp-2m-karras", "unipc", "lcm"):
        image, trace, _ = r.generate(parts, r.scheduler(repo, name), PROMPTS[0], seed=42, steps=20, guidance=guidance)
        save_file({"trace": torch.cat(trace).contiguous(), "image": image.contiguous()}, f"{out}/{name}.safetensors"); r.to_png(image, f"{out}/{name}.png")
import diffusers, transformers
json.dump({"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__, "command": " ".join(["python3", "goldens.py"] + sys.argv[1:])}, open(f"{out}/versions.json", "w"), indent=1)
