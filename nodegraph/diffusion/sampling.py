"""A whole run: noise, schedule, guidance, mask and sampler put together.

run = sample(net, model.sampling, latent, positive, negative, seed=7, steps=20, cfg=7.0)
last = None
for last in ctx.track(run, total=len(run), preview=lambda step: step.x0):
    pass
latent = run.finish(last)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.guidance import Denoiser, Guidance, Net, make_denoiser
from nodegraph.diffusion.guidance import cfg as plain_cfg
from nodegraph.diffusion.noise import NoiseSource, Variation
from nodegraph.diffusion.predictions import ModelSampling
from nodegraph.diffusion.regions import resize_mask
from nodegraph.diffusion.samplers import SAMPLERS, SamplerSpec, Step
from nodegraph.diffusion.schedules import sigmas_for
from nodegraph.errors import InputRefused


@dataclass(frozen=True, eq=False)
class Run:
    """A run that is ready to start. Iterating it does the work, each time from the beginning.

    latent: (B, C, h, w) float32 in model space, on the device of the model
    noise: initial noise like latent, zeros where none is added
    mask: (B, 1, h, w), 1 where the latent is to change, or None
    """

    denoise: Denoiser
    sampling: ModelSampling
    sampler: SamplerSpec
    sigmas: Tensor
    latent: Tensor
    noise: Tensor
    source: NoiseSource
    mask: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return max(len(self.sigmas) - 1, 0)

    def __iter__(self) -> Iterator[Step]:
        if len(self) == 0:
            return iter(())
        x = self.sampling.start(self.latent, self.noise, float(self.sigmas[0]))
        denoise = self.denoise if self.mask is None else masked(self.denoise, self.sampling, self.latent, self._mask_noise(), self.mask)
        options = dict(self.options)
        if self.sampling.is_flow and "flow_start" in self.sampler.options:
            options.setdefault("flow_start", self.sampling.schedule.percent_to_sigma(1e-4))
        return self.sampler.function(denoise, x, self.sigmas, noise=self.source, flow=self.sampling.is_flow, **options)

    def result(self) -> Tensor:
        """Run to the end without looking on."""
        last = None
        for step in self:
            last = step
        return self.finish(last)

    def finish(self, last: Step | None) -> Tensor:
        """The latent of the run, in model space, from its last step; the given latent if there was no step.

        A finished run leaves every pixel where the mask is 0 exactly as it was.
        """
        if last is None:
            return self.latent
        x = self.sampling.finish(last.x, last.sigma_next)
        complete = last.index == last.total - 1 and bool(self.sigmas[-1] == 0)
        if self.mask is None or not complete:
            return x
        return torch.where(self.mask == 0, self.latent, x)

    def _mask_noise(self) -> Tensor:
        if self.sampler.fresh_mask_noise:
            return self.source.reseeded(1).initial(self.latent.shape).to(self.latent)
        return self.noise


def masked(denoise: Denoiser, sampling: ModelSampling, latent: Tensor, noise: Tensor, mask: Tensor) -> Denoiser:
    """Denoise inside a mask only: what lies outside is set to the noised latent before each call and to the latent after it."""

    def inside(x: Tensor, sigma: Tensor) -> Tensor:
        outside = sampling.add_noise(latent, noise, sigma)
        x0 = denoise(x * mask + outside * (1 - mask), sigma)
        return x0 * mask + latent * (1 - mask)

    return inside


def sample(
    net: Net,
    sampling: ModelSampling,
    latent: Tensor,
    positive: Sequence[Prompt],
    negative: Sequence[Prompt],
    *,
    seed: int,
    steps: int = 20,
    cfg: float = 7.0,
    sampler: str = "euler",
    schedule: str = "normal",
    denoise: float = 1.0,
    sigmas: Tensor | None = None,
    mask: Tensor | None = None,
    batch_index: Sequence[int] | None = None,
    batch_size: int | None = None,
    variation: Variation | None = None,
    start_step: int | None = None,
    end_step: int | None = None,
    add_noise: bool = True,
    leftover_noise: bool = False,
    guidance: Guidance = plain_cfg,
    max_rows: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Prepare a run; iterate the result for its steps and give the last one to `finish`.

    latent: (B, C, h, w) in model space, on the device to work on; zeros for a picture from nothing
    denoise: the share of the schedule that is run, 1 from pure noise
    sigmas: given instead of `steps`, `schedule` and `denoise`
    mask: 1 where to change, 0 where to keep; any size, resized bilinearly
    batch_index, batch_size: which rows of a batch of which size these are, see `NoiseSource`
    variation: another seed that the noise is led towards
    start_step, end_step: run this part of the sigmas only; add_noise=False continues a run that left noise in
    leftover_noise: keep the noise that the sigmas before `end_step` leave; else the last step goes to 0
    options: of the sampler, see its `SamplerSpec`
    """
    spec = sampler_named(sampler)
    if sigmas is None:
        sigmas = sigmas_for(sampling, schedule, steps, denoise, drop_penultimate=spec.drop_penultimate)
    latent = latent.float()
    source = NoiseSource(seed, None if batch_index is None else tuple(batch_index), batch_size, variation)
    return Run(
        denoise=make_denoiser(net, sampling, positive, negative, cfg, guidance=guidance, max_rows=max_rows),
        sampling=sampling,
        sampler=spec,
        sigmas=cut(sigmas.float().cpu(), start_step, end_step, leftover_noise),
        latent=latent,
        noise=source.initial(latent.shape).to(latent) if add_noise else torch.zeros_like(latent),
        source=source,
        mask=None if mask is None else resize_mask(mask, latent),
        options=checked_options(spec, options or {}),
    )


def cut(sigmas: Tensor, start: int | None, end: int | None, leftover_noise: bool) -> Tensor:
    """The sigmas of steps start..end - 1; empty if there are none. Without leftover noise the last one becomes 0."""
    if min(start or 0, end or 0) < 0:
        raise InputRefused(f"start_step is {start} and end_step {end}, they must be 0 or more")
    if end is not None and end < len(sigmas) - 1:
        sigmas = sigmas[: end + 1].clone()
        if not leftover_noise:
            sigmas[-1] = 0.0
    if start is not None:
        sigmas = sigmas[start:]
    return sigmas if len(sigmas) > 1 else sigmas[:0]


def sampler_named(name: str) -> SamplerSpec:
    if name not in SAMPLERS:
        raise InputRefused(f"sampler is {name!r}, known are {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def checked_options(spec: SamplerSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(spec.options))
    if unknown:
        raise InputRefused(f"sampler {spec.name!r} has no option {', '.join(unknown)}; it has {', '.join(spec.options) or 'none'}")
    return dict(options)
