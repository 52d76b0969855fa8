"""Messages sent together: a client gets each of them whole, in order, and one that does not read is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from nodegraph.server.comfy.routes.bundle import Bundle

Tell = Callable[[Bundle, web.WebSocketResponse], Awaitable[None]]
LENGTHS = (0, 1, 125, 126, 127, 65535, 65536, 200_000)


async def heard(tell: Tell) -> list[str | bytes]:
    """What a client hears until the server closes."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, writer_limit=0)
        await socket.prepare(request)
        await tell(Bundle(socket, request), socket)
        await socket.close()
        return socket

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    async with TestClient(TestServer(app)) as client, client.ws_connect("/", max_msg_size=0) as socket:
        messages = [message async for message in socket]
    assert all(message.type in (WSMsgType.TEXT, WSMsgType.BINARY) for message in messages)
    return [message.data for message in messages]


def test_messages_of_all_lengths_arrive_whole_and_in_order() -> None:
    texts = [letter * length for length in LENGTHS for letter in "aé猫"]

    async def tell(bundle: Bundle, socket: web.WebSocketResponse) -> None:
        for text in texts:
            bundle.add(text)
        await bundle.send()
        await bundle.send()

    assert asyncio.run(heard(tell)) == texts


def test_pictures_and_messages_sent_otherwise_keep_their_place() -> None:
    async def tell(bundle: Bundle, socket: web.WebSocketResponse) -> None:
        bundle.add("one")
        bundle.add("two")
        await bundle.send_bytes(b"three")
        bundle.add("four")
        await bundle.send()
        await socket.send_str("five")
        bundle.add("six")
        await bundle.send()

    assert asyncio.run(heard(tell)) == ["one", "two", b"three", "four", "five", "six"]


def test_a_bundle_is_full_before_it_is_large() -> None:
    full: list[bool] = []

    async def tell(bundle: Bundle, socket: web.WebSocketResponse) -> None:
        full.append(bundle.is_full)
        bundle.add("x" * 70_000)
        full.append(bundle.is_full)
        await bundle.send()
        full.append(bundle.is_full)

    assert asyncio.run(heard(tell)) == ["x" * 70_000]
    assert full == [False, True, False]


def test_who_does_not_read_is_waited_for() -> None:
    """Else a server would hold in memory what a sleeping tab never takes."""

    async def tell_much(bundle: Bundle) -> None:
        for _ in range(10_000):
            bundle.add("x" * 10_000)
            bundle.add("y")
            await bundle.send()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, writer_limit=0)
        await socket.prepare(request)
        bundle = Bundle(socket, request)
        telling = asyncio.create_task(tell_much(bundle))
        done, _ = await asyncio.wait([telling], timeout=0.3)
        assert not done
        telling.cancel()
        assert request.transport is not None
        held.append(request.transport.get_write_buffer_size())
        request.transport.abort()
        return socket

    async def connect() -> None:
        app = web.Application()
        app.add_routes([web.get("/", handle)])
        async with TestServer(app) as server:
            assert server.port is not None
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            head = ["GET / HTTP/1.1", "Host: here", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            writer.write("\r\n".join([*head, "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "\r\n"]).encode())
            while not held:
                await asyncio.sleep(0.01)
            writer.close()

    held: list[int] = []
    asyncio.run(connect())
    assert 0 < held[0] < 1_000_000


def test_who_is_gone_is_told_of() -> None:
    seen: list[str] = []

    async def tell(bundle: Bundle, socket: web.WebSocketResponse) -> None:
        await socket.close()
        bundle.add("too")
        bundle.add("late")
        try:
            await bundle.send()
        except ConnectionError:
            seen.append("refused")

    assert asyncio.run(heard(tell)) == []
    assert seen == ["refused"]
