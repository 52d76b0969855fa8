"""ComfyUI's editor JSON (versions 0.4 and 1) into a Document: subgraphs unfolded, wires followed, values named, looks kept."""

from __future__ import annotations

from typing import Any

from nodegraph.comfy.aliases import BY_THEIRS, NOTE, NOTES, Alias
from nodegraph.comfy.constants import as_text, coerce, describe, other_place
from nodegraph.comfy.converted import Converted, Warnings
from nodegraph.comfy.ui_expand import VIRTUAL, Constant, Frame, Origin, Tracer, first_value, only_way, running, unfold
from nodegraph.comfy.ui_file import BYPASSED, MUTED, UiFile, UiNode, is_ui_json, parse_ui
from nodegraph.comfy.ui_layout import arrange
from nodegraph.comfy.ui_widgets import widget_values
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import NodegraphError, NotConvertible, Problems, shorten

__all__ = ["convert_ui", "from_ui", "is_ui_json"]

MAX_ID = 500
_MODES = {MUTED: "muted", BYPASSED: "bypassed"}


def from_ui(data: Any) -> Document:
    """A Document from the JSON of ComfyUI's editor. Raises what `convert_ui` does."""
    return convert_ui(data).document


def convert_ui(data: Any) -> Converted:
    """A Document and warnings about what could not be carried over unchanged.

    Muted and bypassed nodes stay in the document, switched off. Where our rule of bypassing could lead elsewhere than ComfyUI's, wires
    are connected past the node.

    Raises UnknownFormat, FormatTooNew, GraphTooLarge, or Problems with every fault at once.
    """
    problems: list[NodegraphError] = []
    warnings = Warnings()
    file = parse_ui(data, problems)
    frames = unfold(file, problems, warnings)
    builder = _Builder(file, problems, warnings)
    for frame, node in running(frames):
        builder.add(frame, node)
    if problems:
        raise Problems(problems)
    layout, groups = arrange(frames, builder.nodes)
    meta = {"requires": builder.requires} if any(builder.requires.values()) else {}
    return Converted(Document(builder.nodes, layout, meta, {"groups": groups}), warnings.all())


class _Builder:
    def __init__(self, file: UiFile, problems: list[NodegraphError], warnings: Warnings) -> None:
        self.file = file
        self.problems = problems
        self.warnings = warnings
        self.tracer = Tracer(warnings)
        self.nodes: dict[str, NodeEntry] = {}
        self.requires: dict[str, dict[str, Any]] = {"packs": {}, "models": {}}

    def add(self, frame: Frame, node: UiNode) -> None:
        id = frame.id_of(node)
        if len(id) > MAX_ID or id in self.nodes:
            fault = "is too long" if len(id) > MAX_ID else "is taken by a node inside a subgraph"
            hint = "give it another id in ComfyUI"
            self.problems.append(NotConvertible(f"its id {fault}", node=shorten(id, 60), node_type=node.type, hint=hint))
        elif node.type in NOTES:
            text = first_value(node)
            self.nodes[id] = NodeEntry(NOTE, {"text": text if isinstance(text, str) else ""}, title=node.title)
        else:
            self._add_node(id, frame, node)

    def _add_node(self, id: str, frame: Frame, node: UiNode) -> None:
        alias = BY_THEIRS.get(node.type)
        self._warn_of_legacy(id, node)
        self._note_requirements(node)
        mode = "muted" if frame.off else _MODES.get(node.mode, "active")
        if mode == "bypassed" and alias is None:
            mode = "muted"  # a bypassed node must be of a known type; wires lead past this one
        inputs = {**(alias.fixed if alias is not None else {}), **self._inputs(id, frame, node, alias)}
        self.nodes[id] = NodeEntry(alias.ours if alias is not None else node.type, inputs, title=node.title, mode=mode)

    def _warn_of_legacy(self, id: str, node: UiNode) -> None:
        if node.type.startswith(("workflow/", "workflow>")) and node.type[9:] in self.file.group_nodes:
            self.warnings.add("it is a group node of older versions; convert it to a subgraph in ComfyUI", id, node.type)

    def _inputs(self, id: str, frame: Frame, node: UiNode, alias: Alias | None) -> dict[str, Any]:
        """Values by name, then what comes along wires over them."""
        values = widget_values(id, node, alias, self.warnings)
        values.update(frame.overrides.get(node.id, {}))
        for port in node.inputs:
            name = port.name or (port.widget or "")
            source, off = self.tracer.trace(frame, port)
            if isinstance(source, Constant):
                values[name] = source.value
            elif isinstance(source, Origin):
                linked = self._kept_link(off) or self._link(id, node, name, source)
                if linked is not None:
                    values[name] = linked
            elif off is not None and name not in values and (kept := self._kept_link(off)) is not None:
                values[name] = kept
        return {self._name(name, alias): self._value(id, node, name, value, alias) for name, value in values.items() if value is not None}

    def _name(self, theirs: str, alias: Alias | None) -> str:
        entry = alias.by_theirs.get(theirs) if alias is not None else None
        return entry.ours if entry is not None else theirs

    def _value(self, id: str, node: UiNode, name: str, value: Any, alias: Alias | None) -> Any:
        if type(value) is Link:
            return value
        if isinstance(value, dict):
            text = as_text(value)
            self.warnings.add(f"the value of `{shorten(name)}` is an object and was kept as JSON text", id, node.type)
            return text if text is not None else "{}"
        entry = alias.by_theirs.get(name) if alias is not None else None
        if entry is None:
            return value
        if entry.kind == "file" and (place := other_place(value)):
            self.warnings.add(f"{describe(value)} names a file of the {place} folder; copy it to the input folder", id, node.type)
        return coerce(entry, value)

    # ------------------------------------------------------------------------------------------ links

    def _link(self, id: str, node: UiNode, name: str, source: Origin) -> Link | Any:
        """The Link to an output by its name here. A node that has no such output here hands on its own input."""
        seen: set[str] = set()
        while True:
            origin, alias = source.frame.id_of(source.node), BY_THEIRS.get(source.node.type)
            if alias is None:
                return Link(origin, f"output_{source.slot}")
            output = alias.outputs[source.slot] if source.slot < len(alias.outputs) else None
            if output is None or origin in seen:
                self._no_output(id, node, name, source, alias)
                return None
            if not output.startswith("@"):
                return Link(origin, output)
            seen.add(origin)
            theirs = alias.by_ours[output[1:]].theirs
            port = next((port for port in source.node.inputs if port.name == theirs), None)
            behind = self.tracer.trace(source.frame, port).source if port is not None else None
            if not isinstance(behind, Origin):
                return behind.value if isinstance(behind, Constant) else None
            source = behind

    def _kept_link(self, off: Origin | None) -> Link | None:
        """The Link to a node that is switched off, if it means the same as the way ComfyUI takes around it."""
        if off is None or off.node.type in VIRTUAL or off.node.id in off.frame.children or off.node.type in NOTES:
            return None
        alias = BY_THEIRS.get(off.node.type)
        if off.node.mode == BYPASSED and (alias is None or off.frame.off or not only_way(off.node, off.slot)):
            return None
        if alias is None:
            return Link(off.frame.id_of(off.node), f"output_{off.slot}")
        output = alias.outputs[off.slot] if off.slot < len(alias.outputs) else "@"
        return Link(off.frame.id_of(off.node), output) if not output.startswith("@") else None

    def _no_output(self, id: str, node: UiNode, name: str, source: Origin, alias: Alias) -> None:
        has = ", ".join(f"{i} {output.lstrip('@')}" for i, output in enumerate(alias.outputs)) or "no outputs"
        where = f'node {shorten(source.frame.id_of(source.node), 60)} "{shorten(source.node.type)}"'
        fault = NotConvertible(f"{where} has no output slot {source.slot}; it has {has}", hint="connect one of these in ComfyUI")
        self.problems.append(fault.at(shorten(id, 60), node.type, name))

    # ------------------------------------------------------------------------------------------ what the file says it needs

    def _note_requirements(self, node: UiNode) -> None:
        pack, version = node.properties.get("cnr_id") or node.properties.get("aux_id"), node.properties.get("ver")
        if isinstance(pack, str) and pack != "comfy-core" and len(pack) <= 200:
            self.requires["packs"][pack] = version[:100] if isinstance(version, str) else ""
            self.requires.setdefault("nodes", {})[node.type] = pack
        models = node.properties.get("models")
        for model in models if isinstance(models, list) else ():
            if isinstance(model, dict) and isinstance(model.get("name"), str) and isinstance(model.get("directory"), str):
                url = model.get("url")
                self.requires["models"][f"{model['directory']}/{model['name']}"[:500]] = url[:2000] if isinstance(url, str) else ""
