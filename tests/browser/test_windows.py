"""Two windows with the same workflow."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.served import Served


def save(editor: Editor, name: str) -> None:
    """For the first time."""
    editor.press("Control+s")
    editor.page.get_by_role("textbox", name="Name").fill(name)
    editor.press("Enter")
    expect(editor.page.get_by_role("dialog")).to_be_hidden()


def open_saved(editor: Editor, name: str) -> None:
    editor.press("w")
    editor.page.get_by_role("complementary").get_by_role("button", name=name).first.click()
    expect(editor.tabs.filter(has_text=name)).to_have_attribute("aria-current", "true")


def dialog(page: Page) -> str:
    return page.get_by_role("dialog").inner_text()


def test_a_stale_save_is_refused_and_nothing_is_lost(server: Served, open_editor: Open) -> None:
    one = open_editor(server).begin_empty()
    one.add("empty latent", (300, 300))
    save(one, "shared by two")
    other = open_editor(server).begin_empty()
    open_saved(other, "shared by two")
    expect(other.nodes).to_have_count(1)

    one.add("load checkpoint", (800, 650))
    one.press("Control+s")
    expect(one.notices.filter(has_text="version 2")).to_be_visible()
    other.add("load upscaler", (900, 700))
    other.allow("412")
    other.press("Control+s")
    expect(other.page.get_by_role("dialog")).to_contain_text("shared by two")
    types = {node["type"] for node in server.ask("workflows/shared%20by%20two")["workflow"]["nodes"].values()}
    assert types == {"EmptyLatent", "LoadCheckpoint"}
    other.press("Escape")
    expect(other.nodes).to_have_count(2)


def test_windows_of_one_profile_do_not_take_each_others_drafts(server: Served, open_editor: Open) -> None:
    one = open_editor(server).begin_empty()
    one.add("empty latent", (300, 300))
    other = open_editor(server, same=one).begin_empty()
    other.add("load checkpoint", (300, 300))
    other.add("vae decode", (800, 300))
    one.reload()
    expect(one.nodes).to_have_count(1)
    other.reload()
    expect(other.nodes).to_have_count(2)
    assert len(one.document()["nodes"]) == 1


def test_nodes_are_copied_from_window_to_window(server: Served, open_editor: Open) -> None:
    one = open_editor(server).begin_empty()
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    checkpoint = one.add("load checkpoint", (200, 200))
    one.pull(one.dot(checkpoint, "output", "clip"), (700, 200), "clip encode")
    one.press("Control+a", "Control+c")
    other = open_editor(server, same=one).begin_empty()
    other.press("Control+v")
    expect(other.nodes).to_have_count(2)
    expect(other.links).to_have_count(1)
