"""Progress bars on a terminal: one line for the run, one for each node that is at work."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from nodegraph import events as ev
from nodegraph.graph import Graph
from nodegraph.subgraphs import entry_at


class Rate(ProgressColumn):
    """Steps a second, or seconds a step where that reads better."""

    def render(self, task: Task) -> Text:
        speed = task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step", style="dim")


class Bars:
    """Shows the events of one run. Use in a `with` block."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            Rate(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def on_event(self, event: ev.Event) -> None:
        if isinstance(event, ev.Progress) and event.total and event.total > 1:
            self._advance(event.node, event.value, event.total, event.text)
        elif isinstance(event, ev.NodeFinished):
            task = self._tasks.pop(event.node, None)
            if task is not None:
                self._progress.remove_task(task)
        elif isinstance(event, ev.Log):
            style = "yellow" if event.level == "warning" else "dim"
            self._progress.console.print(Text(f"{self._title(event.node)}: {event.text}", style=style))

    def _advance(self, node: str, value: float, total: float, note: str) -> None:
        task = self._tasks.get(node)
        if task is None:
            task = self._tasks[node] = self._progress.add_task(self._title(node), total=total, note="")
        self._progress.update(task, completed=value, total=total, note=note)

    def _title(self, id: str) -> str:
        node: Any = self._graph.nodes.get(id)
        document = self._graph.document
        entry = entry_at(document, id) if document is not None else None
        if entry is not None and entry.title:
            return entry.title
        return node.spec.title if node is not None else id
