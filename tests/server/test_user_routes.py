"""Settings and files of the person at the editor, packs' pages, and what the server says of itself."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodegraph.server import keys
from nodegraph.server.comfy.routes.system_routes import arguments
from nodegraph.server.safety.redaction import Redactor
from nodegraph.server.setup.config import Limits, ServeSettings
from tests.server.live import Answer, Live, with_server

JSON = {"Content-Type": "application/json"}


def home(settings: ServeSettings) -> Path:
    return settings.state / "user" / "default"


# ------------------------------------------------------------------------------------------------ users and settings


def test_there_is_one_user_whatever_a_header_says(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        assert (await server.get("/users")).json == {"storage": "server", "migrated": True}
        ids = [(await server.post("/users", json={"username": name})).json for name in ("eve", " ada/b ")]
        assert [re.fullmatch(r"(eve|ada-b)_[0-9a-f-]{36}", id) is not None for id in ids] == [True, True]
        for name in ("eve", "default", " eve"):
            again = await server.post("/users", json={"username": name})
            assert (again.status, again.json) == (400, {"error": "Duplicate username."})
        for body in ({}, {"username": ""}, {"username": 1}, {"username": "x" * 201}):
            assert (await server.post("/users", json=body)).status == 400
        assert (await server.get("/users")).json == {"storage": "server", "migrated": True}
        await server.post("/settings/a", json=1)
        assert (await server.get("/settings/a", headers={"comfy-user": "../../eve"})).json == 1

    with_server(settings, work)


def test_settings_are_merged_and_kept(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        assert (await server.get("/settings")).json == {}
        assert (await server.get("/settings/Comfy.x")).json is None
        assert (await server.post("/settings", json={"a": [1, None], "b": {"c": "ü"}})).status == 200
        assert (await server.post("/api/settings/Comfy.Colour%2Fdark", json="red")).status == 200
        assert (await server.post("/settings", json={"a": 2})).status == 200
        assert (await server.get("/settings")).json == {"a": 2, "b": {"c": "ü"}, "Comfy.Colour/dark": "red"}
        assert (await server.get("/api/settings/Comfy.Colour%2Fdark")).json == "red"
        for body in (b"[]", b"3", b'"x"', b"{", b"null"):
            assert (await server.post("/settings", data=body, headers=JSON)).status == 400
        assert (await server.post("/settings/big", data=io.BytesIO(b'"' + b"x" * (9 << 20) + b'"'), headers=JSON)).status == 413
        assert json.loads((home(settings) / "comfy.settings.json").read_text())["a"] == 2

    with_server(settings, work)


def test_settings_changed_at_once_are_all_kept(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        await asyncio.gather(*(server.post(f"/settings/k{i}", json=i) for i in range(40)))
        assert (await server.get("/settings")).json == {f"k{i}": i for i in range(40)}

    with_server(settings, work)


def test_damaged_settings_are_not_overwritten(settings: ServeSettings) -> None:
    path = home(settings) / "comfy.settings.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"a": 1')

    async def work(server: Live) -> None:
        assert (await server.get("/settings")).status == 400
        assert (await server.post("/settings", json={"b": 1})).status == 400
        assert path.read_text() == '{"a": 1'

    with_server(settings, work)


# ------------------------------------------------------------------------------------------------ userdata


def test_a_workflow_is_saved_listed_moved_and_deleted(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        body = b'{"nodes": []}'
        assert (await server.post("/userdata/workflows%2Fone.json", data=body, headers=JSON)).json == "workflows/one.json"
        assert (await server.post("/api/userdata/workflows%2Fsub%2Ftwo.json", data=body)).json == "workflows/sub/two.json"
        info = (await server.post("/userdata/workflows%2F%C3%BC%20x.json?full_info=true", data=b"1")).json
        assert (info["path"], info["size"]) == ("workflows/ü x.json", 1)
        assert info["modified"] > 1_500_000_000_000
        read = await server.get("/userdata/workflows%2Fone.json")
        assert (read.status, read.body, read.headers["Content-Type"]) == (200, body, "application/json")

        assert (await server.get("/userdata?dir=workflows")).json == ["one.json", "ü x.json"]
        assert sorted((await server.get("/userdata?dir=workflows&recurse=true")).json) == ["one.json", "sub/two.json", "ü x.json"]
        split = (await server.get("/userdata?dir=workflows&recurse=true&split=true")).json
        assert ["sub/two.json", "sub", "two.json"] in split
        full = (await server.get("/userdata?dir=workflows&recurse=true&split=true&full_info=true")).json
        assert {entry["path"]: entry["size"] for entry in full} == {"one.json": 13, "sub/two.json": 13, "ü x.json": 1}

        entries = (await server.get("/v2/userdata?path=workflows")).json
        assert [(entry["name"], entry["path"], entry["type"]) for entry in entries] == [
            ("sub", "workflows/sub", "directory"),
            ("one.json", "workflows/one.json", "file"),
            ("two.json", "workflows/sub/two.json", "file"),
            ("ü x.json", "workflows/ü x.json", "file"),
        ]
        assert {entry["path"] for entry in (await server.get("/api/v2/userdata")).json} >= {"workflows", "workflows/one.json"}

        assert (await server.post("/userdata/workflows%2Fone.json/move/workflows%2Fnew%2F1.json")).json == "workflows/new/1.json"
        assert (await server.get("/userdata/workflows%2Fone.json")).status == 404
        assert (await server.ask("DELETE", "/userdata/workflows%2Fnew%2F1.json")).status == 204
        assert (await server.ask("DELETE", "/userdata/workflows%2Fnew%2F1.json")).status == 404

    with_server(settings, work)


def test_nothing_is_overwritten_against_the_wish(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        await server.post("/userdata/a.txt", data=b"old")
        assert (await server.post("/userdata/a.txt?overwrite=false", data=b"new")).status == 409
        assert (await server.post("/userdata/A.txt?overwrite=false", data=b"new")).status == 409
        assert (await server.post("/userdata/b.txt?overwrite=false", data=b"b")).status == 200
        assert (await server.post("/userdata/b.txt/move/a.txt?overwrite=false")).status == 409
        assert (await server.get("/userdata/a.txt")).body == b"old"
        assert (await server.post("/userdata/a.txt", data=b"new")).status == 200
        assert (await server.post("/userdata/b.txt/move/a.txt")).status == 200
        assert (await server.get("/userdata/a.txt")).body == b"b"
        assert (await server.post("/userdata/a.txt/move/a.txt?overwrite=false")).status == 200
        assert (await server.get("/userdata/a.txt")).body == b"b"

    with_server(settings, work)


def test_writers_at_the_same_time_one_of_them_wins(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        answers = await asyncio.gather(*(server.post("/userdata/a.txt?overwrite=false", data=b"%d" % i * 1000) for i in range(10)))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 9
        winner = next(i for i, answer in enumerate(answers) if answer.status == 200)
        assert (await server.get("/userdata/a.txt")).body == b"%d" % winner * 1000

    with_server(settings, work)


def test_faults_of_userdata(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        await server.post("/userdata/file.txt", data=b"x")
        await server.post("/userdata/folder%2Fin.txt", data=b"x")
        for method, path, status in (
            ("GET", "/userdata", 400),
            ("GET", "/userdata?dir=gone", 404),
            ("GET", "/userdata?dir=..", 403),
            ("GET", "/v2/userdata?path=..", 400),
            ("GET", "/v2/userdata?path=gone", 404),
            ("GET", "/v2/userdata?path=file.txt", 400),
            ("GET", "/userdata/gone.txt", 404),
            ("GET", "/userdata/folder", 404),
            ("GET", "/userdata/..%2Fx", 403),
            ("POST", "/userdata/folder", 409),
            ("POST", "/userdata/file.txt%2Fbelow.txt", 409),
            ("POST", "/userdata/file.txt/move/folder", 409),
            ("POST", "/userdata/gone.txt/move/x.txt", 404),
            ("POST", "/userdata/folder/move/x", 404),
            ("DELETE", "/userdata/folder", 404),
            ("POST", "/userdata/..%2Fx", 403),
        ):
            answer = await server.ask(method, path, data=b"new" if method == "POST" else None)
            assert (method, path, answer.status) == (method, path, status)
        assert (await server.get("/userdata/file.txt")).body == b"x"

    with_server(settings, work)


def test_userdata_is_bounded(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        assert (await server.post("/userdata/a", data=b"x" * 60_000)).status == 200
        assert (await server.post("/userdata/b", data=b"x" * 60_000)).status == 507
        assert (await server.ask("DELETE", "/userdata/a")).status == 204
        assert (await server.post("/userdata/b", data=b"x" * 60_000)).status == 200
        assert (await server.post("/userdata/c", data=b"x" * 90_001)).status == 413

    with_server(replace(settings, limits=Limits(userdata=100_000, upload=90_000)), work)


def test_the_persons_own_style_sheet_is_one(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        for name in ("user.css", "sub%2Fuser.css"):
            await server.post(f"/userdata/{name}", data=b"a{}")
        assert (await server.get("/userdata/user.css")).headers["Content-Type"].startswith("text/css")
        assert (await server.get("/userdata/sub%2Fuser.css")).headers["Content-Type"] == "application/octet-stream"

    with_server(settings, work)


# ------------------------------------------------------------------------------------------------ packs


@pytest.fixture
def packed(settings: ServeSettings, tmp_path: Path) -> ServeSettings:
    files = {
        "one/web/a.js": "1",
        "one/web/sub/b c.js": "2",
        "one/web/style.css": "*{}",
        "one/web/page.html": "<script>1</script>",
        "one/secret.py": "SECRET",
        "one/example_workflows/first.json": "{}",
        "one/locales/de/main.json": '{"a": "A", "g": {"x": 1}}',
        "one/locales/de/nodeDefs.json": '{"N": {"display_name": "K"}}',
        "one/locales/xx/main.json": "[" * 10,
        "one/subgraphs/s.json": '{"nodes": []}',
        "two/pyproject.toml": '[tool.comfy]\nweb = "build"\n',
        "two/build/c.js": "3",
        "two/locales/de/main.json": '{"g": {"y": 2}}',
        "bad/pyproject.toml": '[tool.comfy]\nweb = "../one/web"\n',
        "broken/pyproject.toml": "[[[",
    }
    for name, text in files.items():
        path = tmp_path / "packs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return replace(settings, packs=tuple(tmp_path / "packs" / name for name in ("one", "two", "bad", "broken")))


def test_what_packs_bring(packed: ServeSettings) -> None:
    async def work(server: Live) -> None:
        assert (await server.get("/extensions")).json == ["/extensions/one/a.js", "/extensions/one/sub/b%20c.js", "/extensions/two/c.js"]
        script = await server.get("/api/extensions/one/sub/b%20c.js")
        assert (script.body, script.headers["Content-Type"]) == (b"2", "text/javascript; charset=utf-8")
        assert (await server.get("/extensions/one/style.css")).headers["Content-Type"].startswith("text/css")
        assert (await server.get("/extensions/one/page.html")).headers["Content-Disposition"].startswith("attachment")
        for path in ("one/..%2Fsecret.py", "one/..%5Csecret.py", "bad/a.js", "no/a.js", "..%2Fone/secret.py"):
            answer = await server.get(f"/extensions/{path}")
            assert answer.status in (403, 404)
            assert b"SECRET" not in answer.body

        assert (await server.get("/workflow_templates")).json == {"one": ["first"]}
        assert (await server.get("/workflow_templates/one/first.json")).body == b"{}"

        assert (await server.get("/i18n")).json == {"de": {"a": "A", "g": {"x": 1, "y": 2}, "nodeDefs": {"N": {"display_name": "K"}}}}
        ((id, entry),) = (await server.get("/global_subgraphs")).json.items()
        assert (entry["name"], entry["info"]) == ("s", {"node_pack": "custom_nodes.one"})
        assert (await server.get(f"/global_subgraphs/{id}")).json["data"] == '{"nodes": []}'
        assert (await server.get("/global_subgraphs/x")).status == 404

    with_server(packed, work)


# ------------------------------------------------------------------------------------------------ the server itself


def test_statistics_tell_no_secrets_and_no_places(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/opt/venv/bin/nodegraph", "serve", "--token", "s3cr3t-s3cr3t-s3cr3t", "--input", str(settings.input / "x"), "--port=1"]
    monkeypatch.setattr("sys.argv", [*words, "--token=s3cr3t-s3cr3t-s3cr3t", "--models=../m", "--limit", "body=1M"])

    async def work(server: Live) -> None:
        answer = await server.get("/system_stats")
        system, (device,) = answer.json["system"], answer.json["devices"]
        hidden = ["nodegraph", "serve", "--token", "<hidden>", "--input", "<input>/x", "--port=1"]
        assert system["argv"] == [*hidden, "--token=<hidden>", "--models=<path>", "--limit", "body=1M"]
        assert b"s3cr3t" not in answer.body
        assert system["ram_total"] > system["ram_free"] > 0
        assert system["pytorch_version"]
        assert system["python_version"].startswith("3.")
        assert (device["type"], device["vram_total"]) == ("cpu", system["ram_total"])
        assert set(device) == {"name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free"}
        assert (await server.get("/api/features")).json == {"supports_preview_metadata": True, "max_upload_size": 512 << 20}

    with_server(replace(settings, token=None), work)


def test_a_token_at_the_end_of_the_line() -> None:
    assert arguments(["x", "--token"], Redactor({})) == ["nodegraph", "--token"]
    assert arguments(["x", "C:\\a\\b", "http://a/b"], Redactor({})) == ["nodegraph", "<path>", "http://a/b"]


def test_folders_are_named_not_located(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        answer = await server.get("/internal/folder_paths")
        assert answer.json["checkpoints"][0].startswith("<models>")
        assert b'"/' not in answer.body

    with_server(settings, work)


def test_the_newest_files(settings: ServeSettings) -> None:
    for i, name in enumerate(("old.png", "sub/new.png", ".hidden")):
        path = settings.output / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1000 + i, 1000 + i))

    async def work(server: Live) -> None:
        assert (await server.get("/internal/files/output")).json == ["sub/new.png", "old.png"]
        assert (await server.get("/internal/files/temp")).json == []
        assert (await server.get("/internal/files/state")).status == 400
        inputs = (await server.get("/internal/files/input")).json
        assert inputs[0] == "mine.png"
        assert "panda_with_hole.png" in inputs

    (settings.input / "mine.png").write_bytes(b"")
    with_server(settings, work)


def test_the_log_can_be_read_and_followed(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        record = logging.LogRecord("n", logging.WARNING, "", 0, "hello %s", (settings.output / "a.png",), None)
        server.app[keys.LOGS].handle(record)
        raw = (await server.get("/internal/logs/raw")).json
        assert raw["entries"][-1]["m"].endswith("n: hello <output>/a.png\n")
        assert set(raw["size"]) == {"cols", "rows"}
        assert (await server.get("/internal/logs")).json.endswith("hello <output>/a.png\n")
        for body, status in (({"clientId": "c", "enabled": True}, 200), ({"clientId": "c"}, 400), ({"clientId": 3, "enabled": True}, 400)):
            assert (await server.ask("PATCH", "/internal/logs/subscribe", json=body)).status == status
        assert list(server.app[keys.LOGS].clients) == ["c"]
        await server.ask("PATCH", "/api/internal/logs/subscribe", json={"clientId": "c", "enabled": False})
        assert list(server.app[keys.LOGS].clients) == []

    with_server(settings, work)


# ------------------------------------------------------------------------------------------------ pages


def test_the_first_page_without_an_editor(settings: ServeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodegraph.server.home.pages.STATIC", tmp_path / "not built")

    async def work(server: Live) -> None:
        page = await server.get("/")
        text = page.body.decode()
        assert page.headers["Content-Type"].startswith("text/html")
        assert f"{server.address}/prompt" in text
        assert "<script" not in text
        assert "style=" not in text
        assert "{" not in text, "every fact is filled in"
        assert (await server.get("/home.css")).headers["Content-Type"].startswith("text/css")
        for path in ("/home.html", "/locked.html", "/x.js", "/..%2Fkeys.py"):
            assert (await server.get(path)).status in (403, 404)
        hostile = await server.get("/", headers={"Host": "localhost"})
        assert b"http://localhost/prompt" in hostile.body

    with_server(settings, work)


def test_another_editor(settings: ServeSettings, tmp_path: Path) -> None:
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "extensions" / "core").mkdir(parents=True)
    (built / "extensions" / "core" / "x.js").write_text("2")
    (built / "index.html").write_text("<title>mine</title>")
    (built / "assets" / "a-1234.js").write_text("1")
    (tmp_path / "secret.js").write_text("SECRET")
    (built / "out.js").symlink_to(tmp_path / "secret.js")

    async def work(server: Live) -> None:
        page = await server.get("/")
        assert page.body == b"<title>mine</title>"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        script = await server.get("/assets/a-1234.js")
        assert (script.body, script.headers["Content-Type"]) == (b"1", "text/javascript; charset=utf-8")
        assert "immutable" in script.headers["Cache-Control"]
        assert (await server.get("/extensions")).json == ["/extensions/core/x.js"]
        assert (await server.get("/extensions/core/x.js")).body == b"2"
        for path in (
            "/extensions/core/..%2F..%2F..%2Fsecret.js",
            "/extensions/..%2F../secret.js",
            "/out.js",
            "/..%2Fsecret.js",
            "/gone.js",
            "/assets",
        ):
            answer = await server.get(path)
            assert answer.status in (403, 404)
            assert b"SECRET" not in answer.body

    with_server(replace(settings, editor=built), work)


def test_an_address_that_only_takes_a_change_says_so_to_a_reader(settings: ServeSettings, tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    (built / "index.html").write_text("<title>mine</title>")

    async def work(server: Live) -> None:
        for path in ("/upload/image", "/api/upload/mask"):
            answer = await server.get(path)
            assert (answer.status, answer.headers["Allow"], answer.error["error"]) == (405, "POST", "MethodNotAllowed")
        assert (await server.get("/upload/nothing")).status == 404

    with_server(replace(settings, editor=built), work)


def test_files_of_the_editor_are_sent_compressed_to_those_who_take_it(settings: ServeSettings, tmp_path: Path) -> None:
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<title>mine</title>")
    script, text = built / "assets" / "a-1234.js", b"let a = 1;\n" * 1000
    script.write_bytes(text)
    (built / "assets" / "small.js").write_bytes(b"1")
    (built / "assets" / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))

    async def work(server: Live) -> None:
        async def get(name: str = "a-1234.js", accepts: str = "gzip, deflate, br", **headers: str) -> Answer:
            return await server.get(f"/assets/{name}", headers={"Accept-Encoding": accepts, **headers})

        packed = await get()
        assert (packed.status, packed.headers["Content-Encoding"], gzip.decompress(packed.body)) == (200, "gzip", text)
        assert len(packed.body) < len(text) / 10
        assert packed.headers["Content-Type"] == "text/javascript; charset=utf-8"
        plain = await get(accepts="br, gzip;q=0")
        assert ("Content-Encoding" in plain.headers, plain.body) == (False, text)
        assert plain.headers["ETag"] != packed.headers["ETag"], "two forms of a file are two things to a cache"
        for answer in (packed, plain):
            assert {"Accept-Encoding", "Origin"} <= {name.strip() for name in answer.headers["Vary"].split(",")}
            again = await get(accepts="gzip" if answer is packed else "identity", **{"If-None-Match": answer.headers["ETag"]})
            assert (again.status, again.body, again.headers["Vary"]) == (304, b"", answer.headers["Vary"])
        part = await get(Range="bytes=4-8")
        assert (part.status, part.body) == (206, text[4:9])
        for name in ("small.js", "p.png"):
            assert "Content-Encoding" not in (await get(name)).headers
        script.write_bytes(text + b"// new")
        assert gzip.decompress((await get()).body) == text + b"// new"

    with_server(replace(settings, editor=built), work)


def test_no_read_changes_anything(settings: ServeSettings) -> None:
    """GET is answered by every route that is known, and none of them writes."""

    def state() -> dict[str, Any]:
        return {str(path): path.read_bytes() if path.is_file() else None for path in settings.state.parent.rglob("*")}

    async def work(server: Live) -> None:
        await server.post("/userdata/a.txt", data=b"x")
        before = state()
        paths = {route.resource.canonical for route in server.app.router.routes() if route.method == "GET" and route.resource is not None}
        assert len(paths) > 40
        for path in sorted(paths):
            answer = await server.get(
                path.replace("{file}", "a.txt").replace("{folder}", "loras").replace("{", "").replace("}", "") + "?dir=.&path=."
            )
            assert answer.status < 500
        assert state() == before

    with_server(settings, work)
