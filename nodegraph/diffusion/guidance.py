"""Classifier-free guidance: from prompts and a network to `denoise(x, sigma) -> x0`.

Every row of a model call has a name, "cond" or "uncond", and the prompt it was made from, so that no patch needs to know in which order
rows are stacked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from nodegraph.diffusion.entries import Prompt, fill_counterparts
from nodegraph.diffusion.predictions import ModelSampling
from nodegraph.diffusion.regions import Area, region_weight
from nodegraph.errors import InputRefused

Branch = Literal["cond", "uncond"]
Denoiser = Callable[[Tensor, Tensor], Tensor]

# Contexts of different lengths are repeated to a common length, but never to more than this many times the shortest.
MAX_REPEATS = 4


@dataclass(frozen=True, eq=False)
class NetCall:
    """One call of the network: N rows that share a size.

    x: (N, C, h, w) scaled for the network; t: (N,) its timestep; context: (N, L, D); pooled: (N, P) or None
    rows: N names; prompts: N entries, the one each row was made from; sigma: (N,) float32
    extras: more inputs by name, first axis N
    area: where x lies in the latent, None for all of it
    """

    x: Tensor
    t: Tensor
    context: Tensor
    pooled: Tensor | None
    rows: tuple[Branch, ...]
    prompts: tuple[Prompt, ...]
    sigma: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    area: Area | None = None

    def indices(self, branch: Branch) -> list[int]:
        """The row numbers of a branch."""
        return [i for i, name in enumerate(self.rows) if name == branch]


Net = Callable[[NetCall], Tensor]


@dataclass(frozen=True, eq=False)
class GuidanceCall:
    """What a guidance rule combines: clean predictions of both branches, (B, C, h, w); sigma (B,)."""

    x: Tensor
    sigma: Tensor
    cond: Tensor
    uncond: Tensor
    scale: float


Guidance = Callable[[GuidanceCall], Tensor]


def cfg(call: GuidanceCall) -> Tensor:
    """uncond + scale * (cond - uncond): Ho & Salimans 2022 (arXiv 2207.12598) eq. 6 with scale = 1 + w, Stable Diffusion's convention."""
    return call.uncond + (call.cond - call.uncond) * call.scale


def rescale_cfg(phi: float) -> Guidance:
    """Guidance whose standard deviation is pulled back to that of the cond branch (Lin et al. 2023, arXiv 2305.08891, eq. 14-16).

    phi: 0 is plain `cfg`, 1 keeps the standard deviation of cond. It acts on the v prediction, as the paper's models do, whatever the
    model's own kind is.
    """

    def combine(call: GuidanceCall) -> Tensor:
        s = call.sigma.reshape(-1, *[1] * (call.x.ndim - 1))
        norm, base = (s**2 + 1).sqrt(), call.x / (s**2 + 1)
        cond, uncond = ((base - x0) * norm / s for x0 in (call.cond, call.uncond))  # v = sqrt(ab) n - sqrt(1 - ab) x0
        guided = uncond + (cond - uncond) * call.scale
        axes = tuple(range(1, call.x.ndim))
        rescaled = guided * (cond.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True))
        return base - (phi * rescaled + (1 - phi) * guided) * s / norm

    return combine


def make_denoiser(
    net: Net,
    sampling: ModelSampling,
    positive: Sequence[Prompt],
    negative: Sequence[Prompt],
    scale: float,
    *,
    guidance: Guidance = cfg,
    max_rows: int | None = None,
) -> Denoiser:
    """The guided clean prediction as a function of (x (B, C, h, w), sigma (B,)).

    The network is called without gradients; a hook that needs them turns them on for itself.

    scale: 1 leaves the uncond branch out altogether, as does an empty `negative`
    max_rows: split model calls so that none has more rows (a step on the ladder when memory runs out)
    """
    if not positive:
        raise InputRefused("there is no positive prompt", hint="connect a text encoder to `positive`")
    guided = bool(negative) and not math.isclose(scale, 1.0)
    if guided:
        positive, negative = fill_counterparts(positive, negative)
    branches: dict[Branch, Sequence[Prompt]] = {"cond": positive, "uncond": negative} if guided else {"cond": positive}

    @torch.no_grad()
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        found = predict_branches(net, sampling, branches, x, sigma, max_rows)
        if not guided:
            return found["cond"]
        return guidance(GuidanceCall(x, sigma, found["cond"], found["uncond"], scale))

    return denoise


# ---- one prediction per branch


@dataclass(frozen=True, eq=False)
class _Item:
    """An entry of a branch that takes part at this sigma: its crop of x and its weight there."""

    branch: Branch
    prompt: Prompt
    area: Area | None
    x: Tensor
    weight: Tensor


def predict_branches(
    net: Net, sampling: ModelSampling, branches: Mapping[Branch, Sequence[Prompt]], x: Tensor, sigma: Tensor, max_rows: int | None = None
) -> dict[Branch, Tensor]:
    """The clean prediction of each branch: the weighted mean of its entries; 0 where no entry reaches."""
    items = [item for branch, prompts in branches.items() for item in _active(branch, prompts, sampling, x, sigma)]
    found: dict[Branch, list[tuple[_Item, Tensor]]] = {branch: [] for branch in branches}
    for group in _batches(items, max_rows):
        for item, x0 in zip(group, _run(net, sampling, group, sigma), strict=True):
            found[item.branch].append((item, x0))
    return {branch: _blend(x, parts) for branch, parts in found.items()}


def _active(branch: Branch, prompts: Sequence[Prompt], sampling: ModelSampling, x: Tensor, sigma: Tensor) -> Iterator[_Item]:
    now = float(sigma[0])
    for prompt in prompts:
        first, last = sampling.schedule.percent_to_sigma(prompt.start), sampling.schedule.percent_to_sigma(prompt.end)
        if last <= now <= first:
            area, weight = region_weight(prompt.area, prompt.mask, prompt.strength, x)
            yield _Item(branch, prompt, area, area.crop(x) if area else x, weight)


def _blend(x: Tensor, parts: list[tuple[_Item, Tensor]]) -> Tensor:
    if len(parts) == 1 and parts[0][0].area is None and parts[0][0].prompt.mask is None:
        return parts[0][1]
    total, weights = torch.zeros_like(x), torch.full_like(x, 1e-37)
    for item, x0 in parts:
        where = item.area.slices if item.area else ...
        total[where] += x0 * item.weight
        weights[where] += item.weight
    return total / weights


# ---- model calls


def _batches(items: list[_Item], max_rows: int | None) -> Iterator[list[_Item]]:
    """Groups of entries that can share a call: the same size, extras and control, and contexts that repeat to one length."""
    waiting = list(items)
    while waiting:
        group = [waiting.pop(0)]
        for item in list(waiting):
            rows = (len(group) + 1) * item.x.shape[0]
            if (max_rows is None or rows <= max_rows) and _fits(group, item):
                group.append(item)
                waiting.remove(item)
        yield group


def _fits(group: list[_Item], item: _Item) -> bool:
    first = group[0]
    return (
        first.x.shape == item.x.shape
        and first.area == item.area
        and _shape(first.prompt.pooled) == _shape(item.prompt.pooled)
        and {k: v.shape for k, v in first.prompt.extras.items()} == {k: v.shape for k, v in item.prompt.extras.items()}
        and first.prompt.control == item.prompt.control
        and first.prompt.context.shape[2] == item.prompt.context.shape[2]
        and _repeats([*(i.prompt.context.shape[1] for i in group), item.prompt.context.shape[1]]) <= MAX_REPEATS
    )


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


def _repeats(lengths: list[int]) -> int:
    return math.lcm(*lengths) // min(lengths)


def _run(net: Net, sampling: ModelSampling, group: list[_Item], sigma: Tensor) -> list[Tensor]:
    """x0 of every entry of the group, from one call of the network."""
    x = torch.cat([item.x for item in group])  # (N, C, h, w), N = entries * B
    sigmas = sigma.repeat(len(group))
    call = _assemble(sampling, group, x, sigmas)
    x0 = sampling.to_x0(net(call).to(x.dtype), x, sigmas)
    return list(x0.chunk(len(group)))


def _assemble(sampling: ModelSampling, group: list[_Item], x: Tensor, sigma: Tensor) -> NetCall:
    batch = group[0].x.shape[0]
    length = math.lcm(*(item.prompt.context.shape[1] for item in group))
    contexts = [to_batch(_repeat_tokens(item.prompt.context, length), batch) for item in group]
    pooled = [to_batch(item.prompt.pooled, batch) for item in group if item.prompt.pooled is not None]
    names = group[0].prompt.extras
    return NetCall(
        x=sampling.scale_input(x, sigma),
        t=sampling.timestep(sigma),
        context=torch.cat(contexts).to(x.device),
        pooled=torch.cat(pooled).to(x.device) if pooled else None,
        rows=tuple(item.branch for item in group for _ in range(batch)),
        prompts=tuple(item.prompt for item in group for _ in range(batch)),
        sigma=sigma,
        extras={name: torch.cat([_extra(item, name, batch) for item in group]).to(x.device) for name in names},
        area=group[0].area,
    )


def _repeat_tokens(context: Tensor, length: int) -> Tensor:
    """Whole repeats leave attention unchanged: every token keeps its share of the softmax."""
    return context.repeat(1, length // context.shape[1], 1)


def _extra(item: _Item, name: str, batch: int) -> Tensor:
    value = to_batch(item.prompt.extras[name], batch)
    spatial = value.ndim == item.x.ndim and item.area is not None and value.shape[2:] != item.x.shape[2:]
    return item.area.crop(value) if spatial and item.area is not None else value


def to_batch(value: Tensor, batch: int) -> Tensor:
    """Rows repeated in turn, or cut, to `batch`."""
    if value.shape[0] == batch:
        return value
    return value.repeat(math.ceil(batch / value.shape[0]), *[1] * (value.ndim - 1))[:batch]
