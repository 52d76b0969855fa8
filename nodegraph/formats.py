"""Every file that is accepted as a workflow: found out what it is, and read; and the formats that are written.

    ours                    {"nodegraph": 1, "nodes": {...}}
    ComfyUI's API JSON      {"3": {"class_type": ...}, ...}, also wrapped as it is posted: {"prompt": {...}}
    ComfyUI's editor JSON   {"nodes": [...], "links": [...]}, versions 0.4 and 1
    PNG and WebP            that carry any of these

Written are our own format and ComfyUI's API JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from nodegraph.document import MAX_BYTES, Document, parse_document, parse_json, without_nan
from nodegraph.errors import (
    FileMissing,
    NodegraphError,
    NotConvertible,
    NotJson,
    ReadFailed,
    TooLarge,
    UnknownFormat,
    did_you_mean,
    shorten,
)

if TYPE_CHECKING:
    from nodegraph.media import Container
    from nodegraph.registry import Registry

Kind = Literal["nodegraph", "comfyui-api", "comfyui-ui"]

ACCEPTED: Final = "accepted are nodegraph JSON, ComfyUI's API JSON and editor JSON, and PNG or WebP pictures saved with one of these"


class Loaded(NamedTuple):
    """A workflow that was read: what it was, in what kind of file, and what could not be carried over unchanged."""

    document: Document
    kind: Kind
    warnings: tuple[str, ...] = ()
    container: Literal["json", "png", "webp"] = "json"


def load_workflow(path: str | Path, registry: Registry | None = None) -> Loaded:
    """Read a workflow file of any accepted format.

    registry: names outputs of node types that only exist here, in API JSON, and tells what ports of subgraphs look like

    Raises FileMissing, ReadFailed, TooLarge, NotJson, UnknownFormat, FormatTooNew, GraphTooLarge, or Problems with every fault at once.
    """
    from nodegraph import media

    path = Path(path)
    head = _read(path, 12)
    kind = media.container_of(head)
    if kind is not None:
        return _from_picture(path, kind, registry)
    if _is_binary(head):
        raise UnknownFormat(f"{path} is {media.describe_bytes(head)}, not a workflow", hint=ACCEPTED)
    return _from_text(_read(path, MAX_BYTES + 1), str(path), registry)


def document_from(data: Any, registry: Registry | None = None, name: str = "the data") -> Loaded:
    """A workflow from plain data of any accepted JSON format. Raises what `load_workflow` does."""
    from nodegraph.comfy import api_json, ui_json
    from nodegraph.ports import with_looks

    if isinstance(data, dict) and "nodegraph" in data:
        return Loaded(parse_document(data), "nodegraph")
    if ui_json.is_ui_json(data):
        converted = ui_json.convert_ui(data)
        if registry is not None and converted.document.subgraphs:
            converted = converted._replace(document=with_looks(converted.document, registry))
        return Loaded(*_split(converted, "comfyui-ui"))
    if api_json.is_api_json(data):
        return Loaded(*_split(api_json.convert_api(data, registry), "comfyui-api"))
    inner = data.get("prompt") if isinstance(data, dict) else None
    if isinstance(inner, dict) and ("nodegraph" in inner or api_json.is_api_json(inner)):
        return document_from(inner, registry, name)
    raise UnknownFormat(f"{name} is JSON, but no workflow: {_describe(data)}", hint=ACCEPTED)


def _split(converted: Any, kind: Kind) -> tuple[Document, Kind, tuple[str, ...]]:
    return converted.document, kind, converted.warnings


def _describe(data: Any) -> str:
    from nodegraph.comfy.constants import describe

    if isinstance(data, dict) and isinstance(data.get("nodes"), list) and isinstance(data.get("edges"), list):
        return "it looks like a graph of another program, with `nodes` and `edges`"
    return f"it is {describe(data)}"


# --------------------------------------------------------------------------------------------- files


def _read(path: Path, count: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            data = stream.read(count)
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}", hint=_similar(path)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadFailed(f"cannot read {shorten(str(path), 200)}: {reason}", hint="give the path of a workflow file") from error
    if len(data) > MAX_BYTES:
        raise TooLarge(f"{path} has more than {MAX_BYTES // 2**20} MiB, the most that a workflow may have", hint="is it the right file?")
    return data


def _similar(path: Path) -> str:
    try:
        known = [str(path.with_name(entry.name)) for entry in path.parent.iterdir() if entry.suffix in (".json", ".png", ".webp")]
    except OSError:
        return f"the folder {path.parent} does not exist either"
    return did_you_mean(str(path), known, "check the path") or "check the path"


def _is_binary(head: bytes) -> bool:
    """Whether this cannot be the beginning of a JSON text in UTF-8, with or without a mark, or in another Unicode form."""
    return b"\0" in head or (head[:1] > b"\x7f" and not head.startswith(b"\xef\xbb\xbf"))


def _from_text(data: bytes | str, name: str, registry: Registry | None) -> Loaded:
    """Read JSON strictly; ComfyUI's files may also hold Python's NaN, which is read as nothing."""
    try:
        return document_from(parse_json(data, name), registry, name)
    except NotJson as error:
        loaded = _with_nan(data, registry)
        if loaded is None:
            raise error
        return loaded


def _with_nan(data: bytes | str, registry: Registry | None) -> Loaded | None:
    try:
        loaded = document_from(without_nan(data), registry)
    except NodegraphError:
        return None
    if loaded.kind == "nodegraph":
        return None
    return loaded._replace(warnings=("NaN and Infinity are no numbers that JSON knows; they were read as nothing", *loaded.warnings))


def _from_picture(path: Path, container: Container, registry: Registry | None) -> Loaded:
    from nodegraph import media

    texts = media.read_texts(path)
    name = {"png": "PNG", "webp": "WebP"}[container]
    if not texts:
        hint = "it was saved without one, or a program or web site took it out; " + ACCEPTED
        raise UnknownFormat(f"{path} is a {name} picture without a workflow in it", hint=hint)
    fault: NodegraphError | None = None
    for key in media.KEYS:
        if key in texts:
            try:
                return _from_text(texts[key], f"the text `{key}` in {path}", registry)._replace(container=container)
            except NodegraphError as error:
                fault = fault or error
    raise fault if fault is not None else UnknownFormat(f"{path} holds no workflow", hint=ACCEPTED)


# --------------------------------------------------------------------------------------------- writing


def save_workflow(path: str | Path, document: Document, kind: str = "nodegraph", registry: Registry | None = None) -> None:
    """Write a workflow file as a whole or not at all.

    kind: `nodegraph`, or `comfyui-api`, which needs the `registry`

    Raises NotConvertible for another kind, Problems for links that API JSON cannot express, and WriteFailed.
    """
    from nodegraph.files import write_atomic

    if kind not in _WRITERS:
        raise NotConvertible(f"{shorten(kind)} is no format that is written", hint=f"use {' or '.join(_WRITERS)}")
    data = _WRITERS[kind](document, registry)
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise NotConvertible(f"the workflow holds a value that JSON cannot express: {error}", hint="set it anew") from error
    encoded = _encode(text, data)
    write_atomic(Path(path), lambda stream: stream.write(encoded))


def _encode(text: str, data: Any) -> bytes:
    """UTF-8; if some text is broken (half a character), everything is written escaped, which keeps it."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode("ascii")


def _api(document: Document, registry: Registry | None) -> Any:
    from nodegraph.comfy.api_json import to_api

    if registry is None:
        raise NotConvertible("ComfyUI's API JSON cannot be written without knowing the node types", hint="pass a registry")
    return to_api(document, registry)


_WRITERS: Final[dict[str, Callable[[Document, Any], Any]]] = {"nodegraph": lambda document, _: document.to_json(), "comfyui-api": _api}
