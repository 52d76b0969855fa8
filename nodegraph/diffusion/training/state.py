"""The state of a training run: one safetensors file that is either the former state or the new one, never half of each.

Everything that the next step depends on is in it: weights, their moving average, both moments of Adam, the step and the loss curve.
Random numbers are functions of (seed, step) and need no state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nodegraph.diffusion.weights import open_weights, save_weights
from nodegraph.errors import BadCheckpointState, BrokenWeights, PickleRefused
from nodegraph.files import write_atomic

STATE_FILE = "state.safetensors"
CURVE_FILE = "curve.json"
FORMAT = "1"


@dataclass
class TrainState:
    """What a run has come to. Tensors are float32, keyed by parameter name; `moment2` lacks what the optimiser has no second moment of.

    step: optimiser steps done; seconds: time they took, over all sessions
    losses: one value per step done; identity: what must agree for a state to be continued (architecture, data, seed, batch)
    """

    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    moment1: dict[str, Tensor]
    moment2: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fresh(cls, weights: Mapping[str, Tensor], identity: Mapping[str, Any]) -> TrainState:
        """The state before the first step, from the initial weights."""
        return cls(_copies(weights), _copies(weights), {}, {}, identity=dict(identity))

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(torch.isfinite(value).all()) for value in self.weights.values())


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


GROUPS = ("weights", "average", "moment1", "moment2")


def save_state(state: TrainState, folder: Path) -> None:
    """Write the state to `folder`. Raises `WriteFailed`; then the former state is still there, whole."""
    tensors = {f"{group}.{name}": value.detach().cpu().contiguous() for group in GROUPS for name, value in getattr(state, group).items()}
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    facts = {
        "format": FORMAT,
        "step": str(state.step),
        "seconds": repr(state.seconds),
        "identity": json.dumps(state.identity, sort_keys=True),
    }
    save_weights(folder / STATE_FILE, tensors, facts)
    curve = {"step": state.step, "seconds": round(state.seconds, 1), "identity": state.identity, "losses": state.losses}
    write_atomic(folder / CURVE_FILE, lambda stream: stream.write(json.dumps(curve).encode()))


def load_state(folder: Path, identity: Mapping[str, Any] | None = None) -> TrainState | None:
    """The state in `folder`, or None if there is none. Raises `BadCheckpointState` if it is broken or belongs to another run.

    identity: what the run to be continued is; None accepts any
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        file = open_weights(path)
        state = _state(file.metadata, {name: value.clone() for name, value in file.load().items()})
    except (BrokenWeights, PickleRefused, ValueError, KeyError) as cause:
        raise BadCheckpointState(f"{path} cannot be read: {cause}", hint="choose another folder, or remove it to start again") from cause
    if identity is not None:
        _check_identity(state.identity, identity, folder)
    return state


def finished_state(folder: Path, identity: Mapping[str, Any]) -> TrainState:
    """The state of a training in `folder`. Raises `BadCheckpointState` if there is none, too."""
    state = load_state(folder, identity)
    if state is None:
        raise BadCheckpointState(f"{folder} holds no training state", hint="train first")
    return state


def _state(facts: Mapping[str, str], tensors: dict[str, Tensor]) -> TrainState:
    if facts.get("format") != FORMAT:
        raise ValueError(f"format {facts.get('format')!r}, wanted {FORMAT!r}")
    groups = {group: {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith(f"{group}.")} for group in GROUPS}
    return TrainState(
        **groups,
        step=int(facts["step"]),
        seconds=float(facts["seconds"]),
        losses=[float(value) for value in tensors["losses"]],
        identity=json.loads(facts["identity"]),
    )


def _check_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    different = sorted(key for key in {*saved, *wanted} if saved.get(key) != wanted.get(key))
    if different:
        pairs = "; ".join(f"{key}: saved {saved.get(key)!r}, now {wanted.get(key)!r}" for key in different)
        raise BadCheckpointState(f"the state in {folder} is of another run: {pairs}", hint="use the same settings, or another folder")


def as_identity(**parts: Any) -> dict[str, Any]:
    """Settings dataclasses and plain values as one JSON object."""
    return {key: asdict(value) if hasattr(value, "__dataclass_fields__") else value for key, value in parts.items()}


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """A name for these weights: equal tensors, equal hash."""
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
