"""The store of results: bytes within the budget, the least worth goes first, and a disk that is full, damaged or slow hurts nobody."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_codec import Holder, Weights

from nodegraph.cache import LOOK_SECONDS, SMALL, Cache, DiskCache, Entry, MemoryCache, choose_victims, holds_handle, size_of
from nodegraph.diffusion.values import Image


def entry(value: Any = 1, seconds: float = 1.0, nbytes: int = 100, shown: tuple[Any, ...] = ()) -> Entry:
    return Entry({"x": value}, shown, seconds, nbytes, {"x": b"id"})


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


# ------------------------------------------------------------------------------------------------ sizes


def test_the_size_of_a_value_is_that_of_what_it_keeps_alive() -> None:
    big = np.zeros(1_000_000, np.uint8)
    assert 1_000_000 <= size_of(big) < 1_001_000
    assert 1_000_000 <= size_of(big[:10]) < 1_001_000
    assert 1_000_000 <= size_of([big, big[5:], {"a": big}]) < 1_001_000
    assert 2_000_000 <= size_of([big, big.copy()]) < 2_001_000
    assert size_of(Image(np.zeros((1, 100, 100, 3), np.float32))) >= 120_000
    assert size_of("x" * 10_000) >= 10_000
    assert size_of(b"x" * 10_000) >= 10_000
    assert size_of([0] * 10_000) >= 80_000
    assert size_of({str(i): None for i in range(1000)}) >= 50_000
    assert size_of(Holder(big)) >= 1_000_000
    assert size_of(2**80_000) >= 10_000


def test_the_size_of_a_value_that_holds_itself_is_finite() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert size_of(loop) < 1000


def test_handles_are_seen_in_lists_and_nowhere_else() -> None:
    assert holds_handle(Weights("x"))
    assert holds_handle([1, [Weights("x")]])
    assert not holds_handle([1, "a", None, np.zeros(2)])


# ------------------------------------------------------------------------------------------------ memory


def test_an_entry_is_kept_under_its_key() -> None:
    cache = MemoryCache()
    cache.put(key(1), entry(None))
    found = cache.get(key(1))
    assert found is not None
    assert found.outputs == {"x": None}
    assert cache.get(key(2)) is None
    assert (cache.hits, cache.misses, len(cache), cache.bytes) == (1, 1, 1, 100)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 400), st.floats(0, 10)), max_size=60))
def test_the_budget_is_never_exceeded_and_the_books_are_right(puts: list[tuple[int, int, float]]) -> None:
    cache = MemoryCache(1000)
    for number, nbytes, seconds in puts:
        cache.put(key(number), entry(seconds=seconds, nbytes=nbytes), actual=key(number + 100))
        assert cache.bytes <= 1000
        kept = [found for i in range(21) if (found := cache.peek(key(i))) is not None]
        assert cache.bytes == sum(e.nbytes for e in kept)
        assert len(cache) == len(kept)
        assert cache.peek(key(number)) is not None
        assert all((cache.get_actual(key(i + 100)) is None) == (cache.peek(key(i)) is None) for i in range(21))


def test_an_entry_larger_than_the_budget_is_not_kept_and_drops_nothing() -> None:
    cache = MemoryCache(1000)
    cache.put(key(1), entry())
    cache.put(key(2), entry(nbytes=1001), actual=key(9))
    assert cache.peek(key(1)) is not None
    assert cache.peek(key(2)) is None
    assert cache.get_actual(key(9)) is None
    cache.put(key(1), entry(nbytes=1001))
    assert (cache.peek(key(1)), cache.bytes) == (None, 0)


def test_what_saves_the_fewest_seconds_per_byte_goes_first() -> None:
    entries = {key(i): entry(seconds=seconds, nbytes=nbytes) for i, (seconds, nbytes) in enumerate([(9, 10), (1, 100), (50, 100), (2, 10)])}
    worth = {k: e.density for k, e in entries.items()}
    assert choose_victims(worth, entries, 1) == [key(1)]
    assert choose_victims(worth, entries, 100) == [key(1)]
    assert choose_victims(worth, entries, 101) == [key(1), key(3)]
    assert choose_victims(worth, entries, 115) == [key(1), key(3), key(2)]
    assert choose_victims(worth, entries, 10**9) == [key(1), key(3), key(2), key(0)]
    assert choose_victims(worth, entries, 0) == []


def test_of_equals_the_one_not_used_for_longest_goes() -> None:
    cache = MemoryCache(1000)
    for i in range(10):
        cache.put(key(i), entry())
    assert cache.get(key(0)) is not None
    cache.put(key(10), entry())
    assert cache.peek(key(0)) is not None
    assert cache.peek(key(1)) is None


def test_what_was_dear_once_but_is_no_longer_used_makes_room_in_the_end() -> None:
    cache = MemoryCache(1000)
    for i in range(10):
        cache.put(key(i), entry(seconds=10))
    for i in range(100, 400):
        cache.put(key(i), entry(seconds=1))
    assert all(cache.peek(key(i)) is None for i in range(10))


def test_what_is_dear_and_used_again_and_again_stays() -> None:
    cache = MemoryCache(1000)
    cache.put(key(0), entry(seconds=10))
    for i in range(100, 400):
        cache.put(key(i), entry(seconds=1))
        assert cache.get(key(0)) is not None


def test_an_entry_is_found_by_what_really_came_in() -> None:
    cache = MemoryCache()
    cache.put(key(1), entry("a"), actual=key(7))
    cache.put(key(2), entry("b"), actual=key(7))
    found = cache.get_actual(key(7))
    assert found is not None
    assert found.outputs == {"x": "b"}
    cache.put(key(2), entry("c"), actual=key(8))
    assert cache.get_actual(key(8)) is not None
    assert cache.get_actual(key(7)) is None


def test_clearing_leaves_nothing() -> None:
    cache = MemoryCache()
    cache.put(key(1), entry(), actual=key(2))
    cache.clear()
    assert (cache.peek(key(1)), cache.get_actual(key(2)), len(cache), cache.bytes) == (None, None, 0, 0)


def test_many_threads_may_use_it_at_once() -> None:
    cache = MemoryCache(2000)
    begin = threading.Barrier(8)
    faults: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            begin.wait()
            for i in range(500):
                number = (seed * 31 + i * 7) % 50
                cache.put(key(number), entry(number, nbytes=10 + number), actual=key(number + 100))
                found = cache.get(key((number + i) % 50))
                assert found is None or found.nbytes == 10 + found.outputs["x"]
                cache.get_actual(key(number + 100))
        except BaseException as fault:  # noqa: BLE001 - looked at below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert cache.bytes == sum(e.nbytes for i in range(50) if (e := cache.peek(key(i))) is not None) <= 2000


# ------------------------------------------------------------------------------------------------ disk


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_entry_survives_a_restart(tmp_path: Path) -> None:
    value = {"a": np.arange(4.0), "b": [None, "x"]}
    assert DiskCache(tmp_path).put(key(1), entry(value, shown=({"kind": "text", "text": "t"},)))
    found = DiskCache(tmp_path).get(key(1))
    assert found is not None
    assert found.outputs["x"]["a"].tolist() == [0, 1, 2, 3]
    assert (found.outputs["x"]["b"], found.shown, found.seconds, found.value_ids) == (
        [None, "x"],
        ({"kind": "text", "text": "t"},),
        1.0,
        {"x": b"id"},
    )
    assert found.nbytes >= SMALL + 32
    assert DiskCache(tmp_path).get(key(2)) is None


def test_what_is_quick_to_make_again_is_not_written(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path)
    assert not disk.put(key(1), entry(seconds=0.001))
    assert disk.put(key(2), entry(seconds=0.001, shown=({"kind": "text"},)))
    assert (disk.has(key(1)), disk.has(key(2)), len(files(tmp_path))) == (False, True, 1)


@pytest.mark.parametrize("value", [Weights("x"), [Weights("x")], object()])
def test_handles_and_foreign_objects_are_never_written(tmp_path: Path, value: Any) -> None:
    assert not DiskCache(tmp_path).put(key(1), entry(value))
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_damaged_file_is_a_miss(tmp_path: Path, damage: bytes | None) -> None:
    disk = DiskCache(tmp_path)
    disk.put(key(1), entry())
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert disk.get(key(1)) is None
    assert disk.put(key(1), entry())
    assert disk.get(key(1)) is not None


def test_a_file_of_another_shape_is_a_miss(tmp_path: Path) -> None:
    from nodegraph import codec

    disk = DiskCache(tmp_path)
    disk.put(key(1), entry())
    (path,) = files(tmp_path)
    for value in (1, [1, 2], None):
        with open(path, "wb") as stream:
            codec.write(stream, value)
        assert disk.get(key(1)) is None


def test_a_folder_in_place_of_a_file_is_a_miss(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path)
    name = key(1).hex()
    (tmp_path / name[:2] / f"{name[2:]}.ngr").mkdir(parents=True)
    assert disk.get(key(1)) is None
    assert not disk.put(key(1), entry())


def test_what_another_process_wrote_is_found_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    mine, others = DiskCache(tmp_path), DiskCache(tmp_path)
    for n in range(20):
        wanted = key(7)[:1] + key(n)[1:]
        assert mine.get(wanted) is None
        others.put(wanted, entry())
        clock[0] += LOOK_SECONDS
        assert mine.get(wanted) is not None, "also of several that came at the same moment"
    assert others.get(wanted) is not None, "one's own is known at once"
    others.clear()
    assert mine.get(wanted) is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = open

    def full_open(path: Any, mode: str = "r", **options: Any) -> Any:
        return real_open("/dev/full" if "x" in mode else path, mode.replace("x", "w"), **options)

    monkeypatch.setattr("builtins.open", full_open)
    assert not DiskCache(tmp_path).put(key(1), entry(np.zeros(100_000)))
    monkeypatch.undo()
    assert files(tmp_path) == []


def test_a_cache_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    disk = DiskCache(tmp_path / "file" / "cache")
    assert not disk.put(key(1), entry())
    assert disk.get(key(1)) is None
    assert disk.trim() == 0
    disk.clear()


def test_trimming_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, budget=0)
    for i in range(5):
        disk.put(key(i), entry(np.zeros(1000)))
        path = disk._path(key(i))
        os.utime(path, (1000 + i, 1000 + i))
    size = files(tmp_path)[0].stat().st_size
    disk.get(key(0))
    disk.budget = 3 * size
    assert disk.trim() == 2 * size
    assert [disk.has(key(i)) for i in range(5)] == [True, False, False, True, True]
    assert disk.trim() == 0
    disk.clear()
    assert files(tmp_path) == []


def test_trimming_removes_what_a_crash_left_half_written_but_not_what_is_being_written(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path)
    disk.put(key(1), entry())
    folder = files(tmp_path)[0].parent
    for name, age in (("old", 7200), ("new", 10)):
        path = folder / f".{name}.tmp"
        path.write_text("x")
        os.utime(path, (time.time() - age,) * 2)
    disk.trim()
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == [".new.tmp"]
    assert disk.has(key(1))


# ------------------------------------------------------------------------------------------------ both


def test_memory_is_asked_before_disk_and_filled_from_it(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path))
    cache.put(key(1), entry("v"))
    cache.flush()
    again = Cache(MemoryCache(), DiskCache(tmp_path))
    assert again.peek(key(1)) is None
    found = again.get(key(1))
    assert found is not None
    assert again.peek(key(1)) is found
    for path in files(tmp_path):
        path.unlink()
    assert again.get(key(1)) is found


def test_flushing_waits_until_everything_is_written(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path))
    for i in range(50):
        cache.put(key(i), entry(np.full(100, i)))
    cache.flush()
    assert len(files(tmp_path)) == 50
    cache.flush()
    cache.put(key(99), entry())
    cache.flush()
    assert DiskCache(tmp_path).has(key(99))
    assert not [thread for thread in threading.enumerate() if thread.name == "nodegraph-cache"]


def test_the_disk_is_within_its_budget_after_flushing(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path, budget=10_000))
    for i in range(50):
        cache.put(key(i), entry(np.zeros(100)))
    cache.flush()
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000


def test_an_entry_found_by_what_came_in_survives_under_both_keys_without_a_second_copy(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path))
    cache.put(key(1), entry(np.zeros(1000)), actual=key(9))
    found = cache.get_actual(key(9))
    assert found is not None
    cache.share(key(2), found, key(9))
    cache.flush()
    again = DiskCache(tmp_path)
    assert again.get(key(1)) is not None
    assert again.get(key(2)) is not None
    first, second = files(tmp_path)
    assert first.samefile(second)


def test_sharing_what_is_no_longer_on_disk_writes_it(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path))
    cache.put(key(1), entry(), actual=key(9))
    cache.flush()
    DiskCache(tmp_path).clear()
    cache.share(key(2), entry(), key(9))
    cache.flush()
    assert DiskCache(tmp_path).get(key(2)) is not None


class StuckDisk(DiskCache):
    """A disk that writes nothing until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go = threading.Event()

    def put(self, key: bytes, entry: Entry) -> bool:
        self.go.wait()
        return super().put(key, entry)


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.cache.UNWRITTEN_BYTES", 1000)
    disk = StuckDisk(tmp_path)
    cache = Cache(MemoryCache(), disk)
    for i in range(50):
        cache.put(key(i), entry(nbytes=100))
    disk.go.set()
    cache.flush()
    assert len(files(tmp_path)) == 10
    assert len(cache.memory) == 50


def test_threads_that_write_at_once_share_one_writer(tmp_path: Path) -> None:
    cache = Cache(MemoryCache(), DiskCache(tmp_path))
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait()
        for i in range(5):
            cache.put(key(number * 10 + i), entry())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.flush()
    assert len(files(tmp_path)) == 40
