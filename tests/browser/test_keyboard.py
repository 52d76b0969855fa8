"""Without a mouse."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.graphs import json_file, node, workflow
from tests.browser.served import Served


def test_a_template_is_opened_changed_run_and_saved_by_keys_alone(server: Served, open_editor: Open) -> None:
    editor = open_editor(server)
    expect(editor.gallery.get_by_role("button").filter(has_text="Text to image")).to_be_visible()
    for _ in range(60):
        if "Text to image" in editor.page.evaluate("document.activeElement.innerText"):
            break
        editor.press("Tab")
    editor.press("Enter")
    expect(editor.nodes).to_have_count(9)
    steps = editor.node("sample").get_by_role("spinbutton", name="steps")
    steps.focus()
    editor.press("2", "Enter")
    expect(steps).to_have_attribute("aria-valuenow", "2")
    file = editor.node("Load Checkpoint").get_by_role("button", name="file")
    file.focus()
    editor.press("Enter", "ArrowDown", "Enter")
    expect(file).to_contain_text("tiny.safetensors")
    editor.press("Control+Enter")
    assert editor.ended().startswith("done")
    expect(editor.node("save").locator("img")).to_be_visible()

    editor.press("Control+z", "Control+z")
    expect(file).to_contain_text("tiny-emoji")
    editor.press("Control+Shift+z", "Control+Shift+z")
    editor.press("Control+s")
    editor.page.keyboard.type("by keys alone")
    editor.press("Enter")
    expect(editor.tabs.filter(has_text="by keys alone")).to_be_visible()
    editor.rest_focus()
    editor.press("?")
    expect(editor.page.get_by_role("dialog", name="Keys")).to_be_visible()
    editor.dismiss()
    assert server.ask("workflows/by%20keys%20alone")["workflow"]["nodes"]["sample"]["inputs"]["steps"] == 2


def test_the_palette_needs_no_mouse(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_empty()
    editor.press("Tab")
    editor.page.keyboard.type("empty latent")
    editor.press("Enter")
    expect(editor.nodes).to_have_count(1)
    editor.press("Tab")
    expect(editor.palette).to_be_focused()
    editor.press("Escape")
    expect(editor.palette).to_be_hidden()
    editor.press("Control+a", "Control+d")
    expect(editor.nodes).to_have_count(2)
    editor.press("Delete")
    expect(editor.nodes).to_have_count(1)


def test_keys_typed_at_once_are_not_lost(editor: Editor) -> None:
    for number in range(4):
        editor.page.mouse.dblclick(200 + 300 * number, 200)
        editor.page.keyboard.type("image blur")
        editor.press("Enter")
        expect(editor.nodes).to_have_count(number + 1)
        expect(editor.palette).to_be_hidden()
    editor.page.mouse.move(300, 600)
    editor.rest_focus()
    editor.press("Tab")
    editor.page.keyboard.type("load checkpoint")
    editor.press("Enter")
    expect(editor.nodes).to_have_count(5)
    file = editor.node("Load Checkpoint").get_by_role("button", name="file")
    file.click()
    editor.page.keyboard.type("tiny.safe")
    editor.press("Enter")
    expect(file).to_contain_text("tiny.safetensors")


def test_the_palette_stays_in_the_window(editor: Editor) -> None:
    editor.page.set_viewport_size({"width": 1000, "height": 500})
    editor.page.mouse.dblclick(950, 480)
    expect(editor.palette).to_be_focused()
    box = editor.page.locator(".palette").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 1000
    assert box["y"] + box["height"] <= 500


def test_a_number_is_changed_and_run_from_its_field(editor: Editor) -> None:
    editor.drop(json_file(workflow({"show": node("gate/Show", {"value": 7}, title="show")})))
    field = editor.node("show").get_by_role("spinbutton", name="value")
    field.press("ArrowUp")
    editor.press("Control+Enter")
    expect(editor.node("show")).to_contain_text("it is 8")
    field.press("Enter")
    typed = editor.node("show").get_by_role("textbox", name="value")
    expect(typed).to_be_focused()
    typed.fill("6 * 7")
    editor.press("Control+Enter")
    expect(editor.node("show")).to_contain_text("it is 42")
