"""Messages of one websocket that go out together: one call of the system for many, where each by itself would cost one.

aiohttp writes every message at once and alone. Here all but the last of a bundle are framed by hand and written in one piece; the last
goes through aiohttp, which waits for a client that does not read.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

FINAL_TEXT: Final = 0x81
"""a whole message of text, not compressed (RFC 6455, section 5.2)"""
SHORT: Final = 126
"""bytes from which on a frame's length is told in 2 bytes of its own"""
MIDDLE: Final = 2**16
"""bytes from which on it is told in 8"""
MOST: Final = 64 * 1024
"""characters from which on a bundle is better sent than gathered on"""


class Bundle:
    """Texts on their way to a websocket, in order. The socket must not compress, and should have `writer_limit=0`: always wait."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._socket = socket
        self._request = request
        self._texts: list[str] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size > MOST

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._size += len(text)

    async def send(self) -> None:
        """Write what was gathered. Raises ConnectionError if the client is gone."""
        if not self._texts:
            return
        *first, last = self._texts
        self._texts, self._size = [], 0
        transport = self._request.transport
        if self._socket.closed or transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if first:
            transport.write(b"".join(map(frame, first)))
        await self._socket.send_str(last)

    async def send_bytes(self, data: bytes) -> None:
        """The same for a binary message, after all texts."""
        await self.send()
        await self._socket.send_bytes(data)


def frame(text: str) -> bytes:
    """A message from a server, as a websocket carries it."""
    data = text.encode()
    size = len(data)
    if size < SHORT:
        return bytes((FINAL_TEXT, size)) + data
    if size < MIDDLE:
        return bytes((FINAL_TEXT, 126)) + size.to_bytes(2, "big") + data
    return bytes((FINAL_TEXT, 127)) + size.to_bytes(8, "big") + data
