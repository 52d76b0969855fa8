"""Node classes as ComfyUI's clients name them: its own names for what both have, ours for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nodegraph.comfy.aliases import BY_OURS, BY_THEIRS, Alias
from nodegraph.registry import Registry
from nodegraph.schema import InputSpec, NodeSpec
from nodegraph.types import Anything, ListOf, Socket, Type, Union, Var

_SPELLINGS: Final[Mapping[str, str]] = {"str": "STRING", "bool": "BOOLEAN", "upscaler": "UPSCALE_MODEL"}


def spelling(type_: Type) -> str:
    """A type as ComfyUI writes it: `IMAGE`, `STRING`, `INT,FLOAT`, `*`. Lists are told apart elsewhere (`output_is_list`)."""
    if isinstance(type_, ListOf):
        return spelling(type_.item)
    if isinstance(type_, Union):
        return ",".join(map(spelling, type_.members))
    if isinstance(type_, Anything | Var):
        return "*"
    return _SPELLINGS.get(type_.name) or type_.name.upper()


@dataclass(frozen=True, slots=True)
class ForeignOutput:
    """One output slot. `tooltip` may be empty."""

    name: str
    type: Type
    tooltip: str = ""


@dataclass(frozen=True, slots=True)
class ForeignClass:
    """A node type of ours under the name and with the inputs that a ComfyUI client knows.

    inputs: by their name there, in the order of ComfyUI's declaration; `link_only` of them have no widget there
    """

    name: str
    spec: NodeSpec
    inputs: Mapping[str, InputSpec]
    outputs: tuple[ForeignOutput, ...]
    follows: Mapping[str, str]
    """inputs behind whose widget ComfyUI's editor puts another one: `control` of seeds, `upload` of files"""
    link_only: frozenset[str] = frozenset()

    def named(self, ours: str) -> str:
        """What the input `ours` is called there."""
        return next((name for name, entry in self.inputs.items() if entry.name == ours), ours)


def find_class(class_type: str, registry: Registry) -> ForeignClass | None:
    """The class a `class_type` stands for: one of ComfyUI's that has a counterpart, else a node type of ours."""
    alias = BY_THEIRS.get(class_type)
    spec = registry.specs.get(alias.ours if alias is not None else class_type)
    if spec is None:
        return None
    return _ours(spec) if alias is None else _theirs(alias, spec)


def all_classes(registry: Registry) -> Iterator[ForeignClass]:
    """Every class, ComfyUI's first."""
    for alias in BY_THEIRS.values():
        spec = registry.specs.get(alias.ours)
        if spec is not None:
            yield _theirs(alias, spec)
    for spec in registry:
        if spec.id not in BY_THEIRS:
            yield _ours(spec)


def class_name(type_: str) -> str:
    """What ComfyUI calls our node type `type_`; of several names, the first of the table."""
    alias = BY_OURS.get(type_)
    return alias.theirs if alias is not None else type_


def _theirs(alias: Alias, spec: NodeSpec) -> ForeignClass:
    known = [entry for entry in alias.inputs if entry.ours in spec.inputs]
    inputs = {entry.theirs: spec.inputs[entry.ours] for entry in known}
    outputs = tuple(_output(spec, name) for name in alias.outputs if name in spec.outputs)
    follows = {entry.theirs: entry.follows for entry in known if entry.follows}
    links = frozenset(entry.theirs for entry in known if entry.kind == "link")
    return ForeignClass(alias.theirs, spec, inputs, outputs, follows, links)


def _ours(spec: NodeSpec) -> ForeignClass:
    outputs = tuple(ForeignOutput(name, output.type, output.tooltip) for name, output in spec.outputs.items())
    return ForeignClass(spec.id, spec, spec.inputs, outputs, _followed(spec))


def _followed(spec: NodeSpec) -> dict[str, str]:
    follows = {"seed": "control", "file": "upload"}
    return {name: follows[entry.widget.kind] for name, entry in spec.inputs.items() if entry.widget and entry.widget.kind in follows}


def _output(spec: NodeSpec, name: str) -> ForeignOutput:
    """An output of a class of theirs. Where ours is called by its type, so is theirs."""
    output = spec.outputs[name]
    shown = spelling(output.type) if isinstance(output.type, Socket) and output.type.name == name else name
    return ForeignOutput(shown, output.type, output.tooltip)
