"""ComfyUI's editor JSON (versions 0.4 and 1) into a Document: subgraphs kept, wires followed, values named, looks kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from nodegraph.comfy.constants import WIDGETS, type_name
from nodegraph.comfy.converted import Converted, Warnings
from nodegraph.comfy.ui_expand import MAX_UNFOLDED, Frame, Inlet, unfold
from nodegraph.comfy.ui_file import UiFile, is_ui_json, parse_ui
from nodegraph.comfy.ui_layout import arrange, borders
from nodegraph.comfy.ui_level import Level, Needs
from nodegraph.comfy.ui_subgraphs import Kept, kept_subgraphs
from nodegraph.document import INLET, OUTLET, Document, NodeEntry, Port, Subgraph
from nodegraph.errors import NodegraphError, Problems, shorten

__all__ = ["convert_ui", "from_ui", "is_ui_json"]

_MAX_DEFINITION_ID: Final = 200


def from_ui(data: Any) -> Document:
    """A Document from the JSON of ComfyUI's editor. Raises what `convert_ui` does."""
    return convert_ui(data).document


def convert_ui(data: Any) -> Converted:
    """A Document and warnings about what could not be carried over unchanged.

    Subgraphs stay subgraphs, but for those without a clear border. Muted and bypassed nodes stay in the document, switched off. Where our
    rule of bypassing could lead elsewhere than ComfyUI's, wires are connected past the node.

    Raises UnknownFormat, FormatTooNew, GraphTooLarge, or Problems with every fault at once.
    """
    problems: list[NodegraphError] = []
    warnings = Warnings()
    file = parse_ui(data, problems)
    kept = kept_subgraphs(file, problems, warnings)
    _name_definitions(kept.values())
    reading = _Reading(file, kept, problems)
    subgraphs = {one.id: reading.subgraph(one, warnings.within(f"subgraph {shorten(one.graph.name or one.id)!r}")) for one in kept.values()}
    root = Frame(file.root)
    canvas = reading.level(root, warnings)
    problems += canvas.problems
    layout, groups = _looks(canvas)
    if problems:
        raise Problems(problems)
    meta = {"requires": reading.needs.to_json()} if reading.needs.any() else {}
    return Converted(Document(canvas.nodes, layout, meta, {"groups": groups}, subgraphs), warnings.all())


def _looks(level: Level) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Layout by node, with what becomes of seeds, and the groups."""
    layout, groups = arrange(level.frames, level.nodes)
    for id, after in level.after.items():
        layout[id] = {**layout.get(id, {}), "after": after}
    return layout, groups


def _name_definitions(kept: Iterable[Kept]) -> None:
    """Ids as they are in the file, where they can be ids here."""
    taken: set[str] = set()
    for i, one in enumerate(kept):
        plain = one.graph.id.replace("/", "-")[:_MAX_DEFINITION_ID]
        one.id = plain if plain and plain not in taken else f"subgraph-{i}"
        taken.add(one.id)


class _Reading:
    def __init__(self, file: UiFile, kept: dict[str, Kept], problems: list[NodegraphError]) -> None:
        self.file = file
        self.kept = kept
        self.problems = problems
        self.needs = Needs()
        self.room = MAX_UNFOLDED

    def level(self, root: Frame, warnings: Warnings) -> Level:
        frames = unfold(root, self.file.definitions, self.kept, self.room, warnings)
        self.room -= sum(frame.graph.weight for frame in frames[1:])
        return Level(frames, self.file, self.kept, self.needs, warnings)

    def subgraph(self, one: Kept, warnings: Warnings) -> Subgraph:
        root = Frame(one.graph, kept=one)
        for (inner, widget), place in one.promoted.items():
            root.overrides.setdefault(inner, {})[widget] = Inlet(place)
        level = self.level(root, warnings)
        self.problems += (_told_in(one, fault) for fault in level.problems)
        one.given = set(level.results)
        one.kinds = {place: fed.kind for place, fed in level.fed.items() if fed.kind is not None}
        layout, groups = _looks(level)
        layout[one.inlet], layout[one.outlet] = borders(root, level.nodes)
        outer = {one.outputs[slot]: value for slot, value in level.results.items()}
        nodes = {one.inlet: NodeEntry(INLET), **level.nodes, one.outlet: NodeEntry(OUTLET, outer)}
        inputs = {name: Port(name, {"name": name, **_look(one, place, level)}) for place, name in enumerate(one.inputs)}
        types = zip(one.outputs, one.graph.outputs, strict=True)
        outputs = {name: Port(name, {"name": name, "type": type_name(port.type)}) for name, port in types}
        return Subgraph(one.graph.name, inputs, outputs, nodes, {"layout": layout, "groups": groups})


def _look(one: Kept, place: int, level: Level) -> dict[str, Any]:
    """What the editor needs to know of an input: its type, and what it starts with if it is a setting."""
    fed = level.fed.get(place)
    declared = one.graph.inputs[place].type if place < len(one.graph.inputs) else "*"
    type_ = type_name(declared, fed.kind if fed is not None else None)
    default = {"default": fed.value} if fed is not None and fed.value is not None else {}
    widget = {"widget": {"kind": WIDGETS[type_]}} if type_ in WIDGETS else {}
    return {"type": type_, **default, **widget}


def _told_in(one: Kept, fault: NodegraphError) -> NodegraphError:
    """A fault of a node inside, told of the subgraph."""
    inner = f", node {shorten(fault.node, 40)}" if fault.node is not None else ""
    fault.message = f"subgraph {shorten(one.graph.name or one.id, 40)!r}{inner}: {fault.message}"
    fault.node = fault.node_type = None
    return fault
