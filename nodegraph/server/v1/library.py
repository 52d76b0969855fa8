"""Saved workflows: readable JSON files in a folder, with their former versions beside them. Nothing that was saved is overwritten.

    workflows/cat.json                               the workflow as it is now
    workflows/.versions/cat/00000012-<hash>.json     each state that it had, this one too

The first file is what counts. If someone edits it by hand, or the server dies between the two writes, its state has no version yet;
it gets one before anything else is written. A deleted workflow keeps its versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from nodegraph.document import parse_json
from nodegraph.errors import NodegraphError, ReadFailed, UnsafePath, shorten
from nodegraph.files import inside, safe_parts, sync_folder, write_atomic, write_failed
from nodegraph.server.http_errors import AlreadyThere, BadRequest
from nodegraph.server.v1.faults import Stale, UnknownVersion, UnknownWorkflow
from nodegraph.server.v1.operation import PREFIX
from nodegraph.server.v1.shapes import Kept, Version

MOST_VERSIONS: Final = 100
"""kept of one workflow, the oldest go"""
MOST_DELETED: Final = 200
"""workflows that can be restored after they were deleted"""
LONGEST_NAME: Final = 100
SUFFIX: Final = ".json"
_VERSION: Final = re.compile(r"(\d{1,12})-([0-9a-f]{32})\.json")


class Condition(NamedTuple):
    """What must hold for a change. matches: the workflow has one of these tags (`*`: it is there); new: it is not there."""

    matches: frozenset[str] | None = None
    new: bool = False

    def holds(self, tag: str | None) -> bool:
        if self.new and tag is not None:
            return False
        return self.matches is None or (tag is not None and bool(self.matches & {tag, "*"}))


class _State(NamedTuple):
    number: int
    hash: str
    path: Path


@dataclass(frozen=True, slots=True)
class Saved:
    """kept: what is told in lists; document: our JSON"""

    kept: Kept
    document: dict[str, Any]


class Library:
    """The saved workflows of one folder. Every method reads or writes files: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._titles: dict[str, tuple[tuple[int, int], str, str]] = {}

    # ------------------------------------------------------------------------------ looking

    def all(self) -> list[Kept]:
        """Sorted by name; files that are no workflows are left out."""
        found = []
        for name in sorted(self._names(), key=str.casefold):
            with suppress(NodegraphError):
                found.append(self.kept(name))
        return found

    def kept(self, name: str) -> Kept:
        """Raises UnknownWorkflow, BadRequest for a name that none can have, NotJson, ReadFailed."""
        path = self._path(name)
        stat = _stat(path, name)
        state = (stat.st_mtime_ns, stat.st_size)
        known = self._titles.get(path.name)
        if known is None or known[0] != state:
            data = _read(path, name)
            known = self._titles[path.name] = (state, hash_of(data), title_of(parse_json(data, path.name)))
        return self._kept(path.name.removesuffix(SUFFIX), known[1], known[2], stat)

    def get(self, name: str) -> Saved:
        """Raises what `kept` does."""
        path = self._path(name)
        data, stat = _read(path, name), _stat(path, name)
        document = parse_json(data, path.name)
        return Saved(self._kept(path.name.removesuffix(SUFFIX), hash_of(data), title_of(document), stat), document)

    def _kept(self, name: str, hash: str, title: str, stat: os.stat_result) -> Kept:
        picture = self.thumbnail(name)
        return {
            "name": name,
            "title": title,
            "version": _number_of(hash, self._states(name)),
            "modified": stat.st_mtime,
            "etag": tag_of(hash),
            "size": stat.st_size,
            "thumbnail": f"{PREFIX}/workflows/{quote(name, safe='')}/thumbnail" if picture.is_file() else None,
        }

    def thumbnail(self, name: str) -> Path:
        """Where the small picture of a workflow lies, if it has one."""
        return self.folder / ".thumbnails" / f"{safe_name(name)}.webp"

    def versions(self, name: str) -> list[Version]:
        """Newest first; also of a workflow that was deleted. Raises UnknownWorkflow."""
        found = []
        for state in reversed(self._states(name)):
            with suppress(OSError):
                stat = state.path.stat()
                found.append(_version_of(state, stat))
        if not found:
            self.kept(name)
        return found

    def version(self, name: str, number: int) -> tuple[Version, dict[str, Any]]:
        """Raises UnknownVersion, ReadFailed."""
        state = next((state for state in self._states(name) if state.number == number), None)
        if state is None:
            there = ", ".join(str(state.number) for state in self._states(name)[-10:]) or "none"
            raise UnknownVersion(f"{shorten(name)!r} has no version {number}", hint=f"there is: {there}")
        data, stat = _read(state.path, name), _stat(state.path, name)
        return _version_of(state, stat), parse_json(data, f"version {number}")

    # ------------------------------------------------------------------------------ changing

    def save(self, name: str, document: dict[str, Any], condition: Condition, room: Callable[[int], None]) -> tuple[Saved, bool]:
        """Keep a workflow (our JSON) under a name; on disk when this returns. Also whether the name is new.

        room: called with the bytes that are about to be written; may raise
        Raises Stale if the condition does not hold, AlreadyThere for a name that differs in case only, UnknownWorkflow, WriteFailed.
        """
        with self._lock:
            data = bytes_of(document)
            path = self._path(name)
            present = self._adopted(name)
            self._check(name, present, condition)
            if present is None:
                self._check_spelling(path.name)
            if present != data:
                room(2 * len(data))
                write_atomic(path, lambda stream: stream.write(data))
                self._add_version(name, data)
            return self.get(name), present is None

    def restore(self, name: str, number: int, condition: Condition, room: Callable[[int], None]) -> Saved:
        """Make a former version the present one. It gets a number of its own, so that restoring can be undone."""
        _, document = self.version(name, number)
        return self.save(name, document, condition, room)[0]

    def delete(self, name: str, condition: Condition, *, versions: bool) -> None:
        """Take a workflow out of the list. versions: also erase those, so that nothing of it is left. Raises Stale, UnknownWorkflow."""
        with self._lock:
            path = self._path(name)
            present = self._adopted(name)
            self._check(name, present, condition)
            if present is None and not (versions and self._states(name)):
                raise _unknown(name)
            with _writing(path):
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
                if versions:
                    shutil.rmtree(self._versions_of(name), ignore_errors=True)
                    self.thumbnail(name).unlink(missing_ok=True)
            self._forget_deleted()

    def rename(self, name: str, to: str, condition: Condition) -> Kept:
        """Give a workflow another name; its versions and its picture go with it.

        Versions of a deleted workflow that had the new name before are put behind those that come, so that none is lost.
        Raises Stale, UnknownWorkflow, AlreadyThere, WriteFailed.
        """
        with self._lock:
            path, target = self._path(name), self._path(to)
            present = self._adopted(name)
            self._check(name, present, condition)
            if present is None:
                raise _unknown(name)
            same = target.name.casefold() == path.name.casefold()
            if not same:
                self._check_free(target.name)
            with _writing(path):
                self._move_versions(name, to, aside=not same)
                path.rename(target)
                sync_folder(path.parent)
                if self.thumbnail(name).is_file():
                    self.thumbnail(name).replace(self.thumbnail(to))
                elif not same:
                    self.thumbnail(to).unlink(missing_ok=True)
            return self.kept(to)

    def _move_versions(self, name: str, to: str, *, aside: bool) -> None:
        """Before the workflow itself is moved: if the plug is pulled in between, it gets its present state as a version again."""
        old, new = self._versions_of(name), self._versions_of(to)
        if aside and new.is_dir():
            own, first = self._states(name), len(self._states(to))
            for state in reversed(own):
                state.path.rename(old / f"{state.number + first:08d}-{state.hash}.json")
            for state in self._states(to):
                state.path.rename(old / state.path.name)
            shutil.rmtree(new, ignore_errors=True)
        old.rename(new)

    def set_thumbnail(self, name: str, picture: bytes, room: Callable[[int], None]) -> Kept:
        """Raises UnknownWorkflow, WriteFailed."""
        self.kept(name)
        room(len(picture))
        write_atomic(self.thumbnail(name), lambda stream: stream.write(picture))
        return self.kept(name)

    def _check(self, name: str, present: bytes | None, condition: Condition) -> None:
        if condition.holds(tag_of(hash_of(present)) if present is not None else None):
            return
        if condition.new:
            raise Stale(
                f"there is a workflow {shorten(name)!r} already", self.kept(name), hint="choose another name, or save with If-Match"
            )
        told = self.kept(name) if present is not None else None
        said = f"is version {told['version']} by now, another than you have seen" if told is not None else "is not there any more"
        raise Stale(f"{shorten(name)!r} {said}", told, hint="load it again, or save under another name; the versions are kept")

    def _check_free(self, file: str) -> None:
        self._check_spelling(file)
        if (self.folder / file).exists():
            name = file.removesuffix(SUFFIX)
            raise AlreadyThere(f"there is a workflow {shorten(name)!r} already", hint="choose another name")

    def _check_spelling(self, file: str) -> None:
        """On many disks such names are the same file."""
        same = next((other for other in self._names() if other.casefold() == file.removesuffix(SUFFIX).casefold()), None)
        if same is not None and same != file.removesuffix(SUFFIX):
            raise AlreadyThere(f"there is a workflow {shorten(same)!r} already", hint="write the name like that, or take another one")

    # ------------------------------------------------------------------------------ files

    def _path(self, name: str) -> Path:
        """Raises BadRequest, or UnsafePath for a link that leads out of the folder."""
        return inside(self.folder, f"{safe_name(name)}{SUFFIX}")

    def _names(self) -> Iterator[str]:
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    yield entry.name.removesuffix(SUFFIX)

    def _versions_of(self, name: str) -> Path:
        return self.folder / ".versions" / safe_name(name)

    def _states(self, name: str) -> list[_State]:
        """Oldest first."""
        found = []
        with suppress(OSError), os.scandir(self._versions_of(name)) as entries:
            for entry in entries:
                match = _VERSION.fullmatch(entry.name)
                if match is not None:
                    found.append(_State(int(match[1]), match[2], Path(entry.path)))
        return sorted(found)

    def _adopted(self, name: str) -> bytes | None:
        """What is there now, which has a version afterwards."""
        try:
            present = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from error
        states = self._states(name)
        if not states or states[-1].hash != hash_of(present):
            self._add_version(name, present)
        return present

    def _add_version(self, name: str, data: bytes) -> None:
        states = self._states(name)
        number = states[-1].number + 1 if states else 1
        write_atomic(self._versions_of(name) / f"{number:08d}-{hash_of(data)}.json", lambda stream: stream.write(data))
        for old in states[: max(0, len(states) + 1 - MOST_VERSIONS)]:
            with suppress(OSError):
                old.path.unlink()

    def _forget_deleted(self) -> None:
        """Erase the versions of those that were deleted longest ago, beyond a number."""
        folder = self.folder / ".versions"
        with suppress(OSError):
            there = set(self._names())
            gone = sorted((entry.stat().st_mtime, entry.name) for entry in os.scandir(folder) if entry.name not in there)
            for _, name in gone[: max(0, len(gone) - MOST_DELETED)]:
                shutil.rmtree(folder / name, ignore_errors=True)


def _version_of(state: _State, stat: os.stat_result) -> Version:
    return Version(version=state.number, modified=stat.st_mtime, etag=tag_of(state.hash), size=stat.st_size)


def safe_name(name: str) -> str:
    """A name as files can have it on every system: one part, not hidden, in one spelling. Raises BadRequest."""
    plain = unicodedata.normalize("NFC", name)
    try:
        parts = safe_parts(plain)
    except UnsafePath as error:
        raise BadRequest(f"a workflow cannot have this name: {error.message}", hint="letters, digits, spaces, _ and -") from error
    if len(parts) != 1 or parts[0] != plain or plain.startswith(".") or plain != plain.strip() or len(plain) > LONGEST_NAME:
        raise BadRequest(
            f"a workflow cannot be called {shorten(name)!r}",
            hint=f"up to {LONGEST_NAME} letters, digits, spaces, _ and -; no slashes, and no dot at the beginning",
        )
    return plain


def bytes_of(document: dict[str, Any]) -> bytes:
    """A workflow as people can read it; with half characters in it, which UTF-8 cannot say, in ASCII."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode("ascii")


def hash_of(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def tag_of(hash: str) -> str:
    return f'"{hash}"'


def title_of(document: Any) -> str:
    """The title a workflow gives itself."""
    meta = document.get("meta") if isinstance(document, dict) else None
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def _number_of(hash: str, states: list[_State]) -> int:
    """Of the present state: that of the last version, or the next one if it has none yet."""
    if not states:
        return 1
    return states[-1].number + (states[-1].hash != hash)


def _stat(path: Path, name: str) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError as error:
        raise _unknown(name) from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _unknown(name) from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _unknown(name: str) -> UnknownWorkflow:
    return UnknownWorkflow(f"there is no workflow {shorten(name)!r}", hint=f"GET {PREFIX}/workflows lists what there is")


def _unreadable(name: str, error: OSError) -> ReadFailed:
    return ReadFailed(f"cannot read the workflow {shorten(name)!r}: {error.strerror or error}", hint="look at the file's rights")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_failed(path, error) from error
