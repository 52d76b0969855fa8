"""The editor as a test uses it: by what a person sees, clicks and types."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, WebSocket, expect

from tests.browser.graphs import File

PATIENCE = 60_000
"""milliseconds; machines are shared"""
INNER = ("data:", "blob:", "about:")
ENDED = re.compile("^(done|failed|cancelled)")
CHOOSER = "() => document.body.appendChild(Object.assign(document.createElement('input'), {type: 'file', multiple: true}))"
TRANSFER = """one => {
  const all = new DataTransfer();
  for (const file of one.files) all.items.add(file);
  one.remove();
  return all;
}"""
Point = tuple[float, float]

expect.set_options(timeout=PATIENCE)


class Editor:
    """address: of the server; folder: for files that are dropped"""

    def __init__(self, page: Page, address: str, folder: Path) -> None:
        self.page = page
        self.address = address
        self.folder = folder
        self._faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._faults.append(f"thrown: {error}"))
        page.on("request", self._on_request)
        page.on("websocket", self._on_socket)

    # -------------------------------------------------------------------------------------------- what must not happen

    def allow(self, pattern: str) -> None:
        """Errors that belong to what a test does, such as requests to a server that it killed."""
        self._allowed.append(re.compile(pattern))

    def faults(self) -> list[str]:
        return [fault for fault in self._faults if not any(pattern.search(fault) for pattern in self._allowed)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.address + "/", *INNER)):
            self._faults.append(f"asked elsewhere: {request.url[:200]}")

    def _on_socket(self, socket: WebSocket) -> None:
        if not socket.url.startswith(self.address.replace("http", "ws", 1) + "/"):
            self._faults.append(f"asked elsewhere: {socket.url[:200]}")

    # -------------------------------------------------------------------------------------------- opening

    def open(self) -> Self:
        """Returns when it knows its nodes."""
        self.page.goto(self.address)
        return self.ready()

    def reload(self) -> Self:
        self.page.reload()
        return self.ready()

    def ready(self) -> Self:
        self.page.locator(".react-flow").wait_for()
        return self

    @property
    def gallery(self) -> Locator:
        return self.page.get_by_role("dialog", name="Begin with")

    def begin_empty(self) -> Self:
        """From the gallery that a first visit shows."""
        self.gallery.get_by_role("button", name="Empty canvas").click()
        expect(self.gallery).to_be_hidden()
        return self

    def begin_with(self, template: str) -> Self:
        """The same with a template, by its title."""
        self.gallery.get_by_role("button").filter(has=self.page.get_by_text(template, exact=True)).last.click()
        expect(self.gallery).to_be_hidden()
        expect(self.nodes.first).to_be_visible()
        return self

    def drop(self, *files: Path | File, at: Point = (720, 450)) -> None:
        """Files dropped on the canvas from outside. A file is a path, or (name, content)."""
        chosen = self.page.evaluate_handle(CHOOSER).as_element()
        assert chosen is not None
        chosen.set_input_files([self._kept(file) for file in files])
        transfer = self.page.evaluate_handle(TRANSFER, chosen)
        where = {"dataTransfer": transfer, "clientX": at[0], "clientY": at[1]}
        for kind in ("dragenter", "dragover", "drop"):
            self.pane.dispatch_event(kind, where)

    def _kept(self, file: Path | File) -> Path:
        """As a file of its name, which is there as long as the window. Its media type goes by its ending, as it does for a person."""
        if isinstance(file, Path):
            return file
        path = self.folder / file[0]
        path.write_bytes(file[1])
        return path

    def dismiss(self) -> None:
        """The dialog that is open, such as the report of an import."""
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        self.press("Escape")
        expect(dialog).to_be_hidden()

    # -------------------------------------------------------------------------------------------- looking

    @property
    def pane(self) -> Locator:
        return self.page.locator(".react-flow__pane")

    @property
    def nodes(self) -> Locator:
        return self.page.locator(".react-flow__node-node")

    @property
    def links(self) -> Locator:
        return self.page.locator(".react-flow__edge")

    @property
    def tabs(self) -> Locator:
        return self.page.get_by_role("navigation", name="Open workflows").locator("button[aria-current]")

    @property
    def palette(self) -> Locator:
        return self.page.get_by_role("combobox", name="Search nodes")

    @property
    def notices(self) -> Locator:
        return self.page.locator(".notice")

    @property
    def state(self) -> Locator:
        """What the run does."""
        return self.page.locator(".run-state")

    def node(self, title: str, number: int = 0) -> Locator:
        """By its exact title; `number` counts those of the same title."""
        return self.page.locator(f".react-flow__node-node[aria-label='{title}']").nth(number)

    def dot(self, node: Locator, side: str, name: str) -> Locator:
        """side: `input` or `output`"""
        return node.get_by_label(f"{side} {name}", exact=True)

    def document(self) -> dict[str, Any]:
        """The workflow in front, as it is downloaded."""
        expect(self.page.get_by_role("menu")).to_have_count(0)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        with self.page.expect_download() as download:
            self.press("Control+e")
        found: dict[str, Any] = json.loads(Path(download.value.path()).read_text("utf-8"))
        return found

    # -------------------------------------------------------------------------------------------- gestures

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def rest_focus(self) -> None:
        """Away from fields, which have keys of their own."""
        self.page.evaluate("document.activeElement?.blur()")

    def add(self, search: str, at: Point = (500, 300)) -> Locator:
        """A double-click into empty space, a search, Enter."""
        before = self._ids()
        self.page.mouse.dblclick(*at)
        return self._pick(search, before)

    def pull(self, dot: Locator, at: Point, search: str) -> Locator:
        """A link dropped into empty space, and what the palette then finds."""
        before = self._ids()
        self.drag(_middle(dot), at)
        return self._pick(search, before)

    def _pick(self, search: str, before: Sequence[str]) -> Locator:
        self.palette.fill(search)
        self.press("Enter")
        expect(self.palette).to_be_hidden()
        expect(self.nodes).to_have_count(len(before) + 1)
        (new,) = set(self._ids()) - set(before)
        return self.page.locator(f'.react-flow__node[data-id="{new}"]')

    def _ids(self) -> list[str]:
        found: list[str] = self.nodes.evaluate_all("all => all.map(one => one.dataset.id)")
        return found

    def drag(self, start: Point, end: Point, steps: int = 8) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 3, start[1] + 3)
        mouse.move(*end, steps=steps)
        mouse.up()

    def connect(self, source: Locator, output: str, target: Locator, input_: str) -> None:
        """Drags a link from an output to an input, both of which must be in view."""
        self.drag(_middle(self.dot(source, "output", output)), _middle(self.dot(target, "input", input_)))

    def move(self, node: Locator, to: Point) -> None:
        """By its header, to where its left top corner is to be."""
        box = node.bounding_box()
        assert box is not None
        self.drag((box["x"] + box["width"] / 2, box["y"] + 10), (to[0] + box["width"] / 2, to[1] + 10))

    def set(self, node: Locator, label: str, value: object) -> None:
        """A number, a text or a choice, as a person would."""
        number = node.get_by_role("spinbutton", name=label, exact=True)
        text = node.get_by_role("textbox", name=label, exact=True)
        choice = node.get_by_role("button", name=re.compile(f"^{re.escape(label)}\\b"))
        kind = number.or_(text).or_(choice).first
        kind.wait_for()
        if number.count():
            number.focus()
            self.press("Enter")
            node.get_by_role("textbox", name=label, exact=True).fill(str(value))
            self.press("Enter")
        elif text.count():
            text.fill(str(value))
            text.blur()
        else:
            choice.click()
            self.page.get_by_role("listbox").get_by_text(str(value), exact=True).click()
        self.rest_focus()

    def undo(self, times: int = 1) -> None:
        self.rest_focus()
        self.press(*["Control+z"] * times)

    def undo_all(self) -> int:
        """How many steps there were."""
        undo = self.page.get_by_role("button", name=re.compile("^(Undo|Nothing to undo)"))
        steps = 0
        while undo.is_enabled():
            undo.click()
            steps += 1
        return steps

    # -------------------------------------------------------------------------------------------- running

    def start(self) -> None:
        self.page.get_by_role("button", name="Run", exact=True).click()

    def run(self) -> str:
        """Runs to the end, and says how it ended."""
        self.start()
        return self.ended()

    def ended(self) -> str:
        expect(self.state).to_have_text(ENDED)
        return self.state.inner_text()


def _middle(element: Locator) -> Point:
    box = element.bounding_box()
    assert box is not None
    return (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
