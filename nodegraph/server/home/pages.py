"""`GET /`: the built editor, or, where there is none, a page that says what this server is. Also every file of the editor.

`/?token=...` is where a browser gets its cookie: the answer sets it and goes on to `/`, so that the token leaves the address bar.
"""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import Final

from aiohttp import web

from nodegraph import __version__
from nodegraph.errors import FileMissing
from nodegraph.server import keys
from nodegraph.server.home.gzipped import Gzipped
from nodegraph.server.safety import guard
from nodegraph.server.safety.deliver import headers_for, open_inside
from nodegraph.server.setup.config import ServeSettings

OWN: Final = Path(__file__).parent
STATIC: Final = Path(__file__).parent.parent / "static"
FOREIGN_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: data:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)
"""for an editor that the owner chose with --editor: such pages often have scripts in them; still nothing comes from elsewhere"""


def routes() -> list[web.RouteDef]:
    return [web.get("/", first_page), web.get("/{file:.+}", EditorFiles().file)]


def editor_folder(settings: ServeSettings) -> Path | None:
    """Where the editor's `index.html` is: as set up, else in the package, else nowhere."""
    if settings.editor is not None:
        return settings.editor
    return STATIC if (STATIC / "index.html").is_file() else None


def _page(text: str, policy: str = guard.SHELL_POLICY) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


async def first_page(request: web.Request) -> web.StreamResponse:
    keeper = request.app[keys.GUARD]
    if keeper.token_in_address(request):
        return keeper.remember(request, _page(_read("welcome.html")))
    settings = request.app[keys.CONFIG]
    folder = editor_folder(settings)
    if folder is None:
        return _page(_filled(_read("home.html"), _facts(request)))
    text = await asyncio.to_thread((folder / "index.html").read_text, "utf-8")
    return _page(text, FOREIGN_POLICY if settings.editor else guard.SHELL_POLICY)


class EditorFiles:
    """Scripts, styles and pictures of the editor. One per application."""

    def __init__(self) -> None:
        self._gzipped = Gzipped()

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        folder = editor_folder(request.app[keys.CONFIG])
        if folder is None and name != "home.css":
            await refuse_wrong_method(request)
            raise web.HTTPNotFound
        root = OWN if folder is None else folder
        try:
            opened = await asyncio.to_thread(open_inside, root, name)
        except FileMissing:
            await refuse_wrong_method(request)
            raise
        headers = {**headers_for(opened.name, opened.head, "code"), "Cache-Control": _lifetime(name)}
        return await self._gzipped.send(request, root / name, opened, headers)


async def refuse_wrong_method(request: web.Request) -> None:
    """Raises HTTPMethodNotAllowed if there is something at this address that is not to be read."""
    others: set[str] = set()
    for resource in request.app.router.resources():
        _, allowed = await resource.resolve(request)
        others |= allowed
    others -= {"GET", "HEAD"}
    if others:
        raise web.HTTPMethodNotAllowed(request.method, others)


def _lifetime(name: str) -> str:
    """Built files below `assets` have their content's hash in their names."""
    return "private, max-age=31536000, immutable" if name.startswith("assets/") else "private, no-cache"


def _read(name: str) -> str:
    return (OWN / name).read_text(encoding="utf-8")


def _filled(text: str, facts: dict[str, str]) -> str:
    for name, value in facts.items():
        text = text.replace(f"{{{name}}}", html.escape(value))
    return text


def _facts(request: web.Request) -> dict[str, str]:
    ready = request.app[keys.STARTED].is_set()
    service = request.app.get(keys.SERVICE)
    waiting, running = (len(service.pending()), len(service.running())) if service is not None and ready else (0, 0)
    return {
        "version": __version__,
        "state": "ready" if ready else "starting",
        "running": str(running),
        "waiting": str(waiting),
        "address": f"{request.scheme}://{request.host}",
    }
