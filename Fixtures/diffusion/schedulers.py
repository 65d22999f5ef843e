"""Golden traces of diffusers' schedulers (0.42.1, float32): schedulers.py OUTPUT_DIRECTORY

Every case feeds the same random model outputs to a scheduler and records the latents.

schedulers.json         the cases: name, scheduler, steps, eta, config
schedulers.safetensors  sample [16] and model_outputs [64, 16], the inputs of all cases, and for each case
                        <name>/timesteps [evaluations], <name>/trace [evaluations + 1, 16] (the first is sample times
                        init_noise_sigma) and <name>/input [evaluations, 16] (what scale_model_input gave)

Noise comes from torch.Generator().manual_seed(42), one tensor of shape [1, 1, 4, 4] per step that draws.
"""
import inspect, json, sys
import torch, diffusers
from safetensors.torch import save_file

SD = {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
      "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False}
CLASSES = {"pndm": "PNDMScheduler", "ddim": "DDIMScheduler", "lms": "LMSDiscreteScheduler", "ddpm": "DDPMScheduler", "euler": "EulerDiscreteScheduler",
           "euler-a": "EulerAncestralDiscreteScheduler", "heun": "HeunDiscreteScheduler", "dpmpp-2m": "DPMSolverMultistepScheduler",
           "unipc": "UniPCMultistepScheduler", "lcm": "LCMScheduler"}
TRAINED = [0.001 * (1 + i % 7) for i in range(100)]

# name: scheduler, steps, changes to SD, eta
CASES = {f"{s}-{n}": (s, n, {}, 0) for s in CLASSES for n in (1, 2, 7, 8, 20)}
CASES |= {f"{s}-velocity": (s, 8, {"prediction_type": "v_prediction"}, 0) for s in CLASSES}
CASES |= {f"{s}-{p}": (s, 7, {"timestep_spacing": p}, 0) for s in CLASSES if s != "lcm" for p in ("linspace", "leading", "trailing")}
CASES |= {f"{s}-linear": (s, 8, {"beta_schedule": "linear"}, 0) for s in CLASSES}
CASES |= {f"{s}-cosine": (s, 8, {"beta_schedule": "squaredcos_cap_v2"}, 0) for s in CLASSES}
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
CASES |= {f"{s}-karras": (s, 8, {"use_karras_sigmas": True}, 0) for s in ("euler", "heun", "dpmpp-2m", "unipc")}
CASES |= {f"{s}-exponential": (s, 8, {"use_exponential_sigmas": True}, 0) for s in ("euler", "heun", "dpmpp-2m", "unipc")}
CASES |= {f"{s}-sample": (s, 8, {"prediction_type": "sample"}, 0) for s in ("ddpm", "euler", "heun", "dpmpp-2m", "unipc", "lcm")}
CASES |= {f"{s}-zero-snr": (s, 8, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0) for s in ("ddpm", "euler", "euler-a", "dpmpp-2m", "unipc")}


generator = torch.Generator().manual_seed(1)
sample = torch.randn(1, 1, 4, 4, generator=generator)
outputs = torch.randn(64, 1, 1, 4, 4, generator=generator)
tensors, table = {"sample": sample.flatten(), "model_outputs": outputs.reshape(64, 16)}, []
for name, (kind, steps, changes, eta) in CASES.items():
    config = {} if changes is None else SD | changes
    scheduler = getattr(diffusers, CLASSES[kind]).from_config(config)
    scheduler.set_timesteps(steps)
    # Otherwise the first of two equal timesteps is skipped.
    if hasattr(scheduler, "set_begin_index"): scheduler.set_begin_index(0)
    extra = {}
    if "generator" in inspect.signature(scheduler.step).parameters: extra["generator"] = torch.Generator().manual_seed(42)
    if kind == "ddim": extra["eta"] = eta
    x = sample * scheduler.init_noise_sigma
    trace, inputs = [x], []
    for t, e in zip(scheduler.timesteps, outputs):
        inputs.append(scheduler.scale_model_input(x, t))
        x = scheduler.step(e, t, x, **extra, return_dict=False)[0]
        trace.append(x)
    assert torch.cat(trace).isfinite().all(), name
    tensors |= {f"{name}/timesteps": scheduler.timesteps.float(), f"{name}/trace": torch.cat(trace).reshape(-1, 16), f"{name}/input": torch.cat(inputs).reshape(-1, 16)}
    table.append({"name": name, "scheduler": kind, "steps": steps, "eta": eta, "config": config})
save_file(tensors, f"{sys.argv[1]}/schedulers.safetensors")
open(f"{sys.argv[1]}/schedulers.json", "w").write("[\n" + ",\n".join(map(json.dumps, table)) + "\n]\n")
