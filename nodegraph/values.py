"""What a node may return instead of a value, and how a running node asks for more graph.

`Blocked` skips every consumer and passes on; `Expand` runs a small graph in the node's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing comes this way: consumers are skipped, not failed, and pass it on."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A node of an expansion: type id and inputs; a value may be a `Result` of a sibling, a `Ref` received, or plain data."""

    type: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """Output `output` of sibling `node` in the same expansion."""

    node: str
    output: str


@dataclass(frozen=True, slots=True)
class Expand:
    """Run `nodes` in place of this node; `outputs` says what then stands for its outputs (a `Result`, a `Ref` or plain data).

    A node may expand into another of its own kind: a loop turns that way, a thousand times and more, without recursion.
    """

    nodes: Mapping[str, Call]
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Items:
    """What stands for an output of a node that is called once an item, some of whose calls expanded: one thing an item."""

    stands: tuple[Any, ...]


UNSAID: Final = object()
"""in the place of what an expansion does not speak of"""


def joined(expansions: Mapping[int, Expand], outputs: Mapping[str, list[Any]]) -> Expand:
    """The expansions of some items, by place, as one; `outputs` has what the calls for the other items gave, and UNSAID for these."""
    nodes: dict[str, Call] = {}
    lists = {name: list(items) for name, items in outputs.items()}
    count = max(expansions) + 1
    for place, expansion in expansions.items():
        for name, call in expansion.nodes.items():
            nodes[f"{place}.{name}"] = Call(call.type, {input: _moved(value, place) for input, value in call.inputs.items()})
        for name, stand in expansion.outputs.items():
            lists.setdefault(name, [UNSAID] * count)[place] = _moved(stand, place)
    return Expand(nodes, {name: Items(tuple(items)) for name, items in lists.items()})


def _moved(value: Any, place: int) -> Any:
    return Result(f"{place}.{value.node}", value.output) if isinstance(value, Result) else value
