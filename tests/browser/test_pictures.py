"""Pictures: chosen, painted on, looked at, made in batches."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from PIL import Image
from playwright.sync_api import Dialog, Locator, expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor, File, Point
from tests.browser.served import Served

NO_PICTURE = b"this is no picture"
SIDE = 96


def png(colour: str = "teal", side: int = SIDE) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, "PNG")
    return out.getvalue()


def workflow(nodes: dict[str, Any], layout: dict[str, Any]) -> File:
    """As a file that is dropped."""
    return "made.json", json.dumps({"nodegraph": 1, "nodes": nodes, "layout": layout}).encode()


def colours(**after: dict[str, str]) -> File:
    """A workflow that runs in no time."""
    return workflow(
        {
            "plain": {"type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch": 1}},
            "show": {"type": "PreviewImage", "inputs": {"image": {"link": ["plain", "image"]}}},
        },
        {"plain": {"pos": [0, 0], **after}, "show": {"pos": [360, 0]}},
    )


def give(editor: Editor, node: Locator, name: str, data: bytes) -> None:
    node.get_by_label("Picture to upload").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


def file_of(editor: Editor, type_: str = "LoadImage") -> str:
    found = [node["inputs"].get("file") for node in editor.document()["nodes"].values() if node["type"] == type_]
    return str(found[0])


def open_painting(editor: Editor, node: Locator) -> Locator:
    node.locator(".picture-view").hover()
    node.get_by_label("Paint a mask").click()
    layer = editor.page.locator(".mask-layer")
    expect(layer).to_be_visible()
    return layer


def sheet(editor: Editor) -> tuple[float, float, float]:
    """Where the picture lies on the screen, and how large one of its pixels is."""
    box = editor.page.locator(".sheet").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"] / SIDE


def on_screen(editor: Editor, x: float, y: float) -> Point:
    left, top, scale = sheet(editor)
    return left + x * scale, top + y * scale


READ = """(canvas, [x, y]) => {
  const box = canvas.getBoundingClientRect();
  return canvas.getContext('2d').getImageData(x - box.x, y - box.y, 1, 1).data[3];
}"""


def painted_at(editor: Editor, x: int, y: int) -> int:
    """How much of the mask there is over a pixel: 0 to 255."""
    value = editor.page.locator(".mask-layer").evaluate(READ, list(on_screen(editor, x + 0.5, y + 0.5)))
    assert isinstance(value, int)
    return value


def paint(editor: Editor, start: Point, end: Point) -> None:
    """A stroke between two places of the picture."""
    editor.drag(on_screen(editor, *start), on_screen(editor, *end))


def test_a_mask_is_painted_wired_in_and_painted_on(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_with("Image to image")
    load = editor.node("picture to redraw")
    give(editor, load, "teal.png", png())
    expect(load.get_by_role("img", name="teal.png")).to_be_visible()
    layer = open_painting(editor, load)
    paint(editor, (24, 48), (72, 48))
    assert painted_at(editor, SIDE // 2, SIDE // 2) == 255
    assert painted_at(editor, 4, 4) == 0
    editor.press("Control+s")
    expect(layer).to_be_hidden()
    expect(load.get_by_role("img", name=re.compile("teal-mask-"))).to_be_visible()

    file = file_of(editor)
    with Image.open(server.folder / "input" / file) as kept:
        assert (kept.size, kept.mode) == ((SIDE, SIDE), "RGBA")
        assert kept.getpixel((SIDE // 2, SIDE // 2)) == (0, 128, 128, 0)  # the colour is still there below the mask
        assert kept.getpixel((4, 4)) == (0, 128, 128, 255)

    editor.set(editor.node("Load Checkpoint"), "file", "tiny.safetensors")
    editor.set(editor.node("sample"), "steps", 1)
    mask = editor.add("set latent noise mask", at=(560, 780))
    editor.connect(load, "mask", mask, "mask")
    editor.connect(editor.node("VAE Encode"), "latent", mask, "latent")
    editor.connect(mask, "latent", editor.node("sample"), "latent")
    assert editor.run().startswith("done")
    expect(editor.node("save").locator("img")).to_be_visible()

    layer = open_painting(editor, load)
    assert painted_at(editor, SIDE // 2, SIDE // 2) == 255
    editor.press("+", "+")
    assert painted_at(editor, SIDE // 2, SIDE // 2) == 255
    assert painted_at(editor, SIDE // 2, 30) == 0
    editor.press("Escape")
    expect(layer).to_be_hidden()
    editor.reload()
    expect(load.get_by_role("img", name=file)).to_be_visible()
    expect(editor.node("save").locator("img")).to_be_visible()


def test_tools_of_the_painting(editor: Editor) -> None:
    load = editor.add("load image")
    give(editor, load, "teal.png", png())
    layer = open_painting(editor, load)
    dialog = editor.page.get_by_role("dialog", name=re.compile("^Mask on"))
    before = dialog.locator(".slide output").first.inner_text()
    editor.press("[", "[", "x")
    assert dialog.locator(".slide output").first.inner_text() != before
    expect(dialog.get_by_role("button", name="Erase, as the right button does")).to_have_attribute("aria-pressed", "true")
    editor.press("x", "a")
    assert painted_at(editor, 1, 1) == 255
    editor.press("i")
    assert painted_at(editor, 1, 1) == 0
    editor.press("Control+z", "Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    editor.press("Control+Shift+z", "Delete")
    assert painted_at(editor, 50, 50) == 0
    editor.press("l")
    mouse = editor.page.mouse
    places = [on_screen(editor, x, y) for x, y in ((30, 30), (70, 30), (70, 70), (30, 70), (30, 32))]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=3)
    mouse.up()
    assert (painted_at(editor, 48, 48), painted_at(editor, 10, 10)) == (255, 0)
    editor.press("g")
    mouse.click(*on_screen(editor, 5, 5))
    assert painted_at(editor, 10, 10) == 255
    editor.press("b", "Delete", "Enter")
    assert painted_at(editor, 5, 5) == 255  # the ring is where the pointer was

    asked: list[str] = []

    def stay(question: Dialog) -> None:
        asked.append(question.message)
        question.dismiss() if len(asked) == 1 else question.accept()

    editor.page.on("dialog", stay)
    editor.press("Escape")
    expect(layer).to_be_visible()
    editor.press("Escape")
    expect(layer).to_be_hidden()
    assert len(asked) == 2
    assert file_of(editor) == "teal.png"


def test_pictures_are_dropped_pasted_and_refused(editor: Editor, server: Served) -> None:
    editor.drop(("plain.png", png("blue")))
    load = editor.node("Load Image")
    expect(load.get_by_role("img", name="plain.png")).to_be_visible()
    file = ("dropped.png", "image/png", png("navy"))
    chosen = editor.page.evaluate_handle(
        """([name, type, bytes]) => {
          const all = new DataTransfer();
          all.items.add(new File([new Uint8Array(bytes)], name, {type}));
          return all;
        }""",
        [file[0], file[1], list(file[2])],
    )
    load.locator(".node-header").dispatch_event("drop", {"dataTransfer": chosen})
    expect(load.get_by_role("img", name="dropped.png")).to_be_visible()
    give(editor, load, "letter.png", NO_PICTURE)
    expect(editor.notices.filter(has_text="letter.png is not a picture")).to_be_visible()
    give(editor, load, "half.png", png("red")[:60])
    expect(editor.notices.filter(has_text="half.png is damaged")).to_be_visible()
    assert file_of(editor) == "dropped.png"
    assert not (server.folder / "input" / "letter.png").exists()
    load.get_by_role("button", name=re.compile("^file")).click()
    editor.page.get_by_role("option", name="cat.png", exact=True).click()
    expect(load.get_by_role("img", name="cat.png")).to_be_visible()
    editor.undo()
    expect(load.get_by_role("img", name="dropped.png")).to_be_visible()


def test_pictures_are_looked_at_and_sent_back(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_empty()
    editor.drop(colours())
    expect(editor.nodes).to_have_count(2)
    editor.set(editor.node("Empty Image"), "batch", 3)
    assert editor.run().startswith("done")
    show = editor.node("Preview Image")
    expect(show.locator(".picture-count")).to_have_text("1/3")
    show.get_by_label("The next picture").click()
    expect(show.locator(".picture-count")).to_have_text("2/3")
    show.locator(".picture-now").click()
    viewer = editor.page.locator("dialog.studio")
    expect(viewer).to_contain_text("2 of 3")
    expect(viewer).to_contain_text("32 × 32")
    expect(viewer.locator(".sheet.crisp img")).to_be_visible()
    editor.press("1")
    expect(viewer.locator(".studio-zoom")).to_have_text("100 %")
    expect(viewer.locator(".sheet.crisp")).to_have_count(0)
    editor.press("ArrowRight", "c")
    expect(viewer).to_contain_text("3 of 3")
    expect(viewer.get_by_role("slider")).to_be_visible()
    editor.press("s")
    expect(viewer.locator(".stage-room")).to_have_count(2)
    editor.press("Enter")
    expect(editor.notices.filter(has_text="is in the input folder")).to_be_visible()
    editor.press("w")
    expect(viewer).to_be_hidden()
    expect(editor.tabs).to_have_count(2)


def test_a_batch_makes_a_grid(server: Served, open_editor: Open) -> None:
    editor = open_editor(server).begin_empty()
    editor.drop(colours())
    expect(editor.nodes).to_have_count(2)
    page = editor.page
    page.get_by_role("button", name="Run a batch").click()
    dialog = page.get_by_role("dialog", name="Run a batch")
    dialog.get_by_label("Input for columns").select_option(label="Empty Image · width")
    values = dialog.get_by_label("Values of Empty Image · width")
    values.fill("16..1000")
    expect(dialog.locator(".batch-count")).to_contain_text("Some values are not right")
    values.fill("16..48/16")
    dialog.get_by_role("button", name="Vary another input").click()
    dialog.get_by_label("Input for rows").select_option(label="Empty Image · height")
    dialog.get_by_label("Values of Empty Image · height").fill("16, 64")
    expect(dialog.locator(".batch-count")).to_have_text("3 × 2 = 6 runs")
    dialog.get_by_role("button", name="Run 6").click()
    grid = page.get_by_role("dialog", name=re.compile("^Batch of"))
    expect(grid).to_contain_text("6 of 6")
    expect(grid.locator("thead th[scope=col]")).to_have_text(["16", "32", "48"])
    expect(grid.locator("tbody th")).to_have_text(["16", "64"])
    cell = grid.get_by_label("Show width 48, height 64 large")
    with page.expect_download() as download:
        grid.get_by_role("button", name="Save the grid as a picture").click()
    with Image.open(download.value.path()) as saved:
        assert saved.format == "PNG"
        assert saved.width > 3 * 48
        assert (0, 0, 0) in {colour for _, colour in saved.convert("RGB").getcolors(100_000) or []}, "the pictures are in it"
    sizes = cell.get_by_role("img").evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [48, 64]
    cell.click()
    expect(page.locator("dialog.studio")).to_contain_text("width 48, height 64")
    editor.press("Escape")
    expect(grid).to_be_visible()
    grid.get_by_label("Take width 32, height 64").click()
    editor.press("Escape")
    expect(grid).to_be_hidden()
    inputs = editor.document()["nodes"]["plain"]["inputs"]
    assert (inputs["width"], inputs["height"]) == (32, 64)
    assert {run["status"] for run in server.ask("runs?limit=6")["runs"]} == {"done"}
    editor.reload()
    page.get_by_role("button", name="The batch: 6 of 6 done").click()
    expect(grid.get_by_label("Show width 16, height 16 large")).to_be_visible()


def test_it_runs_by_itself_and_not_in_circles(served: Served, open_editor: Open) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    editor.drop(colours(after={"width": "increment"}))
    expect(editor.nodes).to_have_count(2)
    editor.page.get_by_role("button", name="Run on each change").click()
    width = editor.node("Empty Image").get_by_role("spinbutton", name="width")
    expect(width).to_have_attribute("aria-valuenow", "33")
    editor.ended()
    editor.set(editor.node("Empty Image"), "height", 40)
    expect(width).to_have_attribute("aria-valuenow", "34")
    editor.ended()
    editor.page.get_by_role("button", name="Run on each change").click()
    editor.set(editor.node("Empty Image"), "height", 48)
    assert editor.run().startswith("done")
    runs = served.ask("runs")["runs"]
    assert len(runs) == 3, [run["status"] for run in runs]
