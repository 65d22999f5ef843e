"""Golden latents of the embedded model's pipeline with every scheduler: PYTHONPATH=../shared/oracle latents.py REPOSITORY OUTPUT_DIRECTORY

diffusers 0.42.1 and transformers, float32; one picture of 64x64, seed 11, guidance 4, 8 and 20 steps.
latents.json         the cases: name, scheduler, and where they are not the default eta, sigmas, spacing, prk
latents.safetensors  <name>-<steps> [1, 4, 8, 8], the latents after the last step
"""
import inspect, json, sys
import numpy, torch
import reference
from brownian import Brownian, diffusers
from classes import CLASSES
from kdiffusion import LEVELS
from safetensors.torch import save_file

repository, out = sys.argv[1:3]
AYS = [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582]
CASES = [{"name": s, "scheduler": s} for s in CLASSES]
CASES += [{"name": "pndm-prk", "scheduler": "pndm", "prk": True}, {"name": "ddim-eta", "scheduler": "ddim", "eta": 0.7}, {"name": "tcd-one", "scheduler": "tcd", "eta": 1.0}]
CASES += [{"name": f"{s}-karras", "scheduler": s, "sigmas": "karras"} for s in ("lms", "euler", "heun", "dpm2", "dpm2-a", "dpmpp-2m", "dpmpp-2m-sde", "dpmpp-2s", "dpmpp-sde", "unipc", "deis", "dpmpp-2s-a")]
CASES += [{"name": f"{s}-exponential", "scheduler": s, "sigmas": "exponential"} for s in ("euler", "dpmpp-2m", "dpmpp-3m-sde")]
CASES += [{"name": "euler-ays", "scheduler": "euler", "sigmas": "ays"}]
CASES += [{"name": f"{s}-{p}", "scheduler": s, "sigmas": p} for s in ("euler", "dpmpp-2s-a", "dpmpp-3m-sde") for p in LEVELS]
CASES += [{"name": f"{s}-{p}", "scheduler": s, "spacing": p} for s in ("ddim", "euler", "dpmpp-2m") for p in ("leading", "linspace", "trailing")]

published = {k: v for k, v in json.load(open(f"{repository}/scheduler/scheduler_config.json")).items() if not k.startswith("_")}
tokenizer, text, unet, vae = reference.load(repository)
tensors = {}
with torch.no_grad():
    hidden = text(reference.ids(tokenizer, ["a green square", "a red circle on a blue background"]))[0]
    for case in CASES:
        kind, config = case["scheduler"], dict(published)
        if "prk" in case: config["skip_prk_steps"] = False
        if "spacing" in case: config["timestep_spacing"] = case["spacing"]
        if case.get("sigmas") in ("karras", "exponential"): config[f"use_{case['sigmas']}_sigmas"] = True
        if kind == "dpmpp-2m-sde": config["algorithm_type"] = "sde-dpmsolver++"
        for steps in (8, 20):
            scheduler = getattr(diffusers, CLASSES[kind]).from_config(config)
            if case.get("sigmas") == "ays":
                scheduler.set_timesteps(sigmas=numpy.exp(numpy.interp(numpy.linspace(0, 10, steps + 1), range(11), numpy.log(AYS)))[:-1].tolist() + [0])
            elif case.get("sigmas") in LEVELS:
                training = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5
                scheduler.set_timesteps(sigmas=LEVELS[case["sigmas"]](training.numpy(), steps) + [0])
            else: scheduler.set_timesteps(steps)
            generator = torch.Generator().manual_seed(11)
            x = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
            if kind == "dpmpp-sde": scheduler.noise_sampler = Brownian(generator, x.shape)
            extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
            if "eta" in case: extra["eta"] = case["eta"]
            for t in scheduler.timesteps:
                negative, positive = unet(scheduler.scale_model_input(torch.cat([x] * 2), t), t, hidden, return_dict=False)[0].chunk(2)
                x = scheduler.step(negative + 4 * (positive - negative), t, x, **extra, return_dict=False)[0]
            tensors[f"{case['name']}-{steps}"] = x.float().contiguous()
save_file(tensors, f"{out}/latents.safetensors")
open(f"{out}/latents.json", "w").write("[\n" + ",\n".join(map(json.dumps, CASES)) + "\n]\n")
