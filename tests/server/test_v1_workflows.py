"""Kept workflows: nothing that was saved is lost, whoever saves at the same moment, edits the file by hand, or pulls the plug."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from engine_worker import add
from PIL import Image
from v1_api import Api, play

from nodegraph.errors import NodegraphError, UnsafePath
from nodegraph.server.http_errors import BadRequest, StorageFull
from nodegraph.server.setup.config import Limits, ServeSettings
from nodegraph.server.v1 import library as library_module
from nodegraph.server.v1.faults import Stale, UnknownVersion
from nodegraph.server.v1.library import Condition, Library

ANYHOW = Condition()
NEW = Condition(new=True)


def titled(title: str, **more: Any) -> dict[str, Any]:
    return {**add(1), "meta": {"title": title}, **more}


def no_limit(size: int) -> None:
    assert size > 0


# ------------------------------------------------------------------------------------------------ over the API


def test_a_workflow_is_kept_listed_read_and_deleted(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert await api.get("/workflows") == {"workflows": []}
        saved = await api.ask("PUT", "/workflows/cat", titled("A cat"))
        assert (saved.status, saved.json["version"], saved.json["title"]) == (201, 1, "A cat")
        assert saved.headers["ETag"] == saved.json["etag"]
        (listed,) = (await api.get("/workflows"))["workflows"]
        assert listed == {key: value for key, value in saved.json.items() if key != "workflow"}
        answer = await api.ask("GET", "/workflows/cat")
        assert answer.json["workflow"]["meta"] == {"title": "A cat"}
        unchanged = await api.ask("GET", "/workflows/cat", headers={"If-None-Match": answer.headers["ETag"]})
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert (await api.ask("DELETE", "/workflows/cat")).status == 204
        assert (await api.ask("GET", "/workflows/cat")).error["error"] == "UnknownWorkflow"
        assert (await api.ask("DELETE", "/workflows/cat")).status == 404

    play(settings, scene)


def test_the_file_is_one_that_people_and_the_command_line_can_read(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.ask("PUT", "/workflows/" + quote("Köter & Söhne"), titled("Hündchen 犬"))
        path = settings.state / "workflows" / "Köter & Söhne.json"
        text = path.read_text(encoding="utf-8")
        assert '\n  "nodes": {\n' in text
        assert "Hündchen 犬" in text
        assert api.worker.engine.run(path).status == "done"

    play(settings, scene)


def test_a_version_has_the_tag_that_the_workflow_had(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        tags = [(await api.ask("PUT", "/workflows/w", titled(title))).headers["ETag"] for title in ("one", "two")]
        assert [each["etag"] for each in (await api.get("/workflows/w/versions"))["versions"]] == tags[::-1]
        assert (await api.get("/workflows/w/versions/1"))["etag"] == tags[0]

    play(settings, scene)


def test_a_workflow_gets_another_name_and_keeps_its_versions_and_picture(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for title in ("one", "two"):
            tag = (await api.ask("PUT", "/workflows/old", titled(title))).headers["ETag"]
        out = io.BytesIO()
        Image.new("RGB", (8, 8), "teal").save(out, "PNG")
        await api.live.ask("PUT", "/api/v1/workflows/old/thumbnail", data=out.getvalue(), headers={"Content-Type": "image/png"})
        await api.ask("PUT", "/workflows/taken", titled("taken"))
        for name in ("taken", "Taken"):
            assert (await api.ask("PATCH", "/workflows/old", {"name": name})).status == 409
        assert (await api.ask("PATCH", "/workflows/old", {"name": "../x"})).status == 400
        assert (await api.ask("PATCH", "/workflows/old", {"name": "new"}, headers={"If-Match": '"other"'})).status == 412
        assert (await api.ask("PATCH", "/workflows/none", {"name": "new"})).status == 404
        renamed = await api.ask("PATCH", "/workflows/old", {"name": "new"}, headers={"If-Match": tag})
        assert (renamed.status, renamed.json["name"], renamed.json["version"]) == (200, "new", 2)
        assert renamed.json["thumbnail"].endswith("/new/thumbnail")
        assert (await api.ask("GET", "/workflows/old")).status == 404
        assert len((await api.get("/workflows/new/versions"))["versions"]) == 2
        assert (await api.ask("PATCH", "/workflows/new", {"name": "New"})).json["name"] == "New"
        assert (await api.get("/workflows/New"))["title"] == "two"

    play(settings, scene)


def test_versions_of_a_deleted_workflow_survive_that_another_one_takes_its_name(tmp_path: Path) -> None:
    library = Library(tmp_path)
    for title in ("gone 1", "gone 2"):
        library.save("gone", titled(title), ANYHOW, no_limit)
    library.delete("gone", ANYHOW, versions=False)
    for title in ("a", "b", "c"):
        library.save("here", titled(title), ANYHOW, no_limit)
    library.rename("here", "gone", ANYHOW)
    assert [library.version("gone", n)[1]["meta"]["title"] for n in range(1, 6)] == ["gone 1", "gone 2", "a", "b", "c"]
    assert library.kept("gone")["version"] == 5
    assert [each["name"] for each in library.all()] == ["gone"]


def test_every_state_is_kept_and_can_come_back(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for title in ("one", "two", "two", "three"):
            await api.ask("PUT", "/workflows/w", titled(title))
        versions = (await api.get("/workflows/w/versions"))["versions"]
        assert [each["version"] for each in versions] == [3, 2, 1], "what did not change is no version"
        assert (await api.get("/workflows/w/versions/2"))["workflow"]["meta"]["title"] == "two"
        for n in ("4", "0", "99999999999999", "9" * 5000):
            assert (await api.ask("GET", f"/workflows/w/versions/{n}")).status == 404
        back = await api.ask("POST", "/workflows/w/restore/1")
        assert (back.status, back.json["version"], back.json["title"]) == (200, 4, "one")
        assert (await api.ask("POST", "/workflows/w/restore/9")).status == 404
        await api.ask("DELETE", "/workflows/w")
        assert len((await api.get("/workflows/w/versions"))["versions"]) == 4
        assert (await api.ask("POST", "/workflows/w/restore/2")).json["title"] == "two"
        assert (await api.ask("DELETE", "/workflows/w?versions=true")).status == 204
        assert (await api.ask("GET", "/workflows/w/versions")).status == 404
        assert not [path for path in (settings.state / "workflows").rglob("*") if path.is_file()]

    play(settings, scene)


def test_two_who_write_at_once_one_wins_and_the_other_is_shown_what_is_there(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        first = await api.ask("PUT", "/workflows/w", titled("first"))
        seen = {"If-Match": first.headers["ETag"]}
        answers = await asyncio.gather(*(api.ask("PUT", "/workflows/w", titled(f"writer {i}"), headers=seen) for i in range(8)))
        assert sorted(answer.status for answer in answers) == [200, *[412] * 7]
        (winner,) = (answer.json for answer in answers if answer.status == 200)
        assert winner["version"] == 2
        for loser in (answer for answer in answers if answer.status == 412):
            assert loser.json["error"]["error"] == "Stale"
            assert (loser.json["present"]["etag"], loser.json["present"]["version"]) == (winner["etag"], 2)
            assert loser.headers["ETag"] == winner["etag"]
        assert (await api.get("/workflows/w"))["title"] == winner["title"]
        for method, path in (("DELETE", "/workflows/w"), ("POST", "/workflows/w/restore/1")):
            assert (await api.ask(method, path, headers=seen)).status == 412
        assert (await api.ask("DELETE", "/workflows/w", headers={"If-Match": winner["etag"]})).status == 204
        gone = await api.ask("PUT", "/workflows/w", titled("late"), headers={"If-Match": winner["etag"]})
        assert (gone.status, gone.json["present"]) == (412, None)

    play(settings, scene)


def test_a_name_is_taken_once(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        only_new = {"If-None-Match": "*"}
        answers = await asyncio.gather(*(api.ask("PUT", "/workflows/w", titled(str(i)), headers=only_new) for i in range(5)))
        assert sorted(answer.status for answer in answers) == [201, 412, 412, 412, 412]
        assert (await api.ask("PUT", "/workflows/W", titled("other case"))).status == 409
        assert (await api.ask("PUT", "/workflows/w", titled("anyhow"), headers={"If-Match": "*"})).status == 200
        assert (await api.ask("PUT", "/workflows/v", titled("x"), headers={"If-Match": "*"})).status == 412

    play(settings, scene)


@pytest.mark.parametrize("headers", [{"If-Match": "abc"}, {"If-Match": ""}, {"If-None-Match": '"abc"'}, {"If-None-Match": ""}])
def test_a_condition_that_cannot_be_understood_is_not_ignored(settings: ServeSettings, headers: dict[str, str]) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("PUT", "/workflows/w", add(1), headers=headers)).status == 400
        assert await api.get("/workflows") == {"workflows": []}

    play(settings, scene)


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", ".hidden", "a%2fb", "..%2fa", "a%5cb", "%2fetc%2fpasswd", "C:", "C%3a%5ca", "nul", "CON.x", "a%00b", "a%0ab", "a.",
        "a%20", "%20a", "~", "a*", "a%3fb", "x" * 101, "e%cc%81" * 101,
    ],
)  # fmt: skip
def test_no_name_leads_elsewhere(settings: ServeSettings, name: str) -> None:
    async def scene(api: Api) -> None:
        before = sorted(settings.state.parent.rglob("*"))
        for method, path in (
            ("PUT", f"/workflows/{name}"), ("GET", f"/workflows/{name}"), ("DELETE", f"/workflows/{name}"),
            ("GET", f"/workflows/{name}/versions"), ("POST", f"/workflows/{name}/restore/1"), ("GET", f"/workflows/{name}/thumbnail"),
        ):  # fmt: skip
            answer = await api.live.ask(method, f"/api/v1{path}", **({"json": add(1)} if method == "PUT" else {}))
            assert 400 <= answer.status < 500, (method, path, answer.status)
        assert sorted(settings.state.parent.rglob("*")) == before

    play(settings, scene)


def test_names_in_two_spellings_of_unicode_are_one(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("PUT", "/workflows/caf%C3%A9", titled("a"))).status == 201
        assert (await api.ask("PUT", "/workflows/cafe%CC%81", titled("b"))).status == 200

    play(settings, scene)


def test_other_formats_become_ours_and_what_is_none_is_refused(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        prompt = {"1": {"class_type": "Constant", "inputs": {"value": 4}}}
        assert (await api.ask("PUT", "/workflows/w", prompt)).json["workflow"]["nodegraph"] == 1
        half_built = {"nodegraph": 1, "nodes": {"n": {"type": "Nobody/Knows", "inputs": {}}}, "layout": {"n": {"pos": [1, 2]}}, "mine": [1]}
        kept = (await api.ask("PUT", "/workflows/half", half_built)).json["workflow"]
        assert (kept["nodes"]["n"]["type"], kept["layout"], kept["mine"]) == ("Nobody/Knows", {"n": {"pos": [1, 2]}}, [1])
        for bad in ({"a": 1}, {"nodegraph": 1, "nodes": []}, {"nodegraph": 2, "nodes": {}}, {}):
            assert (await api.ask("PUT", "/workflows/bad", bad)).status == 400
        surrogate = await api.live.ask(
            "PUT", "/api/v1/workflows/odd", data=json.dumps(titled("\ud800")).encode(), headers={"Content-Type": "application/json"}
        )
        assert surrogate.status == 201
        assert surrogate.json["workflow"]["meta"]["title"] == "\ud800"

    play(settings, scene)


def test_a_workflow_has_a_small_picture_if_it_is_given_one(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.ask("PUT", "/workflows/my%20cat", add(1))
        assert (await api.ask("GET", "/workflows/my%20cat/thumbnail")).status == 404
        out = io.BytesIO()
        Image.new("RGB", (900, 600), "teal").save(out, "JPEG")
        address, headers = "/api/v1/workflows/my%20cat/thumbnail", {"Content-Type": "image/jpeg"}
        given = await api.live.ask("PUT", address, data=out.getvalue(), headers=headers)
        assert given.status == 200, given.body
        picture = await api.live.get(given.json["thumbnail"])
        assert picture.headers["Content-Type"] == "image/webp"
        assert Image.open(io.BytesIO(picture.body)).size == (384, 256)
        assert (await api.get("/workflows"))["workflows"][0]["thumbnail"] == given.json["thumbnail"]
        for path, data, status in (("my%20cat", b"no picture", 415), ("my%20cat", b"", 400), ("nobody", out.getvalue(), 404)):
            answer = await api.live.ask("PUT", f"/api/v1/workflows/{path}/thumbnail", data=data, headers={"Content-Type": "image/png"})
            assert answer.status == status, answer.body

    play(settings, scene)


def test_what_is_kept_is_bounded(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("PUT", "/workflows/w", add(1))).status == 201
        full = await api.ask("PUT", "/workflows/big", titled("x" * 3000))
        assert (full.status, full.error["error"]) == (507, "StorageFull")
        assert [kept["name"] for kept in (await api.get("/workflows"))["workflows"]] == ["w"]

    play(replace(settings, limits=Limits(userdata=4000)), scene)


def test_shipped_workflows_can_be_looked_at_but_not_changed(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        templates = (await api.get("/templates"))["templates"]
        assert {each["name"] for each in templates} >= {"text_to_image", "inpaint", "upscale"}
        assert all(each["title"] and each["description"] and each["nodes"] for each in templates)
        one = await api.get("/templates/text_to_image")
        assert one["workflow"]["meta"]["title"] == one["title"]
        picture = await api.live.get(one["picture"])
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/webp")
        for name in ("none", "..%2fREADME", "input%2fcat", "%00", ".."):
            assert (await api.live.get(f"/api/v1/templates/{name}")).status in (403, 404)
            assert (await api.live.get(f"/api/v1/templates/{name}/picture")).status in (403, 404)
        for method in ("PUT", "DELETE"):
            assert (await api.live.ask(method, "/api/v1/templates/text_to_image")).status == 405

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ on the disk


def test_an_edit_by_hand_is_kept_as_a_version(tmp_path: Path) -> None:
    kept = Library(tmp_path)
    first, _ = kept.save("w", titled("saved"), ANYHOW, no_limit)
    (tmp_path / "w.json").write_text(json.dumps(titled("by hand")))
    assert (kept.kept("w")["title"], kept.kept("w")["version"]) == ("by hand", 2)
    with pytest.raises(Stale):
        kept.save("w", titled("later"), Condition(frozenset((first.kept["etag"],))), no_limit)
    kept.save("w", titled("later"), ANYHOW, no_limit)
    assert [kept.version("w", n)[1]["meta"]["title"] for n in (1, 2, 3)] == ["saved", "by hand", "later"]


def test_a_crash_between_the_two_writes_loses_nothing(tmp_path: Path) -> None:
    kept = Library(tmp_path)
    kept.save("w", titled("one"), ANYHOW, no_limit)
    kept.save("w", titled("two"), ANYHOW, no_limit)
    next((tmp_path / ".versions" / "w").glob("00000002-*")).unlink()
    after = Library(tmp_path)
    assert (after.kept("w")["title"], after.kept("w")["version"]) == ("two", 2)
    after.delete("w", ANYHOW, versions=False)
    assert [each["version"] for each in after.versions("w")] == [2, 1]
    assert after.restore("w", 2, NEW, no_limit).kept["title"] == "two"


def test_a_file_that_is_no_workflow_stops_nobody(tmp_path: Path) -> None:
    kept = Library(tmp_path)
    kept.save("good", titled("good"), ANYHOW, no_limit)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    assert [each["name"] for each in kept.all()] == ["good"]
    with pytest.raises(NodegraphError):
        kept.get("bad")
    assert kept.save("bad", titled("mended"), ANYHOW, no_limit)[0].kept["version"] == 2


def test_a_link_out_of_the_folder_is_not_listed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(titled("secret")))
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "link.json").symlink_to(outside)
    kept = Library(folder)
    assert kept.all() == []
    with pytest.raises(UnsafePath):
        kept.get("link")


def test_versions_and_deleted_workflows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "MOST_VERSIONS", 3)
    monkeypatch.setattr(library_module, "MOST_DELETED", 2)
    kept = Library(tmp_path)
    for n in range(6):
        kept.save("w", titled(str(n)), ANYHOW, no_limit)
    assert [each["version"] for each in kept.versions("w")] == [6, 5, 4]
    with pytest.raises(UnknownVersion, match="has no version 1"):
        kept.version("w", 1)
    for name in "abcd":
        kept.save(name, titled(name), NEW, no_limit)
    for name in "abcd":
        kept.delete(name, ANYHOW, versions=False)
    assert len(list((tmp_path / ".versions").iterdir())) == 3
    assert kept.versions("w")


def test_a_full_quota_changes_nothing(tmp_path: Path) -> None:
    def full(size: int) -> None:
        raise StorageFull("full")

    kept = Library(tmp_path)
    kept.save("w", titled("one"), ANYHOW, no_limit)
    with pytest.raises(StorageFull):
        kept.save("w", titled("two"), ANYHOW, full)
    assert (kept.kept("w")["title"], len(kept.versions("w"))) == ("one", 1)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\0", "x" * 101, " a", "a ", ".a", "LPT1", "a:b"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest):
        Library(tmp_path).kept(name)
