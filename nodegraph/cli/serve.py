"""`nodegraph serve`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nodegraph.cli.main import DONE


def serve(arguments: argparse.Namespace) -> int:
    """Bind first: a taken port is told at once, and whoever connects meanwhile is answered as soon as the rest is loaded."""
    gc.disable()  # until the first answer: nothing that is loaded becomes garbage
    with absent("ssl"):
        from nodegraph.server.setup.config import is_loopback, serve_settings
        from nodegraph.server.setup.listen import allow_many_connections, listen

        settings = serve_settings(vars(arguments))
        sockets = listen(settings.host, settings.port)
        allow_many_connections(2 * settings.limits.connections)
        if not is_loopback(settings.host):
            print("note: other machines can reach this server; what is sent is not encrypted", file=sys.stderr)
        from nodegraph.server.app import serve as run

    run(settings, sockets)
    return DONE


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Let what is imported inside find no module of this name.

    The server speaks no TLS and asks nobody else; but aiohttp brings a client along, which reads all certificates of the machine as soon
    as it finds `ssl`: a tenth of the time that the server takes to start, and 4 MiB. Python may be built without it, so nothing needs it.
    """
    known = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if known is None:
            del sys.modules[name]
        else:
            sys.modules[name] = known
