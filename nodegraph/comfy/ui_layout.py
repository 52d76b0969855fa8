"""Where the nodes of an unfolded workflow go: the canvas as it was, the inside of each subgraph in a group of its own below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from nodegraph.comfy.ui_expand import Frame

_GAP: Final = 160.0
_HEADER: Final = 60.0
_NODE_SIZE: Final = (220.0, 100.0)
_BORDER: Final = 260.0
"""the width of a node that stands for the border of a subgraph"""
_SHELF: Final = 4000.0

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


def arrange(frames: list[Frame], kept: Iterable[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Layout by node id for the ids `kept`, and the groups."""
    wanted = set(kept)
    layout: dict[str, Any] = {}
    groups: list[dict[str, Any]] = []
    box = _box(frames[0], wanted) or (0.0, 0.0, *_NODE_SIZE)
    _place(frames[0], (0.0, 0.0), wanted, layout, groups)
    left, top, shelf = box[0], box[3] + _GAP, 0.0
    width = max(_SHELF, box[2] - box[0])
    for frame in frames[1:]:
        inner = _box(frame, wanted)
        if inner is None:
            continue
        if left + (inner[2] - inner[0]) > box[0] + width and left > box[0]:
            left, top, shelf = box[0], top + shelf + _GAP, 0.0
        _place(frame, (left - inner[0], top + _HEADER - inner[1]), wanted, layout, groups)
        size = [inner[2] - inner[0], inner[3] - inner[1] + _HEADER]
        groups.append({"title": _title(frame), "bounding": [left, top, *size]})
        left, shelf = left + size[0] + _GAP, max(shelf, size[1])
    return layout, groups


def borders(root: Frame, kept: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Layouts of the nodes that stand for the inputs and for the outputs of a subgraph: where the file has them, else beside the rest."""
    left, top, right, _ = _box(root, set(kept)) or (0.0, 0.0, 0.0, 0.0)
    inlet, outlet = root.graph.borders
    pos = [inlet[0] + inlet[2] - _BORDER, inlet[1]] if inlet is not None else [left - _BORDER - _GAP / 2, top]
    return {"pos": pos}, {"pos": outlet[:2] if outlet is not None else [right + _GAP / 2, top]}


def _title(frame: Frame) -> str:
    instance = frame.instance.title if frame.instance is not None else ""
    return f"{(instance or frame.graph.name)[:200]} ({frame.prefix[:-1]})"


def _box(frame: Frame, wanted: set[str]) -> Box | None:
    """What the nodes of a frame cover; None if none of them stays a node of its own."""
    kept = [node.layout for node in frame.graph.nodes.values() if "pos" in node.layout and frame.id_of(node) in wanted]
    boxes = [(*layout["pos"], *layout.get("size", _NODE_SIZE)) for layout in kept]
    if not boxes:
        return None
    boxes += [tuple(group["bounding"]) for group in frame.graph.groups]
    margin = 20.0
    left, top = min(box[0] for box in boxes) - margin, min(box[1] for box in boxes) - margin
    return (left, top, max(box[0] + box[2] for box in boxes) + margin, max(box[1] + box[3] for box in boxes) + margin)


def _place(frame: Frame, by: tuple[float, float], wanted: set[str], layout: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    for node in frame.graph.nodes.values():
        id = frame.id_of(node)
        if id in wanted and node.layout:
            layout[id] = {**node.layout, **({"pos": _moved(node.layout["pos"], by)} if "pos" in node.layout else {})}
    for group in frame.graph.groups:
        groups.append({**group, "bounding": [*_moved(group["bounding"][:2], by), *group["bounding"][2:]]})


def _moved(pos: list[float], by: tuple[float, float]) -> list[float]:
    return [pos[0] + by[0], pos[1] + by[1]] if by != (0.0, 0.0) else pos
