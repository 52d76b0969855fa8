"""Which weights there are: `/models`, `/embeddings` and, with sizes and pictures, `/experiment/models`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from nodegraph.errors import FileMissing, shorten
from nodegraph.files import WEIGHT_SUFFIXES, Files, listing, safe_parts
from nodegraph.server import keys
from nodegraph.server.safety.deliver import deliver_bytes, open_file
from nodegraph.server.safety.pictures import Preview, reencode
from nodegraph.server.setup.extra_paths import OLD_NAMES

KINDS: Final = (
    "checkpoints",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
)
"""what ComfyUI knows, in its order; further folders of the models roots follow"""
PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp")


def routes() -> list[web.RouteDef]:
    return [
        web.get("/embeddings", embeddings),
        web.get("/models", kinds),
        web.get("/models/{folder}", names),
        web.get("/experiment/models", places),
        web.get("/experiment/models/{folder}", files),
        web.get(r"/experiment/models/preview/{folder}/{index:\d{1,4}}/{file:.+}", picture),
    ]


def known_kinds(files: Files) -> list[str]:
    found = dict.fromkeys(KINDS)
    for root in files.models:
        with suppress(OSError):
            found.update(dict.fromkeys(sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] not in "._")))
    found.update(dict.fromkeys(extra.kind for extra in files.extra_models))
    return list(found)


def _kind(request: web.Request) -> str:
    given = request.match_info["folder"]
    kind = OLD_NAMES.get(given, given)
    if kind not in known_kinds(request.app[keys.FILES]):
        raise FileMissing(f"there is no models folder {shorten(given)!r}")
    return kind


async def embeddings(request: web.Request) -> web.Response:
    found = await asyncio.to_thread(request.app[keys.FILES].list_models, "embeddings")
    return web.json_response([os.path.splitext(name)[0] for name in found])


async def kinds(request: web.Request) -> web.Response:
    return web.json_response(await asyncio.to_thread(known_kinds, request.app[keys.FILES]))


async def names(request: web.Request) -> web.Response:
    return web.json_response(await asyncio.to_thread(request.app[keys.FILES].list_models, _kind(request)))


async def places(request: web.Request) -> web.Response:
    """Kinds with the folders they are looked up in, which are named, not located: `<models>/loras`."""
    files, redactor = request.app[keys.FILES], request.app[keys.REDACTOR]
    return web.json_response(
        [{"name": kind, "folders": [redactor.text(str(path)) for path in files.model_folders(kind)]} for kind in known_kinds(files)]
    )


async def files(request: web.Request) -> web.Response:
    folders = request.app[keys.FILES].model_folders(_kind(request))
    return web.json_response(await asyncio.to_thread(lambda: [entry for i, folder in enumerate(folders) for entry in _files(folder, i)]))


def _files(folder: Path, index: int) -> Iterator[dict[str, Any]]:
    for name in listing(folder):
        if name.lower().endswith(WEIGHT_SUFFIXES):
            with suppress(OSError):
                info = (folder / name).stat()
                yield {"name": name, "pathIndex": index, "modified": info.st_mtime, "created": info.st_ctime, "size": info.st_size}


async def picture(request: web.Request) -> web.StreamResponse:
    """The picture that lies beside a weights file (`name.png`, `name.preview.png`), as WebP."""
    folders = request.app[keys.FILES].model_folders(_kind(request))
    index, parts = int(request.match_info["index"]), safe_parts(request.match_info["file"])
    if index >= len(folders):
        raise FileMissing("there is no folder of that number")
    path = await asyncio.to_thread(_beside, folders[index].joinpath(*parts))
    if path is None:
        raise FileMissing(f"{shorten(parts[-1])!r} has no picture")
    pixels = request.app[keys.CONFIG].limits.pixels
    opened = await asyncio.to_thread(open_file, path, path.name)
    with opened.stream:
        data = await request.app[keys.WORKSHOP].work(lambda: reencode(opened.stream, path.name, pixels, "rgba", Preview("webp")))
    return deliver_bytes(data, f"{path.stem}.webp")


def _beside(weights: Path) -> Path | None:
    if not weights.name.lower().endswith(WEIGHT_SUFFIXES) or not weights.is_file():
        return None
    stem = weights.with_suffix("")
    return next((path for suffix in PICTURES if (path := stem.with_name(stem.name + suffix)).is_file()), None)
