"""One connection: bounded in number, in headers and in waiting, and faults of its bytes are answered in JSON as well."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Final

from aiohttp import web

from nodegraph.server.safety.guard import HEADERS
from nodegraph.server.setup.config import Limits

LOG: Final = logging.getLogger("nodegraph.server")
LONGEST_LINE: Final = 16 * 1024
"""bytes of a request line or of one header; an address may carry long names"""
MOST_HEADERS: Final = 100


class Connection(web.RequestHandler):
    """aiohttp's connection with our limits. A client that does not finish its headers in `idle_seconds` is cut off."""

    __slots__ = ("_limits", "_server")

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.idle_seconds,
            access_log=None,  # type: ignore[arg-type]
            logger=LOG,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            lingering_time=1.0,
        )
        self._server = server
        self._limits = limits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._server.connections) > self._limits.connections:
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What the parser could not make sense of. No request of ours comes here: the guard answers those."""
        LOG.info("bytes from %s are not HTTP: %s", request.remote, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        body = {"error": {"code": "E600", "error": "BadHttp", "message": "this is not a request that HTTP knows"}}
        response = web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=HEADERS)
        response.force_close()
        return response
