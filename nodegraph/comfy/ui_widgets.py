"""Names for the values that ComfyUI's editor stores by position.

A stored list follows the order in which the node's widgets were made. Values that are no inputs stand between them: what happens to a
seed after a run, the literal "image" of an upload button, and holes (null) of widgets that are not saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from nodegraph.comfy.aliases import Alias, ForeignInput
from nodegraph.comfy.converted import Warnings
from nodegraph.comfy.core_widgets import CORE_WIDGETS
from nodegraph.comfy.ui_file import UiNode
from nodegraph.errors import shorten

CONTROL_WORDS: Final = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
SEEDS: Final = frozenset({"seed", "noise_seed"})
_NOT_INPUTS: Final = frozenset({"control_after_generate", "control_filter_list", "upload", "audioUI", "videopreview", ""})


def widget_values(id: str, node: UiNode, alias: Alias | None, warnings: Warnings) -> dict[str, Any]:
    """The settings of a node by ComfyUI's names. Those whose names cannot be known are called `widget_0`, `widget_1`, ..."""
    if node.named is not None:
        _compare(id, node, warnings)
        return _named(node.named, alias)
    if isinstance(node.widgets, dict):
        return _named(node.widgets, alias)
    if not node.widgets:
        return {}
    return _of_alias(id, node, alias, warnings) if alias is not None else _of_unknown(id, node, warnings)


_AFTER: Final = {"randomize": "random", "increment": "increment"}


def after_runs(node: UiNode, alias: Alias) -> dict[str, str]:
    """What becomes of a node's seeds after each run, by our names and in the editor's words; of those that stay as they are nothing."""
    seeds = [entry for entry in alias.inputs if entry.follows == "control"]
    if node.named is not None or isinstance(node.widgets, dict):
        values = node.named if node.named is not None else node.widgets
        words = {seeds[0].ours: values.get("control_after_generate")} if seeds else {}
    else:
        words = dict(_controls(alias, _without_holes(node.widgets or [], 0)))
    return {name: after for name, word in words.items() if (after := after_run_of(word)) is not None}


def _controls(alias: Alias, values: list[Any]) -> Iterator[tuple[str, Any]]:
    at = 0
    for entry in alias.inputs:
        if entry.kind == "link":
            continue
        at += 1
        if at < len(values) and _is_extra(entry.follows, values[at]):
            if entry.follows == "control":
                yield entry.ours, values[at]
            at += 1


def after_run_of(word: Any) -> str | None:
    return _AFTER.get(word) if isinstance(word, str) else None


def first_value(node: UiNode) -> Any:
    """The first widget of a node of the editor, such as the value of a primitive or the name of a setter."""
    values = node.widgets if isinstance(node.widgets, list) else list(node.widgets.values()) if isinstance(node.widgets, dict) else []
    return values[0] if values else None


def _named(values: dict[str, Any], alias: Alias | None) -> dict[str, Any]:
    known = values.items() if alias is None else ((name, value) for name, value in values.items() if name in alias.by_theirs)
    return {name: value for name, value in known if not _is_no_input(name)}


def _compare(id: str, node: UiNode, warnings: Warnings) -> None:
    """Both forms are in the file: the names win, but whoever edited only the list should know."""
    if isinstance(node.widgets, list) and node.named is not None and len(node.widgets) == len(node.named):
        pairs = zip(node.named.items(), node.widgets, strict=True)
        different = [name for (name, value), other in pairs if _differ(value, other)]
        if different:
            shown = ", ".join(f"`{shorten(name, 40)}`" for name in different[:5])
            text = f"`widgets_values` and `widgets_values_named` disagree about {shown}; the named ones are taken"
            warnings.add(text, id, node.type)


def _differ(one: Any, other: Any) -> bool:
    plain = (bool, int, float, str)
    return isinstance(one, plain) and isinstance(other, plain) and one != other


# --------------------------------------------------------------------------------------------- nodes of the table


def _of_alias(id: str, node: UiNode, alias: Alias, warnings: Warnings) -> dict[str, Any]:
    widgets = [entry for entry in alias.inputs if entry.kind != "link"]
    values, rest = _consume(widgets, _without_holes(node.widgets, len(widgets)))
    for (name, usual), value in zip(alias.only_theirs.items(), rest, strict=False):
        if value not in (None, usual):
            warnings.add(f"the value of `{name}` is left out: there is no such input", id, node.type)
    rest = rest[len(alias.only_theirs) :]
    left_over = [value for value in rest if value not in (None, "", "image") and not isinstance(value, dict)]
    if left_over and not alias.shows:
        text = f"{len(rest)} more values are stored than the node has settings; they are left out"
        warnings.add(text, id, node.type)
    return values


def _without_holes(values: Sequence[Any], wanted: int) -> list[Any]:
    """Without nulls if enough values remain: a writer leaves holes for widgets it does not save, a reader takes one after the other."""
    solid = [value for value in values if value is not None]
    return solid if len(solid) >= wanted else list(values)


def _consume(widgets: Iterable[ForeignInput], values: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    found: dict[str, Any] = {}
    at = 0
    for entry in widgets:
        if at >= len(values):
            break
        if values[at] is not None:
            found[entry.theirs] = values[at]
        at += 1
        if at < len(values) and _is_extra(entry.follows, values[at]):
            at += 1
    return found, values[at:]


def _is_extra(follows: str, value: Any) -> bool:
    return isinstance(value, str) and (value in CONTROL_WORDS if follows == "control" else follows == "upload" and value == "image")


# --------------------------------------------------------------------------------------------- other nodes


def _of_unknown(id: str, node: UiNode, warnings: Warnings) -> dict[str, Any]:
    values = list(node.widgets)
    for names in _possible_names(node):
        for candidate in (values, [value for value in values if value is not None]):
            found = _line_up(names, candidate)
            if found is not None:
                return found
    numbered = {f"widget_{i}": value for i, value in enumerate(values) if value is not None}
    if numbered:
        text = "its values are stored without names and were kept as `widget_0` and so on"
        warnings.add(text, id, node.type)
    return numbered


def _possible_names(node: UiNode) -> Iterator[list[str]]:
    """Ways to name the values: by the node's own input slots that stand for widgets, by the table, by as much of it as older files had."""
    yield [port.widget for port in node.inputs if port.widget is not None]
    table = [names.split() for names in CORE_WIDGETS.get(node.type, "").split("|")]
    yield from table
    for names in table:
        yield from (names[:count] for count in range(len(names) - 1, 0, -1))


def _line_up(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any] | None:
    """Values under names, if there are as many of both once the words behind seeds are taken off."""
    found: dict[str, Any] = {}
    at = 0
    for name in names:
        name, _, choice = name.partition("[")
        if at >= len(values) or (choice and values[at] != choice.rstrip("]").replace("_", " ")):
            return None
        found[name] = values[at]
        at += 1
        if at < len(values) and (name in SEEDS or type(found[name]) is int) and _is_extra("control", values[at]):
            at += 1
    if at != len(values) or not names:
        return None
    return {name: value for name, value in found.items() if value is not None and not _is_no_input(name)}


def _is_no_input(name: str) -> bool:
    return name in _NOT_INPUTS or name.startswith("control_after_generate#")
