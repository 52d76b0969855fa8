"""Start a worker process: the command, its environment, its pipes, and the lines it prints."""

from __future__ import annotations

import asyncio
import os
import site
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import nodegraph

LONGEST_LINE: Final = 4000
READ_AHEAD: Final = 1 << 20


async def start_process(*inherited: int) -> asyncio.subprocess.Process:
    """`python -m nodegraph.server.worker.main` with pipes, in a session of its own. The folder it is started in is no place for modules.

    inherited: descriptors that it gets too. Raises OSError.
    """
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "nodegraph.server.worker.main",
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=environment(),
        start_new_session=True,
        pass_fds=inherited,
        limit=READ_AHEAD,
    )


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The server's environment, in which this very nodegraph is found, also if it lies in a checkout."""
    home = str(Path(nodegraph.__file__).parent.parent)
    if home in (*site.getsitepackages(), site.getusersitepackages()):
        return dict(environ)
    return {**environ, "PYTHONPATH": os.pathsep.join([home, *filter(None, [environ.get("PYTHONPATH")])])}


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a stream, long ones cut."""
    kept = b""
    while data := await stream.read(1 << 16):
        *whole, kept = (kept + data).split(b"\n")
        for line in whole:
            yield line[:LONGEST_LINE].decode("utf-8", "backslashreplace")
        kept = kept[:LONGEST_LINE]
    if kept:
        yield kept.decode("utf-8", "backslashreplace")
