"""The lane of `async def` nodes: one event loop in a thread of its own. Imported when the first such node runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from nodegraph.calling import Ask, Caller, Shown, Skip, arguments_of, blocked_in, gathered, items_of, outputs_of, skipped
from nodegraph.errors import Cancelled
from nodegraph.graph import GraphNode
from nodegraph.schema import NodeSpec

AT_ONCE: Final = 64
"""how many calls of one node over a list wait at the same time"""
POLL: Final = 0.05
"""seconds between two looks at whether the run was cancelled"""

Done = Callable[[Any, BaseException | None], None]


class AsyncLane:
    """Runs coroutines, tells how they ended, and cancels them when the run is cancelled."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._begun = threading.Event()
        self._stopped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="nodegraph-async", daemon=True)
        self._thread.start()
        self._begun.wait()

    def submit(self, work: Coroutine[Any, Any, Any], done: Done) -> None:
        """Run a coroutine; `done(result, error)` is called in the thread of the loop. Cancelled is the error if it was stopped."""
        self._loop.call_soon_threadsafe(self._start, work, done)

    def stop(self) -> None:
        """Cancel what waits now and what comes later: another node has failed, and nobody wants their results."""
        self._loop.call_soon_threadsafe(self._stop)

    def close(self) -> None:
        """End the thread; what still runs is cancelled and waited for."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._begun.set()
        closing = asyncio.ensure_future(self._closing.wait())
        while not closing.done():
            await asyncio.wait([closing], timeout=POLL)
            if self._cancelled.is_set():
                self._stop()

    def _stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, Any], done: Done) -> None:
        task = self._loop.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, work, done))
        if self._stopped:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any], work: Coroutine[Any, Any, Any], done: Done) -> None:
        self._tasks.discard(task)
        work.close()  # a task that was cancelled before its first step never began it
        if not task.cancelled():
            error = task.exception()
            done(None if error is not None else task.result(), error)
        elif self._stopped or self._cancelled.is_set() or self._closing.is_set():
            done(None, Cancelled())
        else:
            done(None, RuntimeError("it cancelled itself"))


async def _guarded(work: Coroutine[Any, Any, Any]) -> Any:
    """A node that leaves the program leaves only itself: these two would end the loop, and every other node in it."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


async def call_async(caller: Caller, node: GraphNode, values: Mapping[str, Any], ask: Ask) -> tuple[Any, Shown]:
    """As `Caller.call`, for `async def`: of a list, many items wait at once."""
    spec = node.spec
    context = caller.context(node) if spec.context is not None else None
    arguments = arguments_of(node, values, ask, context)
    try:
        if node.mapped:
            turn = asyncio.Semaphore(AT_ONCE)
            outputs: Any = gathered(spec, await _together(_once(spec, item, turn) for item in items_of(node, arguments)))
        else:
            outputs = outputs_of(spec, await spec.function(**arguments))
    except Skip as skip:
        outputs = skipped(spec, skip.blocked)
    return outputs, () if context is None else tuple(context.shown)


async def _once(spec: NodeSpec, item: Mapping[str, Any], turn: asyncio.Semaphore) -> Any:
    blocked = blocked_in(item)
    if blocked is not None:
        return skipped(spec, blocked)
    async with turn:
        return outputs_of(spec, await spec.function(**item))


async def _together(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """All results in order; if one fails, the others are cancelled and waited for, so that nothing goes on behind."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
