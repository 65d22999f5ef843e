"""The diffusers class of each scheduler, by the scheduler's name here; those without one have a class of kdiffusion.py."""
import kdiffusion

CLASSES = {
    "pndm": "PNDMScheduler",
    "ddim": "DDIMScheduler",
    "lms": "LMSDiscreteScheduler",
    "ddpm": "DDPMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp-2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
    "dpm2": "KDPM2DiscreteScheduler",
    "dpm2-a": "KDPM2AncestralDiscreteScheduler",
    "dpmpp-2m-sde": "DPMSolverMultistepScheduler",
    "dpmpp-3m-sde": "DPMPP3MSDE",
    "dpmpp-2s": "DPMSolverSinglestepScheduler",
    "dpmpp-2s-a": "DPMPP2SAncestral",
    "dpmpp-sde": "DPMSolverSDEScheduler",
    "deis": "DEISMultistepScheduler",
    "tcd": "TCDScheduler",
}
