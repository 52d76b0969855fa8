"""The server dies, and comes back: nothing is lost, and the run goes on."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Open
from tests.browser.editor import Editor
from tests.browser.graphs import held, json_file
from tests.browser.served import Served

GONE = "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_SOCKET|WebSocket"


def test_a_run_goes_on_after_the_server_was_killed(served: Served, open_editor: Open, tmp_path: Path) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    gate = tmp_path / "gate.txt"
    editor.drop(json_file(held(str(gate))))
    expect(editor.nodes).to_have_count(2)
    editor.start()
    expect(editor.node("Wait").locator(".time")).to_have_text("…")
    editor.allow(GONE)
    served.kill()
    editor.add("empty latent", (400, 650))
    expect(editor.nodes).to_have_count(3)

    served.start()
    gate.touch()
    assert editor.ended().startswith("done")
    expect(editor.node("Show").get_by_text("it is 7")).to_be_visible()
    editor.reload()
    expect(editor.nodes).to_have_count(3)


def ask_to_save(editor: Editor) -> Locator:
    """Under the name "kept"; returns the question."""
    editor.press("Control+s")
    dialog = editor.page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("kept")
    editor.press("Enter")
    return dialog


def test_a_save_that_failed_is_done_when_the_server_is_back(served: Served, open_editor: Open) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    editor.add("empty latent", (300, 300))
    editor.allow(GONE)
    served.kill()
    editor.add("load checkpoint", (800, 300))
    dialog = ask_to_save(editor)
    expect(editor.notices.first).to_be_visible()
    expect(dialog).to_be_visible()

    served.start()
    editor.press("Enter")
    expect(dialog).to_be_hidden()
    assert len(served.ask("workflows/kept")["workflow"]["nodes"]) == 2


def test_a_full_disk_is_told_and_nothing_is_lost(served: Served, open_editor: Open) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    editor.add("empty image", (300, 300))
    editor.allow("status of 5")
    editor.rest_focus()
    with served.full_disk():
        dialog = ask_to_save(editor)
        expect(editor.notices.filter(has_text="cannot write").first).to_be_visible()
        expect(dialog).to_be_visible()
    assert served.ask("workflows")["workflows"] == []
    editor.press("Enter")
    expect(dialog).to_be_hidden()
    assert len(served.ask("workflows/kept")["workflow"]["nodes"]) == 1


def test_an_idle_editor_says_that_the_server_is_gone_and_when_it_is_back(served: Served, open_editor: Open) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    away = editor.page.get_by_role("status").filter(has_text="The server does not answer")
    editor.allow(GONE)
    served.kill()
    expect(away).to_be_visible()
    editor.add("empty latent", (400, 350))
    expect(editor.nodes).to_have_count(1)
    served.start()
    expect(away).to_be_hidden()
