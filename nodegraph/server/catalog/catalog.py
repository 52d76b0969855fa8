"""The nodes there are, as the server knows them: from disk at once while the code is the same, else as soon as a worker tells them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import nodegraph
from nodegraph.errors import NodegraphError
from nodegraph.files import write_atomic
from nodegraph.registry import Registry, builtin_folder, code_hash
from nodegraph.server.catalog.descriptions import digest, registry_of
from nodegraph.server.wire import link

log = logging.getLogger(__name__)

_PACKAGE: Final = Path(nodegraph.__file__).parent


class Catalog:
    """Node descriptions of one set of packs, kept in a file.

    own: folders of code that every node depends on; by default nodegraph's and the built-in nodes'
    digest: names the present descriptions; another one means that some node changed. Empty while nothing is known
    """

    def __init__(self, path: Path, packs: Sequence[Path], own: Sequence[Path] | None = None) -> None:
        self.digest = ""
        self._path = path
        self._folders = [*(own or (_PACKAGE, builtin_folder("nodes"))), *(Path(os.path.abspath(pack)) for pack in packs)]
        self._stamp = self._code_known = ""
        self._registry: Registry | None = None
        self._known = asyncio.Event()

    # ------------------------------------------------------------------------------- for everybody

    async def registry(self) -> Registry:
        """The present nodes, without their functions; waits until they are known."""
        await self._known.wait()
        assert self._registry is not None
        return self._registry

    @property
    def present(self) -> Registry | None:
        """As `registry`, or None while nothing is known."""
        return self._registry

    # ------------------------------------------------------------------------------- the file

    def load(self) -> bool:
        """Take the descriptions from the file if they are of the code as it is now. Whether there are any."""
        try:
            kept = json.loads(self._path.read_bytes())
            stamp = self.stamp()
            if kept["digest"] != digest(kept["descriptions"]) or (kept["stamp"] != stamp and kept["code"] != self._code()):
                return False
            self._code_known = kept["code"]
            self._take(kept["descriptions"], kept["digest"], stamp)
        except (OSError, ValueError, TypeError, LookupError):
            return False
        if kept["stamp"] != stamp:
            self._write({**kept, "stamp": stamp})
        return True

    def stamp(self) -> str:
        """Changes when some Python file of nodes does. Some milliseconds."""
        return files_stamp(self._folders)

    async def update(self, descriptions: Mapping[str, Any], stamp: str) -> None:
        """Take what a worker told, and keep it. stamp: what `stamp` gave before that worker read the code."""
        self._take(descriptions, digest(descriptions), stamp)
        await asyncio.to_thread(self._keep, descriptions, stamp)

    def _keep(self, descriptions: Mapping[str, Any], stamp: str) -> None:
        code = self._code()
        if stamp == self.stamp():  # else the hash may be of newer code than these are
            self._code_known = code
            self._write({"stamp": stamp, "code": code, "digest": self.digest, "descriptions": descriptions})

    def is_stale(self) -> bool:
        """Whether the code of nodes is another than the one described: noticed by times and sizes of files, confirmed by contents.

        Says so once.
        """
        stamp = self.stamp()
        if not self._stamp or stamp == self._stamp:
            return False
        self._stamp = stamp
        code, self._code_known = self._code_known, self._code()
        return code != self._code_known

    def _take(self, descriptions: Mapping[str, Any], name: str, stamp: str) -> None:
        self._registry = registry_of(descriptions)
        self.digest, self._stamp = name, stamp
        self._known.set()

    def _code(self) -> str:
        return f"{sys.version_info[:2]} {self._folders} {code_hash(self._folders)}"

    def _write(self, data: Mapping[str, Any]) -> None:
        text = link.dump(data).encode("ascii")
        try:
            write_atomic(self._path, lambda stream: stream.write(text))
        except NodegraphError as error:  # it is only kept so that the next start is quicker
            log.warning("%s", error)


def files_stamp(folders: Sequence[Path]) -> str:
    """Changes when a Python file below the folders is written, comes or goes; nothing is read."""
    state = blake2b(repr((sys.version_info[:2], [str(folder) for folder in folders])).encode(), digest_size=16)
    for folder in folders:
        for line in _states(folder):
            state.update(line.encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _states(folder: Path) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                try:
                    stat = os.stat(os.path.join(where, name))
                except OSError:
                    continue
                yield f"{where}/{name}:{stat.st_size}:{stat.st_mtime_ns}\n"
