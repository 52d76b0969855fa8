"""A thousand nodes in view: drawn on one canvas, and yet each can be pressed, dragged, caught, asked for its menu and read out."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.editor import Editor, Point
from tests.browser.graphs import grid, json_file

FITTED = """() => new Promise(done => {
  const zoom = () => new DOMMatrix(getComputedStyle(document.querySelector('.react-flow__viewport')).transform).a;
  const look = () => zoom() < 0.1 ? done() : requestAnimationFrame(look);
  look();
})"""
PLACE = """([x, y]) => {
  const corner = document.querySelector('.react-flow').getBoundingClientRect();
  const at = new DOMMatrix(getComputedStyle(document.querySelector('.react-flow__viewport')).transform).transformPoint({x, y});
  return [corner.left + at.x, corner.top + at.y];
}"""
PIXEL = """([x, y]) => {
  const canvas = document.querySelector('.far-canvas');
  const corner = canvas.getBoundingClientRect();
  return [...canvas.getContext('2d').getImageData((x - corner.left) * devicePixelRatio, (y - corner.top) * devicePixelRatio, 1, 1).data];
}"""
BLUE = "#2040c0"


@pytest.fixture
def data() -> dict[str, Any]:
    made = grid()
    made["layout"]["n500"]["color"] = BLUE
    return made


@pytest.fixture
def whole(editor: Editor, data: dict[str, Any]) -> Editor:
    """All of it in view."""
    editor.drop(json_file(data))
    expect(editor.tabs.filter(has_text="1000 nodes")).to_be_visible()
    editor.page.evaluate(FITTED)
    expect(editor.page.locator(".far-canvas")).to_be_visible()
    return editor


def middle(editor: Editor, data: dict[str, Any], id: str) -> Point:
    x, y = data["layout"][id]["pos"]
    found: list[float] = editor.page.evaluate(PLACE, [x + 130, y + 60])
    return (found[0], found[1])


def test_a_node_is_selected_and_dragged(whole: Editor, data: dict[str, Any]) -> None:
    at = middle(whole, data, "n500")
    assert whole.nodes.count() < 10
    whole.page.mouse.click(*at)
    chosen = whole.page.locator(".react-flow__node.selected")
    expect(chosen).to_have_attribute("data-id", "n500")
    expect(chosen).to_have_attribute("aria-label", "VAE Decode")
    whole.drag(at, (at[0] + 200, at[1] - 30))
    moved = whole.document()["layout"]
    assert {id for id, place in moved.items() if place["pos"] != data["layout"][id]["pos"]} == {"n500"}
    assert moved["n500"]["pos"][0] > data["layout"]["n500"]["pos"][0] + 2000
    whole.undo()
    assert whole.document()["layout"] == data["layout"]


def test_boxes_are_drawn_where_they_are_and_in_their_colours(whole: Editor, data: dict[str, Any]) -> None:
    red, _, blue, opaque = whole.page.evaluate(PIXEL, list(middle(whole, data, "n500")))
    assert opaque == 255
    assert blue > red + 20
    x, y = whole.page.evaluate(PLACE, [-3000, 0])
    assert whole.page.evaluate(PIXEL, [x, y])[3] == 0


def test_many_are_caught_with_the_mouse_and_deleted(whole: Editor, data: dict[str, Any]) -> None:
    start = whole.page.evaluate(PLACE, [320 * 3 - 30, 420 * 20 - 20])
    end = whole.page.evaluate(PLACE, [320 * 6 - 30, 420 * 21 + 20])
    whole.page.keyboard.down("Control")
    whole.drag((start[0], start[1]), (end[0], end[1]))
    whole.page.keyboard.up("Control")
    expect(whole.page.locator(".react-flow__node.selected")).to_have_count(6)
    whole.press("Delete")
    expect(whole.page.locator(".react-flow__node.selected")).to_have_count(0)
    left = whole.document()["nodes"]
    gone = {id for id in data["nodes"] if id not in left}
    assert gone == {f"n{20 * 25 + column - 2 + below}" for column in (3, 4, 5) for below in (0, 25)}
    whole.undo()
    assert whole.document()["nodes"].keys() == data["nodes"].keys()


def test_menu_and_keys(whole: Editor, data: dict[str, Any]) -> None:
    at = middle(whole, data, "n500")
    whole.page.mouse.move(*at)
    whole.page.mouse.click(*at, button="right")
    expect(whole.page.get_by_role("menu")).to_be_visible()
    expect(whole.page.locator(".react-flow__node.selected")).to_have_attribute("data-id", "n500")
    whole.press("Escape")
    expect(whole.page.get_by_role("menu")).to_have_count(0)
    whole.press("ArrowLeft")
    expect(whole.page.locator(".react-flow__node:focus")).to_have_attribute("data-id", "n499")
    expect(whole.page.locator(".react-flow__node:focus")).to_have_attribute("aria-label", "KSampler")


def test_the_map_goes_where_it_is_pressed(whole: Editor) -> None:
    whole.page.mouse.move(720, 450)
    whole.press(*["+"] * 12)
    expect(whole.nodes.locator(".row").first).to_be_visible()
    small = whole.page.get_by_role("img", name="Map of the workflow").bounding_box()
    assert small is not None
    before = whole.page.evaluate(PLACE, [0, 0])
    whole.page.mouse.click(small["x"] + small["width"] / 2, small["y"] + 12)
    after = whole.page.evaluate(PLACE, [0, 0])
    assert after[1] > before[1] + 1000
