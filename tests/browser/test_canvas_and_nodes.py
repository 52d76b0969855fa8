"""Menus, reroutes, notes, weights and help: what is done with nodes and links, by mouse, finger and keyboard alone."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.served import Served


def middle(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_node_is_coloured_muted_and_dissolved_by_its_menu(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    upscale = editor.node("Upscale Image")
    links = editor.links.count()

    def choose(name: str) -> None:
        upscale.locator(".node-header").click(button="right")
        page.get_by_role("menuitem", name=name).click()

    choose("Green")
    choose("Mute")
    document = editor.document()
    (id,) = [id for id, node in document["nodes"].items() if node.get("mode") == "muted"]
    assert document["layout"][id]["color"].startswith("#")
    choose("Delete and reconnect")
    expect(upscale).to_have_count(0)
    expect(editor.links).to_have_count(links - 2)
    for _ in range(3):
        editor.undo()
    expect(editor.links).to_have_count(links)


def test_a_link_is_led_through_a_point_that_is_dragged_and_removed(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    path = page.locator(".react-flow__edge[data-id*=upscaler] .react-flow__edge-interaction")
    place = path.evaluate(
        "e => { const p = e.getPointAtLength(e.getTotalLength() * 0.3).matrixTransform(e.getScreenCTM()); return [p.x, p.y] }"
    )
    page.mouse.dblclick(*place)
    point = page.locator(".reroute")
    expect(point).to_have_count(1)
    x, y = middle(point)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 60, steps=4)
    page.mouse.up()
    moved = middle(point)
    assert abs(moved[0] - x - 40) < 6
    assert abs(moved[1] - y - 60) < 6
    point.click(button="right")
    page.get_by_role("menuitem", name="Remove the reroute").click()
    expect(point).to_have_count(0)


def test_a_hostile_note_runs_nothing_and_leads_nowhere(editor: Editor) -> None:
    page = editor.page
    page.keyboard.press("n")
    note = page.locator(".note")
    note.dblclick()
    page.keyboard.insert_text(
        "# Title\n<img src=x onerror='window.hit=1'><script>window.hit=1</script>\n"
        "[bad](javascript:window.hit=1) [good](https://arxiv.org/abs/2112.10752) ![x](http://127.0.0.2:9/x.png)"
    )
    page.keyboard.press("Escape")
    expect(note.get_by_role("heading", name="Title")).to_be_visible()
    expect(note.locator("img, script")).to_have_count(0)
    links = note.locator("a")
    addresses = [link.get_attribute("href") for link in links.all()]
    assert addresses == ["https://arxiv.org/abs/2112.10752", "http://127.0.0.2:9/x.png"]
    assert all("noopener" in (link.get_attribute("rel") or "") for link in links.all())
    assert page.evaluate("window.hit") is None


def test_the_weight_of_a_word_and_the_tokens_of_a_prompt(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    text = editor.node("prompt").get_by_role("textbox")
    text.fill("a red fox")
    expect(editor.node("prompt").get_by_role("status")).to_have_text("3 / 75")
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+ArrowUp")
    expect(text).to_have_value("a red (fox:1.1)")
    expect(editor.node("prompt").get_by_role("status")).to_have_text("3 / 75")


def test_keys_quicker_than_the_screen_change_a_weight_each(server: Served, open_editor: Open) -> None:
    text = open_editor(server).begin_with("Text to image").node("prompt").get_by_role("textbox")
    text.fill("a red fox")
    keys = "for (let i = 0; i < 3; i++) field.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp', ctrlKey: true, bubbles: true}))"
    text.evaluate(f"field => {{ {keys} }}")
    expect(text).to_have_value("a red (fox:1.15)")


def test_nodes_are_reached_edited_and_connected_by_keyboard(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    page.keyboard.press("Control+f")
    page.keyboard.type("negative")
    page.keyboard.press("Enter")
    expect(editor.node("negative prompt")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".react-flow__node:focus").get_by_text("sample", exact=True)).to_be_visible()
    page.keyboard.press("l")
    page.keyboard.type("disconnect negative")
    links = editor.links.count()
    page.keyboard.press("Enter")
    expect(editor.links).to_have_count(links - 1)
    page.keyboard.press("l")
    page.keyboard.type("negative prompt")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("negative ← negative prompt")
    page.keyboard.press("Enter")
    expect(editor.links).to_have_count(links)
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="seed", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("F1")
    expect(page.get_by_role("complementary", name="About the node")).to_contain_text("Denoise a latent")


def test_a_frame_takes_its_nodes_along_and_leaves_them_within_reach(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    before = {id: place["pos"] for id, place in editor.document()["layout"].items()}
    editor.press("Control+a", "Control+g")
    title = page.locator(".group-title")
    x, y = middle(title)
    editor.drag((x, y), (x + 40, y + 60))
    after = {id: place["pos"] for id, place in editor.document()["layout"].items()}
    steps = {(after[id][0] - before[id][0], after[id][1] - before[id][1]) for id in before}
    assert len(steps) == 1
    assert steps != {(0, 0)}
    title.click()
    editor.node("sample").locator(".node-header").click()
    page.keyboard.press("Delete")
    expect(editor.node("sample")).to_have_count(0)
    expect(title).to_have_count(1)
