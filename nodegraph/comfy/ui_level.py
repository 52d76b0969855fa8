"""The nodes of one canvas, or of the inside of one subgraph that stays one: values by our names, and what each wire means here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nodegraph.comfy.aliases import BY_THEIRS, NOTE, NOTES, Alias, ForeignInput
from nodegraph.comfy.constants import as_text, coerce, describe, other_place
from nodegraph.comfy.converted import Warnings
from nodegraph.comfy.ui_expand import VIRTUAL, Constant, Frame, Inlet, Origin, Tracer, only_way, output_of, running, settings_of, types_fit
from nodegraph.comfy.ui_file import BYPASSED, MUTED, Port, UiFile, UiNode
from nodegraph.comfy.ui_subgraphs import CONTROL, Kept, proxies_of
from nodegraph.comfy.ui_widgets import SEEDS, after_run_of, after_runs, first_value, widget_values
from nodegraph.document import INSTANCE, Link, NodeEntry
from nodegraph.errors import NodegraphError, NotConvertible, shorten

MAX_ID: Final = 500
_MODES: Final = {MUTED: "muted", BYPASSED: "bypassed"}


@dataclass(slots=True)
class Needs:
    """What the file says that it needs: packs with their versions, models with their addresses, and the pack of each node type."""

    packs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)

    def any(self) -> bool:
        return bool(self.packs or self.models)

    def to_json(self) -> dict[str, Any]:
        return {"packs": self.packs, "models": self.models, **({"nodes": self.nodes} if self.nodes else {})}

    def note(self, node: UiNode) -> None:
        pack, version = node.properties.get("cnr_id") or node.properties.get("aux_id"), node.properties.get("ver")
        if isinstance(pack, str) and pack != "comfy-core" and len(pack) <= 200:
            self.packs[pack] = version[:100] if isinstance(version, str) else ""
            self.nodes[node.type] = pack
        models = node.properties.get("models")
        for model in models if isinstance(models, list) else ():
            if isinstance(model, dict) and isinstance(model.get("name"), str) and isinstance(model.get("directory"), str):
                url = model.get("url")
                self.models[f"{model['directory']}/{model['name']}"[:500]] = url[:2000] if isinstance(url, str) else ""


class Fed(NamedTuple):
    """The first input that an input of the subgraph sets: what kind it is, where that is known, and the value that is stored there."""

    kind: ForeignInput | None
    value: Any


class _End(NamedTuple):
    """Where a wire ends, for messages."""

    id: str
    type: str
    name: str


class Level:
    """nodes: by id; of a subgraph also, by place, what its inputs set first (`fed`) and what its outputs come from (`results`).

    after: by node and input, what becomes of seeds after each run
    """

    def __init__(self, frames: list[Frame], file: UiFile, kept: Mapping[str, Kept], needs: Needs, warnings: Warnings) -> None:
        self.frames = frames
        self.file = file
        self.kept = kept
        self.needs = needs
        self.warnings = warnings
        self.tracer = Tracer(warnings)
        self.problems: list[NodegraphError] = []
        self.nodes: dict[str, NodeEntry] = {}
        self.fed: dict[int, Fed] = {}
        self.after: dict[str, dict[str, str]] = {}
        for frame, node in running(self.frames):
            self._add(frame, node)
        self.results = dict(self._results(frames[0]))

    def _results(self, root: Frame) -> Iterator[tuple[int, Any]]:
        for slot, port in enumerate(root.graph.outputs if root.kept is not None else ()):
            if slot in root.graph.results:
                wire = Port(port.name, port.type, root.graph.results[slot])
                value = self._wired(_End("the outputs", "", port.name), root, wire, None)
                if value is not None:
                    yield slot, self._linked(value)

    def _linked(self, value: Any) -> Any:
        root = self.frames[0]
        return Link(root.kept.inlet, root.kept.inputs[value.place]) if isinstance(value, Inlet) and root.kept is not None else value

    # ------------------------------------------------------------------------------------------ nodes

    def _add(self, frame: Frame, node: UiNode) -> None:
        id = frame.id_of(node)
        if len(id) > MAX_ID or id in self.nodes:
            fault = "is too long" if len(id) > MAX_ID else "is taken by a node inside a subgraph"
            hint = "give it another id in ComfyUI"
            self.problems.append(NotConvertible(f"its id {fault}", node=shorten(id, 60), node_type=node.type, hint=hint))
        elif node.type in NOTES:
            text = first_value(node)
            self.nodes[id] = NodeEntry(NOTE, {"text": text if isinstance(text, str) else ""}, title=node.title)
        elif node.type in self.kept:
            self._add_instance(id, frame, node, self.kept[node.type])
        else:
            self._add_node(id, frame, node)

    def _add_node(self, id: str, frame: Frame, node: UiNode) -> None:
        alias = BY_THEIRS.get(node.type)
        self._warn_of_legacy(id, node)
        self.needs.note(node)
        mode = "muted" if frame.off else _MODES.get(node.mode, "active")
        if mode == "bypassed" and alias is None:
            mode = "muted"  # a bypassed node must be of a known type; wires lead past this one
        inputs = {**(alias.fixed if alias is not None else {}), **self._inputs(id, frame, node, alias)}
        if alias is not None and (after := after_runs(node, alias)):
            self.after[id] = after
        self.nodes[id] = NodeEntry(alias.ours if alias is not None else node.type, inputs, title=node.title, mode=mode)

    def _warn_of_legacy(self, id: str, node: UiNode) -> None:
        if node.type.startswith(("workflow/", "workflow>")) and node.type[9:] in self.file.group_nodes:
            self.warnings.add("it is a group node of older versions; convert it to a subgraph in ComfyUI", id, node.type)

    def _add_instance(self, id: str, frame: Frame, node: UiNode, kept: Kept) -> None:
        stored = self._settings(frame, node, kept)
        from_outside = frame.overrides.get(node.id, {})
        values = {**stored, **{kept.places[name]: value for name, value in from_outside.items() if name in kept.places}}
        for port in node.inputs:
            place = kept.places.get(port.name)
            if place is not None:
                values[place] = self._wired(_End(id, node.type, port.name), frame, port, values.get(place))
            elif port.link is not None:
                self.warnings.add(f"it is connected to `{shorten(port.name)}`, which its subgraph does not have; the wire is left out", id)
        inputs = {
            kept.inputs[place]: self._value(id, node, kept.inputs[place], value, kept.kinds.get(place), stored.get(place))
            for place, value in sorted(values.items())
            if value is not None
        }
        if after := dict(self._after(node, kept)):
            self.after[id] = after
        title = node.title if node.title != kept.graph.name else ""
        mode = "muted" if frame.off else _MODES.get(node.mode, "active")
        self.nodes[id] = NodeEntry(INSTANCE + kept.id, inputs, title=title, mode=mode)

    def _settings(self, frame: Frame, node: UiNode, kept: Kept) -> dict[int, Any]:
        """What an instance sets itself, by the place of the input."""
        values, inner = settings_of(frame, node, kept.graph, self.warnings)
        found = {kept.places[name]: value for name, value in values.items() if name in kept.places}
        for (id, widget), place in kept.promoted.items():
            value = inner.get(id, {}).get(widget)
            if value is not None:
                found[place] = value
        return found

    def _after(self, node: UiNode, kept: Kept) -> Iterator[tuple[str, str]]:
        """What becomes of seeds that are shown outside."""
        for (inner, name), word in zip(proxies_of(node), node.widgets if isinstance(node.widgets, list) else (), strict=False):
            after = after_run_of(word) if name == CONTROL else None
            for seed in SEEDS if after is not None else ():
                if (inner, seed) in kept.promoted and after is not None:
                    yield kept.inputs[kept.promoted[inner, seed]], after

    # ------------------------------------------------------------------------------------------ values

    def _inputs(self, id: str, frame: Frame, node: UiNode, alias: Alias | None) -> dict[str, Any]:
        """Values by name, then what is set from outside, then what comes along wires."""
        stored = widget_values(id, node, alias, self.warnings)
        values = {**stored, **frame.overrides.get(node.id, {})}
        for port in node.inputs:
            name = port.name or (port.widget or "")
            values[name] = self._wired(_End(id, node.type, name), frame, port, values.get(name))
        known = alias.by_theirs if alias is not None else {}
        return {
            known[name].ours if name in known else name: self._value(id, node, name, value, known.get(name), stored.get(name))
            for name, value in values.items()
            if value is not None
        }

    def _value(self, id: str, node: UiNode, name: str, value: Any, kind: ForeignInput | None, stored: Any) -> Any:
        """A value in our form. stored: what the node itself has, for the default of an input that sets it from outside"""
        if isinstance(value, Inlet):
            if value.place not in self.fed:
                default = None if stored is None or type(stored) in (Link, Inlet) else self._value(id, node, name, stored, kind, None)
                self.fed[value.place] = Fed(kind, default)
            return self._linked(value)
        if type(value) is Link:
            return value
        if isinstance(value, dict):
            text = as_text(value)
            self.warnings.add(f"the value of `{shorten(name)}` is an object and was kept as JSON text", id, node.type)
            return text if text is not None else "{}"
        if kind is None:
            return value
        if kind.kind == "file" and (place := other_place(value)):
            self.warnings.add(f"{describe(value)} names a file of the {place} folder; copy it to the input folder", id, node.type)
        return coerce(kind, value)

    # ------------------------------------------------------------------------------------------ links

    def _wired(self, end: _End, frame: Frame, port: Port, stored: Any) -> Any:
        """What comes along the wire at an input, or the `stored` value if nothing does."""
        source, off = self.tracer.trace(frame, port)
        if isinstance(source, Constant):
            return source.value
        if isinstance(source, Origin):
            found = self._kept_link(off) or self._link(end, source)
            return stored if found is None else found
        if isinstance(source, Inlet):
            return self._kept_link(off) or source
        return self._kept_link(off) if stored is None else stored

    def _link(self, end: _End, source: Origin) -> Any:
        """The Link to an output by its name here. A node that has no such output here hands on its own input."""
        seen: set[str] = set()
        while True:
            origin, output = source.frame.id_of(source.node), self._output(source)
            if output is None or origin in seen:
                self._no_output(end, source)
                return None
            if not output.startswith("@"):
                return Link(origin, output)
            seen.add(origin)
            theirs = BY_THEIRS[source.node.type].by_ours[output[1:]].theirs
            port = next((port for port in source.node.inputs if port.name == theirs), None)
            behind = self.tracer.trace(source.frame, port).source if port is not None else None
            if not isinstance(behind, Origin):
                return behind.value if isinstance(behind, Constant) else behind
            source = behind

    def _output(self, origin: Origin) -> str | None:
        """The name here of an output; `@name` for one that hands on an input, None if there is none."""
        alias, kept = BY_THEIRS.get(origin.node.type), self.kept.get(origin.node.type)
        if kept is not None:
            place = output_of(origin.node, kept.graph, origin.slot)
            return kept.outputs[place] if place in kept.given else None
        if alias is None:
            return f"output_{origin.slot}"
        return alias.outputs[origin.slot] if origin.slot < len(alias.outputs) else None

    def _kept_link(self, off: Origin | None) -> Link | None:
        """The Link to a node that is switched off, if it means the same as the way ComfyUI takes around it."""
        if off is None or off.node.type in VIRTUAL or off.node.id in off.frame.children or off.node.type in NOTES:
            return None
        if off.node.mode == BYPASSED and (not self._may_bypass(off) or off.frame.off or not only_way(off.node, off.slot)):
            return None
        output = self._output(off)
        return Link(off.frame.id_of(off.node), output) if output is not None and not output.startswith("@") else None

    def _may_bypass(self, off: Origin) -> bool:
        """Whether the types of the node are known here; of a subgraph those inside need not be, but the same place counts first."""
        if off.node.type not in self.kept:
            return off.node.type in BY_THEIRS
        ports, offered = off.node.inputs, off.node.outputs[off.slot : off.slot + 1]
        same_place = off.slot < len(ports) and ports[off.slot].link is not None
        return same_place and bool(offered) and types_fit(ports[off.slot].type, offered[0].type)

    def _no_output(self, end: _End, source: Origin) -> None:
        kept = self.kept.get(source.node.type)
        if kept is not None and source.slot < len(kept.outputs):
            return  # nothing is connected to it inside, so nothing comes out: as in ComfyUI
        names = kept.outputs if kept is not None else BY_THEIRS[source.node.type].outputs
        has = ", ".join(f"{i} {output.lstrip('@')}" for i, output in enumerate(names)) or "no outputs"
        where = f'node {shorten(source.frame.id_of(source.node), 60)} "{shorten(source.node.type)}"'
        fault = NotConvertible(f"{where} has no output slot {source.slot}; it has {has}", hint="connect one of these in ComfyUI")
        self.problems.append(fault.at(shorten(end.id, 60), end.type, end.name))
