"""Subgraphs by hand: made of chosen nodes, entered, given ports, run, shown on the node outside, kept, used elsewhere, taken apart."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.served import Served

INNER = ("prompt", "negative prompt", "Empty Latent", "sample", "VAE Decode")


def chosen(editor: Editor, *titles: str) -> None:
    """Selects nodes, and nothing else, by clicks on their titles."""
    editor.press("Escape")
    for title in titles:
        editor.node(title).locator(".node-title").click(modifiers=["Shift"])


def titles(editor: Editor) -> set[str]:
    return set(editor.nodes.evaluate_all("all => all.map(one => one.getAttribute('aria-label'))"))


def name_it(editor: Editor, name: str) -> None:
    field = editor.page.get_by_label("Name of the subgraph")
    field.fill(name)
    field.press("Enter")


def test_the_main_path(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Text to image")
    page = editor.page
    editor.set(editor.node("Load Checkpoint"), "file", "tiny.safetensors")
    editor.set(editor.node("sample"), "steps", 2)
    chosen(editor, *INNER)
    editor.press("s")
    outer = editor.node("Subgraph")
    expect(outer).to_be_visible()
    assert titles(editor) == {"Load Checkpoint", "Load Upscaler", "Upscale Image", "save", "Subgraph"}

    outer.get_by_label("Enter the subgraph").click()
    expect(editor.node("Inputs")).to_be_visible()
    editor.node("sample").locator(".node-title").click()
    page.get_by_role("button", name="seed", exact=True).click()
    expect(page.get_by_label("Name of the port seed")).to_be_visible()
    name_it(editor, "Draw by hand")
    page.get_by_role("button", name="Leave the subgraph").click()

    outer = editor.node("Draw by hand")
    editor.set(outer, "seed", 5)
    assert editor.run().startswith("done")
    expect(editor.node("save").locator("img")).to_be_visible()
    saved = editor.document()
    (instance,) = (node for node in saved["nodes"].values() if node["type"].startswith("subgraph/"))
    assert instance["inputs"]["seed"] == 5
    assert "seed" in {port["name"] for port in saved["subgraphs"][instance["type"].removeprefix("subgraph/")]["inputs"]}

    editor.undo_all()
    assert "subgraph/" not in str(editor.document()["nodes"])


def test_an_unset_input_is_told_outside_and_a_broken_node_inside_is_gone_to(editor: Editor) -> None:
    editor.add("vae decode")
    editor.press("s")
    outer = editor.node("VAE Decode")
    for port in ("input vae", "input latent", "output image"):
        expect(outer.get_by_label(port, exact=True)).to_be_visible()
    expect(outer.get_by_text("wants vae")).to_be_visible()

    outer.get_by_label("Enter the subgraph").click()
    expect(editor.node("Inputs")).to_be_visible()
    blur = editor.add("image blur", (700, 700))
    inner = editor.dot(blur, "output", "image")
    editor.rest_focus()
    editor.press("f")
    expect(inner).to_be_in_viewport()
    box = editor.node("Outputs").bounding_box()
    at = inner.bounding_box()
    assert box is not None
    assert at is not None
    editor.drag((at["x"] + 4, at["y"] + 4), (box["x"] + 40, box["y"] + 12))
    expect(editor.page.get_by_label("Name of the port image_2")).to_be_visible()
    editor.rest_focus()
    editor.press("u")
    expect(editor.node("VAE Decode")).to_be_visible()
    editor.press("p")
    editor.page.get_by_role("region", name="Problems").get_by_role("button").filter(has_text="Image Blur").first.click()
    expect(editor.page.get_by_label("Where you are")).to_be_visible()


def test_results_inside_are_shown_outside_and_seen_large_with_their_facts(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_empty()
    page = editor.page
    editor.add("empty image", (200, 200))
    editor.add("preview image", (700, 200))
    editor.connect(editor.node("Empty Image"), "image", editor.node("Preview Image"), "image")
    editor.set(editor.node("Empty Image"), "width", 64)
    editor.set(editor.node("Empty Image"), "height", 64)
    chosen(editor, "Empty Image", "Preview Image")
    editor.press("s")
    outer = editor.node("Subgraph")
    expect(outer).to_be_visible()
    assert editor.run().startswith("done")
    picture = outer.locator("img")
    expect(picture).to_be_visible()
    picture.click()
    expect(page.get_by_text("Subgraph › Preview Image")).to_be_visible()


def test_a_subgraph_is_kept_and_put_into_another_workflow(editor: Editor) -> None:
    editor.add("image blur")
    editor.press("s")
    editor.node("Image Blur").get_by_label("Enter the subgraph").click()
    name_it(editor, "Soft kept")
    editor.rest_focus()
    editor.press("u")
    editor.node("Soft kept").click(button="right", position={"x": 60, "y": 12})
    editor.page.get_by_role("menuitem", name="Keep the subgraph in").click()
    expect(editor.notices.filter(has_text="My nodes")).to_be_visible()

    editor.reload()
    editor.page.get_by_role("button", name="New workflow").click()
    node = editor.add("soft kept")
    expect(node.get_by_label("Enter the subgraph")).to_be_visible()
    assert next(iter(editor.document()["subgraphs"].values()))["name"] == "Soft kept"
    node.locator(".node-title").click()
    editor.press("Shift+S")
    expect(editor.node("Image Blur")).to_be_visible()
    assert editor.document()["subgraphs"] == {}

    editor.rest_focus()
    editor.press("w")
    mine = editor.page.get_by_role("region", name="My nodes")
    mine.get_by_role("button", name="More about Soft kept").click()
    editor.page.get_by_role("menuitem", name="Rename").click()
    field = editor.page.get_by_label("New name of Soft kept")
    expect(field).to_be_focused()
    field.fill("Softer kept")
    field.press("Enter")
    mine.get_by_role("button", name="More about Softer kept").click()
    editor.page.get_by_role("menuitem", name="Remove from").click()
    expect(mine.get_by_text("Softer kept")).to_be_hidden()
    editor.notices.filter(has_text="Removed").get_by_role("button", name="Undo").click()
    expect(mine.get_by_text("Softer kept")).to_be_visible()
