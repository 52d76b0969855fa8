"""`nodegraph run`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodegraph import events as ev
from nodegraph.cli.main import CANCELLED, DONE, FAILED, report
from nodegraph.cli.workflow import engine_for, find_workflow, overridden, tell_left_out
from nodegraph.engine import Engine
from nodegraph.graph import Graph
from nodegraph.scheduler import RunResult


def run(arguments: argparse.Namespace) -> int:
    path = find_workflow(arguments.workflow)
    with engine_for(arguments) as engine:
        document, targets = overridden(engine, path, arguments)
        graph = engine.check(document, targets=targets)
        tell_left_out(graph, arguments.json)
        reasons = engine.explain(graph, str(path)) if arguments.explain else {}
        if arguments.explain and not arguments.json:
            print_reasons(graph, reasons)
        result = execute(engine, graph, arguments)
        if result.status == "done":
            engine.remember(graph, str(path))
        return finish(result, arguments, engine)


def execute(engine: Engine, graph: Graph, arguments: argparse.Namespace) -> RunResult:
    cancelled = threading.Event()
    with cancelling(cancelled):
        if arguments.json:
            return engine.run(graph, emit=print_event, cancelled=cancelled)
        if arguments.quiet or not sys.stderr.isatty():
            return engine.run(graph, cancelled=cancelled)
        from nodegraph.cli.progress import Bars

        with Bars(graph) as bars:
            return engine.run(graph, emit=bars.on_event, cancelled=cancelled)


def finish(result: RunResult, arguments: argparse.Namespace, engine: Engine) -> int:
    if not arguments.json:
        print_shown(result, arguments.quiet)
    if result.error is not None:
        report(result.error, arguments.json)
        return FAILED
    if result.status == "cancelled":
        print("cancelled; what was finished is kept", file=sys.stderr)
        return CANCELLED
    if not arguments.json and not arguments.quiet:
        ran, kept = len(result.executed), len(result.cached)
        print(f"done in {result.seconds:.1f} s, {ran} node{'s' * (ran != 1)} run, {kept} from the cache", file=sys.stderr)
    return DONE


def print_event(event: ev.Event) -> None:
    print(json.dumps(event.to_json(), default=str), flush=True)


def print_shown(result: RunResult, quiet: bool) -> None:
    """Where the pictures went, one line each on stdout; texts that nodes show come first."""
    for id, items in result.shown.items():
        for item in items:
            print_item(item, id in result.cached, quiet)


def print_item(item: Mapping[str, Any], unchanged: bool, quiet: bool) -> None:
    file = item.get("file")
    if isinstance(file, Mapping):
        path = short(Path(file["path"]))
        size = f"  {item['width']}x{item['height']}" if "width" in item else ""
        print(path if quiet else f"{path}{size}{'  (unchanged)' if unchanged else ''}")
    elif not quiet:
        print(item.get("text", json.dumps(item)))


def short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_reasons(graph: Graph, reasons: Mapping[str, list[str]]) -> None:
    if not reasons:
        print("nothing has to run", file=sys.stderr)
    for id, lines in reasons.items():
        print(f"{id} {graph.nodes[id].spec.id}: {'; '.join(lines) or 'its result is no longer kept'}", file=sys.stderr)


@contextmanager
def cancelling(cancelled: threading.Event) -> Iterator[None]:
    """Ctrl-C sets the event, so that the run ends within one step and leaves nothing half-written; a second one is immediate."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: object) -> None:
        if cancelled.is_set():
            raise KeyboardInterrupt
        cancelled.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
