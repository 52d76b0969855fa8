"""What packs bring for the editor: pages' scripts, templates, translations and subgraphs. Nothing of a pack is run to list it.

A pack is a folder; in it lie `web` (or `js`, or what its pyproject.toml names under `[tool.comfy]`), `example_workflows`, `locales` and
`subgraphs`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from nodegraph.errors import FileMissing, UnsafePath, shorten
from nodegraph.files import inside, listing
from nodegraph.server import keys
from nodegraph.server.safety.deliver import deliver

TEMPLATE_FOLDERS: Final = ("example_workflows", "example", "examples", "workflow", "workflows")
LARGEST_TEXT: Final = 4 << 20
MOST_FILES: Final = 2000
LOCALE_FILES: Final = {"main.json": None, "nodeDefs.json": "nodeDefs", "commands.json": "commands", "settings.json": "settings"}


def routes() -> list[web.RouteDef]:
    return [
        web.get("/extensions", extensions),
        web.get("/extensions/{pack}/{file:.+}", extension_file),
        web.get("/workflow_templates", templates),
        web.get("/workflow_templates/{pack}/{file:.+}", template_file),
        web.get("/i18n", translations),
        web.get("/global_subgraphs", subgraphs),
        web.get("/global_subgraphs/{id}", subgraph),
    ]


def packs_by_name(folders: Iterable[Path]) -> dict[str, Path]:
    """Packs by the names of their folders; a second one of the same name is left out here, as its nodes are refused."""
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            found.setdefault(folder.resolve().name, folder)
    return found


def _pack(request: web.Request) -> Path:
    name = request.match_info["pack"]
    folder = request.app[keys.PACKS].get(name)
    if folder is None:
        raise FileMissing(f"there is no pack {shorten(name)!r}")
    return folder


# ------------------------------------------------------------------------------------------------ scripts


def web_folder(pack: Path) -> Path | None:
    """Where a pack's scripts for the editor lie; never outside of it."""
    names = [_named(pack), "web", "js"]
    for name in names:
        try:
            if name and (folder := inside(pack, name)).is_dir():
                return folder
        except UnsafePath:
            continue
    return None


def _named(pack: Path) -> str | None:
    data = _read(pack / "pyproject.toml")
    try:
        found = tomllib.loads(data.decode()) if data else {}
        name = found["tool"]["comfy"]["web"]
    except (ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


async def extensions(request: web.Request) -> web.Response:
    packs, editor = request.app[keys.PACKS], request.app[keys.CONFIG].editor
    return web.json_response(await asyncio.to_thread(lambda: [*_editors_own(editor), *_scripts(packs)]))


def _editors_own(editor: Path | None) -> Iterator[str]:
    """ComfyUI's editor brings extensions of its own, which it loads like those of packs."""
    for file in listing(editor / "extensions", MOST_FILES) if editor is not None else ():
        if file.endswith(".js"):
            yield f"/extensions/{quote(file)}"


def _scripts(packs: Mapping[str, Path]) -> Iterator[str]:
    for name, pack in packs.items():
        folder = web_folder(pack)
        for file in listing(folder, MOST_FILES) if folder is not None else ():
            if file.endswith(".js"):
                yield f"/extensions/{quote(name)}/{quote(file)}"


async def extension_file(request: web.Request) -> web.StreamResponse:
    name, file, editor = request.match_info["pack"], request.match_info["file"], request.app[keys.CONFIG].editor
    if editor is not None and name not in request.app[keys.PACKS]:
        return await deliver(request, editor, f"extensions/{name}/{file}", trust="code")
    folder = await asyncio.to_thread(web_folder, _pack(request))
    if folder is None:
        raise FileMissing("this pack has no files for the editor")
    return await deliver(request, folder, file, trust="code")


# ------------------------------------------------------------------------------------------------ templates


def template_folder(pack: Path) -> Path | None:
    return next((pack / name for name in TEMPLATE_FOLDERS if (pack / name).is_dir()), None)


async def templates(request: web.Request) -> web.Response:
    """Names of workflows by pack. Ours are not among them: this route's readers want ComfyUI's format."""
    packs = request.app[keys.PACKS]

    def found() -> dict[str, list[str]]:
        folders = {name: template_folder(pack) for name, pack in packs.items()}
        return {name: [Path(file).stem for file in _workflows(folder)] for name, folder in folders.items() if folder is not None}

    return web.json_response(await asyncio.to_thread(found))


def _workflows(folder: Path) -> list[str]:
    return [name for name in listing(folder, MOST_FILES) if name.endswith(".json") and "/" not in name]


async def template_file(request: web.Request) -> web.StreamResponse:
    folder = await asyncio.to_thread(template_folder, _pack(request))
    if folder is None:
        raise FileMissing("this pack has no templates")
    return await deliver(request, folder, request.match_info["file"])


# ------------------------------------------------------------------------------------------------ translations and subgraphs


def _read(path: Path) -> bytes | None:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_TEXT:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def translations(request: web.Request) -> web.Response:
    packs = request.app[keys.PACKS]
    return web.json_response(await asyncio.to_thread(_translations, packs))


def _translations(packs: Mapping[str, Path]) -> dict[str, Any]:
    """{language: texts} of all packs together; of two texts with one name the later pack's counts."""
    found: dict[str, Any] = {}
    for pack in packs.values():
        for folder in sorted(path for path in (pack / "locales").glob("*") if path.is_dir())[:200]:
            for file, name in LOCALE_FILES.items():
                texts = _json(folder / file)
                if texts:
                    _merge(found.setdefault(folder.name, {}), texts if name is None else {name: texts})
    return found


def _merge(into: dict[str, Any], texts: dict[str, Any]) -> None:
    for key, value in texts.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _subgraphs(packs: Mapping[str, Path]) -> Iterator[tuple[str, str, Path]]:
    """(id, pack, file)"""
    for name, pack in packs.items():
        folder = pack / "subgraphs"
        for file in listing(folder, MOST_FILES):
            if file.endswith(".json"):
                yield hashlib.sha256(f"{name}/{file}".encode()).hexdigest(), name, folder / file


async def subgraphs(request: web.Request) -> web.Response:
    packs = request.app[keys.PACKS]
    found = await asyncio.to_thread(lambda: {id: _subgraph(pack, file) for id, pack, file in _subgraphs(packs)})
    return web.json_response(found)


def _subgraph(pack: str, file: Path) -> dict[str, Any]:
    return {"source": "custom_node", "name": file.stem, "info": {"node_pack": f"custom_nodes.{pack}"}}


async def subgraph(request: web.Request) -> web.Response:
    packs, wanted = request.app[keys.PACKS], request.match_info["id"]

    def found() -> dict[str, Any] | None:
        for id, pack, file in _subgraphs(packs):
            if id == wanted:
                return {**_subgraph(pack, file), "data": (_read(file) or b"{}").decode("utf-8", "replace")}
        return None

    entry = await asyncio.to_thread(found)
    if entry is None:
        raise FileMissing("there is no subgraph of this id")
    return web.json_response(entry)
