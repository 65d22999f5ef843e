"""Samplers and spacings of noise levels that diffusers lacks, in float64, from the formulas of their publications.

DPMPP2SAncestral and DPMPP3MSDE are k-diffusion's sample_dpmpp_2s_ancestral and sample_dpmpp_3m_sde (eta 1, r 1/2), with
the interface of a diffusers scheduler. Noise levels are those of EulerDiscreteScheduler and DPMSolverMultistepScheduler,
latents in variance-exploding form. LEVELS has ComfyUI's simple_scheduler, normal_scheduler with sgm, and beta_scheduler: from the sigmas of training and
the number of steps to the sigmas of the steps, without the 0 after the last.
"""
import numpy, scipy.stats, torch
import diffusers


def simple(training, steps): return [float(training[-1 - int(i * (len(training) / steps))]) for i in range(steps)]


def sgm_uniform(training, steps):
    positions = numpy.linspace(len(training) - 1, 0, steps + 1)[:-1]
    return numpy.exp(numpy.interp(positions, numpy.arange(len(training)), numpy.log(training))).tolist()


def beta(training, steps):
    quantiles = scipy.stats.beta.ppf(1 - numpy.linspace(0, 1, steps, endpoint=False), 0.6, 0.6)
    return [float(training[int(i)]) for i in numpy.rint(quantiles * (len(training) - 1))]


LEVELS = {"simple": simple, "sgm_uniform": sgm_uniform, "beta": beta}


class Exploding:
    """Latents are x = clean + sigma · noise; each evaluation has one of self.sigmas."""
    order, source = 1, diffusers.EulerDiscreteScheduler

    def __init__(self, config): self.noise, self.start, self.position = self.source.from_config(config), 0, 0

    @classmethod
    def from_config(cls, config): return cls(config)

    alphas_cumprod, betas = property(lambda self: self.noise.alphas_cumprod), property(lambda self: self.noise.betas)
    init_noise_sigma = property(lambda self: self.levels[0])

    def set_timesteps(self, steps=None, sigmas=None):
        if sigmas is None: self.noise.set_timesteps(steps)
        self.levels = [float(s) for s in self.noise.sigmas] if sigmas is None else sigmas
        self.lay(self.noise.timesteps if sigmas is None else self.near(sigmas[:-1]))

    def near(self, sigmas):
        """The timesteps with these sigmas, which may be fractional."""
        training = ((1 - self.alphas_cumprod.double()) / self.alphas_cumprod.double()).sqrt().log().numpy()
        return torch.from_numpy(numpy.interp(numpy.log(sigmas), training, numpy.arange(len(training))))

    def lay(self, timesteps): self.sigmas, self.timesteps = torch.tensor(self.levels), timesteps

    def set_begin_index(self, index): self.start = self.position = index

    def scale_model_input(self, x, timestep): return (x.double() / (float(self.sigmas[self.position]) ** 2 + 1) ** 0.5).float()

    def add_noise(self, clean, noise, timesteps): return (clean.double() + float(self.sigmas[self.start]) * noise.double()).float()

    def clean(self, output, x):
        sigma, kind = float(self.sigmas[self.position]), self.noise.config.prediction_type
        if kind == "epsilon": return x - sigma * output
        if kind == "v_prediction": return x / (sigma ** 2 + 1) - sigma / (sigma ** 2 + 1) ** 0.5 * output
        return output

    def step(self, output, timestep, x, generator=None, return_dict=True):
        draw = lambda: torch.randn(x.shape, generator=generator).double()
        result = self.advance(self.clean(output.double(), x.double()), x.double(), draw)
        self.position += 1
        return result.float(),


class DPMPP2SAncestral(Exploding):
    order = 2
    init_noise_sigma = property(lambda self: (max(self.levels) ** 2 + (self.noise.config.timestep_spacing == "leading")) ** 0.5)

    def lay(self, timesteps):
        self.sigmas, self.timesteps = self.levels[:1], [float(timesteps[0])]
        for sigma, following, timestep in zip(self.levels, self.levels[1:-1], timesteps[1:]):
            middle = (sigma * self.parts(sigma, following)[0]) ** 0.5
            assert abs(middle / following - 1) < 1e-9  # with eta 1, so the timestep is that of the next step
            self.sigmas += [middle, following]
            self.timesteps += [float(timestep)] * 2
        self.sigmas, self.timesteps = torch.tensor(self.sigmas + [0.0], dtype=torch.float64), torch.tensor(self.timesteps)

    @staticmethod
    def parts(sigma, following):
        """The sigma that a step goes down to, and that of the noise which it adds then."""
        up = (following ** 2 * (sigma ** 2 - following ** 2) / sigma ** 2) ** 0.5
        return (following ** 2 - up ** 2) ** 0.5, up

    def advance(self, clean, x, draw):
        sigma, following = self.levels[self.position // 2:][:2]
        if following == 0: return x + (x - clean) / sigma * (following - sigma)
        down, up = self.parts(sigma, following)
        length = numpy.log(sigma) - numpy.log(down)
        if self.position % 2 == 0:
            self.saved = x
            return numpy.exp(-length / 2) * x - numpy.expm1(-length / 2) * clean
        return numpy.exp(-length) * self.saved - numpy.expm1(-length) * clean + up * draw()


class DPMPP3MSDE(Exploding):
    source = diffusers.DPMSolverMultistepScheduler

    def __init__(self, config):
        super().__init__(config | {"final_sigmas_type": "zero"})
        self.cleans, self.lengths = [], []

    def near(self, sigmas): return super().near(sigmas).round()

    def advance(self, clean, x, draw):
        sigma, following = self.levels[self.position:][:2]
        if following == 0: return clean
        length = numpy.log(sigma) - numpy.log(following)
        double = 2 * length
        result = numpy.exp(-double) * x - numpy.expm1(-double) * clean
        phi = numpy.expm1(-double) / double + 1
        if self.cleans:
            ratio = self.lengths[0] / length
            first = (clean - self.cleans[0]) / ratio
            if len(self.cleans) == 1: result = result + phi * first
            else:
                earlier = self.lengths[1] / length
                second = (self.cleans[0] - self.cleans[1]) / earlier
                slope = first + (first - second) * ratio / (ratio + earlier)
                curve = (first - second) / (ratio + earlier)
                result = result + phi * slope - (phi / double - 0.5) * curve
        self.cleans, self.lengths = [clean] + self.cleans[:1], [length] + self.lengths[:1]
        return result + following * (-numpy.expm1(-double)) ** 0.5 * draw()


diffusers.DPMPP2SAncestral, diffusers.DPMPP3MSDE = DPMPP2SAncestral, DPMPP3MSDE
