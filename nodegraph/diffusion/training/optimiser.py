"""AdamW, and Muon for the matrices of a network, with moments that are read and written by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

OptimiserName = Literal["adamw", "muon"]

# Newton-Schulz: five steps of x <- a x + (b A + c A A) x with A = x xT bring every singular value to about 1 (Jordan et al. 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
LENGTH = 0.6  # of a step, by element and rate; AdamW's is about 0.2. Measured: the small U-Net trains fastest with 0.5 to 0.8
SMALLEST = 16  # channels: what maps from or to pixels and latents is left to AdamW


@dataclass(frozen=True)
class OptimiserSettings:
    """beta1, beta2, weight_decay: of AdamW (Loshchilov & Hutter 2019); weight decay spares vectors (norms and biases)."""

    name: OptimiserName = "adamw"
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0


@dataclass
class Moments:
    """What an optimiser remembers of each weight: the first moment (Muon's momentum), and the second, which Muon has none of."""

    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)


class Optimiser:
    """Changes the weights of a net in place, a step at a time."""

    def __init__(self, net: nn.Module, settings: OptimiserSettings, moments: Moments, steps: int) -> None:
        """steps: how many were done before; a weight that `moments` does not know (of another optimiser) starts anew."""
        named = {name: value for name, value in net.named_parameters() if value.requires_grad}
        self._matrices = {name: named[name] for name in matrices(net)} if settings.name == "muon" else {}
        self._others = {name: value for name, value in named.items() if name not in self._matrices}
        self._momentum = {name: _kept(moments.first, name, value) for name, value in self._matrices.items()}
        self._adamw = _adamw(self._others, settings, moments, steps)
        self._decay = settings.weight_decay

    def step(self, lr: float) -> None:
        """One step down the gradients that are there, at this learning rate."""
        for group in self._adamw.param_groups:
            group["lr"] = lr
        self._adamw.step()
        for name, weight in self._matrices.items():
            if weight.grad is not None:
                _muon(weight, weight.grad, self._momentum[name], lr, self._decay)

    def moments(self) -> Moments:
        """The moments as they are now; they share memory with the optimiser."""
        kept = {name: self._adamw.state[value] for name, value in self._others.items() if value in self._adamw.state}
        first = {name: state["exp_avg"] for name, state in kept.items()}
        return Moments({**first, **self._momentum}, {name: state["exp_avg_sq"] for name, state in kept.items()})


def matrices(net: nn.Module) -> list[str]:
    """Names of the weights that map many features to many: Muon's. Tables, vectors and what touches pixels are not among them."""
    tables = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Embedding)}
    return [
        name
        for name, value in net.named_parameters()
        if value.requires_grad and value.ndim > 1 and min(value.shape[:2]) >= SMALLEST and name not in tables
    ]


def _adamw(named: Mapping[str, Tensor], settings: OptimiserSettings, moments: Moments, steps: int) -> torch.optim.AdamW:
    wide = [value for value in named.values() if value.ndim > 1]
    vectors = [value for value in named.values() if value.ndim <= 1]
    groups = [{"params": wide, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(settings.beta1, settings.beta2), foreach=True)
    for name, value in named.items():
        if name in moments.second:
            optimiser.state[value] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": _kept(moments.first, name, value),
                "exp_avg_sq": _kept(moments.second, name, value),
            }
    return optimiser


def _kept(moments: Mapping[str, Tensor], name: str, value: Tensor) -> Tensor:
    return moments[name].to(value.device, copy=True) if name in moments else torch.zeros_like(value)


@torch.no_grad()
def _muon(weight: Tensor, grad: Tensor, momentum: Tensor, lr: float, decay: float) -> None:
    """Nesterov momentum, made orthogonal (Jordan et al. 2024), its length by element the same for all shapes (Liu et al. 2025, section
    2.2), so that one rate serves both kinds of weights."""
    momentum.lerp_(grad, 1 - MOMENTUM)
    direction = orthogonalised(grad.lerp(momentum, MOMENTUM).flatten(1))
    if decay:
        weight.mul_(1 - lr * decay)
    weight.add_(direction.view_as(weight).to(weight.dtype), alpha=-lr * LENGTH * max(direction.shape) ** 0.5)


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrix to (rows, columns), roughly: singular values come out between about 0.7 and 1.2."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
