"""Files: saved, versions, two windows that save the same, exports and what becomes of them, foreign formats, the history, problems."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from nodegraph import media
from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.served import ROOT, Served

COMFY = ROOT / "tests" / "data" / "comfy"
STALE = "status of 412"
"""the browser logs every answer that is not a good one"""


def colours(path: Path, **colors: int) -> Path:
    """A workflow that shows plain pictures; needs no model."""
    nodes: dict[str, Any] = {}
    for number, (name, color) in enumerate(colors.items()):
        nodes[name] = {"type": "EmptyImage", "title": name, "inputs": {"width": 32, "height": 32, "color": color}}
        nodes[f"show {name}"] = {"type": "SaveImage", "title": f"show {name}", "inputs": {"image": {"link": [name, "image"]}, "name": name}}
        layout = {"pos": [0, number * 500]}
        nodes[name]["layout"] = layout
    where = {name: nodes[name].pop("layout") for name in colors}
    where |= {f"show {name}": {"pos": [400, where[name]["pos"][1]]} for name in colors}
    path.write_text(json.dumps({"nodegraph": 1, "nodes": nodes, "layout": where, "meta": {"title": path.stem}}), "utf-8")
    return path


def saved_as(editor: Editor, name: str) -> None:
    editor.rest_focus()
    editor.press("Control+s")
    dialog = editor.page.get_by_role("dialog", name="Save on the server")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_be_hidden()


def listed(page: Page, name: str) -> Locator:
    return page.locator(".file-item").filter(has=page.get_by_text(name, exact=True))


def choose(page: Page, name: str, action: str) -> None:
    item = listed(page, name)
    item.hover()
    item.get_by_role("button", name=f"More about {name}").click()
    page.get_by_role("menuitem", name=action).click()


def test_asking_for_a_name_ends_with_the_tab_it_was_asked_for(editor: Editor, tmp_path: Path) -> None:
    editor.rest_focus()
    editor.press("Control+Shift+s")
    dialog = editor.page.get_by_role("dialog", name="Save on the server")
    expect(dialog).to_be_visible()
    editor.drop(colours(tmp_path / "instead.json", red=0xFF0000))
    expect(editor.nodes).to_have_count(2)
    expect(dialog).to_be_hidden()


def test_a_saved_workflow_is_renamed_copied_deleted_and_brought_back(editor: Editor, server: Served, tmp_path: Path) -> None:
    editor.drop(colours(tmp_path / "tree.json", red=0xFF0000))
    page = editor.page
    expect(editor.nodes).to_have_count(2)
    saved_as(editor, "a tree")
    editor.set(editor.node("red"), "width", 48)
    editor.press("Control+s")
    expect(editor.notices.filter(has_text="version 2")).to_be_visible()
    assert editor.run().startswith("done")
    editor.press("w")
    expect(listed(page, "a tree")).to_contain_text("version 2")
    expect(listed(page, "a tree").locator("img")).to_be_visible()

    choose(page, "a tree", "Versions")
    page.get_by_role("list", name="Versions of a tree").get_by_role("button", name="Restore").click()
    expect(listed(page, "a tree")).to_contain_text("version 3")
    assert editor.document()["nodes"]["red"]["inputs"]["width"] == 32
    editor.undo()
    assert editor.document()["nodes"]["red"]["inputs"]["width"] == 48, "restoring is a step like others"

    choose(page, "a tree", "Duplicate")
    expect(listed(page, "a tree 2")).to_be_visible()
    choose(page, "a tree", "Rename")
    page.get_by_label("New name of a tree").fill("an oak")
    editor.press("Enter")
    expect(listed(page, "an oak")).to_contain_text("open")
    expect(editor.tabs.filter(has_text="an oak")).to_be_visible()

    choose(page, "an oak", "Delete")
    expect(listed(page, "an oak")).to_have_count(0)
    editor.notices.get_by_role("button", name="Undo").click()
    expect(listed(page, "an oak")).to_be_visible()
    page.get_by_label("Search saved workflows").fill("tree 2")
    expect(listed(page, "an oak")).to_have_count(0)
    expect(listed(page, "a tree 2")).to_be_visible()
    assert server.ask("workflows/an%20oak")["workflow"]["nodes"]["red"]["inputs"]["width"] == 32


def test_two_windows_that_save_the_same_are_merged(editor: Editor, server: Served, open_editor: Open, tmp_path: Path) -> None:
    editor.drop(colours(tmp_path / "pair.json", red=0xFF0000, blue=0x0000FF))
    expect(editor.nodes).to_have_count(4)
    saved_as(editor, "pair")
    other = open_editor(server)
    other.gallery.get_by_role("button", name="Close").click()
    other.press("w")
    listed(other.page, "pair").locator(".list-main").click()
    expect(other.nodes).to_have_count(4)
    other.set(other.node("blue"), "width", 40)
    other.set(other.node("red"), "height", 8)
    other.press("Control+s")
    expect(other.notices.filter(has_text="version 2")).to_be_visible()

    editor.allow(STALE)
    editor.set(editor.node("red"), "width", 24)
    editor.set(editor.node("red"), "height", 16)
    editor.press("Control+s")
    dialog = editor.page.get_by_role("dialog", name="“pair” is another one by now")
    expect(dialog.get_by_text("Both changed one thing")).to_be_visible()
    dialog.get_by_role("radiogroup", name="red · height").get_by_role("radio").nth(1).check()
    dialog.get_by_role("button", name="Merge and save").click()
    expect(dialog).to_be_hidden()
    expect(editor.notices.filter(has_text="version 3")).to_be_visible()
    nodes = server.ask("workflows/pair")["workflow"]["nodes"]
    assert [nodes[name]["inputs"]["width"] for name in ("red", "blue")] == [24, 40]
    assert nodes["red"]["inputs"]["height"] == 8
    assert editor.document()["nodes"] == nodes
    editor.undo()
    assert editor.document()["nodes"]["red"]["inputs"]["height"] == 16, "merging is a step like others"


def test_what_was_not_changed_here_takes_over_what_was_saved_elsewhere(editor: Editor, server: Served, tmp_path: Path) -> None:
    path = colours(tmp_path / "fresh.json", red=0xFF0000)
    editor.drop(path)
    expect(editor.nodes).to_have_count(2)
    saved_as(editor, "fresh")
    data = json.loads(path.read_text("utf-8"))
    data["nodes"]["red"]["inputs"]["width"] = 99
    assert server.ask("workflows/fresh", {"workflow": data}, "PUT")["version"] == 2
    editor.reload()
    expect(editor.node("red").get_by_role("spinbutton", name="width")).to_contain_text("99")
    expect(editor.page.get_by_title("Not saved on the server")).to_have_count(0)


def exported(editor: Editor, path: Path, item: str) -> Path:
    """The file that an entry of the menu gives."""
    editor.page.get_by_role("button", name="Menu", exact=True).click()
    editor.page.get_by_role("menuitem", name="File").click()
    with editor.page.expect_download() as download:
        editor.page.get_by_role("menuitem", name=item).click()
    kept = path / download.value.suggested_filename
    download.value.save_as(kept)
    return kept


def test_a_workflow_is_exported_in_every_format_and_comes_back(editor: Editor, tmp_path: Path) -> None:
    editor.drop(colours(tmp_path / "Grün & 狐.json", red=0xFF0000))
    expect(editor.nodes).to_have_count(2)
    was = editor.document()

    picture = exported(editor, tmp_path, "Export as a picture")
    assert json.loads(media.read_texts(picture)["nodegraph"]) == was
    tabs = editor.tabs.count()
    editor.drop(picture)
    expect(editor.tabs).to_have_count(tabs + 1)
    assert editor.document() == was

    script = exported(editor, tmp_path, "Export as a Python script")
    assert script.suffix == ".py"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert Path(result.stdout.strip()).is_file(), result.stderr

    foreign = exported(editor, tmp_path, "Export as ComfyUI API JSON")
    assert json.loads(foreign.read_text("utf-8"))["red"]["class_type"] == "EmptyImage"
    editor.drop(foreign)
    expect(editor.tabs).to_have_count(tabs + 2)
    assert editor.document()["nodes"].keys() == was["nodes"].keys()


@pytest.mark.parametrize("name", ["ui_classic.json", "ui_version_1.json", "api_text_to_image.json"])
def test_foreign_workflows_open_and_tell_once_what_is_missing(editor: Editor, tmp_path: Path, name: str) -> None:
    editor.allow("status of 404")  # pictures that the workflow names are not here
    editor.drop(COMFY / name)
    expect(editor.nodes.first).to_be_visible()
    report = editor.page.get_by_role("dialog", name=f"Opened {name}")
    if name == "ui_classic.json":
        expect(report).to_contain_text("FancyModelPatch")
        expect(report).to_contain_text("of the pack fancy-pack")
    if report.is_visible():
        report.get_by_role("button", name="Go on").click()
    was = editor.document()
    copy = tmp_path / "again.json"
    copy.write_text(json.dumps(was), "utf-8")
    editor.drop(copy)
    if report.is_visible() or name == "ui_classic.json":
        editor.page.get_by_role("button", name="Go on").click()
    assert editor.document() == was, "nothing is lost"


def test_the_history_shows_pictures_and_gives_the_workflow_back(editor: Editor, tmp_path: Path) -> None:
    page = editor.page
    editor.drop(colours(tmp_path / "history.json", teal=0x008080))
    assert editor.run().startswith("done")
    was = editor.document()
    editor.set(editor.node("teal"), "width", 64)
    editor.press("q")
    item = page.get_by_role("region", name="History").locator(".run-item").first
    expect(item.locator("img")).to_be_visible()
    expect(item).to_contain_text("history")
    search = page.get_by_role("searchbox", name="Search the history")
    search.fill("nothing is called like this")
    expect(page.get_by_role("region", name="History")).to_contain_text("No run has all of these words")
    search.fill("history")
    expect(item).to_contain_text("history")
    search.fill("")
    editor.rest_focus()
    item.hover()
    item.get_by_role("button", name="Open the workflow that made this").last.click()
    expect(editor.tabs.filter(has_text="history")).to_have_count(2)
    assert editor.document()["nodes"] == was["nodes"]

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: what runs goes on")).to_be_visible()
    item.hover()
    item.get_by_role("button", name="Run it again").click()
    editor.set(editor.node("teal"), "width", 72)
    editor.start()
    waiting = page.get_by_role("region", name="Waiting").get_by_role("listitem")
    expect(waiting).to_have_count(2)
    waiting.nth(1).hover()
    waiting.nth(1).get_by_role("button", name="Earlier").click()
    page.get_by_role("button", name="Cancel all waiting").click()
    expect(page.get_by_role("region", name="Waiting")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Cancelled", exact=True).click()
    ended = page.get_by_role("region", name="History").locator(".run-item")
    expect(ended).to_have_count(2)
    ended.first.hover()
    ended.first.get_by_role("button", name="Forget this run").click()
    ended.first.get_by_role("button", name="Forget this run?").click()
    expect(ended).to_have_count(1)


def test_problems_lead_to_their_nodes_and_are_mended_with_a_button(editor: Editor, tmp_path: Path) -> None:
    path = colours(tmp_path / "wrong.json", red=0xFF0000)
    data = json.loads(path.read_text("utf-8"))
    data["nodes"]["red"]["inputs"]["width"] = -5
    data["nodes"]["show red"]["inputs"] = {"name": "red"}
    path.write_text(json.dumps(data), "utf-8")
    editor.drop(path)
    editor.press("p")
    problems = editor.page.get_by_role("region", name="Problems")
    expect(problems.get_by_role("listitem")).to_have_count(2)
    problems.get_by_role("button", name="Connect red").click()
    expect(problems.get_by_role("listitem")).to_have_count(1)
    problems.get_by_role("listitem").get_by_role("button").first.click()
    expect(editor.page.locator(".react-flow__node.selected")).to_contain_text("red")
    problems.get_by_role("button", name="Use", exact=False).first.click()
    expect(problems).to_contain_text("This workflow can be run")
    editor.undo(2)
    expect(problems.get_by_role("listitem")).to_have_count(2)


def test_the_gallery_finds_templates_by_words_and_tags(editor: Editor) -> None:
    editor.press("Alt+g")
    cards = editor.gallery.locator(".gallery:not(.yours) > .card")
    shipped = len(list((ROOT / "workflows").glob("*.json")))
    expect(cards).to_have_count(shipped + 1)
    editor.gallery.get_by_role("button", name="training", exact=True).click()
    expect(cards.filter(has_text="Train the judge")).to_be_visible()
    assert 2 < cards.count() < shipped
    editor.gallery.get_by_label("Search templates").fill("judge")
    expect(cards).to_have_count(1)
