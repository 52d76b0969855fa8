"""Every format that is taken, dropped on the canvas."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect

from nodegraph import media
from tests.browser.editor import Editor
from tests.browser.graphs import File, json_file, link, node, workflow
from tests.browser.served import ROOT

COMFY = ROOT / "tests" / "data" / "comfy"
UNKNOWN = node("some/Body", {"a": link("latent", "latent"), "b": 3})
OURS = workflow({"latent": node("EmptyLatent", {"width": 64}), "unknown": UNKNOWN}, "Ours")


def comfy(name: str) -> Any:
    return json.loads((COMFY / f"{name}.json").read_text("utf-8"))


def png(**texts: Any) -> bytes:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    return _saved("PNG", pnginfo=info)


def _saved(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, kind, **options)
    return stream.getvalue()


FILES: dict[str, tuple[File, int]] = {
    "ours": (json_file(OURS), 2),
    "ComfyUI workflow": (json_file(comfy("ui_classic")), 12),
    "ComfyUI workflow, format 1": (json_file(comfy("ui_version_1")), 3),
    "ComfyUI API": (json_file(comfy("api_text_to_image")), 7),
    "our PNG": (("ours.png", _saved("PNG", pnginfo=media.png_info(OURS))), 2),
    "our WebP": (("ours.webp", _saved("WEBP", exif=media.webp_exif(OURS))), 2),
    "ComfyUI PNG": (("comfy.png", png(prompt=comfy("api_text_to_image"), workflow=comfy("ui_classic"))), 12),
    "ComfyUI PNG of the API": (("api.png", png(prompt=comfy("api_text_to_image"))), 7),
}


@pytest.mark.parametrize("what", FILES)
def test_a_dropped_file_opens(editor: Editor, what: str) -> None:
    file, least = FILES[what]
    editor.allow("status of 404")  # pictures that these workflows load are not here
    editor.drop(file)
    expect(editor.nodes.first).to_be_visible()
    if editor.page.get_by_role("dialog").count():  # the report of what could not be taken over
        editor.dismiss()
    found = editor.document()
    assert len(found["nodes"]) >= least
    types = {one["type"] for one in found["nodes"].values()}
    assert types >= ({"EmptyLatent", "some/Body"} if least == 2 else set() if least == 3 else {"KSampler", "VAEDecode"})


def test_subgraphs_of_comfyui_stay_subgraphs(editor: Editor) -> None:
    editor.drop(json_file(comfy("ui_subgraphs")))
    expect(editor.page.get_by_role("dialog")).to_contain_text("ConditioningCombine")
    editor.dismiss()
    outer = editor.node("first pair")
    expect(outer.get_by_role("textbox", name="subject")).to_have_value("a red cat")
    was = editor.document()
    assert {one["name"] for one in was["subgraphs"].values()} == {"Prompt pair", "Encode"}
    outer.get_by_label("Enter the subgraph").click()
    expect(editor.node("Encode")).to_be_visible()
    expect(editor.node("Encode", 1)).to_be_visible()
    expect(editor.links).to_have_count(6)
    editor.rest_focus()
    editor.drop(json_file(was))
    editor.dismiss()
    assert editor.document() == was, "nothing is lost"


def test_what_is_not_installed_is_shown_and_kept(editor: Editor) -> None:
    editor.drop(json_file(OURS))
    editor.dismiss()
    expect(editor.node("some/Body")).to_contain_text("missing")
    expect(editor.links).to_have_count(1)
    editor.move(editor.node("Empty Latent"), (200, 600))
    found = editor.document()
    assert found["nodes"]["unknown"] == {"type": "some/Body", "inputs": {"a": link("latent", "latent"), "b": 3}}


def test_a_picture_that_a_run_saved_brings_its_workflow(editor: Editor, tmp_path: Path) -> None:
    data = _saved("PNG", pnginfo=media.png_info(OURS))
    (tmp_path / "saved.png").write_bytes(data)
    editor.drop(tmp_path / "saved.png", json_file(workflow({"latent": node("EmptyLatent")}, "Second")))
    expect(editor.tabs).to_have_count(2)
