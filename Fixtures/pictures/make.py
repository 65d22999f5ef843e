"""Pictures to read, and what Pillow and diffusers make of them: PYTHONPATH=../shared/oracle make.py REPOSITORY OUTPUT_DIRECTORY

source.jpg, source.png     a photograph-like picture of 96x80, and others of the same: see FILES
pictures.safetensors       <file> U8 [h, w, 3] as Pillow reads it, turned upright; <w>x<h> the PNG resized with LANCZOS
drawn.json                 requests with a picture to start from
drawn.safetensors          <name>/latents [1, 4, h, w] after the last step, <name>/image U8 [8h, 8w, 3], by diffusers' pipelines
exif.jpg                   a comment as the web UI writes it, through piexif's layout: UNICODE, big-endian
"""
import json, sys
import numpy as np, torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
import reference

repository, out = sys.argv[1:3]
y, x = np.mgrid[0:80, 0:96].astype(float)
rgb = np.stack([127 + 90 * np.sin(x / 9) * np.cos(y / 13), 40 + 2 * x, 200 - 1.5 * y + 30 * ((x // 16 + y // 16) % 2)], -1)
picture = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
deep = np.zeros((80, 96), np.uint16); deep[:] = (y * 800 + x * 7).astype(np.uint16)
exif = Image.Exif(); exif[0x0112] = 6
comment = "a red circle\nNegative prompt: é 日本\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 96x80"
tagged = Image.Exif(); tagged.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + comment.encode("utf-16-be")
palette = picture.quantize(16)
alpha = picture.convert("RGBA"); alpha.putalpha(Image.fromarray((x * 2).astype(np.uint8)))
FILES = {
    "source.png": lambda p: picture.save(p), "source.jpg": lambda p: picture.save(p, quality=85), "progressive.jpg": lambda p: picture.save(p, quality=70, progressive=True),
    "grey.jpg": lambda p: picture.convert("L").save(p), "grey.png": lambda p: picture.convert("L").save(p), "palette.png": lambda p: palette.save(p), "alpha.png": lambda p: alpha.save(p),
    "bilevel.png": lambda p: picture.convert("1").save(p), "deep.png": lambda p: Image.fromarray(deep).save(p), "turned.png": lambda p: picture.save(p, exif=exif),
    "lossless.webp": lambda p: picture.save(p, lossless=True), "lossy.webp": lambda p: picture.save(p, quality=80), "exif.jpg": lambda p: picture.save(p, exif=tagged),
    "exif.webp": lambda p: picture.save(p, lossless=True, exif=tagged),
}
tensors = {}
for orientation in range(2, 9):
    def turned(path, orientation=orientation):
        e = Image.Exif(); e[0x0112] = orientation; picture.crop((0, 0, 40, 24)).save(path, exif=e, quality=95, subsampling=0)
    FILES[f"turned{orientation}.jpg"] = turned
for name, save in FILES.items():
    save(f"{out}/{name}"); image = ImageOps.exif_transpose(Image.open(f"{out}/{name}"))
    if image.mode.startswith("I"): image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    tensors[name] = torch.from_numpy(np.asarray(image.convert("RGB")).copy())
for w, h in ((64, 64), (40, 120), (200, 80), (96, 33), (7, 5), (128, 128)):
    tensors[f"{w}x{h}"] = torch.from_numpy(np.asarray(picture.resize((w, h), Image.LANCZOS)).copy())
save_file(tensors, f"{out}/pictures.safetensors")

# A mask with a soft edge: its middle is repainted.
mask = Image.fromarray((255 * np.exp(-(((x - 60) / 25) ** 2 + ((y - 30) / 22) ** 4))).astype(np.uint8)); mask.save(f"{out}/mask.png")
tok, text, unet, vae = reference.load(repository)


def pipeline(cls, name):
    # The pipelines take a text encoder only through embeddings here, so that the tokenizer's loading is the reference's.
    return cls(vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=reference.scheduler(repository, name), safety_checker=None, feature_extractor=None, requires_safety_checker=False)


@torch.no_grad()
def draw(r):
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
    hidden = text(reference.ids(tok, [r["prompt"], ""]))[0]
    pipe = pipeline(StableDiffusionInpaintPipeline if r["mask"] else StableDiffusionImg2ImgPipeline, r["scheduler"]); pipe.set_progress_bar_config(disable=True)
    kept = {}
    def keep(_, i, t, values): kept["latents"] = values["latents"]; return values
    extra = dict(mask_image=mask, width=r["width"], height=r["height"]) if r["mask"] else {}
    image = pipe(image=picture if r["mask"] else picture.resize((r["width"], r["height"]), Image.LANCZOS), prompt_embeds=hidden[:1], negative_prompt_embeds=hidden[1:], strength=r["strength"], num_inference_steps=r["steps"], guidance_scale=r["guidance"], eta=r.get("eta", 0.0),
        generator=torch.Generator().manual_seed(r["seed"]), output_type="pt", callback_on_step_end=keep, **extra).images
    return kept["latents"], image


REQUESTS = [{"name": f"{kind}-{s}", "prompt": "a yellow star on a blue background", "seed": 11 + i, "steps": 10, "guidance": 3, "scheduler": s, "strength": strength, "mask": kind != "initial", "width": w, "height": h}
    for i, s in enumerate(("pndm", "ddim", "lms", "euler", "euler-a", "heun", "dpmpp-2m", "unipc", "lcm")) for kind, strength, (w, h) in (("initial", 0.6, (128, 104)), ("masked", 0.8, (96, 80)))]
REQUESTS += [{"name": "whole-euler", "prompt": "a red heart", "seed": 5, "steps": 8, "guidance": 1, "scheduler": "euler", "strength": 1.0, "mask": True, "width": 96, "height": 80},
    {"name": "whole-initial", "prompt": "a red heart", "seed": 5, "steps": 8, "guidance": 4, "scheduler": "ddim", "strength": 1.0, "mask": False, "width": 96, "height": 80}]
tensors = {}
for r in REQUESTS:
    latents, image = draw(r); tensors |= {f"{r['name']}/latents": latents.contiguous(), f"{r['name']}/image": (image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).contiguous()}
save_file(tensors, f"{out}/drawn.safetensors")
open(f"{out}/drawn.json", "w").write("[\n" + ",\n".join(map(json.dumps, REQUESTS)) + "\n]\n")
