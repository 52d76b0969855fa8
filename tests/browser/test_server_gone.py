"""The server dies, and comes back: nothing is lost, and the run goes on."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Open
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


def test_a_server_that_comes_late_is_waited_for(served: Served, open_editor: Open) -> None:
    served.start()
    editor = open_editor(served).begin_empty()
    editor.add("empty latent")
    editor.allow(GONE)
    served.kill()
    editor.page.get_by_role("button", name="Run", exact=True).click()
    expect(editor.state).to_have_text("failed")
    served.start()
    editor.add("empty latent", (800, 300))
    assert len(editor.document()["nodes"]) == 2
    editor.start()
    expect(editor.page.get_by_role("region", name="Problems")).to_contain_text("output")
