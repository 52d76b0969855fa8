"""From a picture to the noise that makes it: the deterministic sampler run backwards."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from nodegraph.diffusion.steps import Denoiser, Step, call, intervals, slope


def invert(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, flow: bool = False) -> Iterator[Step]:
    """DDIM inversion (Song et al. 2020, arXiv 2010.02502, sec. 4.3; Dhariwal & Nichol 2021, app. F).

    x: (B, C, h, w) clean latent in model space
    sigmas: (n + 1,) rising, the first 0 or small, as a schedule turned round
    The noise in x is predicted at the sigma that is gone to, as is usual, since at 0 there is none to predict. The round trip through
    `euler` is exact as the steps shrink. For prompts, use a guidance scale of 1: with more the two ways do not mirror each other.
    """
    for at in intervals(sigmas):
        ahead = x if flow else x * ((1 + at.sigma_next**2) / (1 + at.sigma**2)).sqrt()  # what the network sees keeps its scale
        x0 = call(denoise, ahead, at.sigma_next)
        x = x + slope(ahead, x0, at.sigma_next) * (at.sigma_next - at.sigma)
        yield at.step(x, x0)
