"""`nodegraph serve`."""

from __future__ import annotations

import argparse
import gc
import sys

from nodegraph.cli.main import DONE


def serve(arguments: argparse.Namespace) -> int:
    """Bind first: a taken port is told at once, and whoever connects meanwhile is answered as soon as the rest is loaded."""
    gc.disable()  # until the first answer: nothing that is loaded becomes garbage
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
