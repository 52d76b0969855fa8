"""Files of the editor as gzip: compressed once, kept in memory, and sent to those who take it."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from aiohttp import web

from nodegraph.server.safety.deliver import Opened, is_known, send, unchanged
from nodegraph.server.safety.guard import HEADERS

SUFFIXES: Final = frozenset((".js", ".mjs", ".css", ".json", ".map", ".svg", ".txt", ".md", ".wasm", ".ttf"))
"""of files that become much smaller"""
SMALLEST: Final = 1024
LARGEST: Final = 16 * 2**20
"""bytes of a file, and of all that is kept"""
VARY: Final = f"{HEADERS['Vary']}, Accept-Encoding"


class Gzipped:
    """Compressed files by their path, as they were when they were compressed. One per application."""

    def __init__(self, room: int = LARGEST) -> None:
        self._room = room
        self._kept: OrderedDict[Path, tuple[str, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    async def send(self, request: web.Request, path: Path, opened: Opened, headers: dict[str, str]) -> web.StreamResponse:
        """Answer with a file, compressed if that is worth it and the client takes it. Parts are of the file as it is."""
        if Path(opened.name).suffix.lower() not in SUFFIXES or not SMALLEST <= opened.size <= LARGEST:
            return await send(request, opened, headers)
        headers = {**headers, "Vary": VARY}
        if "Range" in request.headers or not takes_gzip(request.headers.get("Accept-Encoding", "")):
            return await send(request, opened, headers)
        with opened.stream:
            headers |= {"ETag": f'{opened.etag[:-1]}-gz"', "Content-Encoding": "gzip"}
            if is_known(request, headers["ETag"]):
                return unchanged(headers)
            return web.Response(body=await asyncio.to_thread(self._bytes, path, opened), headers=headers)

    def _bytes(self, path: Path, opened: Opened) -> bytes:
        with self._lock:
            etag, data = self._kept.pop(path, ("", b""))
            if etag != opened.etag:
                opened.stream.seek(0)
                data = gzip.compress(opened.stream.read(opened.size), 6, mtime=0)
            self._kept[path] = (opened.etag, data)
            while sum(len(kept) for _, kept in self._kept.values()) > self._room:
                self._kept.popitem(last=False)
        return data


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, with any weight but 0."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
