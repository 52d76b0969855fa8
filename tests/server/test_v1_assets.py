"""Files by their contents: what runs saved, and what was put in."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_worker import EngineWorker, document, engine
from v1_api import V1, Api, play

from nodegraph import Context, node
from nodegraph.errors import FileMissing
from nodegraph.files import Files
from nodegraph.server.setup.config import Limits, ServeSettings
from nodegraph.server.v1.asset_index import AssetIndex

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@node("Save", category="toys", output=True)
def save(ctx: Context, text: str, name: str = "note") -> None:
    """Save a text and a file that claims to be a picture."""
    ctx.show("file", file=ctx.files.save("output", name, ".txt", lambda stream: stream.write(text.encode())))
    ctx.show("image", file=ctx.files.save("temp", "picture", ".png", lambda stream: stream.write(PNG)), width=1)


@pytest.fixture
def worker(settings: ServeSettings) -> EngineWorker:
    made = engine(settings.state.parent, save)
    made.settings = replace(made.settings, temp=settings.temp)
    made.files = made.settings.files()
    return EngineWorker(made)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def saved(api: Api, text: str) -> Any:
    run = await api.submit(document({"s": ("Save", {"text": text})}))
    return await api.finished(run["id"])


def test_the_files_of_a_run_are_listed_and_fetched_by_hash(settings: ServeSettings, worker: EngineWorker) -> None:
    async def scene(api: Api) -> None:
        run = await saved(api, "hello")
        files = [item["file"] for item in run["outputs"]["s"]]
        assert [(file["folder"], file["size"], set(file)) for file in files] == [
            ("output", 5, {"name", "folder", "size", "url"}),
            ("temp", len(PNG), {"name", "folder", "size", "url"}),
        ]
        assert (await api.live.get(files[0]["url"])).body == b"hello"
        assert (await api.ask("GET", f"/assets/{sha(b'hello')}")).status == 404, "nobody has asked for hashes yet"
        listed = await api.get(f"/runs/{run['id']}/assets")
        assert listed["missing"] == []
        text, picture = listed["assets"]
        assert (text["hash"], text["node"], text["kind"], text["mime"]) == (sha(b"hello"), "s", "file", "text/plain; charset=utf-8")
        assert (picture["hash"], picture["mime"], picture["folder"]) == (sha(PNG), "image/png", "temp")
        answer = await api.live.get(text["url"])
        assert (answer.status, answer.body) == (200, b"hello")
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert (await api.live.get(text["url"], headers={"If-None-Match": answer.headers["ETag"]})).status == 304
        part = await api.live.get(text["url"], headers={"Range": "bytes=1-2"})
        assert (part.status, part.body) == (206, b"el")
        again = await api.get(f"/runs/{run['id']}/assets")
        assert again == listed

    play(settings, scene, worker=worker)


def test_a_file_that_was_changed_or_removed_is_not_what_it_was(settings: ServeSettings, worker: EngineWorker) -> None:
    async def scene(api: Api) -> None:
        run = await saved(api, "hello")
        (asset, _) = (await api.get(f"/runs/{run['id']}/assets"))["assets"]
        path = settings.output / asset["name"]
        path.write_text("jello")
        os.utime(path, (1, 1))
        assert (await api.ask("GET", f"/assets/{asset['hash']}")).status == 404
        changed = await api.get(f"/runs/{run['id']}/assets")
        assert (changed["missing"], len(changed["assets"])) == ([asset["name"]], 1)
        path.unlink()
        assert (await api.get(f"/runs/{run['id']}/assets"))["missing"] == [asset["name"]]

    play(settings, scene, worker=worker)


@pytest.mark.parametrize("hash", ["0" * 64, "0" * 63, "A" * 64, "..", "%2e%2e%2fjobs.db", "x" * 3000])
def test_what_is_no_known_hash(settings: ServeSettings, hash: str) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("GET", f"/assets/{hash}")
        assert (answer.status, answer.error["error"]) == (404, "UnknownAsset")

    play(settings, scene)


async def upload(api: Api, query: str, data: Any, **headers: str) -> Any:
    return await api.live.post(f"{V1}/assets?{query}", data=data, headers={"Content-Type": "application/octet-stream", **headers})


def test_an_upload_is_kept_once_whatever_it_is_called(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        first = await upload(api, "name=cat.png", PNG)
        assert (first.status, first.json["name"], first.json["new"], first.json["hash"]) == (201, "cat.png", True, sha(PNG))
        assert (settings.input / "cat.png").read_bytes() == PNG
        for query in ("name=cat.png", "name=dog.png", "name=cat.png&folder=pets"):
            again = await upload(api, query, PNG)
            assert (again.status, again.json["name"], again.json["new"]) == (200, "cat.png", False)
        other = await upload(api, "name=cat.png", PNG + b"!")
        assert (other.status, other.json["name"]) == (201, "cat (1).png")
        below = await upload(api, "name=cat.png&folder=pets/mine", b"third")
        assert below.json["name"] == "pets/mine/cat.png"
        assert (await api.live.get(below.json["url"])).body == b"third"
        assert sorted(path.name for path in settings.input.rglob("*") if path.is_file()) == ["cat (1).png", "cat.png", "cat.png"]

    play(settings, scene)


def test_a_large_upload_comes_in_pieces(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        async def pieces() -> Any:
            for _ in range(50):
                yield bytes(65536)

        answer = await upload(api, "name=large.bin", pieces())
        assert (answer.status, answer.json["size"]) == (201, 50 * 65536)

    play(settings, scene)


@pytest.mark.parametrize(
    ("query", "data", "status"),
    [
        ("", PNG, 400),
        ("name=", PNG, 400),
        ("name=a.png", b"", 400),
        ("name=../a.png", PNG, 400),
        ("name=a/b.png", PNG, 400),
        ("name=a%00.png", PNG, 400),
        ("name=nul", PNG, 400),
        ("name=a.png&folder=..", PNG, 400),
        ("name=a.png&folder=/etc", PNG, 400),
        ("name=a.png&other=1", PNG, 400),
        ("name=a.png", bytes(3000), 413),
    ],
)
def test_what_is_not_taken(settings: ServeSettings, query: str, data: bytes, status: int) -> None:
    async def scene(api: Api) -> None:
        answer = await upload(api, query, data)
        assert answer.status == status, answer.body
        assert [path for path in settings.input.rglob("*") if path.is_file()] == []

    play(replace(settings, limits=Limits(upload=2000)), scene)


def test_a_page_of_another_site_cannot_upload(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await upload(api, "name=a.png", PNG, Origin="https://evil.example")).status == 403

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ the index


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name in ("input", "output", "temp"):
        (tmp_path / name).mkdir()
    return Files(tmp_path / "input", tmp_path / "output", tmp_path / "temp")


def test_contents_are_read_once_and_again_when_the_file_changes(tmp_path: Path, files: Files) -> None:
    path = files.output / "a.txt"
    path.write_text("one")
    index = AssetIndex(tmp_path / "assets.db", files)
    first = index.entry("output", "a.txt")
    assert first.hash == sha(b"one")
    known = AssetIndex(tmp_path / "assets.db", files)
    assert known.find(first.hash) == first
    path.write_text("two!")
    assert known.entry("output", "a.txt").hash == sha(b"two!")
    assert known.find(first.hash) is None


def test_a_damaged_index_is_begun_anew(tmp_path: Path, files: Files) -> None:
    (files.input / "a").write_text("a")
    (tmp_path / "assets.db").write_bytes(b"no database at all" * 100)
    index = AssetIndex(tmp_path / "assets.db", files)
    entry = index.entry("input", "a")
    assert index.find(entry.hash) == entry


def test_an_index_that_cannot_be_kept_only_costs_time(tmp_path: Path, files: Files) -> None:
    (files.input / "a").write_text("a")
    (tmp_path / "file").write_text("")
    index = AssetIndex(tmp_path / "file" / "assets.db", files)
    entry = index.entry("input", "a")
    assert entry.hash == sha(b"a")
    assert index.find(entry.hash) is None


def test_folders_and_files_that_are_not_there(tmp_path: Path, files: Files) -> None:
    index = AssetIndex(tmp_path / "assets.db", files)
    for folder, name in (("state", "jobs.db"), ("input", "nothing"), ("input", "../output")):
        with pytest.raises(Exception, match=r"there is no|leads out"):
            index.entry(folder, name)
    with pytest.raises(FileMissing):
        index.entry("output", "x")


def test_several_threads_ask_at_once(tmp_path: Path, files: Files) -> None:
    for i in range(20):
        (files.output / f"{i}.txt").write_text(str(i))
    index = AssetIndex(tmp_path / "assets.db", files)

    async def main() -> None:
        found = await asyncio.gather(*(asyncio.to_thread(index.entry, "output", f"{i % 20}.txt") for i in range(60)))
        assert [entry.hash for entry in found] == [sha(str(i % 20).encode()) for i in range(60)]

    asyncio.run(main())
    assert index.find(sha(b"7")) is not None
