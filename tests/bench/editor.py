"""The editor in headless Chromium: the first load, 1,000 nodes and 1,500 links, how soon a run starts, and typing while a run tells much.

    python tests/bench/editor.py [load] [open] [run] [talk]

load: the first load of a new visitor
open: a file of 1,000 nodes dropped, the canvas moved and zoomed and a node dragged, with all of it in view and near by
run: from the key that changes a number in a node to the first event of the run that the next key starts; the server is warm
talk: a run of 1,000 nodes of which one tells of its progress 200 times a second, while somebody types and drags

A frame is what passes between two pictures of the screen. "work" is processor time of the page's main thread, which other programs on
the machine change little; "script" is the part of it in JavaScript. Both are for one move of the mouse. Whoever measures frames wants
a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, CDPSession, Page, WebSocket, expect, sync_playwright  # noqa: E402

from tests.browser.chromium import provide  # noqa: E402
from tests.browser.editor import Editor  # noqa: E402
from tests.browser.graphs import count_links, grid, json_file, link, node, workflow  # noqa: E402
from tests.browser.served import Served  # noqa: E402

BENCH = Path(__file__).parent / "packs" / "bench"
INPUTS = ("keydown", "pointerdown", "pointermove")
MOVES = 60
NEAR = 12
"""steps of zooming in from where all is in view"""
RATE = 200
SECONDS = 12
TYPED = "a fox in the snow, soft light, 35 mm, (sharp:1.2), film grain, in the manner of an old photograph; " * 2
START_FRAMES = """() => {
  const times = [];
  let last = performance.now();
  let on = true;
  const step = now => { times.push(now - last); last = now; if (on) requestAnimationFrame(step); };
  requestAnimationFrame(step);
  window.stopFrames = () => { on = false; return times.slice(1); };
}"""
SENT = """() => performance.getEntries()
  .filter(one => /script|link|css|navigation/.test(one.initiatorType))
  .reduce((sum, one) => sum + one.transferSize, 0)"""
SINCE_DROP = """begin => new Promise(resolve => {
  const shown = () => document.querySelector('.react-flow__node-node')
    || document.querySelector('.far-canvas')?.getContext('2d').getImageData(720, 450, 1, 1).data[3];
  const look = () => shown() ? resolve(performance.now() - begin) : requestAnimationFrame(look);
  look();
})"""
FITTED = """() => new Promise(resolve => {
  const zoom = () => new DOMMatrix(getComputedStyle(document.querySelector('.react-flow__viewport')).transform).a;
  const look = () => zoom() < 0.1 ? resolve() : requestAnimationFrame(look);
  look();
})"""
HANDLE = """() => {
  for (let y = 150; y < 750; y += 6) for (let x = 300; x < 1100; x += 6) {
    if (document.elementFromPoint(x, y)?.matches('.grip, .node-title')) return [x, y];
  }
  return null;
}"""
LATENCIES = """() => {
  window.inputs = [];
  new PerformanceObserver(list => list.getEntries().forEach(one => inputs.push([one.name, one.duration])))
    .observe({type: 'event', durationThreshold: 16});
}"""
WAITED = """count => new Promise(resolve => {
  const look = () => waits.length >= count ? resolve() : requestAnimationFrame(look);
  look();
})"""
FIRST_EVENTS = """() => {
  window.waits = [];
  window.pressed = null;
  addEventListener('keydown', event => { window.pressed ??= event.timeStamp; }, true);
  const Socket = WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', () => {
        waits.push(performance.now() - pressed);
        window.pressed = null;
      }, {once: true});
    }
  };
}"""

# ------------------------------------------------------------------------------------------------ telling


def tell(what: str, value: float, unit: str, asked: float | None = None) -> None:
    """asked: at most so much"""
    wanted = "" if asked is None else f"{asked:g} {unit}"
    verdict = "" if asked is None else "yes" if value <= asked else "NO"
    print(f"{what:58} {value:8.1f} {unit:4} {wanted:>10} {verdict:>4}", flush=True)


class Work:
    """What the page works in a while."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        return {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}

    def lap(self) -> tuple[float, float]:
        """Milliseconds of all work and of scripts since the last lap."""
        now, before = self._read(), self._before
        self._before = now
        work, script = ((now[key] - before[key]) * 1e3 for key in ("TaskDuration", "ScriptDuration"))
        return work, script


@contextmanager
def window(browser: Browser, server: Served, folder: Path) -> Iterator[Editor]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        yield Editor(context.new_page(), server.address, folder)
    finally:
        context.close()


# ------------------------------------------------------------------------------------------------ load


def measure_load(editor: Editor) -> None:
    editor.open()
    tell("first paint", editor.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"), "ms", 1000)
    tell("sent for page, scripts and styles", editor.page.evaluate(SENT) / 1e3, "kB", 400)


# ------------------------------------------------------------------------------------------------ open


def measure_large(editor: Editor) -> None:
    editor.open().begin_empty()
    data = grid()
    work = Work(editor.page)
    begin = editor.page.evaluate("performance.now()")
    editor.drop(json_file(data))
    drawn = editor.page.evaluate(SINCE_DROP, begin)
    tell(f"open {len(data['nodes'])} nodes, {count_links(data)} links", drawn, "ms", 1500)
    editor.page.evaluate(FITTED)
    tell("  work", work.lap()[0], "ms")
    for place in ("all in view", "near by"):
        moved(editor, f"move, {place}", pan)
        moved(editor, f"zoom, {place}", wheel)
        dragged(editor, place)
        editor.page.mouse.move(720, 450)
        editor.press(*["+"] * NEAR)
        expect(editor.nodes.locator(".row").first).to_be_visible()


def moved(editor: Editor, what: str, gesture: Callable[[Editor], int]) -> None:
    work = Work(editor.page)
    editor.page.evaluate(START_FRAMES)
    moves = gesture(editor)
    frames = editor.page.evaluate("window.stopFrames()")
    tell(f"{what}: frame, median", median(frames), "ms", 20)
    tell("  frame, 95 %", sorted(frames)[int(len(frames) * 0.95)], "ms")
    tell("  work", work.lap()[0] / moves, "ms", 20)


def pan(editor: Editor) -> int:
    mouse = editor.page.mouse
    mouse.move(715, 445)
    mouse.down(button="middle")
    steps = [*range(MOVES // 2), *range(MOVES // 2, 0, -1)]
    for i in steps:
        mouse.move(715 + i * 4, 445 + i * 2)
    mouse.up(button="middle")
    return len(steps)


def wheel(editor: Editor) -> int:
    editor.page.mouse.move(720, 450)
    for i in range(20):
        editor.page.mouse.wheel(0, 40 if i < 10 else -40)
    return 20


def dragged(editor: Editor, place: str) -> None:
    x, y = handle_near_middle(editor)
    mouse = editor.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 5, y + 5)
    work = Work(editor.page)
    for i in range(MOVES):
        mouse.move(x + 5 + i * 3, y + 5 + i)
    total, script = work.lap()
    mouse.up()
    tell(f"drag a node, {place}: script", script / MOVES, "ms", 16)
    tell("  work", total / MOVES, "ms")
    editor.undo()


def handle_near_middle(editor: Editor) -> tuple[float, float]:
    """Where a node can be taken. One that is only drawn becomes real as the pointer comes to it."""
    for across in range(0, 240, 8):
        editor.page.mouse.move(600 + across, 450)
        found = editor.page.evaluate(HANDLE)
        if found is not None:
            return (found[0], found[1])
    raise AssertionError("no node near the middle")


# ------------------------------------------------------------------------------------------------ run


def measure_run(editor: Editor, repeats: int) -> None:
    editor.open().begin_empty()
    nodes = {"pass": node("bench/Pass", {"a": 1}, title="number"), "sink": node("bench/Sink", {"a": link("pass", "int")})}
    editor.drop(json_file(workflow(nodes)))
    expect(editor.nodes).to_have_count(2)
    editor.run()
    editor.page.evaluate(FIRST_EVENTS)
    field = editor.node("number").get_by_role("spinbutton", name="a", exact=True)
    for i in range(repeats):
        field.press("ArrowUp")
        editor.press("Control+Enter")
        editor.page.evaluate(WAITED, i + 1)
        editor.ended()
    waits = editor.page.evaluate("window.waits")
    tell("edit of a number to the first event of the run, median", median(waits), "ms", 150)
    tell("  at best", min(waits), "ms")


# ------------------------------------------------------------------------------------------------ talk


class Heard:
    """The progress that came over the websockets of a page."""

    def __init__(self, page: Page) -> None:
        self.times: list[float] = []
        page.on("websocket", self._follow)

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._hear)

    def _hear(self, data: Any) -> None:
        if isinstance(data, str) and json.loads(data).get("event") == "progress":
            self.times.append(time.monotonic())

    def rate(self) -> float:
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def talking() -> dict[str, Any]:
    nodes = {"n0": node("bench/Pass", {"a": 1})}
    nodes |= {f"n{i}": node("bench/Pass", {"a": link(f"n{i - 1}", "int")}) for i in range(1, 998)}
    nodes["talker"] = node("bench/Talk", {"a": link("n997", "int"), "seconds": SECONDS, "rate": RATE}, title="talker")
    nodes["typed"] = node("bench/Text", {}, title="typed")
    return workflow(nodes, "talking", 25)


def measure_talk(editor: Editor) -> None:
    heard = Heard(editor.page)
    editor.open().begin_empty()
    editor.drop(json_file(talking()))
    editor.page.evaluate(FITTED)
    bring_near(editor, "typed", "talker")
    field = editor.node("typed").get_by_role("textbox", name="text")
    expect(field).to_be_visible()
    editor.page.evaluate(LATENCIES)
    editor.press("Control+Enter")
    expect(editor.node("talker").locator(".time")).to_be_visible()
    before, work = len(heard.times), Work(editor.page)
    field.click()
    editor.page.keyboard.type(TYPED, delay=20)
    editor.rest_focus()
    box = editor.node("talker").bounding_box()
    assert box is not None
    editor.move(editor.node("talker"), (box["x"] + 120, box["y"] + 90))
    total, events = work.lap()[0], len(heard.times) - before
    typed, moved_to = field.input_value(), editor.node("talker").bounding_box()
    editor.press("Control+Enter")
    assert moved_to is not None
    assert events > RATE, f"only {events} events came while somebody typed"
    inputs = [duration for name, duration in editor.page.evaluate("window.inputs") if name in INPUTS]
    tell("progress events a second that came", heard.rate(), "/s")
    tell("  keys lost of those typed meanwhile", len(TYPED) - common(TYPED, typed), "", 0)
    tell("  a dragged node's way off its goal", abs(moved_to["x"] - box["x"] - 120) + abs(moved_to["y"] - box["y"] - 90), "px", 12)
    tell("  from a key or a press to the next picture, median", median(inputs or [16]), "ms", 100)
    tell("  at worst", max(inputs, default=16), "ms")
    tell("  work for an event", total / events, "ms", 5)


def bring_near(editor: Editor, *titles: str) -> None:
    """By the search; the last one in the middle, those beside it with it."""
    for title in titles:
        editor.press("Control+f")
        field = editor.page.get_by_role("combobox", name="Find a node")
        field.fill(title)
        editor.press("Enter")
        expect(field).to_be_hidden()
        expect(editor.page.locator(".react-flow__node.selected")).to_have_attribute("aria-label", title)
    editor.press(".")
    expect(editor.nodes.locator(".row").first).to_be_visible()


def common(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="load, open, run, talk; all of them")
    parser.add_argument("--repeats", type=int, default=10, help="runs that are started")
    options = parser.parse_args()
    measures: dict[str, Callable[[Editor], None]] = {
        "load": measure_load,
        "open": measure_large,
        "run": lambda editor: measure_run(editor, options.repeats),
        "talk": measure_talk,
    }
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        server = Served(folder, ROOT / "models", "--packs", str(BENCH))
        server.start()
        browser = playwright.chromium.launch(executable_path=provide(), args=["--disable-gpu"])
        begin = time.perf_counter()
        print(f"{'what':58} {'measured':>8} {'':4} {'at most':>10}")
        for part in options.parts or measures:
            with window(browser, server, folder) as editor:
                measures[part](editor)
        print(f"all in {time.perf_counter() - begin:.0f} s")
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
