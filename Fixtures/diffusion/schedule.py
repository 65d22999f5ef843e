"""Noise levels of every scheduler from diffusers 0.42.1: schedule.py REPOSITORY > schedule.json

Each case: scheduler, steps, config (what is added to the model's scheduler_config.json), and of the diffusers class
timesteps, alphas_cumprod and betas (each 37th of training) and, for classes that have them, sigmas without the last one.
Classes that keep sigmas in variance-exploding form are compared with them; the others with alphas_cumprod[timesteps].
"""
import json, sys
from brownian import diffusers
from classes import CLASSES

repository, = sys.argv[1:]
published = {k: v for k, v in json.load(open(f"{repository}/scheduler/scheduler_config.json")).items() if not k.startswith("_")}
VARIANTS = [{}, {"use_karras_sigmas": True}, {"timestep_spacing": "trailing"}, {"beta_schedule": "linear"}, {"beta_start": None, "beta_end": None}]
KARRAS = ("lms", "euler", "heun", "dpm2", "dpm2-a", "dpmpp-2m", "dpmpp-2m-sde", "dpmpp-2s", "dpmpp-sde", "unipc", "dpmpp-2s-a", "dpmpp-3m-sde", "deis")
SPACED = ("ddim", "euler", "dpmpp-2m", "lms")
rows = []
for name, kind in CLASSES.items():
    for variant in VARIANTS:
        if "use_karras_sigmas" in variant and name not in KARRAS: continue
        if "timestep_spacing" in variant and name not in SPACED: continue
        config = {k: v for k, v in (published | variant).items() if v is not None}
        if name == "dpmpp-2m-sde": config["algorithm_type"] = "sde-dpmsolver++"
        for steps in (7, 20):
            if name == "lcm" and steps > 50: continue
            scheduler = getattr(diffusers, kind).from_config(config)
            scheduler.set_timesteps(steps)
            row = {"scheduler": name, "steps": steps, "config": config, "timesteps": [float(t) for t in scheduler.timesteps],
                   "betas": [float(x) for x in scheduler.betas[::37]], "alphas_cumprod": [float(x) for x in scheduler.alphas_cumprod[::37]],
                   "initial": float(scheduler.init_noise_sigma)}
            if hasattr(scheduler, "sigmas"): row["sigmas"] = [float(s) for s in scheduler.sigmas[:len(scheduler.timesteps)]]
            else: row["alphas"] = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]
            rows.append(row)
print("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]")
