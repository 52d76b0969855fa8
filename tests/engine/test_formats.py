"""Any file given as a workflow: recognised and read, or refused with a word about what it is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from comfy_fuzz import DATA, json_values, load, only_our_errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nodegraph import media
from nodegraph.comfy.api_json import from_api
from nodegraph.comfy.ui_json import from_ui
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.errors import FileMissing, NotConvertible, NotJson, Problems, ReadFailed, TooLarge, UnknownFormat
from nodegraph.formats import document_from, load_workflow, save_workflow
from nodegraph.registry import Registry, builtin_registry

OURS = Document(
    {
        "1": NodeEntry("EmptyLatent", {"width": 64, "height": 64, "batch": 1}, title="größe"),
        "2": NodeEntry("LatentFlip", {"latent": Link("1", "latent"), "direction": "y-axis: horizontally"}),
    },
    {"1": {"pos": [1, 2]}},
    {"title": "☃"},
    {"groups": []},
)


@cache
def registry() -> Registry:
    return builtin_registry()


def write(path: Path, data: Any) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def write_png(path: Path, **texts: Any) -> Path:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value if isinstance(value, str) else json.dumps(value))
    Image.new("RGB", (4, 4)).save(path, "PNG", pnginfo=info)
    return path


# --------------------------------------------------------------------------------------------- what is read


def test_our_own(tmp_path: Path) -> None:
    loaded = load_workflow(write(tmp_path / "w.json", OURS.to_json()))
    assert (loaded.document, loaded.kind, loaded.container, loaded.warnings) == (OURS, "nodegraph", "json", ())


def test_comfyui_both_ways() -> None:
    api, ui = load_workflow(DATA / "api_text_to_image.json"), load_workflow(str(DATA / "ui_classic.json"))
    assert (api.kind, ui.kind) == ("comfyui-api", "comfyui-ui")
    assert api.document == from_api(load("api_text_to_image.json"))
    assert ui.document == from_ui(load("ui_classic.json"))
    assert len(ui.warnings) == 1


@pytest.mark.parametrize("inner", [load("api_text_to_image.json"), OURS.to_json()])
def test_as_posted(inner: Any) -> None:
    assert document_from({"prompt": inner, "client_id": "x", "extra_data": {}}).document == document_from(inner).document


def test_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "w.json", b"\xef\xbb\xbf" + json.dumps(OURS.to_json()).encode())
    assert load_workflow(path).document == OURS


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_pictures_ours_is_preferred(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"p.{kind}"
    extra = {"prompt": load("api_text_to_image.json"), "workflow": load("ui_classic.json")}
    for workflow, expected in ((OURS.to_json(), "nodegraph"), ({"not": "ours"}, "comfyui-ui")):
        if kind == "png":
            Image.new("RGB", (4, 4)).save(path, pnginfo=media.png_info(workflow, extra))
        else:
            Image.new("RGB", (4, 4)).save(path, exif=media.webp_exif(workflow, extra))
        loaded = load_workflow(path)
        assert (loaded.kind, loaded.container) == (expected, kind)


def test_a_picture_with_only_a_prompt(tmp_path: Path) -> None:
    loaded = load_workflow(write_png(tmp_path / "p.png", prompt=load("api_text_to_image.json")))
    assert (loaded.kind, loaded.container) == ("comfyui-api", "png")


def test_pythons_nan_in_comfyuis_files(tmp_path: Path) -> None:
    data = {"1": {"class_type": "Thing", "inputs": {"x": 1.5}, "is_changed": [float("nan"), float("inf")]}}
    loaded = load_workflow(write_png(tmp_path / "p.png", prompt=data))
    assert loaded.document.nodes == {"1": NodeEntry("Thing", {"x": 1.5})}
    assert "NaN" in loaded.warnings[0]
    with pytest.raises(NotJson):
        load_workflow(write(tmp_path / "ours.json", {"nodegraph": 1, "nodes": {}, "meta": {"x": float("nan")}}))


def test_outputs_of_our_own_nodes_are_named_by_the_registry() -> None:
    data = {"1": {"class_type": "Seeds", "inputs": {}}, "2": {"class_type": "ListItem", "inputs": {"items": ["1", 0]}}}
    assert document_from(data, registry()).document.nodes["2"].inputs == {"items": Link("1", "ints")}


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "left-pad", "version": "1.0.0", "dependencies": {}}, "an object with the keys name, version, dependencies"),
        ([1, 2], "a list of 2"),
        ("hello", '"hello"'),
        ({}, "an empty object"),
        ({"nodes": [{"id": 1, "type": "invocation"}], "edges": []}, "a graph of another program"),
        ({"prompt": {"text": "a cat"}}, "the keys prompt"),
    ],
)
def test_json_of_another_kind(tmp_path: Path, data: Any, told: str) -> None:
    with pytest.raises(UnknownFormat) as caught:
        load_workflow(write(tmp_path / "x.json", data))
    assert told in caught.value.message
    assert "x.json" in caught.value.message
    assert "API JSON" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG"),
        (b"PK\x03\x04\x14\x00\x00\x00", "a ZIP archive"),
        (b"\x00\x01\x02\x03", "binary data"),
        (b"\x00\x00\x00\x20ftypisom", "a video"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(UnknownFormat, match=told):
        load_workflow(write(tmp_path / "x.bin", data))


@pytest.mark.parametrize("data", [b"", b"{", b"hello", b'{"nodes": [1,]}', b"{}{}", b'{"a": "\xe9"}'])
def test_text_that_is_no_json(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NotJson, match=r"x\.json"):
        load_workflow(write(tmp_path / "x.json", data))


def test_pictures_without_a_workflow(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="PNG picture without a workflow"):
        load_workflow(write_png(tmp_path / "p.png", Comment="hello"))
    with pytest.raises(NotJson, match="the text `workflow` in"):
        load_workflow(write_png(tmp_path / "q.png", workflow="{broken"))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "workflow.json", {})
    with pytest.raises(FileMissing) as caught:
        load_workflow(tmp_path / "worflow.json")
    assert "workflow.json" in (caught.value.hint or "")
    with pytest.raises(ReadFailed):
        load_workflow(tmp_path)
    with pytest.raises(ReadFailed):
        load_workflow("a\0b")


def test_too_large_and_too_deep(tmp_path: Path) -> None:
    with open(tmp_path / "large.json", "wb") as stream:
        stream.write(b"[")
        stream.truncate(65 * 2**20)
    with pytest.raises((TooLarge, UnknownFormat)):
        load_workflow(tmp_path / "large.json")
    with pytest.raises(TooLarge):
        load_workflow(write(tmp_path / "deep.json", b'{"1":' * 100_000 + b"1" + b"}" * 100_000))
    with pytest.raises((TooLarge, NotJson)):
        load_workflow(write(tmp_path / "nan.json", b'{"1":' * 100_000 + b"NaN" + b"}" * 100_000))


# --------------------------------------------------------------------------------------------- writing


def test_written_files_are_read_again(tmp_path: Path) -> None:
    save_workflow(tmp_path / "a.json", OURS)
    assert load_workflow(tmp_path / "a.json").document == OURS
    assert "größe" in (tmp_path / "a.json").read_text(encoding="utf-8")
    save_workflow(tmp_path / "b.json", OURS, "comfyui-api", registry())
    again = load_workflow(tmp_path / "b.json")
    assert (again.kind, again.document.nodes) == ("comfyui-api", OURS.nodes)


def test_half_characters_survive(tmp_path: Path) -> None:
    document = Document({"1": NodeEntry("Note", {"text": "a\ud83d"})})
    save_workflow(tmp_path / "a.json", document)
    assert load_workflow(tmp_path / "a.json").document.nodes == document.nodes


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", b"old")
    with pytest.raises(NotConvertible, match="docx"):
        save_workflow(path, OURS, "docx")
    with pytest.raises(NotConvertible):
        save_workflow(path, OURS, "comfyui-api")
    with pytest.raises(NotConvertible):
        save_workflow(path, Document({"1": NodeEntry("Float", {"value": float("nan")})}))
    with pytest.raises(Problems):
        save_workflow(path, Document({"1": NodeEntry("ShowText", {"value": Link("2", "str")})}), "comfyui-api", registry())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


# --------------------------------------------------------------------------------------------- hostile files


@given(json_values())
@settings(max_examples=150, deadline=None)
def test_fuzz_any_json_gives_only_our_errors(value: Any) -> None:
    for data in (value, {"nodegraph": 1, "nodes": value}, {"prompt": value}, {"nodes": value, "links": value}):
        only_our_errors(lambda data=data: document_from(data))  # type: ignore[misc]


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzz_any_bytes_give_only_our_errors(tmp_path: Path, data: bytes) -> None:
    for head in (b"", b"{", media.PNG_MAGIC, b"RIFF\x20\0\0\0WEBP"):
        path = write(tmp_path / "x", head + data)
        only_our_errors(lambda path=path: load_workflow(path))  # type: ignore[misc]


def test_nothing_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = "import sys, nodegraph.formats, nodegraph.media, nodegraph.comfy.ui_json, nodegraph.comfy.api_json; "
    code += "print([m for m in ('torch', 'numpy', 'PIL', 'networkx', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
