"""The contract of a node as data: its inputs, widgets and outputs, and their JSON for the editor and other clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from nodegraph.types import Type, to_text

Lane = Literal["device", "cpu", "async"]


class _Required:
    """Marks an input without a default; absence must not look like the value None."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Widget:
    """How the editor lets a user set a value: `kind` plus options of that kind."""

    kind: Literal["number", "slider", "seed", "text", "choice", "switch", "model", "file", "color"]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input. It takes a literal where it has a `widget`, and a link always (unless `socketless`)."""

    name: str
    type: Type
    default: Any = REQUIRED
    widget: Widget | None = None
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    folder: str | None = None
    """a models folder (`checkpoints`) or `input`: the value names a file there, and its content enters the key"""
    lazy: bool = False
    mapped: bool = False
    raw: bool = False
    optional: bool = False
    """the value may be None"""
    tooltip: str = ""
    limited: bool = field(init=False)
    """whether it takes only some values of its type"""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def __post_init__(self) -> None:
        limited = self.choices is not None or self.minimum is not None or self.maximum is not None
        object.__setattr__(self, "limited", limited)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": to_text(self.type), "required": self.required}
        if not self.required:
            out["default"] = self.default
        if self.widget is not None:
            out["widget"] = {"kind": self.widget.kind, **self.widget.options}
        if self.choices is not None:
            out["choices"] = list(self.choices)
        for key in ("minimum", "maximum", "folder"):
            if getattr(self, key) is not None:
                out[key] = getattr(self, key)
        for key in ("lazy", "mapped", "raw", "optional"):
            if getattr(self, key):
                out[key] = True
        if self.tooltip:
            out["tooltip"] = self.tooltip
        return out


@dataclass(frozen=True, slots=True)
class OutputSpec:
    name: str
    type: Type
    tooltip: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"type": to_text(self.type), **({"tooltip": self.tooltip} if self.tooltip else {})}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """Everything the engine knows of a node type. `inputs` and `outputs` keep the order of the signature."""

    id: str
    function: Callable[..., Any]
    inputs: Mapping[str, InputSpec]
    outputs: Mapping[str, OutputSpec]
    title: str = ""
    category: str = ""
    description: str = ""
    version: int = 1
    upgrade: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None
    output_node: bool = False
    cached: bool = True
    fingerprint: Callable[..., Any] | None = None
    lane: Lane = "cpu"
    context: str | None = None
    """name of the parameter that receives the Context, if any"""
    named_outputs: bool = False
    """the function returns a NamedTuple: one field an output"""
    generic: bool = False
    special: tuple[str, ...] = ()
    """inputs that are not simply passed on: Lazy, Ref and lists"""
    named_files: tuple[str, ...] = ()
    """inputs that name files"""
    status: Literal["stable", "beta", "deprecated"] = "stable"
    pack: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "category": self.category,
            "description": self.description,
            "version": self.version,
            "status": self.status,
            "pack": self.pack,
            "lane": self.lane,
            "output_node": self.output_node,
            "inputs": {name: spec.to_json() for name, spec in self.inputs.items()},
            "outputs": {name: spec.to_json() for name, spec in self.outputs.items()},
        }
