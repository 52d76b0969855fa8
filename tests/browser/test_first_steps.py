"""The way everybody goes first: a template, or a graph made by hand; run; see the picture; come back."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.served import Served


def test_a_template_is_picked_run_and_shows_its_picture(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    editor.set(editor.node("Load Checkpoint"), "file", "tiny.safetensors")
    editor.set(editor.node("sample"), "steps", 2)
    assert editor.run().startswith("done")
    picture = editor.node("save").locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 128


def test_a_node_is_added_and_undone(editor: Editor) -> None:
    node = editor.add("empty latent")
    expect(node).to_be_visible()
    editor.undo()
    expect(editor.nodes).to_have_count(0)
