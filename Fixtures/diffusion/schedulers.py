"""Golden traces of diffusers' schedulers (0.42.1, float32): schedulers.py OUTPUT_DIRECTORY

Every case feeds the same random model outputs to a scheduler and records the latents.

schedulers.json         the cases: name, scheduler, steps, eta, config, and where they are not null sigmas (noise levels to
                        take instead of the scheduler's), spacing (the name of those levels) and strength (begun late, as
                        image-to-image does)
schedulers.safetensors  sample [16] and model_outputs [64, 16], the inputs of all cases, and for each case
                        <name>/timesteps [evaluations], <name>/trace [evaluations + 1, 16] (the first is sample times
                        init_noise_sigma, or with a strength sample with the last of model_outputs as noise) and
                        <name>/input [evaluations, 16] (what scale_model_input gave)

Noise comes from torch.Generator().manual_seed(42), one tensor of shape [1, 1, 4, 4] per step that draws. DPMSolverSDEScheduler
takes a Brownian motion from the torchsde package; here it takes one that two such tensors make for each step.
The classes of kdiffusion.py compute in float64.
"""
import inspect, json, sys
import numpy, torch
from brownian import Brownian, diffusers
from classes import CLASSES
from kdiffusion import LEVELS
from safetensors.torch import save_file

SD = {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
      "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False}
TRAINED = [0.001 * (1 + i % 7) for i in range(100)]

# name: scheduler, steps, changes to SD, eta
CASES = {f"{s}-{n}": (s, n, {}, 0) for s in CLASSES for n in (1, 2, 7, 8, 20)}
CASES |= {f"{s}-velocity": (s, 8, {"prediction_type": "v_prediction"}, 0) for s in CLASSES}
CASES |= {f"{s}-{p}": (s, 7, {"timestep_spacing": p}, 0) for s in CLASSES if s not in ("lcm", "tcd", "dpmpp-2s") for p in ("linspace", "leading", "trailing")}
CASES |= {f"{s}-linear": (s, 8, {"beta_schedule": "linear"}, 0) for s in CLASSES}
CASES |= {f"{s}-cosine": (s, 8, {"beta_schedule": "squaredcos_cap_v2"}, 0) for s in CLASSES if s != "dpm2-a"}  # it takes the root of a negative number
CASES |= {f"{s}-trained": (s, 8, {"trained_betas": TRAINED, "num_train_timesteps": 100}, 0) for s in ("pndm", "ddim", "lms", "unipc")}
CASES |= {f"{s}-alpha-one": (s, 8, {"set_alpha_to_one": True}, 0) for s in ("pndm", "ddim")}
CASES |= {f"{s}-defaults": (s, 8, None, 0) for s in CLASSES}
CASES |= {
    "pndm-runge-kutta-8": ("pndm", 8, {"skip_prk_steps": False}, 0), "pndm-runge-kutta-4": ("pndm", 4, {"skip_prk_steps": False}, 0),
    "pndm-runge-kutta-velocity": ("pndm", 7, {"skip_prk_steps": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0),
    "ddim-eta": ("ddim", 8, {}, 0.5), "ddim-eta-one": ("ddim", 20, {}, 1.0), "ddim-sample": ("ddim", 8, {"prediction_type": "sample"}, 0),
    "ddim-clip": ("ddim", 8, {"clip_sample": True}, 0), "ddim-clip-range": ("ddim", 8, {"clip_sample": True, "clip_sample_range": 0.5}, 0.3),
    "ddim-zero-snr": ("ddim", 8, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0),
    "lms-sample": ("lms", 8, {"prediction_type": "sample"}, 0), "lms-karras": ("lms", 8, {"use_karras_sigmas": True}, 0),
    "lms-exponential": ("lms", 20, {"use_exponential_sigmas": True}, 0),
    "ddpm-clip": ("ddpm", 8, {"clip_sample": True}, 0), "ddpm-large": ("ddpm", 8, {"variance_type": "fixed_large"}, 0), "ddpm-log": ("ddpm", 8, {"variance_type": "fixed_small_log"}, 0),
    "heun-clip": ("heun", 8, {"clip_sample": True}, 0), "lcm-4": ("lcm", 4, {}, 0), "lcm-scaling": ("lcm", 6, {"timestep_scaling": 0.01, "original_inference_steps": 25}, 0),
    "dpmpp-2m-heun": ("dpmpp-2m", 20, {"solver_type": "heun"}, 0), "dpmpp-2m-third": ("dpmpp-2m", 20, {"solver_order": 3}, 0), "dpmpp-2m-third-short": ("dpmpp-2m", 8, {"solver_order": 3}, 0),
    "dpmpp-2m-first": ("dpmpp-2m", 8, {"solver_order": 1}, 0), "dpmpp-2m-euler": ("dpmpp-2m", 20, {"euler_at_final": True, "final_sigmas_type": "sigma_min"}, 0),
    "dpmpp-2m-full": ("dpmpp-2m", 8, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, 0), "dpmpp-2m-cosine-karras": ("dpmpp-2m", 8, {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}, 0),
    "unipc-third": ("unipc", 8, {"solver_order": 3}, 0), "unipc-first": ("unipc", 8, {"solver_order": 1}, 0), "unipc-bh1": ("unipc", 8, {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}, 0),
    "unipc-uncorrected": ("unipc", 8, {"disable_corrector": [0, 3]}, 0), "unipc-full": ("unipc", 8, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, 0),
    "unipc-karras-end": ("unipc", 8, {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, 0), "euler-end": ("euler", 8, {"final_sigmas_type": "sigma_min"}, 0),
}
CASES |= {f"{s}-karras": (s, 8, {"use_karras_sigmas": True}, 0) for s in ("euler", "heun", "dpmpp-2m", "unipc", "dpm2", "dpm2-a", "dpmpp-2m-sde", "dpmpp-2s", "dpmpp-sde")}
CASES |= {f"{s}-exponential": (s, 8, {"use_exponential_sigmas": True}, 0) for s in ("euler", "heun", "dpmpp-2m", "unipc", "dpm2", "dpm2-a", "dpmpp-2m-sde", "dpmpp-2s", "dpmpp-sde")}
CASES |= {f"{s}-sample": (s, 8, {"prediction_type": "sample"}, 0) for s in ("ddpm", "euler", "heun", "dpmpp-2m", "unipc", "lcm", "dpmpp-2m-sde", "dpmpp-2s", "tcd")}
CASES |= {f"{s}-zero-snr": (s, 8, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0) for s in ("ddpm", "euler", "euler-a", "dpmpp-2m", "unipc", "dpmpp-2m-sde", "tcd")}
CASES |= {
    "dpmpp-2m-sde-heun": ("dpmpp-2m-sde", 20, {"solver_type": "heun"}, 0), "dpmpp-2m-sde-third": ("dpmpp-2m-sde", 20, {"solver_order": 3}, 0),
    "dpmpp-2m-sde-full": ("dpmpp-2m-sde", 8, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, 0),
    "dpmpp-2s-heun": ("dpmpp-2s", 8, {"solver_type": "heun"}, 0), "dpmpp-2s-first": ("dpmpp-2s", 8, {"solver_order": 1}, 0), "dpmpp-2s-full": ("dpmpp-2s", 8, {"final_sigmas_type": "sigma_min"}, 0),
    "dpmpp-2s-lower": ("dpmpp-2s", 8, {"lower_order_final": True, "final_sigmas_type": "sigma_min"}, 0), "dpmpp-2s-odd": ("dpmpp-2s", 7, {"final_sigmas_type": "sigma_min"}, 0),
    "dpmpp-2s-cosine-karras": ("dpmpp-2s", 8, {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}, 0),
    "tcd-4": ("tcd", 4, {}, 0), "tcd-none": ("tcd", 8, {}, None), "tcd-one": ("tcd", 8, {}, 1.0), "tcd-alpha": ("tcd", 8, {"set_alpha_to_one": False, "original_inference_steps": 25}, 0.5),
    "deis-third": ("deis", 20, {"solver_order": 3}, 0), "deis-third-short": ("deis", 8, {"solver_order": 3}, 0), "deis-first": ("deis", 8, {"solver_order": 1}, 0),
    "deis-full": ("deis", 8, {"lower_order_final": False}, 0), "deis-cosine-karras": ("deis", 8, {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}, 0),
    "deis-karras-20": ("deis", 20, {"use_karras_sigmas": True}, 0),
}
NEW = ("dpmpp-2s-a", "dpmpp-3m-sde", "deis")
CASES |= {f"{s}-{p}": (s, 8, {f"use_{p}_sigmas": True}, 0) for s in NEW for p in ("karras", "exponential")}
CASES |= {f"{s}-sample": (s, 8, {"prediction_type": "sample"}, 0) for s in NEW}
CASES |= {f"{s}-zero-snr": (s, 8, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0) for s in NEW[:2]}
# Noise levels given one by one: named spacings and a list.
AYS = [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582]
SIGMAS = {f"{s}-ays-{n}": numpy.exp(numpy.interp(numpy.linspace(0, 10, n + 1), range(11), numpy.log(AYS)))[:-1].tolist()
          for s in ("lms", "euler", "euler-a", "heun", "dpmpp-2m", "unipc") for n in (7, 10)}
SIGMAS |= {f"{s}-list": [12.5, 7.0, 3.0, 1.5, 0.7, 0.2] for s in ("euler", "dpmpp-2m", "dpmpp-2m-sde")}
SPACINGS = {name: "ays" for name in SIGMAS if "-ays-" in name}
TRAINING = diffusers.EulerDiscreteScheduler.from_config(SD).alphas_cumprod
TRAINING = (((1 - TRAINING) / TRAINING) ** 0.5).numpy()
for s in ("euler", "euler-a", "heun", "dpmpp-2m", "unipc", "dpmpp-2s-a", "dpmpp-3m-sde", "deis"):
    for p, levels in LEVELS.items():
        for n in (1, 8, 20): SIGMAS[f"{s}-{p}-{n}"], SPACINGS[f"{s}-{p}-{n}"] = levels(TRAINING, n), p
CASES |= {name: (name.removesuffix("-list") if name not in SPACINGS else name.rsplit("-", 2)[0], len(levels), {}, 0) for name, levels in SIGMAS.items()}
# Begun late, as image-to-image does.
STRENGTHS = {f"{s}-late-{int(100 * p)}": p for s in CLASSES for p in (0.3, 0.6, 0.95, 1.0)}
CASES |= {name: (name.split("-late")[0], 10, {}, 0) for name in STRENGTHS}


generator = torch.Generator().manual_seed(1)
sample = torch.randn(1, 1, 4, 4, generator=generator)
outputs = torch.randn(64, 1, 1, 4, 4, generator=generator)

tensors, table = {"sample": sample.flatten(), "model_outputs": outputs.reshape(64, 16)}, []
for name, (kind, steps, changes, eta) in CASES.items():
    config = {} if changes is None else SD | changes
    if kind == "dpmpp-2m-sde": config["algorithm_type"] = "sde-dpmsolver++"
    if kind == "tcd": eta = 0.3 if eta == 0 else eta or 0
    scheduler = getattr(diffusers, CLASSES[kind]).from_config(config)
    sigmas, strength = SIGMAS.get(name), STRENGTHS.get(name)
    takes = kind in ("euler", "dpmpp-2s-a", "dpmpp-3m-sde")
    if sigmas and takes: scheduler.set_timesteps(sigmas=sigmas + [0])
    else: scheduler.set_timesteps(steps)
    if sigmas and not takes:
        training = numpy.log(numpy.array(((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5))
        log = numpy.log(sigmas)
        times = numpy.interp(log, training, numpy.arange(1000))
        levels = torch.tensor(sigmas + [TRAINING[0] if kind == "deis" else 0])
        if kind in ("dpmpp-2m", "dpmpp-2m-sde", "unipc", "deis"): times = times.round()
        if kind == "heun":
            levels, times = torch.cat([levels[:1], levels[1:-1].repeat_interleave(2), levels[-1:]]), numpy.concatenate([times[:1], times[1:].repeat(2)])
        scheduler.sigmas, scheduler.timesteps = levels, torch.from_numpy(times).float()
    # Otherwise the first of two equal timesteps is skipped.
    start = (steps - min(int(steps * strength), steps)) * scheduler.order if strength else 0
    if hasattr(scheduler, "set_begin_index"): scheduler.set_begin_index(start)
    if kind == "dpmpp-sde": scheduler.noise_sampler = Brownian(torch.Generator().manual_seed(42), (1, 1, 4, 4))
    extra = {}
    if "generator" in inspect.signature(scheduler.step).parameters: extra["generator"] = torch.Generator().manual_seed(42)
    if kind in ("ddim", "tcd"): extra["eta"] = eta
    timesteps = scheduler.timesteps[start:]
    x = scheduler.add_noise(sample, outputs[-1], timesteps[:1]) if strength else sample * scheduler.init_noise_sigma
    trace, inputs = [x], []
    for t, e in zip(timesteps, outputs):
        inputs.append(scheduler.scale_model_input(x, t))
        x = scheduler.step(e, t, x, **extra, return_dict=False)[0]
        trace.append(x)
    assert torch.cat(trace).isfinite().all(), name
    tensors |= {f"{name}/timesteps": timesteps.float(), f"{name}/trace": torch.cat(trace).reshape(-1, 16), f"{name}/input": torch.cat(inputs).reshape(-1, 16)}
    table.append({"name": name, "scheduler": kind, "steps": steps, "eta": eta, "config": config, **{key: value for key, value in {"sigmas": sigmas, "spacing": SPACINGS.get(name), "strength": strength}.items() if value}})
save_file(tensors, f"{sys.argv[1]}/schedulers.safetensors")
open(f"{sys.argv[1]}/schedulers.json", "w").write("[\n" + ",\n".join(map(json.dumps, table)) + "\n]\n")
