"""Samplers by name: from a denoiser and falling sigmas to a sequence of steps.

    sampler(denoise, x, sigmas, *, noise, flow=False, **options) -> Iterator[Step]

A sampler knows nothing of networks, text or guidance: all it has is a function `denoise(x (B, C, h, w), sigma (B,)) -> x0`.
sigmas is (n + 1,) float32 on the CPU; `flow` says that x = (1 - sigma) x0 + sigma n, where otherwise x = x0 + sigma n.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodegraph.diffusion import solvers_classic, solvers_dpm, solvers_ode, solvers_sde, solvers_unipc
from nodegraph.diffusion.steps import Denoiser, Step

__all__ = ["SAMPLERS", "Denoiser", "SamplerSpec", "Step"]

Sampler = Callable[..., Iterator[Step]]


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and what is to be known about it.

    order: formal order on the ODE as the steps shrink (for one that adds noise, with the noise off). A multistep method has to start with
        steps of lower order, which holds it to 2 in the limit of very many steps.
    stochastic: adds noise in its steps with its default options
    drop_penultimate: evaluates between sigmas, so the last positive sigma of a schedule is left out
    fresh_mask_noise: under a mask, the noise put back outside it comes from seed + 1 instead of being the initial noise (ComfyUI's ddim)
    """

    name: str
    function: Sampler
    order: int
    stochastic: bool = False
    drop_penultimate: bool = False
    fresh_mask_noise: bool = False

    @property
    def options(self) -> Mapping[str, Any]:
        """Keyword arguments and their defaults."""
        parameters = inspect.signature(self.function).parameters
        return {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name not in ("noise", "flow")}

    @property
    def doc(self) -> str:
        """Paper and equation, from the docstring's first line."""
        return (inspect.getdoc(self.function) or "").splitlines()[0]


_SPECS = (
    SamplerSpec("euler", solvers_ode.euler, 1),
    SamplerSpec("euler_ancestral", solvers_sde.euler_ancestral, 1, stochastic=True),
    SamplerSpec("heun", solvers_ode.heun, 2),
    SamplerSpec("heunpp2", solvers_ode.heunpp2, 1),
    SamplerSpec("dpm_2", solvers_ode.dpm_2, 2, drop_penultimate=True),
    SamplerSpec("dpm_2_ancestral", solvers_dpm.dpm_2_ancestral, 2, stochastic=True, drop_penultimate=True),
    SamplerSpec("lms", solvers_ode.lms, 4),
    SamplerSpec("dpm_fast", solvers_classic.dpm_fast, 3),
    SamplerSpec("dpm_adaptive", solvers_classic.dpm_adaptive, 3),
    SamplerSpec("dpmpp_2s_ancestral", solvers_dpm.dpmpp_2s_ancestral, 2, stochastic=True),
    SamplerSpec("dpmpp_sde", solvers_dpm.dpmpp_sde, 2, stochastic=True),
    SamplerSpec("dpmpp_2m", solvers_dpm.dpmpp_2m, 2),
    SamplerSpec("dpmpp_2m_sde", solvers_dpm.dpmpp_2m_sde, 2, stochastic=True),
    SamplerSpec("dpmpp_3m_sde", solvers_dpm.dpmpp_3m_sde, 3, stochastic=True),
    SamplerSpec("ddpm", solvers_sde.ddpm, 1, stochastic=True),
    SamplerSpec("lcm", solvers_sde.lcm, 1, stochastic=True),
    SamplerSpec("ipndm", solvers_ode.ipndm, 1),
    SamplerSpec("deis", solvers_ode.deis, 3),
    SamplerSpec("res_multistep", solvers_sde.res_multistep, 2),
    SamplerSpec("res_multistep_ancestral", solvers_sde.res_multistep_ancestral, 2, stochastic=True),
    SamplerSpec("gradient_estimation", solvers_ode.gradient_estimation, 1),
    SamplerSpec("er_sde", solvers_sde.er_sde, 3, stochastic=True),
    SamplerSpec("ddim", solvers_sde.ddim, 1, fresh_mask_noise=True),
    SamplerSpec("uni_pc", solvers_unipc.uni_pc, 3, drop_penultimate=True),
    SamplerSpec("uni_pc_bh2", solvers_unipc.uni_pc_bh2, 3, drop_penultimate=True),
)
SAMPLERS: Mapping[str, SamplerSpec] = {spec.name: spec for spec in _SPECS}
