"""The editor in headless Chromium: a large workflow opened, moved over and dragged in; the first load; and how soon a run starts.

    python tests/bench/editor.py [PART ...]     # load, open, run

Besides the time that passes it prints what the page itself worked (script, layout and style, in time of its thread), which says more
where other programs run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, CDPSession, expect, sync_playwright  # noqa: E402

from tests.browser.chromium import provide  # noqa: E402
from tests.browser.editor import Editor  # noqa: E402
from tests.browser.graphs import count_links, grid, json_file, link, node, workflow  # noqa: E402
from tests.browser.served import Served  # noqa: E402

BENCH = Path(__file__).parent / "packs" / "bench"
FRAMES = """() => {
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
SINCE_DROP = """() => new Promise(resolve => {
  const look = () => document.querySelector('.react-flow__node-node') ? resolve(performance.now()) : requestAnimationFrame(look);
  look();
})"""


class Work:
    """What the page works in a while, in milliseconds."""

    def __init__(self, editor: Editor) -> None:
        self._session: CDPSession = editor.page.context.new_cdp_session(editor.page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        return {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}

    def lap(self) -> dict[str, float]:
        now, before = self._read(), self._before
        self._before = now
        return {name: (now[key] - before[key]) * 1e3 for name, key in KINDS.items()}


KINDS = {"script": "ScriptDuration", "layout": "LayoutDuration", "style": "RecalcStyleDuration", "tasks": "TaskDuration"}


def shown(work: dict[str, float], over: int = 1) -> str:
    return ", ".join(f"{name} {value / over:.1f}" for name, value in work.items())


@contextmanager
def window(browser: Browser, server: Served, folder: Path) -> Iterator[Editor]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        yield Editor(context.new_page(), server.address, folder)
    finally:
        context.close()


def measure_load(editor: Editor) -> None:
    editor.open()
    paint = editor.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    sent = editor.page.evaluate(SENT)
    print(f"load      first paint {paint:.0f} ms; {sent / 1e3:.0f} kB sent for page, scripts and styles", flush=True)


def open_large(editor: Editor) -> None:
    editor.open().begin_empty()
    data = grid()
    work = Work(editor)
    begin = editor.page.evaluate("performance.now()")
    editor.drop(json_file(data))
    drawn = editor.page.evaluate(SINCE_DROP) - begin
    print(f"open      {len(data['nodes'])} nodes, {count_links(data)} links: drawn in {drawn:.0f} ms; {shown(work.lap())} ms", flush=True)


def zoom_in(editor: Editor) -> None:
    editor.page.mouse.move(720, 450)
    editor.press(*["+"] * 12)
    expect(editor.nodes.locator(".row").first).to_be_visible()


def measure_move(editor: Editor) -> None:
    for name in ("far away", "near by"):
        work = Work(editor)
        editor.page.evaluate(FRAMES)
        mouse = editor.page.mouse
        mouse.move(715, 445)
        mouse.down(button="middle")
        for i in range(60):
            mouse.move(715 + i * 4, 445 + i * 2)
        mouse.up(button="middle")
        for i in range(20):
            mouse.wheel(0, 40 if i < 10 else -40)
        frames = editor.page.evaluate("window.stopFrames()")
        late = sorted(frames)[int(len(frames) * 0.95)]
        print(f"move      {name}: frame {median(frames):.1f} ms, 95 % {late:.1f}; a frame: {shown(work.lap(), len(frames))} ms", flush=True)
        zoom_in(editor)


def measure_drag(editor: Editor) -> None:
    box = editor.nodes.locator(".grip").nth(4).bounding_box()
    assert box is not None
    x, y = box["x"] + 60, box["y"] + 10
    mouse = editor.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 5, y + 5)
    work = Work(editor)
    editor.page.evaluate(FRAMES)
    moves = 60
    for i in range(moves):
        mouse.move(x + 5 + i * 3, y + 5 + i)
    frames = editor.page.evaluate("window.stopFrames()")
    told = shown(work.lap(), len(frames))
    mouse.up()
    print(f"drag      {len(frames)} frames, median {median(frames):.1f} ms; a frame: {told} ms", flush=True)


def measure_run(editor: Editor, repeats: int) -> None:
    """From a key in a widget to the first event of the run it starts."""
    editor.open().begin_empty()
    nodes = {"pass": node("bench/Pass", {"a": 1}), "sink": node("bench/Sink", {"a": link("pass", "int")})}
    editor.drop(json_file(workflow(nodes)))
    expect(editor.nodes).to_have_count(2)
    editor.run()
    editor.page.evaluate("""() => {
      const Socket = WebSocket;
      window.firsts = [];
      window.WebSocket = class extends Socket {
        constructor(...given) { super(...given); this.addEventListener('message', () => firsts.push(performance.now()), {once: true}); }
      };
    }""")
    times = []
    for i in range(repeats):
        begin = editor.page.evaluate("performance.now()")
        editor.nodes.first.get_by_role("spinbutton", name="a").press("ArrowUp")
        editor.press("Control+Enter")
        editor.page.wait_for_function(f"window.firsts.length > {i}")
        times.append(editor.page.evaluate(f"window.firsts[{i}]") - begin)
        editor.ended()
    print(f"run       edit to first event: median {median(times):.0f} ms, at best {min(times):.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["load", "open", "run"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        server = Served(folder, ROOT / "models", "--packs", str(BENCH))
        server.start()
        browser = playwright.chromium.launch(executable_path=provide(), args=["--disable-gpu"])
        begin = time.perf_counter()
        for part in options.parts:
            with window(browser, server, folder) as editor:
                if part == "load":
                    measure_load(editor)
                elif part == "open":
                    open_large(editor)
                    measure_move(editor)
                    measure_drag(editor)
                else:
                    measure_run(editor, options.repeats)
        print(f"all in {time.perf_counter() - begin:.0f} s")
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
