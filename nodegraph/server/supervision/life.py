"""One worker process, from its start to its end, as the server's event loop sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from nodegraph.server.queue.model import LivePreview, Outcome, RunListener, Submission
from nodegraph.server.safety.redaction import without
from nodegraph.server.supervision.deaths import cause, memory_kills
from nodegraph.server.supervision.spawning import lines, start_process
from nodegraph.server.wire import link, settings_json
from nodegraph.server.wire.board import LONGEST_JOB, Note, new_board
from nodegraph.server.wire.faults import error_from_json
from nodegraph.settings import Settings

log = logging.getLogger(__name__)

LINES_KEPT: Final = 200
SECRETS_KEPT: Final = 100
LAST_WORDS: Final = 1.0
"""seconds in which what a process sent before its end is still read"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. hang: without any sign of life before a process is killed; grace: that a cancelled run has to stop by itself;
    ping: between two questions for a sign of life; stop: that a process has to end when it is told to."""

    hang: float = 120.0
    grace: float = 10.0
    ping: float = 5.0
    stop: float = 5.0


class WorkerLost(Exception):
    """The process ended before it answered; the text says why."""


class NotBegun(WorkerLost):
    """The process ended before it began a run that it was sent: nothing of it has happened."""


@dataclass(slots=True)
class RunningJob:
    """A run that goes on. node: that began last of those that still run; since: seconds since 1970."""

    id: str
    listener: RunListener
    finished: asyncio.Future[Outcome]
    begin: float = field(default_factory=time.monotonic)
    node: str | None = None
    since: float | None = None
    killing: asyncio.TimerHandle | None = None
    cancelled: bool = False


class Life:
    """A process. `ready`: what it said of itself when it was; `ended`: why it did. Made within an event loop, it begins at once."""

    def __init__(self, settings: Settings, limits: Limits, preload: bool, on_line: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.job: RunningJob | None = None
        self.pid: int | None = None
        self._hello = {"protocol": link.PROTOCOL, "settings": settings_json.to_json(settings), "preload": preload}
        self._limits = limits
        self._on_line = on_line
        self._last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._board = new_board()
        self._secrets: deque[str] = deque(maxlen=SECRETS_KEPT)
        """that runs of this process were given: a node may say them in a fault, print them or show them"""
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._heard = time.monotonic()
        self._verdict: str | None = None
        """why this side killed it"""
        self._process: asyncio.subprocess.Process | None = None
        self._task = asyncio.create_task(self._live())

    @property
    def is_ready(self) -> bool:
        return self.was_ready and not self.ended.done()

    @property
    def was_ready(self) -> bool:
        return self.ready.done() and self.ready.exception() is None

    @property
    def note(self) -> Note | None:
        """The run and the node that were begun last, as the process noted in shared memory; None if it cannot or could not be known."""
        return self._board.read() if self._board is not None and not self.ended.done() else None

    def has_begun(self, job: RunningJob) -> bool:
        """Whether the process has begun a run that it was sent, as far as can be known."""
        note = self.note
        return note is None or note.job == job.id[:LONGEST_JOB]

    # ------------------------------------------------------------------------------- from start to end

    async def _live(self) -> None:
        before = memory_kills()
        reason = "the worker process was given up"
        try:
            descriptors = [self._board.descriptor] if self._board is not None else []
            self._process = process = await start_process(*descriptors)
            self.pid = process.pid
            if self._verdict is not None:
                self._kill_all()  # it was to end before it was there
            self.send({"kind": "hello", **self._hello, "board": descriptors[0] if descriptors else None})
            await self._attend(process)
            reason = self._reason(process.returncode, before)
        except OSError as error:
            reason = f"the worker process could not be started: {error}"
        finally:
            self._end(reason)

    async def _attend(self, process: asyncio.subprocess.Process) -> None:
        """Listen until it has ended, and to what it said before."""
        assert process.stdout is not None
        assert process.stderr is not None
        exited = asyncio.create_task(process.wait())
        frames, words = asyncio.create_task(self._read_frames(process.stdout)), asyncio.create_task(self._read_lines(process.stderr))
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait([exited, frames], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([exited], timeout=LAST_WORDS)
            self._kill_all()
            await asyncio.wait([exited, frames, words], timeout=LAST_WORDS)
        finally:
            self._kill_all()
            for task in (frames, words, watch, exited):
                task.cancel()

    def _reason(self, code: int | None, before: Mapping[str, int]) -> str:
        why = self._verdict or f"the worker process {cause(code, before, memory_kills())}"
        if not self.was_ready:
            words = self._last_lines[-1].strip() if self._last_lines else ""
            return f"{why} while it was starting" + (f": {words}" if words else "")
        if self.job is None or not self.has_begun(self.job):
            return why
        note = self.note
        node = note.node if note is not None else self.job.node
        return f"{why}; the last node was {node}" if node else why

    def _end(self, reason: str) -> None:
        job, self.job = self.job, None
        begun = job is not None and self.has_begun(job)
        self.ended.set_result(reason)
        if self._board is not None:
            self._board.close()
        for future in (self.ready, *self._replies.values()):
            if not future.done():
                future.set_exception(WorkerLost(reason))
                future.exception()  # nobody need wait for it
        if job is None or job.finished.done():
            return
        if not begun and not job.cancelled:
            job.finished.set_exception(NotBegun(reason))
        else:
            status: Literal["cancelled", "lost"] = "cancelled" if job.cancelled else "lost"
            job.finished.set_result(Outcome(status, reason=reason, seconds=time.monotonic() - job.begin))

    def kill(self, why: str) -> None:
        """End the process at once; `why` becomes the reason."""
        self._verdict = self._verdict or why
        self._kill_all()

    def _kill_all(self) -> None:
        """The process and all that it started."""
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else os.kill(self.pid, signal.SIGTERM)

    async def stop(self, why: str) -> None:
        """Let the process end by itself, for a moment; then kill it. A run that goes on is cancelled."""
        self._verdict = self._verdict or why
        if self.job is not None:
            self.cancel(self.job.id)
        if self.was_ready:
            self.send({"kind": "stop"})
            await asyncio.wait([self.ended], timeout=self._limits.stop)
        if not self.ended.done():
            self._kill_all()
        await asyncio.wait([self._task])

    # ------------------------------------------------------------------------------- talking

    def send(self, data: Mapping[str, Any], binary: bytes = b"") -> None:
        writer = self._process.stdin if self._process is not None else None
        if writer is not None and not writer.is_closing():
            writer.write(link.frame(data, binary))

    async def ask(self, kind: str, binary: bytes = b"", **data: Any) -> Any:
        """The answer to a question. Raises WorkerLost, or the NodegraphError that the worker told."""
        if self.ended.done():
            raise WorkerLost(self.ended.result())
        number = next(self._numbers)
        self._replies[number] = future = asyncio.get_running_loop().create_future()
        self.send({"kind": kind, "id": number, **data}, binary)
        try:
            return await future
        finally:
            del self._replies[number]

    async def run(self, id: str, document: bytes, submission: Submission, listener: RunListener) -> Outcome:
        """Run to the end, of the run or of the process. document: the submission's, written. Raises NotBegun."""
        if self.ended.done():
            raise NotBegun(self.ended.result())
        self._secrets.extend(set(submission.secrets.values()).difference(self._secrets))
        asked = {
            "targets": _listed(submission.targets),
            "previews": submission.previews,
            "trace": submission.trace,
            "secrets": dict(submission.secrets),
            "document": len(document),
        }
        origin = submission.origin_text.encode("ascii") if submission.origin else b""
        self.job = job = RunningJob(id, listener, asyncio.get_running_loop().create_future())
        try:
            self.send({"kind": "run", "job": id, **asked}, document + origin)
            return await job.finished
        except link.FrameTooLarge as error:
            return Outcome("failed", error={"code": "E405", "error": "TooLarge", "message": f"the workflow makes {error}"})
        finally:
            if job.killing is not None:
                job.killing.cancel()
            self.job = None

    def prepare(self, document: bytes, targets: Sequence[str] | None) -> None:
        """Let the process check a workflow that it may soon be asked to run, if it has nothing else to do."""
        if self.is_ready and self.job is None:
            with contextlib.suppress(link.FrameTooLarge):
                self.send({"kind": "prepare", "targets": _listed(targets), "document": len(document)}, document)

    def cancel(self, id: str) -> None:
        """Ask the run to stop; kill the process if it does not within the grace period."""
        job = self.job
        if job is None or job.id != id or job.cancelled:
            return
        job.cancelled = True
        self.send({"kind": "cancel", "job": id})
        why = f"the run did not stop within {self._limits.grace:g} s of being cancelled, so the worker process was killed"
        job.killing = asyncio.get_running_loop().call_later(self._limits.grace, self.kill, why)

    # ------------------------------------------------------------------------------- listening

    async def _read_frames(self, stream: asyncio.StreamReader) -> None:
        try:
            while (frame := await link.receive(stream)) is not None:
                self._heard = time.monotonic()
                self._take(frame)
        except (link.LinkBroken, LookupError, TypeError) as error:
            self.kill(f"the worker process sent what is no message: {type(error).__name__}: {error}")

    def _take(self, frame: link.Frame) -> None:
        data, job = frame.data, self.job
        match frame.kind:
            case "ready":
                self.ready.set_result(data)
            case "refused":
                self.kill(f"the worker process speaks protocol {data['protocol']}, the server {link.PROTOCOL}")
            case "reply":
                self._take_reply(data)
            case "pong" if job is not None and job.id == data["job"]:
                job.node, job.since = data["node"], data["since"]
            case "events" if job is not None:
                self._take_events(job, *link.events_of(frame))
            case "preview" if job is not None:
                preview = LivePreview(job.id, data["node"], data["width"], data["height"], frame.binary)
                self._tell(job.listener.on_preview, preview)
            case "finished" if job is not None and job.id == data["job"] and not job.finished.done():
                outputs, error = without((data["outputs"], data.get("error")), self._secrets)
                job.finished.set_result(Outcome(data["status"], outputs, error, seconds=data["seconds"]))

    def _take_reply(self, data: Mapping[str, Any]) -> None:
        future = self._replies.get(data["id"])
        if future is None or future.done():
            return
        if "error" in data:
            future.set_exception(error_from_json(data["error"]))
        else:
            future.set_result(data["value"])

    def _take_events(self, job: RunningJob, events: Sequence[Mapping[str, Any]], text: str) -> None:
        clean = without(events, self._secrets)
        begun = next((event for event in reversed(clean) if event["event"] == "node_started"), None)
        if begun is not None:
            job.node, job.since = begun["node"], time.time()
        self._tell(job.listener.on_events, job.id, clean, text if clean is events else "")

    def _tell(self, listen: Callable[..., None], *what: Any) -> None:
        try:
            listen(*what)
        except Exception:
            log.exception("a listener failed")

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        async for told in lines(stream):
            line = without(told, self._secrets)
            self._last_lines.append(line)
            self._tell(self._on_line, line)

    async def _watch(self) -> None:
        """Ask for a sign of life now and then; kill what gives none."""
        while True:
            asked = time.monotonic()
            self.send({"kind": "ping"})
            await asyncio.sleep(self._limits.ping)
            while self._heard < asked:
                if time.monotonic() - asked > self._limits.hang:
                    self.kill(f"the worker process gave no sign of life for {self._limits.hang:g} s and was killed")
                    return
                await asyncio.sleep(min(self._limits.ping, self._limits.hang / 4))


def _listed(targets: Sequence[str] | None) -> list[str] | None:
    return list(targets) if targets is not None else None
