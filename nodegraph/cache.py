"""Results by key, in one budgeted store for all workflows and clients: memory first, then disk.

What goes when memory is full: the entries that save the fewest seconds per byte, counting older use less. Absence is None; a stored value
may well be None, since an entry is always an `Entry`.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nodegraph import codec
from nodegraph.files import temporary
from nodegraph.types import socket_of

MEMORY_BYTES: Final = 2 * 2**30
DISK_BYTES: Final = 4 * 2**30
DISK_MIN_SECONDS: Final = 0.01
SMALL: Final = 1024
"""bytes an entry of small values takes with everything around it"""
UNWRITTEN_BYTES: Final = 512 * 2**20
"""what may wait to be written to disk; more is not stored there, so that a slow disk does not fill the memory"""
STALE_SECONDS: Final = 3600
LOOK_SECONDS: Final = 1.0
"""after this long it is looked again whether somebody else has put something into a folder of the disk cache"""
SAME_MOMENT: Final = 100_000_000
"""nanoseconds in which two changes of a folder may bear the same time"""


@dataclass(slots=True)
class Entry:
    """What a node gave: outputs by name, what it showed people, what it cost.

    value_ids: identity of each output by content, where it is known; consumers are re-keyed by these (early cut-off)
    """

    outputs: Mapping[str, Any]
    shown: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    nbytes: int = SMALL
    value_ids: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def density(self) -> float:
        """Seconds saved per byte kept."""
        return self.seconds / max(self.nbytes, 1)


def size_of(value: Any) -> int:
    """Bytes a value holds: arrays by the buffers they keep alive, containers by their items, the rest by a guess; shared parts once."""
    total, stack, seen = 0, [value], set()
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += 64
        base = getattr(item, "base", None)
        if base is not None and hasattr(base, "nbytes") and hasattr(item, "nbytes"):
            stack.append(base)
        elif type(getattr(item, "nbytes", None)) is int:
            total += item.nbytes
        elif isinstance(item, (str, bytes, int)):
            total += sys.getsizeof(item)
        elif isinstance(item, (list, tuple, set, frozenset)):
            total += 8 * len(item)
            stack += item
        elif isinstance(item, Mapping):
            stack += item
            stack += item.values()
        elif hasattr(item, "__dataclass_fields__"):
            stack += [getattr(item, name) for name in item.__dataclass_fields__]
    return total


def holds_handle(value: Any) -> bool:
    """Whether a value, or an item of a list, names a resource: cheap to make again, and stale as soon as the resource is moved."""
    if isinstance(value, (str, int, float)):
        return False
    if isinstance(value, list):
        return any(map(holds_handle, value))
    return any(known is not None and known.handle for known in map(socket_of, type(value).__mro__))


class MemoryCache:
    """Entries by key within a budget of bytes. Thread-safe. An entry that was used is kept over an equal one that was not.

    Ageing is that of GreedyDual-Size: an entry's worth is its density plus the worth of what was dropped last, set anew at each use.
    """

    def __init__(self, budget: int = MEMORY_BYTES) -> None:
        self.budget = budget
        self.bytes = 0
        self.hits = self.misses = 0
        self._entries: dict[bytes, Entry] = {}
        self._worth: dict[bytes, float] = {}
        self._age = 0.0
        self._aliases: dict[bytes, bytes] = {}
        self._alias_of: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
            else:
                self.hits += 1
                worth = self._worth.pop(key)
                self._worth[key] = worth if not self._age else self._age + entry.density
            return entry

    def peek(self, key: bytes) -> Entry | None:
        """As `get`, but it does not count as use."""
        return self._entries.get(key)

    def get_actual(self, actual: bytes) -> Entry | None:
        """Look up by what really came in (see `KeyMaker.actual_key`)."""
        key = self._aliases.get(actual)
        return None if key is None else self._entries.get(key)

    def key_of(self, actual: bytes) -> bytes | None:
        return self._aliases.get(actual)

    def put(self, key: bytes, entry: Entry, actual: bytes | None = None) -> None:
        """Keep an entry. One that is larger than the whole budget is not kept."""
        with self._lock:
            if key in self._entries:
                self._remove(key)
            if entry.nbytes > self.budget:
                return
            if self.bytes + entry.nbytes > self.budget:
                self._make_room(entry.nbytes)
            self._entries[key] = entry
            self.bytes += entry.nbytes
            self._worth[key] = self._age + entry.density
            if actual is not None:
                self._aliases[actual] = key
                self._alias_of[key] = actual

    def clear(self) -> None:
        with self._lock:
            for kept in (self._entries, self._worth, self._aliases, self._alias_of):
                kept.clear()
            self.bytes = 0

    def _make_room(self, nbytes: int) -> None:
        """Drop the least worth until the new entry fits and a tenth of the budget is free; that tenth spares the next ones the search."""
        need = self.bytes + nbytes - self.budget
        for key in choose_victims(self._worth, self._entries, max(need, self.bytes - int(self.budget * 0.9))):
            self._age = max(self._age, self._worth[key])
            self._remove(key)

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.nbytes
        del self._worth[key]
        actual = self._alias_of.pop(key, None)
        if actual is not None and self._aliases.get(actual) == key:
            del self._aliases[actual]


def choose_victims(worth: Mapping[bytes, float], entries: Mapping[bytes, Entry], need: int) -> list[bytes]:
    """Keys to drop so that at least `need` bytes become free: the least worth first, of equals the one not used for longest.

    worth: by key, in the order of last use
    """
    victims: list[bytes] = []
    freed = 0
    for key in sorted(worth, key=worth.__getitem__):
        if freed >= need:
            break
        victims.append(key)
        freed += entries[key].nbytes
    return victims


class _Shelf:
    """The keys in one folder of a disk cache: a miss costs no look at the disk. What others write there is seen a second later."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._keys: set[bytes] = set()
        self._looked = -math.inf
        self._changed = 0

    def has(self, key: bytes) -> bool:
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return key in self._keys

    def add(self, key: bytes) -> None:
        self._keys.add(key)

    def _look(self) -> None:
        """List the folder if it may have changed. One that was changed a moment ago may change again at the same time of its clock."""
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._changed:
                self._keys = set(self._listed())
                self._changed = changed if time.time_ns() - changed > SAME_MOMENT else 0
        except OSError:
            self._keys, self._changed = set(), 0

    def _listed(self) -> Iterator[bytes]:
        first = os.path.basename(self._folder)
        for name in os.listdir(self._folder):
            if name.endswith(".ngr"):
                with contextlib.suppress(ValueError):
                    yield bytes.fromhex(first + name.removesuffix(".ngr"))


class DiskCache:
    """Entries that survive a restart, one file each, within a budget. A damaged or foreign file is a miss, never an error."""

    def __init__(self, folder: Path, budget: int = DISK_BYTES) -> None:
        self.folder = folder
        self.budget = budget
        self._base = str(folder)
        self._shelves = [_Shelf(os.path.join(self._base, f"{first:02x}")) for first in range(256)]

    def _path(self, key: bytes) -> str:
        name = key.hex()
        return os.path.join(self._base, name[:2], name[2:] + ".ngr")

    def _note(self, key: bytes) -> None:
        self._shelves[key[0]].add(key)

    def has(self, key: bytes) -> bool:
        return os.path.exists(self._path(key))

    def get(self, key: bytes) -> Entry | None:
        if not self._shelves[key[0]].has(key):
            return None
        path = self._path(key)
        try:
            with open(path, "rb") as stream:
                data = stream.read()
            outputs, shown, seconds, value_ids = codec.read(data)
        except (OSError, ValueError, TypeError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return Entry(outputs, shown, seconds, len(data) + SMALL, value_ids)

    def wants(self, entry: Entry) -> bool:
        """Whether an entry is worth storing: reading it takes time as well."""
        return entry.seconds >= DISK_MIN_SECONDS or bool(entry.shown)

    def put(self, key: bytes, entry: Entry) -> bool:
        """Store an entry if it can be stored and is worth it. A full disk is no error here: it is only a cache."""
        if not self.wants(entry):
            return False
        path = Path(self._path(key))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary(path.parent) as (stream, temp):
                codec.write(stream, [dict(entry.outputs), tuple(entry.shown), entry.seconds, dict(entry.value_ids)])
                stream.close()
                os.replace(temp, path)
        except (codec.NotStorable, OSError, MemoryError):
            return False
        self._note(key)
        return True

    def share(self, key: bytes, old: bytes) -> bool:
        """Let the entry under `old` be found under `key` as well, without a second copy of its bytes."""
        path = Path(self._path(key))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._path(old), path)
        except OSError:
            return False
        self._note(key)
        return True

    def trim(self) -> int:
        """Drop the least recently used files until the budget holds, and what a crash left half-written. Returns the bytes freed."""
        for temp in self.folder.glob("??/.*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - temp.stat().st_mtime > STALE_SECONDS:
                    temp.unlink()
        files = sorted(self._files(), key=lambda item: item[1])
        over = sum(size for _, _, size in files) - self.budget
        freed = 0
        for path, _, size in files:
            if freed >= over:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                freed += size
        return freed

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        for path in self.folder.glob("??/*.ngr"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                yield path, stat.st_mtime, stat.st_size

    def clear(self) -> None:
        for path, _, _ in list(self._files()):
            with contextlib.suppress(OSError):
                path.unlink()


class Cache:
    """Memory over disk. Writing to disk happens in a thread of its own; `flush` waits for it.

    place: where the files lie that a result depends on. It does not matter, except to results that name resources: these are found only
    while the place is the same, and are never written to disk
    """

    def __init__(self, memory: MemoryCache | None = None, disk: DiskCache | None = None) -> None:
        self.memory = memory if memory is not None else MemoryCache()
        self.disk = disk
        self._writer: _Writer | None = None
        self._lock = threading.Lock()

    def get(self, key: bytes, place: bytes = b"") -> Entry | None:
        entry = self.memory.get(key)
        if entry is None and place:
            entry = self.memory.get(key + place)
        if entry is None and self.disk is not None:
            entry = self.disk.get(key)
            if entry is not None:
                self.memory.put(key, entry)
        return entry

    def peek(self, key: bytes, place: bytes = b"") -> Entry | None:
        """What is in memory; it does not count as use."""
        return self.memory.peek(key) or (self.memory.peek(key + place) if place else None)

    def get_actual(self, actual: bytes) -> Entry | None:
        return self.memory.get_actual(actual)

    def share(self, key: bytes, entry: Entry, actual: bytes) -> None:
        """Let the entry that was found by what really came in be found by its key as well."""
        old = self.memory.key_of(actual)
        self.memory.put(key, entry, actual)
        if self.disk is not None and old is not None and old != key and self.disk.wants(entry):
            self._write(key, entry, old)

    def put(self, key: bytes, entry: Entry, actual: bytes | None = None, place: bytes = b"") -> None:
        for value in entry.outputs.values():
            if type(value) is not int and holds_handle(value):
                self.memory.put(key + place, entry, None if place else actual)
                return
        self.memory.put(key, entry, actual)
        if self.disk is not None and self.disk.wants(entry):
            self._write(key, entry)

    def _write(self, key: bytes, entry: Entry, old: bytes | None = None) -> None:
        assert self.disk is not None
        with self._lock:
            if self._writer is None:
                self._writer = _Writer(self.disk)
            self._writer.add(key, entry, old)

    def flush(self) -> None:
        """Wait until everything is on disk."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


class _Writer:
    """A thread that writes entries to disk in order, so that no node waits for it."""

    def __init__(self, disk: DiskCache) -> None:
        self._disk = disk
        self._queue: queue.SimpleQueue[tuple[bytes, Entry, bytes | None] | None] = queue.SimpleQueue()
        self._unwritten = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="nodegraph-cache", daemon=True)
        self._thread.start()

    def add(self, key: bytes, entry: Entry, old: bytes | None = None) -> None:
        """`old`: the key under which the entry was written before."""
        with self._lock:
            if self._unwritten and self._unwritten + entry.nbytes > UNWRITTEN_BYTES:
                return
            self._unwritten += entry.nbytes
        self._queue.put((key, entry, old))

    def _work(self) -> None:
        trimmed = time.monotonic()
        while (item := self._queue.get()) is not None:
            key, entry, old = item
            if old is None or not self._disk.share(key, old):
                self._disk.put(key, entry)
            with self._lock:
                self._unwritten -= entry.nbytes
            del item, entry  # waiting for the next must not keep this one alive
            if time.monotonic() - trimmed > 60:
                self._disk.trim()
                trimmed = time.monotonic()
        self._disk.trim()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
