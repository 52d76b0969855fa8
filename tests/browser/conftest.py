"""A real browser, a real server, and the editor in it.

`editor` is the editor in a window of its own, on the server that all tests of this folder share; `open_editor` gives more
windows (`same=` one whose browser profile is shared), and `served` a server of a test's own that it may kill.
A test fails if its windows log an error, throw, break the page's security policy, or ask anything of another server.
What the windows of a failed test showed is kept as a picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.chromium import provide
from tests.browser.editor import Editor
from tests.browser.served import ROOT, Served

sys.path.insert(0, str(ROOT / "web"))

import building

Open = Callable[..., Editor]
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed after the last test of this folder: while it is open no other event loop can run in this thread."""
    path = provide()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def built() -> None:
    if not building.is_current():
        building.build()


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny.safetensors`, of random weights."""
    from tests.diffusion.tiny import write_tiny_checkpoint

    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    write_tiny_checkpoint(folder / "checkpoints" / "tiny.safetensors")
    return folder


@pytest.fixture(scope="package")
def shared_server(built: None, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"), models)
    server.start()
    yield server
    server.stop()
    assert "Traceback" not in server.errors()


@pytest.fixture
def server(shared_server: Served) -> Iterator[Served]:
    """The shared one. Saved workflows stay from test to test: give them names of their own. Runs are ended after each test."""
    yield shared_server
    shared_server.rest()


@pytest.fixture
def served(built: None, models: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own, not started yet."""
    server = Served(tmp_path, models)
    yield server
    server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def open_editor(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Call it with a server, and with an editor whose profile (drafts, settings) the new window is to share."""
    contexts: list[BrowserContext] = []
    editors: list[Editor] = []

    def open_(server: Served, same: Editor | None = None) -> Editor:
        if same is None:
            contexts.append(browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True))
        context = contexts[-1] if same is None else same.page.context
        editors.append(Editor(context.new_page(), server.address, tmp_path))
        return editors[-1].open()

    yield open_
    if FAILED in request.node.stash:
        for number, editor in enumerate(editors):
            editor.page.screenshot(path=tmp_path / f"window-{number}.png")
            print(f"how it looked: {tmp_path / f'window-{number}.png'}")
    faults = [fault for editor in editors for fault in editor.faults()]
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def editor(server: Served, open_editor: Open) -> Editor:
    """With an empty canvas."""
    return open_editor(server).begin_empty()
