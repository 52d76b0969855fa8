"""Text to picture, built from an empty canvas by hand; undone, done again, and found after a reload."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.editor import Editor

LINKS = 9


def build(editor: Editor) -> None:
    """By the palette, by links dropped into empty space, and by links from end to end."""
    checkpoint = editor.add("load checkpoint", (60, 120))
    editor.set(checkpoint, "file", "tiny.safetensors")
    prompt = editor.pull(editor.dot(checkpoint, "output", "clip"), (400, 110), "clip encode")
    editor.set(prompt, "text", "a fox")
    negative = editor.pull(editor.dot(checkpoint, "output", "clip"), (400, 400), "clip encode")
    sampler = editor.pull(editor.dot(prompt, "output", "conditioning"), (740, 110), "ksampler")
    editor.set(sampler, "steps", 2)
    editor.connect(negative, "conditioning", sampler, "negative")
    editor.connect(checkpoint, "model", sampler, "model")
    latent = editor.pull(editor.dot(sampler, "input", "latent"), (330, 660), "empty latent")
    editor.set(latent, "width", "32 * 2")
    editor.set(latent, "height", 64)
    decode = editor.pull(editor.dot(sampler, "output", "latent"), (1080, 110), "vae decode")
    editor.connect(checkpoint, "vae", decode, "vae")
    editor.pull(editor.dot(decode, "output", "image"), (1080, 320), "save image")
    expect(editor.links).to_have_count(LINKS)


def test_a_picture_from_an_empty_canvas(editor: Editor) -> None:
    empty = editor.document()
    build(editor)
    built = editor.document()
    types = sorted(node["type"] for node in built["nodes"].values())
    assert types == sorted(["LoadCheckpoint", "CLIPEncode", "CLIPEncode", "KSampler", "EmptyLatent", "VAEDecode", "SaveImage"])

    assert editor.run().startswith("done")
    picture = editor.node("Save Image").locator("img")
    assert picture.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [64, 64]

    steps = editor.undo_all()
    assert steps >= LINKS + 3
    assert editor.document() == empty
    editor.press(*["Control+Shift+z"] * steps)
    assert editor.document() == built
    editor.reload()
    expect(editor.links).to_have_count(LINKS)
    assert editor.document() == built


def test_only_what_fits_can_be_connected(editor: Editor) -> None:
    checkpoint = editor.add("load checkpoint", (60, 120))
    decode = editor.add("vae decode", (500, 120))
    editor.connect(checkpoint, "clip", decode, "latent")
    expect(editor.links).to_have_count(0)
    editor.connect(checkpoint, "vae", decode, "vae")
    expect(editor.links).to_have_count(1)
    editor.drag((700, 500), (900, 600))
    expect(editor.links).to_have_count(1)
