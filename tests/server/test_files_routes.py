"""Files over HTTP: pictures are shown, everything else is a download; no name leads out of its folder, on no route."""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nodegraph.server import keys
from nodegraph.server.safety.deliver import SANDBOX, disposition, headers_for, kind_of
from nodegraph.server.safety.quota import Quota, trim
from nodegraph.server.setup.config import Limits, ServeSettings
from tests.server.live import Answer, Live, with_server


def png(width: int = 4, height: int = 3, mode: str = "RGB", colour: Any = (10, 20, 30), **texts: str) -> bytes:
    info, out = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new(mode, (width, height), colour).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def form(data: bytes = b"", filename: str | None = "a.png", **fields: str) -> aiohttp.FormData:
    built = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        built.add_field(name, value)
    if filename is not None:
        built.add_field("image", io.BytesIO(data), filename=filename, content_type="image/png")
    return built


def viewing(filename: str, **query: str) -> str:
    return "/view?" + urlencode({"filename": filename, **query})


def decoded(answer: Answer) -> Image.Image:
    picture = Image.open(io.BytesIO(answer.body))
    picture.load()
    return picture


# ------------------------------------------------------------------------------------------------ looking


def test_a_picture_is_shown(settings: ServeSettings) -> None:
    data = png(prompt="{}")
    (settings.output / "sub").mkdir()
    (settings.output / "sub" / "a.png").write_bytes(data)

    async def work(server: Live) -> None:
        for path in (viewing("a.png", subfolder="sub"), viewing("sub/a.png"), viewing("a.png [output]", subfolder="sub", type="input")):
            for prefix in ("", "/api"):
                answer = await server.get(prefix + path)
                assert (answer.status, answer.body) == (200, data)
                assert answer.headers["Content-Type"] == "image/png"
                assert answer.headers["Content-Disposition"] == 'inline; filename="a.png"'
                assert answer.headers["Content-Security-Policy"] == SANDBOX
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (await server.get(viewing("b.png"))).status == 404
        assert (await server.get("/view")).status == 400
        assert (await server.get(viewing("a.png", type="models"))).status == 400

    with_server(settings, work)


def test_shipped_pictures_are_part_of_the_input_folder(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        examples = server.app[keys.FILES].examples
        assert examples is not None
        name = sorted(path.name for path in examples.glob("*.png"))[0]
        assert (await server.get(viewing(name, type="input"))).body == (examples / name).read_bytes()

    with_server(settings, work)


def test_unchanged_parts_and_heads(settings: ServeSettings) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB, sent in pieces
    (settings.output / "a.bin").write_bytes(data)
    path = viewing("a.bin")

    async def work(server: Live) -> None:
        whole = await server.get(path)
        etag = whole.headers["ETag"]
        assert (whole.status, whole.body) == (200, data)
        assert (await server.get(path, headers={"If-None-Match": f'"x", {etag}'})).status == 304
        for text, expected in (
            ("bytes=0-9", data[:10]),
            ("bytes=10-", data[10:]),
            ("bytes=-5", data[-5:]),
            (f"bytes={len(data) - 2}-99999999", data[-2:]),
            ("bytes=0-", data),
        ):
            part = await server.get(path, headers={"Range": text})
            assert (part.status, part.body) == (206, expected)
            first = data.index(expected) if len(expected) > 10 else int(part.headers["Content-Range"].split()[1].split("-")[0])
            assert part.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
        assert (await server.get(path, headers={"Range": "bytes=0-1", "If-Range": etag})).status == 206
        assert (await server.get(path, headers={"Range": "bytes=0-1", "If-Range": '"old"'})).body == data
        for text in (f"bytes={len(data)}-", "bytes=-0", "bytes=5-4"):
            assert (await server.get(path, headers={"Range": text})).status == 416
        for text in ("bytes=0-1,3-4", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1-2", "bytes=\u0661-2"):
            assert (await server.get(path, headers={"Range": text})).status == 200
        head = await server.ask("HEAD", path)
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(data)))

    with_server(settings, work)


def test_previews_and_channels(settings: ServeSettings) -> None:
    picture = Image.new("RGBA", (8, 4), (200, 100, 50, 128))
    picture.save(settings.output / "a.png")
    Image.new("RGB", (8, 4), (1, 2, 3)).save(settings.output / "b.jpg")

    async def work(server: Live) -> None:
        async def shown(name: str, **query: str) -> tuple[str, str, Any]:
            answer = await server.get(viewing(name, **query))
            assert answer.status == 200
            result = decoded(answer)
            assert answer.headers["Content-Disposition"].startswith("inline")
            return answer.headers["Content-Type"], result.mode, result.getpixel((0, 0))

        assert (await shown("a.png", channel="rgb")) == ("image/png", "RGB", (200, 100, 50))
        assert (await shown("a.png", channel="a")) == ("image/png", "RGBA", (0, 0, 0, 128))
        assert (await shown("b.jpg", channel="a")) == ("image/png", "RGBA", (0, 0, 0, 255))
        assert (await shown("a.png", preview="webp;50"))[:2] == ("image/webp", "RGBA")
        assert (await shown("b.jpg", preview="webp"))[:2] == ("image/webp", "RGB")
        assert (await shown("a.png", preview="jpeg;90"))[:2] == ("image/jpeg", "RGB")
        assert (await shown("a.png", preview="jpeg", channel="a"))[:2] == ("image/webp", "RGBA")
        assert (await shown("a.png", preview="png"))[0] == "image/webp"
        for query in ({"preview": "webp;0"}, {"preview": "webp;101"}, {"preview": "webp;x"}, {"preview": "webp;\u0663"}, {"channel": "x"}):
            assert (await server.get(viewing("a.png", **query))).status == 400
        for fit in ("0", "-1", "x", "", "\u0663", "1" * 9):
            assert (await server.get(viewing("a.png", preview="webp", fit=fit))).status == 400

    with_server(settings, work)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_pictures_that_would_be_huge_are_not_decoded(settings: ServeSettings) -> None:
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 6, 0, 0, 0))
    (settings.output / "bomb.png").write_bytes(head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    (settings.output / "half.png").write_bytes(png(300, 200)[:-40])
    (settings.output / "no.png").write_bytes(b"<html>")
    Image.new("L", (300, 300)).save(settings.output / "large.png")
    frames = [Image.new("L", (200, 200), i) for i in range(60)]
    frames[0].save(settings.output / "film.webp", save_all=True, append_images=frames[1:])

    async def work(server: Live) -> None:
        answers = {
            name: await server.get(viewing(name, preview="webp")) for name in ("bomb.png", "large.png", "half.png", "no.png", "film.webp")
        }
        assert {name: answer.status for name, answer in answers.items()} == {
            "bomb.png": 413,
            "large.png": 413,
            "half.png": 415,
            "no.png": 415,
            "film.webp": 200,
        }

    with_server(replace(settings, limits=Limits(pixels=80_000)), work)


# ------------------------------------------------------------------------------------------------ files that could do something

SCRIPT = b"<script>alert(1)</script>"
ACTIVE = {
    "a.html": b"<!doctype html>" + SCRIPT,
    "a.htm": SCRIPT,
    "a.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml">' + SCRIPT + b"</html>",
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
    "a.svgz": b"\x1f\x8b",
    "a.xml": b"<?xml-stylesheet href='x.xsl'?>",
    "a.xsl": b"<xsl/>",
    "a.js": b"alert(1)",
    "a.mjs": b"alert(1)",
    "a.css": b"*{}",
    "a.mhtml": b"MIME-Version: 1.0",
    "a.pdf": b"%PDF-1.7",
    "a.swf": b"CWS",
    "a.hta": SCRIPT,
    "a.wasm": b"\0asm",
    "a": SCRIPT,
    "a.png": b"<html>" + SCRIPT,
    "b.jpg": b"GIF89a/*" + SCRIPT,
    "a.gif": b"<svg onload=alert(1)>",
    "a.mp4": SCRIPT,
    "a.webm": SCRIPT,
    "a.json": b"{}" + SCRIPT,
    "a.txt": SCRIPT,
}
PASSIVE = {"application/octet-stream", "application/json", "text/plain; charset=utf-8"}


def test_what_could_be_active_is_a_download_through_every_reader(settings: ServeSettings, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    (pack / "example_workflows").mkdir(parents=True)
    for root in (settings.input, settings.output, settings.temp, settings.state / "user" / "default", pack / "example_workflows"):
        root.mkdir(parents=True, exist_ok=True)
        for name, data in ACTIVE.items():
            (root / name).write_bytes(data)

    async def work(server: Live) -> None:
        for name, data in ACTIVE.items():
            paths = [viewing(name, type=kind) for kind in ("input", "output", "temp")]
            for path in (*paths, f"/userdata/{name}", f"/workflow_templates/pack/{name}"):
                answer = await server.get(path)
                assert (answer.status, answer.body) == (200, data)
                assert answer.headers["Content-Type"] in PASSIVE, path
                assert answer.headers["Content-Disposition"].startswith("attachment;"), path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"] == SANDBOX
                assert "no-cache" in answer.headers["Cache-Control"]
                assert "Sec-Fetch-Dest" in answer.headers["Vary"]

    with_server(replace(settings, packs=(pack,)), work)


def test_a_polyglot_is_a_picture_or_nothing(settings: ServeSettings) -> None:
    (settings.output / "p.png").write_bytes(png(comment="<html><script>alert(1)</script>") + SCRIPT)
    (settings.output / "p.html").write_bytes(png() + SCRIPT)

    async def work(server: Live) -> None:
        shown, saved = await server.get(viewing("p.png")), await server.get(viewing("p.html"))
        assert shown.headers["Content-Type"] == "image/png"
        assert "sandbox" in shown.headers["Content-Security-Policy"]
        assert saved.headers["Content-Disposition"].startswith("attachment;")
        again = await server.get(viewing("p.png", preview="webp"))
        assert b"script" not in again.body

    with_server(settings, work)


def test_a_compressed_twin_is_not_sent_instead(settings: ServeSettings) -> None:
    (settings.output / "a.png").write_bytes(png())
    for suffix in (".gz", ".br"):
        (settings.output / f"a.png{suffix}").write_bytes(b"twin")

    async def work(server: Live) -> None:
        answer = await server.get(viewing("a.png"), headers={"Accept-Encoding": "gzip, br"})
        assert answer.body == png()
        assert "Content-Encoding" not in answer.headers

    with_server(settings, work)


@pytest.mark.parametrize(
    "name", ['a".png', "a;b.png", "a\\b.png", "grün 猫.png", "a'b%22.png", "x" * 190 + ".png", 'a"\r\nSet-Cookie: x=1.png', "\u202egnp.png"]
)
def test_no_name_breaks_out_of_the_header(name: str) -> None:
    text = disposition(name, True)
    assert text.isascii()
    assert "\r" not in text
    assert "\n" not in text
    assert text.count('"') == 2
    if name.isascii() and name.replace(" ", "").replace(".", "").isalnum():
        assert "filename*" not in text
    else:
        assert text.endswith(f"filename*=UTF-8''{quote(name, safe='')}")


def test_kinds_need_their_first_bytes() -> None:
    assert kind_of("a.PNG", png(), "user") == ("image/png", True)
    assert kind_of("a.js", b"", "user") == ("application/octet-stream", False)
    assert kind_of("a.js", b"", "code")[1]
    assert kind_of("a.html", b"", "code") == ("application/octet-stream", False)
    assert kind_of("a.svg", b"", "user") == ("application/octet-stream", False)
    assert headers_for("a.svg", b"", "code")["Content-Security-Policy"] == SANDBOX
    assert "sandbox" not in headers_for("a.js", b"", "code")["Content-Security-Policy"]
    assert headers_for("a.js", b"", "user")["Content-Security-Policy"] == SANDBOX


# ------------------------------------------------------------------------------------------------ names that lead elsewhere

NAMES = [
    "../secret.txt",
    "..\\secret.txt",
    "a/../../secret.txt",
    "a\\..\\..\\secret.txt",
    "./../secret.txt",
    "..",
    ".",
    "/",
    "\\",
    "%2e%2e%2fsecret.txt",
    "..%2fsecret.txt",
    "%252e%252e%252fsecret.txt",
    "..%5csecret.txt",
    "\\\\server\\share\\x",
    "//server/share/x",
    "C:\\secret.txt",
    "C:secret.txt",
    "c:/secret.txt",
    "a.png::$DATA",
    "a.png:stream",
    "a.png\0.txt",
    "a.png ",
    "a.png.",
    "..  /secret.txt",
    "... /secret.txt",
    "~/secret.txt",
    "~root/secret.txt",
    "nul",
    "con.png",
    "COM1",
    "a\nb",
    "a\x1bb",
    "\ud800",
    "x" * 5000,
    "/".join(["x"] * 3000),
    "link_out/secret.txt",
    "file_out.txt",
    "loop",
    "pipe",
    "",
]
OVERLONG = [
    "%c0%ae%c0%ae%c0%afsecret.txt",
    "%e0%80%ae%e0%80%ae/secret.txt",
    "%ff%fe",
    "%00",
    "%2e%2e/secret.txt",
    "..%c0%afsecret.txt",
    "%u002e%u002e/",
]
"""bytes that are no UTF-8, put into the address as they are"""


def encoded(name: str) -> str:
    return quote(name.encode("utf-8", "surrogatepass"), safe="")


@pytest.fixture
def trapped(settings: ServeSettings, tmp_path: Path) -> ServeSettings:
    """Secrets all around the folders, links that lead to them, and things that are no files."""
    pack = tmp_path / "pack"
    roots = [settings.input, settings.output, settings.temp, settings.state / "user" / "default", pack / "web", pack / "example_workflows"]
    for root in roots:
        root.mkdir(parents=True, exist_ok=True)
        for around in (root.parent, root.parent.parent, root.with_name(root.name + "-secret")):
            around.mkdir(exist_ok=True)
            (around / "secret.txt").write_text("SECRET")
        (root / "link_out").symlink_to(root.parent)
        (root / "file_out.txt").symlink_to(root.parent / "secret.txt")
        (root / "loop").symlink_to("loop")
        os.mkfifo(root / "pipe")
    return replace(settings, packs=(pack,))


def readers(name: str) -> list[str]:
    text = encoded(name)
    query = [f"/view?filename={text}&type={kind}" for kind in ("input", "output", "temp")]
    return [
        *query,
        f"/view?filename={encoded(name + ' [output]')}",
        f"/view?filename=secret.txt&subfolder={text}",
        f"/view?filename={text}&preview=webp",
        f"/view?filename={text}&channel=a",
        f"/view_metadata/loras?filename={text}.safetensors",
        f"/view_metadata/{text}?filename=x.safetensors",
        f"/userdata/{text}",
        f"/userdata?dir={text}",
        f"/v2/userdata?path={text}",
        f"/extensions/pack/{text}",
        f"/extensions/{text}/a.js",
        f"/workflow_templates/pack/{text}",
        f"/workflow_templates/nodegraph/{text}",
        f"/models/{text}",
        f"/experiment/models/{text}",
        f"/experiment/models/preview/loras/0/{text}",
        f"/internal/files/{text}",
        f"/global_subgraphs/{text}",
        f"/{text}",
    ]


def test_no_reader_leads_out(trapped: ServeSettings) -> None:
    async def work(server: Live) -> None:
        for path in [path for name in NAMES for path in readers(name)] + [
            prefix + raw
            for raw in OVERLONG
            for prefix in (
                "/view?filename=",
                "/view?filename=secret.txt&subfolder=",
                "/userdata/",
                "/userdata?dir=",
                "/extensions/pack/",
                "/",
            )
        ]:
            answer = await server.get(path)
            assert b"SECRET" not in answer.body, path
            assert answer.status < 500, path
            assert b"secret.txt" not in answer.body or answer.status >= 400, path

    with_server(trapped, work)


def snapshot(root: Path) -> dict[str, int]:
    """Everything below, with sizes; pipes and links as such."""
    return {
        os.path.join(where, name): os.lstat(os.path.join(where, name)).st_mtime_ns for where, _, names in os.walk(root) for name in names
    }


def test_no_writer_leads_out(trapped: ServeSettings, tmp_path: Path) -> None:
    inside = (trapped.input, trapped.output, trapped.temp, trapped.state)

    async def work(server: Live) -> None:
        for name in NAMES:
            text = encoded(name)
            fields: list[dict[str, Any]] = []
            if name.isprintable() and '"' not in name:
                fields += [
                    {"filename": name, "overwrite": flag, "type": kind} for flag in ("", "true") for kind in ("input", "output", "temp")
                ]
            if name.isprintable():
                fields += [{"filename": "n.png", "subfolder": name}]
            for field in fields:
                assert (await server.post("/upload/image", data=form(b"x", **field))).status < 500
                mask = json.dumps({"filename": name, "subfolder": "", "type": "output"})
                assert (await server.post("/upload/mask", data=form(png(), original_ref=mask))).status < 500
            for method, path in (
                ("POST", f"/userdata/{text}"),
                ("POST", f"/userdata/{text}?overwrite=false"),
                ("POST", f"/userdata/ok.txt/move/{text}"),
                ("POST", f"/userdata/{text}/move/got.txt"),
                ("DELETE", f"/userdata/{text}"),
            ):
                answer = await server.ask(
                    method, path, data=b"x" if method == "POST" else None, headers={"Content-Type": "application/octet-stream"}
                )
                assert answer.status < 500, (method, path)

    outside = {path: time for path, time in snapshot(tmp_path).items() if not any(path.startswith(f"{root}/") for root in inside)}
    with_server(trapped, work)
    after = snapshot(tmp_path)
    assert outside == {path: time for path, time in after.items() if not any(path.startswith(f"{root}/") for root in inside)}
    assert not any((root / "secret.txt").exists() for root in inside[:3])


def test_a_name_of_a_folder_beside_is_not_inside(trapped: ServeSettings) -> None:
    async def work(server: Live) -> None:
        for path in (viewing("../output-secret/secret.txt"), viewing("secret.txt", subfolder="../output-secret")):
            assert (await server.get(path)).status in (400, 403)
        (trapped.output / "out").symlink_to(trapped.output.with_name("output-secret"))
        assert (await server.get(viewing("out/secret.txt"))).status == 403

    with_server(trapped, work)


# ------------------------------------------------------------------------------------------------ putting in


def test_an_upload_is_kept_once_and_never_replaced_unasked(settings: ServeSettings) -> None:
    first, second = png(colour=(1, 1, 1)), png(colour=(2, 2, 2))

    async def work(server: Live) -> None:
        async def put(data: bytes, filename: str = "a.png", **fields: str) -> Any:
            answer = await server.post("/upload/image", data=form(data, filename, **fields))
            assert answer.status == 200, answer
            return answer.json

        assert await put(first) == {"name": "a.png", "subfolder": "", "type": "input"}
        assert (await put(first))["name"] == "a.png"
        assert (await put(second))["name"] == "a (1).png"
        assert (await put(second))["name"] == "a (1).png"
        assert (await put(first, "A.PNG"))["name"] == "a.png", "names that differ in case only are one on some disks"
        assert (await put(second, overwrite="true"))["name"] == "a.png"
        assert (settings.input / "a.png").read_bytes() == second
        assert (await put(first, overwrite="1", subfolder="x/y/", type="temp")) == {"name": "a.png", "subfolder": "x/y", "type": "temp"}
        assert (settings.temp / "x" / "y" / "a.png").read_bytes() == first
        assert (await put(first, "grün 猫.png"))["name"] == "grün 猫.png"
        assert (await put(first, "a.png [output]"))["name"] == "a.png [output]", "the suffix has a meaning for readers only"
        assert list((settings.state / "uploads").iterdir()) == []

    with_server(settings, work)


def test_uploads_at_the_same_time_each_get_a_name(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        pictures = [png(colour=(i, i, i)) for i in range(20)]
        answers = await asyncio.gather(*(server.post("/upload/image", data=form(data)) for data in pictures))
        names = {answer.json["name"] for answer in answers}
        assert len(names) == 20
        assert {(settings.input / name).read_bytes() for name in names} == set(pictures)

    with_server(settings, work)


def test_fields_may_come_after_the_file(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        data = aiohttp.FormData()
        data.add_field("image", io.BytesIO(b"x"), filename="a.bin")
        data.add_field("subfolder", "late")
        assert (await server.post("/upload/image", data=data)).json["subfolder"] == "late"

    with_server(settings, work)


def test_a_mask_gives_its_alpha_to_the_original(settings: ServeSettings) -> None:
    (settings.output / "o.png").write_bytes(png(6, 5, workflow='{"a": 1}'))
    mask = png(6, 5, "RGBA", (9, 9, 9, 77))
    reference = json.dumps({"filename": "o.png", "type": "output", "subfolder": ""})

    async def work(server: Live) -> None:
        answer = await server.post("/api/upload/mask", data=form(mask, "masked.png", original_ref=reference, subfolder="clipspace"))
        assert answer.json == {"name": "masked.png", "subfolder": "clipspace", "type": "input"}
        with Image.open(settings.input / "clipspace" / "masked.png") as result:
            assert (result.mode, result.getpixel((2, 2)), result.text) == ("RGBA", (10, 20, 30, 77), {"workflow": '{"a": 1}'})  # type: ignore[attr-defined]
        for bad in ("", "[]", "{", '{"filename": 3}', '{"filename": "o.png", "type": "x"}', '{"filename": "gone.png"}', "9" * 100_000):
            assert (await server.post("/upload/mask", data=form(mask, original_ref=bad))).status in (400, 404, 413)
        assert (await server.post("/upload/mask", data=form(png(3, 3), original_ref=reference))).status == 400
        assert (await server.post("/upload/mask", data=form(b"no picture", original_ref=reference))).status == 415

    with_server(settings, work)


def test_small_previews_are_made_once(settings: ServeSettings) -> None:
    Image.new("RGB", (80, 40), (9, 8, 7)).save(settings.output / "a.png")

    async def work(server: Live) -> None:
        for fit, size in ((16, (16, 8)), (200, (80, 40))):
            answer = await server.get(viewing("a.png", preview="webp;70", fit=str(fit)))
            assert decoded(answer).size == size
            again = await server.get(viewing("a.png", preview="webp;70", fit=str(fit)), headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status, again.body) == (304, b"")
            other = await server.get(viewing("a.png", preview="webp;71", fit=str(fit)), headers={"If-None-Match": answer.headers["ETag"]})
            assert other.status == 200

    with_server(settings, work)


def test_previews_and_masks_are_of_the_upright_picture(settings: ServeSettings) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    Image.new("RGB", (40, 20), (9, 8, 7)).save(settings.input / "turned.jpg", exif=turned)
    reference = json.dumps({"filename": "turned.jpg", "type": "input"})

    async def work(server: Live) -> None:
        assert decoded(await server.get(viewing("turned.jpg", type="input", preview="webp"))).size == (20, 40)
        assert decoded(await server.get(viewing("turned.jpg", type="input", channel="a"))).size == (20, 40)
        answer = await server.post("/upload/mask", data=form(png(20, 40, mode="RGBA"), "m.png", original_ref=reference))
        assert answer.status == 200
        with Image.open(settings.input / "m.png") as result:
            assert result.size == (20, 40)
            assert 0x0112 not in result.getexif()

    with_server(settings, work)


def upload_head(length: int) -> bytes:
    lines = ("POST /upload/image HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
BROKEN_FORMS = [
    b"",
    b"--b--\r\n",
    b"--b\r\n",
    b"--b\r\n\r\n",
    b"x" * 100_000,
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nabc',
    b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\nabc\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"y" * 100_000 + b"\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' * 100 + b"--b--\r\n",
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    b"--b\r\n" + b"X: y\r\n" * 10_000 + b"\r\n\r\n--b--\r\n",
    b"--b\r\nX" + b"y" * 100_000 + b": z\r\n\r\n--b--\r\n",
    b"--b\r\nnonsense\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="x"\r\nContent-Length: 99\r\n\r\ny\r\n--b--\r\n',
]


def test_broken_forms(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        for data in BROKEN_FORMS:
            for headers in (
                MULTIPART,
                {"Content-Type": "multipart/form-data"},
                {"Content-Type": "multipart/form-data; boundary=" + "b" * 80},
            ):
                for path in ("/upload/image", "/upload/mask"):
                    answer = await server.post(path, data=data, headers=headers)
                    assert answer.status in (200, 400, 413), (data[:80], headers, answer)
        assert list((settings.state / "uploads").glob("*")) == []

    with_server(settings, work)


def test_uploads_are_bounded(settings: ServeSettings) -> None:
    limited = replace(settings, limits=Limits(upload=100_000, uploads=250_000, body=100, body_seconds=1))

    async def work(server: Live) -> None:
        slow = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nabc'
        head = upload_head(9999)
        assert b" 408 " in await server.raw(head + slow)
        assert (await server.post("/upload/image", data=form(b"a" * 100_001))).status == 413
        assert (await server.post("/upload/image", data=form(b"d", "5", subfolder="a/" * 33))).status == 403
        assert (await server.post("/upload/image", data=form(b"a" * 100_000, "1"))).status == 200
        assert (await server.post("/upload/image", data=form(b"b" * 100_000, "2"))).status == 200
        full = await server.post("/upload/image", data=form(b"c" * 100_000, "3"))
        assert (full.status, full.error["error"]) == (507, "StorageFull")
        assert (await server.post("/upload/image", data=form(b"a" * 40_000, "1", overwrite="true"))).status == 200, "replacing makes room"
        assert (await server.post("/upload/image", data=form(b"c" * 100_000, "3"))).status == 200
        assert (await server.post("/upload/image", data=form(b"d", "4"))).status == 507, "a tiny file counts as more than its size"
        assert sorted(path.name for path in limited.input.iterdir()) == ["1", "2", "3"]
        assert list((limited.state / "uploads").iterdir()) == []

    with_server(limited, work)


def test_an_upload_that_is_broken_off_leaves_nothing(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + b"x" * 300_000
        writer.write(upload_head(999_999))
        writer.write(part)
        await writer.drain()
        spool = settings.state / "uploads"
        await until(lambda: spool.is_dir() and any(spool.iterdir()))
        writer.transport.abort()
        await until(lambda: not any(spool.iterdir()))
        assert list(settings.input.iterdir()) == []

    with_server(settings, work)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------ room on the disk


def test_the_oldest_passing_files_make_room(tmp_path: Path) -> None:
    for i in range(10):
        path = tmp_path / "temp" / f"run{i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100_000)
        os.utime(path, (time.time() - 100 + i, time.time() - 100 + i))
    assert trim(tmp_path / "temp", 350_000) == 7
    assert sorted(path.name for path in (tmp_path / "temp").rglob("*.png")) == ["7.png", "8.png", "9.png"]
    assert trim(tmp_path / "temp", 350_000) == 0
    assert trim(tmp_path / "temp", 0) == 3
    assert list((tmp_path / "temp").iterdir()) == []
    assert trim(tmp_path / "gone", 0) == 0


def test_trimming_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "temp" / "file").symlink_to(tmp_path / "kept" / "a")
    trim(tmp_path / "temp", 0)
    assert (tmp_path / "kept" / "a").stat().st_size == 1000


def test_what_is_being_received_counts(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100_000, "x")
    (tmp_path / "a").write_bytes(b"x" * 40_000)
    quota.count()
    with quota.coming() as one, quota.coming() as two:
        one.add(30_000)
        two.add(30_000)
        with pytest.raises(Exception, match="may hold 100000 bytes"):
            two.add(1)
    with quota.coming() as again:
        again.add(60_000)


# ------------------------------------------------------------------------------------------------ weights


def test_weights_are_listed_and_described(settings: ServeSettings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for folder in ("loras/sub", "embeddings", "mine", "loras/.hidden"):
        (models / folder).mkdir(parents=True)
    header = json.dumps({"__metadata__": {"who": "me"}}).encode()
    (models / "loras" / "sub" / "ink.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (models / "loras" / "bad.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    (models / "loras" / "deep.safetensors").write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000)
    (models / "loras" / "pickle.ckpt").write_bytes(b"\x80\x02")
    (models / "loras" / "sub" / "ink.preview.png").write_bytes(png())
    (models / "embeddings" / "style.safetensors").write_bytes(b"")

    async def work(server: Live) -> None:
        kinds = (await server.get("/models")).json
        assert {"checkpoints", "loras", "mine"} <= set(kinds)
        assert (await server.get("/models/loras")).json == ["bad.safetensors", "deep.safetensors", "sub/ink.safetensors"]
        assert (await server.get("/models/unet")).json == []
        assert (await server.get("/models/nothing")).status == 404
        assert (await server.get("/embeddings")).json == ["style"]
        assert (await server.get("/view_metadata/loras?filename=sub/ink.safetensors")).json == {"who": "me"}
        for name in ("bad.safetensors", "deep.safetensors", "pickle.ckpt", "gone.safetensors", ""):
            assert (await server.get(f"/view_metadata/loras?filename={name}")).status == 404
        places = {entry["name"]: entry["folders"] for entry in (await server.get("/experiment/models")).json}
        assert places["loras"][0] == "<models>/loras"
        entry = (await server.get("/experiment/models/loras")).json[-1]
        assert (entry["name"], entry["pathIndex"], entry["size"]) == ("sub/ink.safetensors", 0, 8 + len(header))
        picture = await server.get("/experiment/models/preview/loras/0/sub/ink.safetensors")
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/webp")
        for path in ("loras/9/sub/ink.safetensors", "loras/0/bad.safetensors", "no/0/x.safetensors", "loras/0/sub/ink.preview.png"):
            assert (await server.get(f"/experiment/models/preview/{path}")).status == 404

    with_server(replace(settings, models=(models,)), work)


# ------------------------------------------------------------------------------------------------ anything at all

TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from([name for name in NAMES if len(name) < 1000]),
    st.sampled_from(["a.png", "sub", "input", "output", "temp", "webp;90", "rgb", "true"]),
)
QUERY = st.dictionaries(
    st.sampled_from(
        ["filename", "type", "subfolder", "preview", "channel", "dir", "path", "recurse", "full_info", "split", "overwrite", "token"]
    ),
    TEXT,
    max_size=5,
)
GETS = [
    "/view",
    "/view_metadata/{}",
    "/models/{}",
    "/experiment/models/{}",
    "/experiment/models/preview/{}/0/{}",
    "/extensions/{}/{}",
    "/userdata",
]
GETS += [
    "/workflow_templates/{}/{}",
    "/userdata/{}",
    "/v2/userdata",
    "/settings/{}",
    "/internal/files/{}",
    "/global_subgraphs/{}",
    "/{}",
    "/api/{}",
]
POSTS = [
    "/upload/image",
    "/upload/mask",
    "/settings",
    "/settings/{}",
    "/userdata/{}",
    "/userdata/{}/move/{}",
    "/users",
    "/internal/logs/subscribe",
]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PATCH", "PUT"]))
    template = draw(st.sampled_from(GETS if method in ("GET", "HEAD") else POSTS + GETS))
    path = template.format(*(encoded(draw(TEXT)) for _ in range(template.count("{}"))))
    path += "?" + urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in draw(QUERY).items()})
    headers = {}
    if draw(st.booleans()):
        headers["Range"] = draw(st.sampled_from(["bytes=0-1", "bytes=-9", "bytes=9-", "x"]))
    options: dict[str, Any] = {"headers": headers}
    if method not in ("GET", "HEAD"):
        headers["Content-Type"] = draw(
            st.sampled_from(["application/json", "multipart/form-data; boundary=b", "text/plain", "application/octet-stream"])
        )
        options["data"] = draw(
            st.one_of(
                st.binary(max_size=200),
                st.sampled_from([*BROKEN_FORMS[5:8], b"{}", b"[]", b"null", b'{"a": [1]}', b'{"clientId": "x", "enabled": true}']),
                st.recursive(
                    st.none() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
                ).map(lambda value: json.dumps(value).encode()),
            )
        )
    return method, path, options


def test_nothing_that_is_asked_is_a_mistake_of_ours(trapped: ServeSettings) -> None:
    (trapped.output / "a.png").write_bytes(png())
    (trapped.output / "sub").mkdir()

    async def work(server: Live) -> None:
        loop = asyncio.get_running_loop()

        @hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(requests())
        def ask(request: tuple[str, str, dict[str, Any]]) -> None:
            method, path, options = request
            answer = asyncio.run_coroutine_threadsafe(server.ask(method, path, **options), loop).result(30)
            assert answer.status < 500, (answer, answer.body)
            assert b"Traceback" not in answer.body
            assert b"SECRET" not in answer.body
            assert str(trapped.state).encode() not in answer.body
            if answer.status >= 400 and method != "HEAD":
                assert answer.headers["Content-Type"].startswith("application/json"), answer
                assert set(answer.json) == {"error"}

        await asyncio.to_thread(ask)

    with_server(trapped, work)
