"""The sockets the server listens on. Bound before anything else is loaded, so that a taken port is told at once and clients can queue."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from typing import Final

from nodegraph.errors import NodegraphError, shorten
from nodegraph.server.http_errors import BadSetting, PortTaken

BACKLOG: Final = 1024


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address of `host`, all with one port (0 takes a free one). Raises PortTaken or BadSetting."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host):
            sockets.append(_listen(family, address, sockets[0].getsockname()[1] if sockets else port, bool(sockets)))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _told(error, host, port) from error
    return [opened for opened in sockets if opened.fileno() >= 0]


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    pairs = {(family, str(address[0])) for family, _, _, _, address in found if family in (socket.AF_INET, socket.AF_INET6)}
    return sorted(pairs)


def _listen(family: socket.AddressFamily, address: str, port: int, optional: bool) -> socket.socket:
    """optional: a further address of the same name; a machine may know IPv6 and not have it, then the socket comes back closed."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        if not (optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)):
            raise
    return opened


def _told(error: OSError, host: str, port: int) -> NodegraphError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} of {shorten(host)} is taken by another program",
            hint=f"is another server running? stop it, or choose another port: --port {port % 65535 + 1} (0 takes a free one)",
        )
    if error.errno == errno.EACCES:
        return PortTaken(f"port {port} may not be used without special rights", hint="choose one above 1023, for instance --port 8188")
    reason = error.strerror or os.strerror(error.errno or 0)
    return BadSetting(f"cannot listen on {shorten(host)}, port {port}: {reason}", hint="check --host; 127.0.0.1 always works")


def address_of(opened: socket.socket) -> str:
    """http://address:port"""
    name, port = opened.getsockname()[:2]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def allow_many_connections(wanted: int) -> None:
    """Raise the number of files and sockets this process may have open, as far as the system lets it: often that is 1024 at first."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
