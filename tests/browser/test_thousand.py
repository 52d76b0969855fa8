"""A thousand nodes."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.editor import Editor
from tests.browser.graphs import count_links, grid, json_file


def test_a_thousand_nodes_are_opened_moved_deleted_and_brought_back(editor: Editor) -> None:
    data = grid()
    assert (len(data["nodes"]), count_links(data)) == (1000, pytest.approx(1500, rel=0.02))
    editor.drop(json_file(data))
    expect(editor.nodes.first).to_be_visible()
    whole = editor.document()
    assert len(whole["nodes"]) == 1000

    editor.press("Control+a", "Delete")
    expect(editor.nodes).to_have_count(0)
    editor.undo()
    assert editor.document() == whole
    editor.press("Control+a", "Control+d")
    assert len(editor.document()["nodes"]) == 2000
    editor.undo()
    editor.press("Alt+a")
    editor.undo()
    assert editor.document() == whole
    assert editor.undo_all() == 0


def test_near_by_only_what_is_seen_is_drawn(editor: Editor) -> None:
    editor.drop(json_file(grid()))
    expect(editor.nodes.first).to_be_visible()
    expect(editor.page.locator(".canvas")).to_have_attribute("data-distance", "map")  # all of it is shown first; that would undo a zoom
    editor.page.mouse.move(720, 450)
    editor.press(*["+"] * 14)
    expect(editor.nodes.locator(".row").first).to_be_visible()
    assert editor.nodes.count() < 100
