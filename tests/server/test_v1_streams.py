"""Following a run: pictures, silence, readers that are slow or gone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import struct
from typing import Any

import pytest
from engine_worker import EngineWorker, add, document, engine
from held_worker import HeldWorker
from v1_api import PATIENCE, V1, Api, play, serving

from nodegraph import Context, node
from nodegraph.server import keys
from nodegraph.server.queue.model import LivePreview
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1 import streams

HELD = document({"h": ("Hold", {}), "s": ("Show", {"value": ["h.int"]})})
PICTURE = LivePreview("h", "node", 4, 3, b"\xff\xd8 a picture")


@node("Chatter", category="toys", output=True, cached=False)
def chatter(ctx: Context, count: int) -> None:
    """Say much."""
    for number in range(count):
        ctx.log(f"{number} " + "x" * 300)


def held(settings: ServeSettings, scene: Any) -> None:
    async def main() -> None:
        worker = HeldWorker(settings.state.parent)
        async with serving(settings, worker) as api:
            await api.submit(HELD, id="h")
            await worker.begun.wait()
            await scene(api, worker)

    asyncio.run(main())


async def line_with(answer: Any, word: str) -> str:
    """The next line of a stream that has a word in it."""
    async with asyncio.timeout(PATIENCE):
        while word not in (line := (await answer.content.readline()).decode()):
            assert line
    return line


def test_pictures_come_to_those_who_ask_and_are_no_part_of_the_log(settings: ServeSettings) -> None:
    async def scene(api: Api, worker: HeldWorker) -> None:
        hub = api.live.app[keys.SERVICE].hub
        base = f"{api.live.address}{V1}/runs/h"
        async with (
            api.live.session.get(f"{base}/events?previews=true") as seeing,
            api.live.session.get(f"{base}/events") as blind,
            api.live.session.ws_connect(f"{base}/socket") as ear,
        ):
            for answer in (seeing, blind):
                await line_with(answer, "event: node_started")
            while '"node_started"' not in (await ear.receive()).data:
                pass
            hub.preview("", PICTURE)
            assert await line_with(seeing, "event: preview") == "event: preview\n"
            told = json.loads((await line_with(seeing, "data:")).removeprefix("data: "))
            assert (told["node"], told["width"], base64.b64decode(told["jpeg"])) == ("node", 4, PICTURE.jpeg)
            while isinstance(frame := (await ear.receive()).data, str):
                pass
            (size,) = struct.unpack(">I", frame[:4])
            assert json.loads(frame[4 : 4 + size]) == {"node": "node", "width": 4, "height": 3}
            assert frame[4 + size :] == PICTURE.jpeg
            worker.release()
            assert b"preview" not in await blind.read()
        assert "preview" not in json.dumps(await api.get("/runs/h/log"))

    held(settings, scene)


def test_silence_is_filled_with_signs_of_life(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)

    async def scene(api: Api) -> None:
        await api.ask("POST", "/queue/pause")
        await api.submit(add(1), id="waits")
        async with api.live.session.get(f"{api.live.address}{V1}/runs/waits/events") as answer:
            for _ in range(3):
                assert await line_with(answer, ":") == ": still here\n"
            assert (await api.ask("DELETE", "/runs/waits")).status == 204
            assert '"status": "cancelled"' in (await answer.read()).decode()

    play(settings, scene)


def test_readers_that_go_away_leave_nothing_behind(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)

    async def scene(api: Api, worker: HeldWorker) -> None:
        hub = api.live.app[keys.SERVICE].hub
        for _ in range(5):
            async with api.live.session.get(f"{api.live.address}{V1}/runs/h/events") as answer:
                await line_with(answer, "job_started")
                assert len(hub) >= 1
            async with api.live.session.ws_connect(f"{api.live.address}{V1}/runs/h/socket") as ear:
                await ear.receive()
        async with asyncio.timeout(PATIENCE):
            while len(hub):
                await asyncio.sleep(0.02)
        worker.release()
        assert (await api.finished("h"))["status"] == "done"

    held(settings, scene)


async def deaf(api: Api, path: str) -> socket.socket:
    """A client that asked for a stream and does not read it; the server has begun to answer."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", api.live.port))
    await loop.sock_sendall(slow, f"GET {V1}{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
    hub = api.live.app[keys.SERVICE].hub
    while not len(hub):
        await asyncio.sleep(0.01)
    return slow


async def rest(slow: socket.socket) -> bytes:
    """Everything until the server closes or cuts the connection."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while data := await asyncio.get_running_loop().sock_recv(slow, 1 << 20):
            told += data
    slow.close()
    return told


def test_a_reader_that_does_not_read_is_told_everything_when_it_does_and_holds_nobody_up(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.ask("POST", "/queue/pause")
        await api.submit(document({"c": ("Chatter", {"count": 20_000})}), id="c")
        slow = await deaf(api, "/runs/c/events")
        (reader,) = set().union(*api.live.app[keys.SERVICE].hub._readers.values())
        await api.ask("POST", "/queue/resume")
        assert (await api.finished("c"))["status"] == "done"
        assert reader.overflowed, "what waits for a reader is bounded"
        told = await rest(slow)
        numbers = [int(number) for number in re.findall(rb"^id: (\d+)$", told, re.MULTILINE)]
        assert numbers == list(range(1, numbers[-1] + 1))
        assert numbers[-1] > 20_000
        assert told.rstrip().splitlines()[-1].startswith(b'data: {"seq": %d' % numbers[-1])

    play(settings, scene, worker=EngineWorker(engine(settings.state.parent, chatter)))


def test_a_reader_that_never_reads_is_given_up(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.2)

    async def scene(api: Api) -> None:
        await api.ask("POST", "/queue/pause")
        await api.submit(document({"c": ("Chatter", {"count": 20_000})}), id="c")
        slow = await deaf(api, "/runs/c/events")
        await api.ask("POST", "/queue/resume")
        await api.finished("c")
        while any(getattr(task.get_coro(), "__qualname__", "") == "_take" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.02)
        told = await rest(slow)
        assert b"job_started" in told
        assert b"job_ended" not in told

    play(settings, scene, worker=EngineWorker(engine(settings.state.parent, chatter)))
