"""Read single members of package archives (`.tgz`) in memory, with every size bounded.

Nothing is ever unpacked to a path that an archive names, links are not followed, and a compressed bomb stops at the limit.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nodegraph.errors import BadDataset, FileMissing, TooLarge

MEMBER_LIMIT = 64 * 1024 * 1024  # bytes; the largest member we need (all Noto drawings) has 25 MB
TOTAL_LIMIT = 512 * 1024 * 1024  # bytes after decompression


class BoundedReader(io.RawIOBase):
    """A forward-only reader that raises `TooLarge` after `limit` bytes."""

    def __init__(self, inner: gzip.GzipFile, limit: int, name: str) -> None:
        super().__init__()
        self._inner, self._left, self._name, self._limit = inner, limit, name, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"{self._name} unpacks to more than {self._limit} bytes")
        buffer[: len(data)] = data
        return len(data)


def find_archive(folder: Path, package: str) -> Path:
    """The newest `<package>-<version>.tgz` in `folder`, named as `npm pack` names it (`@scope/name` becomes `scope-name`).

    Raises `FileMissing` with the command that fetches it.
    """
    stem = package.removeprefix("@").replace("/", "-")
    found = [path for path in folder.glob(f"{stem}-*.tgz") if path.name[len(stem) + 1 :][:1].isdigit()]
    if not found:
        raise FileMissing(f"no archive of {package} in {folder}", hint=f"run `npm pack {package}` in that folder")
    return max(found, key=lambda path: _version(path.name[len(stem) + 1 : -len(".tgz")]))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in text.replace("-", ".").split("."))


def read_members(
    archive: Path, wanted: Callable[[str], bool], *, member_limit: int = MEMBER_LIMIT, total_limit: int = TOTAL_LIMIT
) -> Iterator[tuple[str, bytes]]:
    """Yield `(name, content)` of the plain files in `archive` for which `wanted(name)` holds; names lose the leading `package/`.

    Raises `BadDataset` when the file is no gzip tar or is cut short, `TooLarge` when a size goes past its limit.
    """
    try:
        with gzip.open(archive, "rb") as inner:
            stream = io.BufferedReader(BoundedReader(inner, total_limit, archive.name), 1 << 20)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = member.name.partition("/")[2]
                    if member.isreg() and wanted(name):
                        yield name, _content(tar, member, archive, member_limit)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as cause:
        raise BadDataset(f"{archive.name} cannot be read: {cause}", hint="fetch the archive again") from cause


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path, limit: int) -> bytes:
    if member.size > limit:
        raise TooLarge(f"{archive.name}: member {member.name!r} has {member.size} bytes, more than {limit}")
    handle = tar.extractfile(member)
    return handle.read(member.size) if handle else b""


def read_json(archive: Path, *names: str) -> tuple[Any, ...]:
    """The JSON members `names`, in that order; a member that is not there is `None`."""
    found = dict(read_members(archive, lambda name: name in names))
    try:
        return tuple(json.loads(found[name]) if name in found else None for name in names)
    except ValueError as cause:
        raise BadDataset(f"{archive.name} holds broken JSON: {cause}", hint="fetch the archive again") from cause
