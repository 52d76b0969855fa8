"""Clients that do not read: they are given up, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from comfy_client import PATIENCE, Client

from nodegraph.server import keys
from nodegraph.server.comfy.routes import socket
from nodegraph.server.parts import open_parts
from nodegraph.server.queue.hub import Hub
from nodegraph.server.queue.model import JobEvent
from nodegraph.server.setup.config import ServeSettings
from tests.server.live import live


@asynccontextmanager
async def waiting_server(settings: ServeSettings) -> AsyncIterator[tuple[Client, Hub]]:
    """A server whose queue is never worked on, so that nothing is told but what the test tells."""
    engine = settings.engine()
    parts = open_parts(engine, settings.state)
    try:
        async with live(settings, parts=parts, engine=engine) as server:
            server.app[keys.STARTED].set()
            yield Client(server.address, server.session), parts.service.hub
    finally:
        await parts.stop()


def shown(number: int, size: int) -> JobEvent:
    """An event that is told with about `size` bytes."""
    text = {"kind": "text", "text": "x" * size}
    return JobEvent("job", number, 100.0, {"event": "node_finished", "node": str(number), "type": "T", "seconds": 0, "shown": [text]})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


def test_a_client_that_stops_reading_is_given_up(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "SEND_SECONDS", 0.5)

    async def scene() -> None:
        async with waiting_server(settings) as (client, hub), client.ear("deaf"), client.ear("keen") as keen:
            for number in range(100):
                hub.publish("deaf", [shown(number + 1, 500_000)])
            hub.publish("keen", [shown(1, 10)])
            told = await keen.until(lambda told: told["type"] == "executed")
            assert told["data"]["output"] == {"text": ["x" * 10]}
            await until(lambda: len(hub) == 1)

    asyncio.run(scene())


def test_a_client_that_falls_behind_is_told_so(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "WAITING", 20)

    async def scene() -> None:
        async with waiting_server(settings) as (client, hub), client.ear("slow") as slow:
            hub.publish("slow", [shown(1, 10)])
            await slow.until(lambda told: told["type"] == "executed")
            for number in range(2, 30):
                hub.publish("slow", [shown(number, 10)])
            assert await slow.until_closed() == socket.TOO_SLOW

    asyncio.run(scene())


def test_a_client_that_goes_away_leaves_nothing_behind(settings: ServeSettings) -> None:
    async def scene() -> None:
        async with waiting_server(settings) as (client, hub):
            for _ in range(20):
                async with client.ear("me"):
                    assert len(hub) >= 1
            await until(lambda: len(hub) == 0)

    asyncio.run(scene())
