"""A client of ComfyUI's protocol that keeps everything it hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE = 60.0
"""seconds after which a test gives up; machines are shared"""

Told = dict[str, Any]


class Ear:
    """One websocket: messages and frames in the order in which they came."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[Told] = []
        self.frames: list[bytes] = []

    async def hear(self) -> Told | bytes | None:
        """The next message or frame; None when the socket is closed."""
        told = await self.socket.receive()
        if told.type is aiohttp.WSMsgType.TEXT:
            self.messages.append(json.loads(told.data))
            return self.messages[-1]
        if told.type is aiohttp.WSMsgType.BINARY:
            self.frames.append(told.data)
            return bytes(told.data)
        return None

    async def until(self, holds: Callable[[Told], object]) -> Told:
        async with asyncio.timeout(PATIENCE):
            while True:
                told = await self.hear()
                assert told is not None, f"closed with {self.socket.close_code} after {self.messages}"
                if isinstance(told, dict) and holds(told):
                    return told

    async def until_end(self, job: str) -> list[Told]:
        """Everything of a run, up to the message that many clients wait for."""
        begin = len(self.messages)
        await self.until(
            lambda told: told["type"] == "executing" and told["data"].get("node", 0) is None and told["data"]["prompt_id"] == job
        )
        return [told for told in self.messages[begin:] if told["data"].get("prompt_id") in (job, None)]

    async def until_closed(self) -> int | None:
        """The code with which the other side closed."""
        async with asyncio.timeout(PATIENCE):
            while await self.hear() is not None:
                pass
        return self.socket.close_code


class Client:
    """Talks to a served process."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.address = address
        self.session = session

    async def get(self, path: str, **query: Any) -> Any:
        async with self.session.get(self.address + path, params=query) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.json()

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the answer, None for an empty one."""
        async with self.session.post(self.address + path, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def submit(self, prompt: Any, client: str | None = None, **more: Any) -> str:
        status, body = await self.post("/prompt", {"prompt": prompt, **({"client_id": client} if client else {}), **more})
        assert status == 200, body
        return str(body["prompt_id"])

    async def finished(self, id: str) -> Told:
        """The entry of the history, which is not there before the run has ended."""
        async with asyncio.timeout(PATIENCE):
            while not (found := await self.get(f"/history/{id}")):
                await asyncio.sleep(0.02)
        return dict(found[id])

    @asynccontextmanager
    async def ear(self, client: str = "", flags: dict[str, Any] | None = None) -> AsyncIterator[Ear]:
        async with self.session.ws_connect(f"{self.address}/ws", params={"clientId": client} if client else {}) as socket:
            ear = Ear(socket)
            await ear.until(lambda told: told["type"] == "status")
            if flags is not None:
                await socket.send_json({"type": "feature_flags", "data": flags})
                await ear.until(lambda told: told["type"] == "feature_flags")
            yield ear


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(address, session)
