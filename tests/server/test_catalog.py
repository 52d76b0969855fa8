"""The server knows the nodes at once when it has seen this code before, and never takes old descriptions for new code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness import link
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rig import PATIENCE, TROUBLE, Recorder, submission, working

import nodegraph
from nodegraph.registry import builtin_folder, builtin_registry
from nodegraph.server.catalog.catalog import Catalog, files_stamp
from nodegraph.server.catalog.descriptions import describe, digest


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TROUBLE, tmp_path / "packs" / "trouble"))


def catalog_in(folder: Path, pack: Path) -> Catalog:
    """As in a server, but nodegraph's own code, which somebody may be working on, does not count."""
    own = folder / "own"
    own.mkdir(exist_ok=True)
    return Catalog(folder / "descriptions.json", [pack], own=[own])


def filled(folder: Path, pack: Path) -> Catalog:
    """A catalog that a worker has told everything."""
    catalog = catalog_in(folder, pack)
    stamp = catalog.stamp()
    asyncio.run(catalog.update(describe(builtin_registry([pack])), stamp))
    return catalog


def again(folder: Path, pack: Path) -> Catalog | None:
    """The catalog of the next start, if it knows the nodes by itself."""
    catalog = catalog_in(folder, pack)
    return catalog if catalog.load() else None


def touch(path: Path) -> None:
    """Make a file look written a second later."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def test_the_second_start_knows_the_nodes_at_once(tmp_path: Path, pack: Path) -> None:
    first = filled(tmp_path, pack)
    second = again(tmp_path, pack)
    assert second is not None
    assert second.digest == first.digest != ""
    assert second.present is not None
    assert describe(second.present) == describe(builtin_registry([pack]))
    assert asyncio.run(second.registry()) is second.present


def test_the_first_start_knows_nothing(tmp_path: Path, pack: Path) -> None:
    catalog = catalog_in(tmp_path, pack)
    assert not catalog.load()
    assert (catalog.present, catalog.digest) == (None, "")


def test_a_file_that_was_written_again_but_not_changed_changes_nothing(tmp_path: Path, pack: Path) -> None:
    catalog = filled(tmp_path, pack)
    touch(pack / "nodes.py")
    assert not catalog.is_stale()
    assert again(tmp_path, pack) is not None
    kept = json.loads((tmp_path / "descriptions.json").read_text())
    assert kept["stamp"] == catalog.stamp(), "so that the next start need not read the code"


@pytest.mark.parametrize("change", ["edit", "add", "remove", "other pack"])
def test_other_code_has_other_descriptions(tmp_path: Path, pack: Path, change: str) -> None:
    catalog = filled(tmp_path, pack)
    if change == "edit":
        (pack / "nodes.py").write_text((pack / "nodes.py").read_text() + "\n")
    elif change == "add":
        (pack / "more.py").write_text("")
    elif change == "remove":
        (pack / "nodes.py").unlink()
    else:
        other = Path(shutil.copytree(pack, tmp_path / "other" / "trouble"))
        assert again(tmp_path, other) is None
        return
    assert catalog.is_stale()
    assert not catalog.is_stale(), "it is said once"
    assert again(tmp_path, pack) is None


def test_code_that_changed_while_the_worker_read_it_is_not_taken_for_described(tmp_path: Path, pack: Path) -> None:
    catalog = catalog_in(tmp_path, pack)
    stamp = catalog.stamp()
    descriptions = describe(builtin_registry([pack]))
    (pack / "nodes.py").write_text((pack / "nodes.py").read_text() + "\n")
    asyncio.run(catalog.update(descriptions, stamp))
    assert catalog.present is not None
    assert not (tmp_path / "descriptions.json").exists()
    assert catalog.is_stale()


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(damage=st.binary(max_size=20), place=st.floats(0, 1))
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes, place: float) -> None:
    pack = tmp_path / "packs" / "trouble"
    if not pack.exists():
        shutil.copytree(TROUBLE, pack)
        filled(tmp_path, pack)
        (tmp_path / "descriptions.json").rename(tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_bytes()
    cut = int(place * len(whole))
    (tmp_path / "descriptions.json").write_bytes(whole[:cut] + damage)
    catalog = again(tmp_path, pack)
    assert catalog is None or json.loads((tmp_path / "descriptions.json").read_bytes())["descriptions"] == json.loads(whole)["descriptions"]


def test_descriptions_that_were_changed_in_the_file_are_not_used(tmp_path: Path, pack: Path) -> None:
    filled(tmp_path, pack)
    path = tmp_path / "descriptions.json"
    path.write_text(path.read_text().replace("Add two numbers", "Add two letters"))
    assert again(tmp_path, pack) is None


@pytest.mark.parametrize("data", [[], {}, {"stamp": 1}, {"format": 2}])
def test_a_file_of_something_else_is_as_good_as_none(tmp_path: Path, pack: Path, data: Any) -> None:
    filled(tmp_path, pack)
    path = tmp_path / "descriptions.json"
    if data:
        path.write_text(json.dumps(data))
    else:
        kept = json.loads(path.read_text())
        path.write_text(json.dumps({**kept, "descriptions": data}))
    assert again(tmp_path, pack) is None


# ------------------------------------------------------------------------------------------------ with a worker


def test_a_worker_tells_the_catalog_what_there_is(tmp_path: Path, pack: Path) -> None:
    async def work() -> None:
        catalog = catalog_in(tmp_path, pack)
        async with working(tmp_path, packs=[pack], catalog=catalog) as worker:
            registry = await catalog.registry()
            assert "trouble/Number" in registry
            assert (await worker.ready())["nodes"] == catalog.digest == digest(describe(registry))
            while not (tmp_path / "descriptions.json").exists():
                await asyncio.sleep(0.01)

    asyncio.run(work())
    assert again(tmp_path, pack) is not None


def test_a_catalog_that_was_wrong_is_put_right_by_the_worker(tmp_path: Path, pack: Path) -> None:
    """Something other than Python files changed what a pack gives, a library that it needs for instance."""
    filled(tmp_path, pack)
    path = tmp_path / "descriptions.json"
    kept = json.loads(path.read_text())
    kept["descriptions"]["nodes"] = kept["descriptions"]["nodes"][:10]
    path.write_text(json.dumps({**kept, "digest": digest(kept["descriptions"])}))

    async def work() -> None:
        catalog = catalog_in(tmp_path, pack)
        assert catalog.load()
        assert len((await catalog.registry()).specs) == 10
        async with working(tmp_path, packs=[pack], catalog=catalog), asyncio.timeout(PATIENCE):
            while len((await catalog.registry()).specs) == 10:
                await asyncio.sleep(0.01)

    asyncio.run(work())


def test_code_that_changes_is_followed_between_runs(tmp_path: Path, pack: Path) -> None:
    more = "from nodegraph import node\n@node('trouble/New', category='trouble')\ndef new() -> int:\n    '''New.'''\n    return 42\n"

    async def work() -> None:
        catalog = catalog_in(tmp_path, pack)
        recorder = Recorder()
        async with working(tmp_path, packs=[pack], catalog=catalog, follow_code=True) as worker, asyncio.timeout(PATIENCE):
            await catalog.registry()
            steps = submission({"s": ("trouble/Steps", {"count": 100}), "show": ("trouble/Show", {"value": link("s.int")})})
            run = asyncio.create_task(worker.run("a", steps, recorder))
            await recorder.until(lambda told: told.told("node_started"))
            (pack / "more.py").write_text(more)
            while "trouble/New" not in await catalog.registry():
                await asyncio.sleep(0.01)
            assert (await run).status == "done"
            new = submission({"n": ("trouble/New", {}), "show": ("trouble/Show", {"value": link("n.int")})})
            assert (await worker.run("b", new, Recorder())).outputs["show"] == [{"kind": "text", "text": "42"}]
            assert worker.status.lives == 2

    asyncio.run(work())


def test_the_code_of_nodegraph_itself_counts(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "descriptions.json", [])
    assert catalog.stamp() == files_stamp([Path(nodegraph.__file__).parent, builtin_folder("nodes")])
