"""The real application on a real socket, inside a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from nodegraph.server.app import answering, make_app
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.setup.listen import listen

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found


@dataclass(frozen=True)
class Live:
    """A server that answers, and a client for it."""

    app: web.Application
    port: int
    session: aiohttp.ClientSession

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """`path` is sent as it is given, encoded already."""
        async with self.session.request(method, URL(self.address + path, encoded=True), allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)

    async def raw(self, data: bytes, seconds: float = 10) -> bytes:
        """Send bytes, and give back everything that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), seconds)
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def live(settings: ServeSettings, **options: Any) -> AsyncIterator[Live]:
    app = make_app(settings, **options)
    sockets = listen("127.0.0.1", 0)
    async with answering(app, sockets), aiohttp.ClientSession(auto_decompress=False) as session:
        yield Live(app, sockets[0].getsockname()[1], session)


def with_server(settings: ServeSettings, work: Callable[[Live], Awaitable[T]], **options: Any) -> T:
    """Run a test's coroutine against a server of its own."""

    async def main() -> T:
        async with live(settings, **options) as server:
            return await work(server)

    return asyncio.run(main())
