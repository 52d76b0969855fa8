"""The description of the API: the OpenAPI document, and a page that shows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from nodegraph.server.safety import guard
from nodegraph.server.safety.deliver import deliver
from nodegraph.server.v1.operation import JSON, operation

OWN: Final = Path(__file__).parent / "docs"


class DocsDesk:
    tag = "Server"

    def __init__(self) -> None:
        self._made: bytes | None = None

    @operation("GET", "/openapi.json")
    async def openapi(self, request: web.Request) -> dict[str, Any] | web.Response:
        """This document: OpenAPI 3.1."""
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        return web.Response(body=self._made, content_type=JSON, headers={"Cache-Control": "private, no-cache"})

    def _make(self) -> bytes:
        from nodegraph.server.v1.openapi import document
        from nodegraph.server.v1.routes import OPERATIONS

        return json.dumps(document(OPERATIONS), indent=1).encode()

    @operation("GET", "/docs", content="text/html")
    async def docs(self, request: web.Request) -> web.Response:
        """A page for people that shows this document."""
        text = (OWN / "docs.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": guard.SHELL_POLICY})

    @operation("GET", "/docs/{file}", content="text/plain", others=(403, 404))
    async def docs_file(self, request: web.Request, file: str) -> web.StreamResponse:
        """What that page consists of."""
        return await deliver(request, OWN, file, trust="code")
