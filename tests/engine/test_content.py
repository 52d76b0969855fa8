"""Hashes of files: by content, remembered while nothing changes, never stale."""

from __future__ import annotations

import json
import os
import threading
from hashlib import blake2b
from pathlib import Path

import pytest

from nodegraph import content
from nodegraph.content import ContentHashes, hash_file
from nodegraph.errors import ReadFailed


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    found: list[Path] = []
    monkeypatch.setattr(content, "hash_file", lambda path: (found.append(path), hash_file(path))[1])
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been written long ago."""
    monkeypatch.setattr(content, "SETTLED_SECONDS", 0.0)


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 3_000_000)
    assert hash_file(path) == blake2b(b"abc" * 3_000_000, digest_size=16).hexdigest()


def test_names_do_not_matter(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    hashes = ContentHashes()
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once_while_nothing_changes(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    (tmp_path / "link").symlink_to(path)
    hashes = ContentHashes()
    assert hashes(path) == hashes(path) == hashes(tmp_path / "link")
    assert len(read) == 1


@pytest.mark.usefixtures("settled")
def test_a_file_that_changed_is_read_again_even_with_its_size_and_time_put_back(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    before = path.stat()
    hashes = ContentHashes()
    first = hashes(path)
    path.unlink()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashes(path) != first


def test_a_file_just_written_is_not_remembered(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "x"
    hashes = ContentHashes()
    found = set()
    for text in ("one", "two", "six"):
        path.write_text(text)
        found.add(hashes(path))
    assert len(found) == len(read) == 3


def test_a_file_from_the_future_is_remembered(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    os.utime(path, (2**33, 2**33))
    hashes = ContentHashes()
    assert hashes(path) == hashes(path)
    assert len(read) == 1


@pytest.mark.usefixtures("settled")
def test_the_memory_outlives_the_process(tmp_path: Path, read: list[Path]) -> None:
    path, memo = tmp_path / "x", tmp_path / "cache" / "files.json"
    path.write_text("x")
    hashes = ContentHashes(memo)
    found = hashes(path)
    hashes.save()
    assert ContentHashes(memo)(path) == found
    assert len(read) == 1
    before = memo.stat().st_mtime_ns
    hashes.save()
    assert memo.stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', '{"x": [1, 2]}', "\x00", '{"x": [1, 2, 3, 4]}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, text: str) -> None:
    path, memo = tmp_path / "x", tmp_path / "files.json"
    path.write_text("x")
    memo.write_text(text.replace("x", os.path.realpath(path)))
    assert ContentHashes(memo)(path) == hash_file(path)


@pytest.mark.usefixtures("settled")
def test_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_KNOWN", 3)
    hashes = ContentHashes(tmp_path / "memo.json")
    for i in range(5):
        (tmp_path / str(i)).write_text(str(i))
        hashes(tmp_path / str(i))
    hashes.save()
    assert [Path(name).name for name in json.loads((tmp_path / "memo.json").read_text())] == ["2", "3", "4"]


@pytest.mark.usefixtures("settled")
def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    hashes = ContentHashes(tmp_path / "x" / "memo.json")
    hashes(tmp_path / "x")
    hashes.save()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="cannot read") as caught:
        ContentHashes()(tmp_path / "nowhere")
    assert caught.value.hint
    with pytest.raises(ReadFailed, match="cannot read"):
        ContentHashes()(tmp_path)


@pytest.mark.usefixtures("settled")
def test_many_threads_may_ask_and_save_at_once(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / str(i)).write_text(str(i))
    hashes = ContentHashes(tmp_path / "memo.json")
    begin = threading.Barrier(8)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            begin.wait()
            for i in range(20):
                assert hashes(tmp_path / str(i)) == hash_file(tmp_path / str(i))
                hashes.save()
        except BaseException as fault:  # noqa: BLE001 - looked at below
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
