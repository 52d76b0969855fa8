"""Files that come in: received into a folder of their own, checked, then put in place whole, under a name that nobody else has."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from nodegraph.errors import FileMissing, NodegraphError, TooLarge, UnsafePath
from nodegraph.files import inside, move_to_new, safe_parts, sync_folder, temporary, write_failed
from nodegraph.server.http_errors import AlreadyThere
from nodegraph.server.safety.body import in_time
from nodegraph.server.safety.quota import SMALLEST, Reservation, cost, require_free_disk

CHUNK: Final = 256 * 1024
MOST_FOLDERS: Final = 32
MOST_NAMES: Final = 10_000
"""tried in a row: name.png, name (1).png, name (2).png ..."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file as it came, not yet in place. digest: SHA-256"""

    path: Path
    size: int
    digest: bytes


class Spool:
    """The folder that receives: emptied at start, since what lies there was broken off."""

    def __init__(self, folder: Path, limit: int, seconds: float) -> None:
        self.folder = folder
        self._limit = limit
        self._seconds = seconds

    def clear(self) -> None:
        for path in self.folder.glob("*.part"):
            path.unlink(missing_ok=True)

    @asynccontextmanager
    async def receive(self, read: Callable[[], Awaitable[bytes]], room: Reservation) -> AsyncIterator[Received]:
        """Take in pieces until there are no more; removed at the end if it was not put in place.

        read: gives the next piece, empty at the end. Raises TooLarge, TooSlow, StorageFull, WriteFailed.
        """
        path = self.folder / f"{secrets.token_hex(12)}.part"
        try:
            yield await self._take(path, read, room)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _take(self, path: Path, read: Callable[[], Awaitable[bytes]], room: Reservation) -> Received:
        digest, size, waiting = hashlib.sha256(), 0, bytearray()
        try:
            stream = await asyncio.to_thread(_create, path)
        except OSError as error:
            raise write_failed(path, error) from error
        with stream:
            room.add(SMALLEST)
            while piece := await in_time(read(), self._seconds):
                size += len(piece)
                if size > self._limit:
                    raise TooLarge(
                        f"one file may have at most {self._limit} bytes", hint="start the server with --limit upload=SIZE for more"
                    )
                room.add(max(0, size - max(SMALLEST, size - len(piece))))
                digest.update(piece)
                waiting += piece
                if len(waiting) >= CHUNK:
                    await asyncio.to_thread(_write, stream, path, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(_write, stream, path, bytes(waiting), True)
        return Received(path, size, digest.digest())


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "xb")


def _write(stream: IO[bytes], path: Path, data: bytes, last: bool = False) -> None:
    try:
        require_free_disk(path.parent, len(data))
        stream.write(data)
        if last:
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise write_failed(path, error) from error


# ------------------------------------------------------------------------------------------------ putting in place


def keep_new(received: Received, root: Path, folder: str, name: str) -> tuple[str, bool]:
    """Put a file below `root/folder` under its name or the next free `name (1).png`: that name, and whether it was not there.

    The same content under one of these names is not kept twice. Names that differ only in case count as the same, since on some systems
    they are. Raises UnsafePath, AlreadyThere, WriteFailed.
    """
    target = place_for(root, folder, name)
    taken = {entry.casefold(): entry for entry in _names(target.parent)}
    with staged(received, target) as temp:
        for number in range(MOST_NAMES):
            final = inside(root, _joined(folder, name if number == 0 else f"{target.stem} ({number}){target.suffix}"))
            other = taken.get(final.name.casefold())
            if other is None:
                try:
                    move_to_new(temp, final)
                    return final.name, True
                except FileExistsError:
                    other = final.name
            if _same_content(received, final.with_name(other)):
                return other, False
    raise AlreadyThere(f"there are {MOST_NAMES} files of this name", hint="give it another name")


def replace(received: Received, root: Path, folder: str, name: str) -> int:
    """Put a file in place of whatever has its name. Returns by how much more now counts against a quota.

    Raises UnsafePath, AlreadyThere, WriteFailed.
    """
    target = place_for(root, folder, name)
    if target.is_dir():
        raise AlreadyThere("a folder has this name", hint="give it another name")
    before = cost(target.lstat().st_size) if target.is_file() else 0
    with staged(received, target) as temp:
        os.replace(temp, target)
    return cost(received.size) - before


def put_new(received: Received, root: Path, folder: str, name: str) -> None:
    """Put a file where none is. Raises AlreadyThere, UnsafePath, WriteFailed."""
    target = place_for(root, folder, name)
    if any(entry.casefold() == target.name.casefold() for entry in _names(target.parent)):
        raise AlreadyThere("there is a file of this name", hint="give it another name, or overwrite it with overwrite=true")
    try:
        with staged(received, target) as temp:
            move_to_new(temp, target)
    except FileExistsError as error:
        raise AlreadyThere("there is a file of this name", hint="give it another name, or overwrite it with overwrite=true") from error


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder.strip("/\\") else name


def place_for(root: Path, folder: str, name: str) -> Path:
    """The place, with its folders made. Raises UnsafePath also for a name that is a path, AlreadyThere, WriteFailed."""
    if len(safe_parts(name)) != 1 or "/" in name or "\\" in name:
        raise UnsafePath("a file's name may not have folders", hint="put them into `subfolder`")
    if folder and len(safe_parts(folder)) > MOST_FOLDERS:
        raise UnsafePath(f"there may be at most {MOST_FOLDERS} folders within each other", hint="use fewer")
    path = inside(root, _joined(folder, name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise AlreadyThere("a file has the name of that folder", hint="choose another folder") from error
    except OSError as error:
        raise told(path, error) from error
    return inside(root, _joined(folder, name))


def told(path: Path, error: OSError) -> NodegraphError:
    """What stopped a write: the name itself, or the disk."""
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return UnsafePath("the name is too long for this disk, or has characters it cannot have", hint="use a shorter, plain name")
    return write_failed(path, error)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise FileMissing("that folder cannot be read") from error


def _same_content(received: Received, path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != received.size:
            return False
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest() == received.digest
    except OSError:
        return False


@contextmanager
def staged(received: Received, target: Path) -> Iterator[Path]:
    """The whole file beside its place, also from another disk, to be given its name at once. Raises FileExistsError, WriteFailed."""
    try:
        with temporary(target.parent) as (stream, temp):
            stream.close()
            _move(received.path, temp)
            yield temp
            sync_folder(target.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise told(target, error) from error


def _move(source: Path, temp: Path) -> None:
    try:
        os.replace(source, temp)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with open(source, "rb") as old, open(temp, "wb") as new:
            shutil.copyfileobj(old, new, CHUNK)
            new.flush()
            os.fsync(new.fileno())
