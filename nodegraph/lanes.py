"""Which thread runs which ready node: the thread of the run itself, helpers that step in, and one node at a time on the device.

The main thread works through everything that is ready. One helper watches while there is work that main does not get to; it takes over
when a node has held main up for `PATIENCE`, and rouses the next watcher. So ten thousand small nodes cost no thread switches, and a
picture is encoded while the next one is sampled. Of several ready nodes the one with the smallest rank goes first, those for the device
before the others.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 0.002
"""seconds a node may hold up the main thread before a helper takes over what is ready"""
ALERT: Final = 25
"""how often a helper looks in vain before it sleeps"""
ROUSED: Final = -1
"""in place of the watcher's thread: one is on its way"""


class Lanes:
    """The threads of one run.

    run: calls one node and never raises; returns whether the node has left its thread for good. If not, somebody calls `leave` for it
    """

    poll = 0.1
    """seconds after which a waiting main thread looks whether somebody set `cancelled`; nothing else depends on it"""

    def __init__(self, run: Callable[[str], bool], cancelled: threading.Event, helpers: int | None = None) -> None:
        self.lock = threading.RLock()
        self._run = run
        self._cancelled = cancelled
        self._limit = min(4, (os.cpu_count() or 1) + 1) if helpers is None else helpers
        self._main_wakes = threading.Condition(self.lock)
        self._helper_wakes = threading.Condition(self.lock)
        self._ready: list[tuple[int, str]] = []
        self._ready_device: list[tuple[int, str]] = []
        self._running = 0
        self._on_device: str | None = None
        self._stopped = False
        self._closed = False
        self._main = threading.get_ident()
        self._main_waits = False
        self._busy_since = 0.0
        self._watcher: int | None = None
        self._asleep = 0
        self._helpers: list[threading.Thread] = []
        self._crash: BaseException | None = None

    # ------------------------------------------------------------------------------- for the run; lock held

    def push(self, rank: int, id: str, device: bool) -> None:
        """A node is ready."""
        heapq.heappush(self._ready_device if device else self._ready, (rank, id))
        self._stir()

    def leave(self, id: str) -> None:
        """A node has ended and gives its lane free."""
        self._running -= 1
        if self._on_device == id:
            self._on_device = None
        self._stir()

    def stop(self) -> None:
        """Begin no further node; what runs comes to its end."""
        self._stopped = True
        self._stir()

    # ------------------------------------------------------------------------------- threads

    def work(self) -> None:
        """Run nodes in this thread until nothing is left to come. Helpers have ended when it returns or raises."""
        self._main = threading.get_ident()
        try:
            self._work(self._next_for_main)
        except BaseException:
            self._cancelled.set()
            raise
        finally:
            self._dismiss_helpers()
        if self._crash is not None:
            raise self._crash

    def _dismiss_helpers(self) -> None:
        with self.lock:
            self._closed = True
            self._helper_wakes.notify_all()
        for thread in self._helpers:
            thread.join()

    def _work(self, next_node: Callable[[], str | None]) -> None:
        main = threading.get_ident() == self._main
        left: str | None = None
        while True:
            with self.lock:
                if left is not None:
                    self.leave(left)
                id = next_node()
            if id is None:
                return
            if main:
                self._busy_since = time.monotonic()
            left = id if self._run(id) else None
            if main:
                self._busy_since = 0.0

    def _help(self) -> None:
        try:
            self._work(self._next_for_helper)
        except BaseException as error:  # noqa: BLE001 - a fault of the engine; it must end the run, not hang it
            with self.lock:
                self._crash = error
                self.stop()

    # ------------------------------------------------------------------------------- what comes next; lock held

    def _next_for_main(self) -> str | None:
        while not self._is_over():
            id = self._pick()
            if id is not None:
                if self._watcher is None and self._has_work():
                    self._rouse()
                return id
            self._main_waits = True
            self._main_wakes.wait(self.poll)
            self._main_waits = False
        return None

    def _next_for_helper(self) -> str | None:
        me, idle = threading.get_ident(), 0
        while not self._is_over():
            if self._watcher is None or self._watcher == ROUSED:
                self._watcher = me
            id = self._pick() if self._main_is_held_up() else None
            if id is not None:
                if self._watcher == me:
                    self._watcher = None
                if self._watcher is None and self._has_work():
                    self._rouse()
                return id
            idle = 0 if self._has_work() else idle + 1
            if self._watcher == me and idle < ALERT:
                self._helper_wakes.wait(PATIENCE)
            else:
                self._sleep(me)
                idle = 0
        return None

    def _sleep(self, me: int) -> None:
        if self._watcher == me:
            self._watcher = None
        self._asleep += 1
        self._helper_wakes.wait()
        self._asleep -= 1

    def _pick(self) -> str | None:
        if not self._has_work():
            return None
        if self._ready_device and self._on_device is None:
            self._on_device = id = heapq.heappop(self._ready_device)[1]
        else:
            id = heapq.heappop(self._ready)[1]
        self._running += 1
        return id

    def _has_work(self) -> bool:
        """Whether a thread that is free could begin a node now."""
        waiting = self._ready or (self._ready_device and self._on_device is None)
        return bool(waiting) and not self._stopped and not self._cancelled.is_set()

    def _is_over(self) -> bool:
        if self._closed or self._crash is not None:
            return True
        if self._running:
            return False
        return self._stopped or self._cancelled.is_set() or not (self._ready or self._ready_device)

    def _main_is_held_up(self) -> bool:
        since = self._busy_since
        return since > 0.0 and time.monotonic() - since >= PATIENCE

    def _stir(self) -> None:
        """Something changed: wake who can go on. The main thread needs no waking by itself, it comes by at once."""
        if self._main_waits:
            if self._has_work() or self._is_over():
                self._main_wakes.notify()
        elif threading.get_ident() != self._main and self._watcher is None and self._has_work():
            self._rouse()

    def _rouse(self) -> None:
        """Have a helper watch: a sleeping one, else a new one as far as there may be more."""
        if self._asleep:
            self._watcher = ROUSED
            self._helper_wakes.notify()
        elif len(self._helpers) < self._limit:
            thread = threading.Thread(target=self._help, name=f"nodegraph-helper-{len(self._helpers)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives no more threads
                self._limit = len(self._helpers)
                return
            self._watcher = ROUSED
            self._helpers.append(thread)
