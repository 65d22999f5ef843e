"""diffusers with its DPMSolverSDEScheduler, which wants the torchsde package, and the noise to give to it instead."""
import sys, types
import torch, diffusers
sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
from diffusers.schedulers.scheduling_dpmsolver_sde import DPMSolverSDEScheduler
diffusers.DPMSolverSDEScheduler = DPMSolverSDEScheduler


class Brownian:
    """Changes of a Brownian motion over the first half of a step and over the whole of it, divided by the root of their width."""

    def __init__(self, generator, shape): self.generator, self.shape, self.first = generator, shape, None

    def __call__(self, sigma, next_sigma):
        noise = torch.randn(self.shape, generator=self.generator)
        if self.first is None:
            self.first, self.middle = noise, next_sigma
            return noise
        change = self.first * (sigma - self.middle) ** 0.5 + noise * (self.middle - next_sigma) ** 0.5
        self.first = None
        return change / (sigma - next_sigma) ** 0.5
