"""Results by key, in one budgeted store for all workflows and clients: memory first, then disk.

What goes when memory is full: the entries that save the fewest seconds per byte. Absence is None; a stored value may well be None,
since an entry is always an `Entry`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nodegraph import codec
from nodegraph.errors import WriteFailed
from nodegraph.files import temporary

MEMORY_BYTES: Final = 2 * 2**30
DISK_BYTES: Final = 4 * 2**30
DISK_MIN_SECONDS: Final = 0.01
SMALL: Final = 128


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


def size_of(value: Any) -> int:
    """Bytes a value holds: arrays by their buffers, containers by their items, the rest by a guess."""
    total, stack = 0, [value]
    while stack:
        item = stack.pop()
        nbytes = getattr(item, "nbytes", None)
        if type(nbytes) is int:
            total += nbytes
        elif isinstance(item, (str, bytes)):
            total += sys.getsizeof(item)
        elif isinstance(item, (list, tuple)):
            stack += item
        elif isinstance(item, Mapping):
            stack += item.values()
        elif hasattr(item, "__dataclass_fields__"):
            stack += [getattr(item, name) for name in item.__dataclass_fields__]
        total += 64
    return total


class MemoryCache:
    """Entries by key within a budget of bytes. Thread-safe. An entry that was used is kept over an equal one that was not."""

    def __init__(self, budget: int = MEMORY_BYTES) -> None:
        self.budget = budget
        self.bytes = 0
        self.hits = self.misses = 0
        self._entries: dict[bytes, Entry] = {}
        self._aliases: dict[bytes, bytes] = {}
        self._alias_of: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        return entry

    def get_actual(self, actual: bytes) -> Entry | None:
        """Look up by what really came in (see `KeyMaker.actual_key`)."""
        key = self._aliases.get(actual)
        return None if key is None else self._entries.get(key)

    def put(self, key: bytes, entry: Entry, actual: bytes | None = None) -> None:
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self.bytes -= old.nbytes
            if entry.nbytes > self.budget:
                return
            self._entries[key] = entry
            self.bytes += entry.nbytes
            if actual is not None:
                self._aliases[actual] = key
                self._alias_of[key] = actual
            if self.bytes > self.budget:
                self._evict()

    def _evict(self) -> None:
        """Drop the cheapest to make again per byte until a tenth of the budget is free; of equals, the oldest."""
        for key in choose_victims(self._entries, self.bytes - int(self.budget * 0.9)):
            self.bytes -= self._entries.pop(key).nbytes
            actual = self._alias_of.pop(key, None)
            if actual is not None and self._aliases.get(actual) == key:
                del self._aliases[actual]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._aliases.clear()
            self._alias_of.clear()
            self.bytes = 0


def choose_victims(entries: Mapping[bytes, Entry], need: int) -> list[bytes]:
    """Keys to drop so that at least `need` bytes become free: fewest seconds saved per byte first, ties by age."""
    victims, freed = [], 0
    for key in sorted(entries, key=lambda k: entries[k].seconds / max(entries[k].nbytes, 1)):
        if freed >= need:
            break
        victims.append(key)
        freed += entries[key].nbytes
    return victims


class DiskCache:
    """Entries that survive a restart, one file each, within a budget. A damaged or foreign file is a miss, never an error."""

    def __init__(self, folder: Path, budget: int = DISK_BYTES) -> None:
        self.folder = folder
        self.budget = budget

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / f"{name[2:]}.ngr"

    def has(self, key: bytes) -> bool:
        return self._path(key).exists()

    def get(self, key: bytes) -> Entry | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
            outputs, shown, seconds, value_ids = codec.read(data)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return Entry(outputs, shown, seconds, len(data), value_ids)

    def put(self, key: bytes, entry: Entry) -> bool:
        """Store an entry if it can be stored and is worth it. A full disk is no error here: it is only a cache."""
        if entry.seconds < DISK_MIN_SECONDS and not entry.shown:
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary(path.parent) as (stream, temp):
                codec.write(stream, [dict(entry.outputs), tuple(entry.shown), entry.seconds, dict(entry.value_ids)])
                stream.close()
                os.replace(temp, path)
        except (codec.NotStorable, OSError, WriteFailed):
            return False
        return True

    def trim(self) -> int:
        """Drop the least recently used files until the budget holds. Returns the bytes freed."""
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
    """Memory over disk. Writing to disk happens in a thread of its own; `flush` waits for it."""

    def __init__(self, memory: MemoryCache | None = None, disk: DiskCache | None = None) -> None:
        self.memory = memory if memory is not None else MemoryCache()
        self.disk = disk
        self._writer: _Writer | None = None

    def get(self, key: bytes) -> Entry | None:
        entry = self.memory.get(key)
        if entry is None and self.disk is not None:
            entry = self.disk.get(key)
            if entry is not None:
                self.memory.put(key, entry)
        return entry

    def get_actual(self, actual: bytes) -> Entry | None:
        return self.memory.get_actual(actual)

    def put(self, key: bytes, entry: Entry, actual: bytes | None = None) -> None:
        self.memory.put(key, entry, actual)
        if self.disk is not None and (entry.seconds >= DISK_MIN_SECONDS or entry.shown):
            if self._writer is None:
                self._writer = _Writer(self.disk)
            self._writer.add(key, entry)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Writer:
    """A thread that writes entries to disk in order, so that no node waits for it."""

    def __init__(self, disk: DiskCache) -> None:
        import queue

        self._disk = disk
        self._queue: queue.SimpleQueue[tuple[bytes, Entry] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="nodegraph-cache", daemon=True)
        self._thread.start()

    def add(self, key: bytes, entry: Entry) -> None:
        self._queue.put((key, entry))

    def _work(self) -> None:
        started = time.monotonic()
        while (item := self._queue.get()) is not None:
            self._disk.put(*item)
            if time.monotonic() - started > 60:
                started = time.monotonic()
                self._disk.trim()
        self._disk.trim()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
