"""Files that are hostile, broken, or huge: told plainly; nothing runs that should not, and nothing that was open is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.editor import Editor
from tests.browser.graphs import File, json_file, link, node, workflow

HOSTILE = (
    '<img src=x onerror="window.oh=1">',
    "<script>window.oh=1</script>",
    "[a](javascript:window.oh=1) ![b](http://127.0.0.2/x.png) <svg onload=window.oh=1>",
    '"><style>*{display:none}</style>',
    "${window.oh=1} {{7*7}} \u202e\u0000\ud83d",
    "__proto__",
)

KEPT = """() => new Promise(resolve => {
  const look = () => {
    indexedDB.open('nodegraph').onsuccess = event => {
      const database = event.target.result;
      database.transaction('drafts').objectStore('drafts').count().onsuccess = found => {
        database.close();
        found.target.result > 0 ? resolve() : requestAnimationFrame(look);
      };
    };
  };
  look();
})"""
"""Resolves when a draft is in the browser."""


def hostile() -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for i, text in enumerate(HOSTILE):
        nodes[f"{text}{i}"] = node("CLIPEncode", {"text": text}, title=text)
        nodes[f"note{i}"] = node("Note", {"text": text}, title=text)
        nodes[f"unknown{i}"] = node(f"{text}{i}", {text or "a": text, "link": link(f"{text}{i}", text)}, title=text)
    groups = [{"title": text, "bounding": [i * 40, -400, 300, 200], "color": text} for i, text in enumerate(HOSTILE)]
    data = workflow(nodes, HOSTILE[0], groups=groups, subgraphs={})
    data["meta"] |= {"description": HOSTILE[1], "title": HOSTILE[0]}
    data["layout"]["note0"]["color"] = "red;background:url(http://127.0.0.2/)"
    return data


def test_no_string_of_a_workflow_is_run(editor: Editor) -> None:
    data = hostile()
    editor.drop(json_file(data))
    expect(editor.nodes.first).to_be_visible()
    editor.dismiss()
    editor.press("Control+a", "p", "f")
    editor.allow("status of 400")
    editor.start()
    expect(editor.page.get_by_role("region", name="Problems")).to_be_visible()
    editor.page.keyboard.press("?")
    editor.press("Escape", "q", "w")
    assert editor.page.evaluate("window.oh") is None
    assert editor.page.evaluate("({}).oh") is None
    expect(editor.pane).to_be_visible()
    assert editor.document()["nodes"].keys() == data["nodes"].keys()


def test_cycles_and_links_to_nowhere_are_told(editor: Editor) -> None:
    nodes = {
        "a": node("LatentFlip", {"latent": link("b", "latent")}),
        "b": node("LatentFlip", {"latent": link("a", "latent")}),
        "c": node("VAEDecode", {"latent": link("nobody", "latent"), "vae": link("a", "no such output")}),
        "d": node("SaveImage", {"image": link("c", "image")}),
    }
    editor.drop(json_file(workflow(nodes)))
    expect(editor.nodes).to_have_count(4)
    editor.allow("status of 400")
    editor.start()
    problems = editor.page.get_by_role("region", name="Problems")
    expect(problems).to_contain_text("nobody")
    assert editor.document()["nodes"].keys() == nodes.keys()


REFUSED: dict[str, tuple[File, str]] = {
    "text": (("a.json", b"hello"), "not JSON"),
    "nothing": (("a.json", b""), "not JSON"),
    "other JSON": (("a.json", b'{"a": [1]}'), "workflow"),
    "JSON that is no object": (("a.json", b"7"), "workflow"),
    "a wrong form": (("a.json", b'{"nodegraph": 1, "nodes": {"a": 1}}'), "no type"),
    "a later format": (("a.json", b'{"nodegraph": 99, "nodes": {}}'), "format 99"),
    "deep JSON": (("a.json", b'{"nodegraph":1,"nodes":{},"meta":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"), "deep"),
    "an image that is none": (("a.png", b"hello"), ""),
    "an image cut off": (("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), ""),
    "too large a file": (("a.json", b" " * (65 * 2**20)), "too large"),
}


def test_what_cannot_be_opened_is_told_and_nothing_is_lost(editor: Editor) -> None:
    editor.add("empty latent")
    editor.allow("status of 4")
    for what, (file, told) in REFUSED.items():
        editor.drop(file)
        notice = editor.notices.filter(has_text=told).last
        expect(notice, what).to_be_visible(timeout=15_000)
        assert "[object" not in notice.inner_text(), what
        notice.click()
        expect(editor.notices, what).to_have_count(0)
        expect(editor.tabs, what).to_have_count(1)
    expect(editor.nodes).to_have_count(1)


def huge() -> dict[str, Any]:
    """50 MB."""
    data = workflow({"note": node("Note", {"text": "a" * 2**20}), "latent": node("EmptyLatent", {})}, "Large")
    data["meta"]["ballast"] = ["b" * 2**20] * 49
    return data


def test_a_file_of_fifty_megabytes_opens_and_comes_back_whole(editor: Editor) -> None:
    editor.allow("status of 413")
    editor.drop(json_file(huge()))
    expect(editor.nodes).to_have_count(2)
    assert len(editor.document()["meta"]["ballast"]) == 49


def test_an_edit_of_fifty_megabytes_is_there_after_the_page_is_loaded_anew_at_once(editor: Editor) -> None:
    editor.allow("status of 413")
    editor.drop(json_file(huge()))
    expect(editor.nodes).to_have_count(2)
    expect(editor.notices.filter(has_text="too large for the server")).to_be_visible()
    editor.page.evaluate(KEPT)
    editor.add("Empty Image", (700, 700))
    editor.reload()
    expect(editor.nodes).to_have_count(3)
    editor.set(editor.node("Empty Image"), "width", 48)
    editor.reload()
    expect(editor.node("Empty Image").get_by_role("spinbutton", name="width")).to_contain_text("48")
    found = editor.document()
    assert len(found["meta"]["ballast"]) == 49
    assert len(found["nodes"]["note"]["inputs"]["text"]) == 2**20


@pytest.mark.parametrize("strange", [{"nodegraph": 1, "nodes": {"1": {"type": "EmptyLatent", "inputs": {"width": -5, "height": "tall"}}}}])
def test_values_out_of_range_are_shown_on_the_node(editor: Editor, strange: dict[str, Any]) -> None:
    editor.drop(("strange.json", json.dumps(strange).encode()))
    expect(editor.nodes.locator(".node-problem")).to_be_visible()
    assert editor.document()["nodes"]["1"]["inputs"] == {"width": -5, "height": "tall"}
