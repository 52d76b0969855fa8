"""The worker process, `python -m nodegraph.server.worker.main`: one engine for its life, one run at a time in its main thread.

A second thread reads what the server sends, so that it answers pings and takes cancellations while a node works, and ends the process
when the server is gone, whatever the node does. Standard output belongs to the link alone; what packs print goes to standard error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from functools import partial
from hashlib import blake2b
from importlib import import_module
from typing import IO, Any, Final, NoReturn

from nodegraph import __version__
from nodegraph.cli.main import share_processors
from nodegraph.engine import Engine
from nodegraph.errors import NodegraphError, OutOfMemory
from nodegraph.graph import Graph
from nodegraph.server.catalog.descriptions import describe, digest
from nodegraph.server.memory import collect_seldom
from nodegraph.server.wire import link, settings_json
from nodegraph.server.wire.board import Board
from nodegraph.server.worker.answers import ANSWERS, document_of
from nodegraph.server.worker.event_text import bounded_shown
from nodegraph.server.worker.outbox import Outbox, Sink

GRAPHS_KEPT: Final = 8
"""checked graphs that are kept, so that the same workflow is not checked again"""
CHUNK: Final = re.compile(r"(?!nodegraph$)[!-~]{1,79}")
"""names of text in a PNG that are not ours"""
IDLE_SECONDS: Final = 1.0
"""after this long without work, torch is imported beforehand"""


class Worker:
    """The engine and what is known of the run that goes on. Frames come in through `take`, in the thread that reads them."""

    def __init__(self, outbox: Outbox, board: Board | None) -> None:
        self._outbox = outbox
        self._board = board
        self._work: queue.SimpleQueue[link.Frame] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[link.Frame] = queue.SimpleQueue()
        self._cancelled: dict[str, threading.Event] = {}
        self._sink: Sink | None = None
        self._job: str | None = None
        self._graphs: OrderedDict[bytes, Graph] = OrderedDict()

    # ------------------------------------------------------------------------------- the thread that reads

    def take(self, frame: link.Frame) -> None:
        """Hand a frame to whoever deals with it."""
        kind = frame.kind
        if kind == "ping":
            self._outbox.send({"kind": "pong", **self.doing()})
        elif kind == "cancel":
            stop = self._cancelled.get(frame.data["job"])
            if stop is not None:
                stop.set()
        elif kind in ("run", "free", "stop"):
            if kind == "run":
                self._cancelled[frame.data["job"]] = threading.Event()
            self._work.put(frame)
        elif kind == "prepare":
            if self._job is None and self._work.empty():  # else there is better to do than to guess
                self._work.put(frame)
        else:
            self._questions.put(frame)

    def doing(self) -> dict[str, Any]:
        """The job and the node at work, and since when."""
        sink = self._sink
        running = sink.doing.copy() if sink is not None else {}
        node, since = max(running.items(), key=lambda item: item[1], default=(None, None))
        return {"job": self._job, "node": node, "since": since}

    # ------------------------------------------------------------------------------- the main thread

    def serve(self, engine: Engine, preload: bool) -> None:
        """Work until told to stop."""
        threading.Thread(target=self._answer_all, args=(engine,), name="nodegraph-answers", daemon=True).start()
        while True:
            try:
                frame = self._work.get(timeout=IDLE_SECONDS if preload else None)
            except queue.Empty:
                preload = False
                threading.Thread(target=_load_torch, args=(engine,), name="nodegraph-preload", daemon=True).start()
                continue
            if frame.kind == "stop":
                return
            if frame.kind == "free":
                engine.free(models=frame.data["models"], results=frame.data["results"])
                self._graphs.clear()
                gc.collect()
            elif frame.kind == "prepare":
                self._prepare(engine, frame)
            else:
                self._run(engine, frame)

    def _run(self, engine: Engine, frame: link.Frame) -> None:
        begin = time.perf_counter()
        self._job = job = frame.data["job"]
        if self._board is not None:
            self._board.note(job)
        try:
            outcome = self._outcome(engine, frame)
        except NodegraphError as error:
            outcome = {"status": "failed", "error": error.to_json()}
        except MemoryError:
            full = OutOfMemory("memory ran out", hint="make the picture or the batch smaller, or close other programs")
            outcome = {"status": "failed", "error": full.to_json()}
        except Exception as fault:  # noqa: BLE001 - a fault of the engine fails this run; the next one may do better
            traceback.print_exc()
            told = NodegraphError(f"{type(fault).__name__}: {fault}", hint="this is a fault of nodegraph; its log has the traceback")
            outcome = {"status": "failed", "error": told.to_json()}
        sink, self._sink, self._job = self._sink, None, None
        if sink is not None:
            sink.close()
        del self._cancelled[job]
        shown = {id: bounded_shown(items) for id, items in sink.shown.items()} if sink is not None else {}
        self._outbox.send({"kind": "finished", "job": job, "outputs": shown, **outcome, "seconds": time.perf_counter() - begin})

    def _outcome(self, engine: Engine, frame: link.Frame) -> dict[str, Any]:
        graph = self._graph(engine, frame)
        self._sink = sink = Sink(self._outbox, graph.nodes, frame.data["job"], self._board)
        asked = {name: frame.data[name] for name in ("previews", "trace", "secrets")}
        foreign = partial(chunks_of, frame.binary[frame.data["document"] :])
        result = engine.run(graph, emit=sink, cancelled=self._cancelled[frame.data["job"]], foreign=foreign, **asked)
        return {"status": result.status, "error": result.error.to_json() if result.error is not None else None}

    def _prepare(self, engine: Engine, frame: link.Frame) -> None:
        """Check a workflow while the server is still storing it; should it be at fault, its run will tell."""
        with contextlib.suppress(NodegraphError, MemoryError):
            self._graph(engine, frame)

    def _graph(self, engine: Engine, frame: link.Frame) -> Graph:
        """The checked graph of a run: the one of an earlier run of the same workflow, if it cannot have been changed since."""
        targets, document = frame.data["targets"], frame.binary[: frame.data["document"]]
        name = blake2b(link.dump(targets).encode() + b"\0" + document, digest_size=16).digest()
        graph = self._graphs.pop(name, None)
        if graph is None:
            graph = engine.check(document_of(document), targets=targets)
        if not _holds_lists(graph):
            self._graphs[name] = graph
            while len(self._graphs) > GRAPHS_KEPT:
                self._graphs.popitem(last=False)
        return graph

    # ------------------------------------------------------------------------------- answers, beside a run

    def _answer_all(self, engine: Engine) -> None:
        while True:
            frame = self._questions.get()
            try:
                answer: dict[str, Any] = {"value": ANSWERS[frame.kind](engine, frame)}
            except NodegraphError as error:
                answer = {"error": error.to_json()}
            except Exception as fault:  # noqa: BLE001 - told to whoever asked; the next question may be answered
                traceback.print_exc()
                answer = {"error": NodegraphError(f"{type(fault).__name__}: {fault}").to_json()}
            self._outbox.send({"kind": "reply", "id": frame.data.get("id"), **answer})


def chunks_of(origin: bytes) -> dict[str, Any]:
    """What ComfyUI writes into a picture: `prompt`, and each part of `extra_pnginfo`, `workflow` as a rule.

    origin: what came to `/prompt`, as JSON; empty for runs that were asked for in another way
    """
    if not origin:
        return {}
    asked = json.loads(origin)
    extra = asked.get("extra_data", {}).get("extra_pnginfo")
    named = extra if isinstance(extra, dict) else {}
    return {**{key: value for key, value in named.items() if CHUNK.fullmatch(key)}, "prompt": asked.get("prompt", {})}


def _holds_lists(graph: Graph) -> bool:
    """Whether some input is a list or an object, which a node could change in place."""
    return any(type(value) in (list, dict) for node in graph.nodes.values() for value in node.inputs.values())


def _load_torch(engine: Engine) -> None:
    """Have at hand what the first picture needs. Imported before the engine is asked, which must not wait for it meanwhile."""
    try:
        import_module("nodegraph.diffusion.store")
        engine.services()
        gc.freeze()
    except Exception:  # noqa: BLE001 - whoever needs torch is told what is wrong with it
        return


# --------------------------------------------------------------------------------------------- the process


def main() -> None:
    share_processors()
    inbox, descriptor = take_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    die_with_parent()
    outbox = Outbox(descriptor)
    hello = link.read(inbox)
    if hello is None:
        return
    if hello.kind != "hello" or hello.data.get("protocol") != link.PROTOCOL:
        outbox.send({"kind": "refused", "protocol": link.PROTOCOL})
        outbox.close()
        return
    board = Board(hello.data["board"]) if hello.data["board"] is not None else None
    worker = Worker(outbox, board)
    threading.Thread(target=_read_all, args=(inbox, worker), name="nodegraph-inbox", daemon=True).start()
    with Engine(settings_json.from_json(hello.data["settings"])) as engine:
        nodes = digest(describe(engine.registry))
        collect_seldom()
        outbox.send({"kind": "ready", "protocol": link.PROTOCOL, "version": __version__, "pid": os.getpid(), "nodes": nodes})
        worker.serve(engine, bool(hello.data.get("preload")))
    outbox.close()


def take_streams() -> tuple[IO[bytes], int]:
    """(where frames come in, the descriptor where they go out); for everyone else there is no input, and output is standard error."""
    inbox = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    descriptor = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return inbox, descriptor


def _read_all(inbox: IO[bytes], worker: Worker) -> None:
    """Read until the server is gone; then nothing here has a purpose."""
    try:
        while (frame := link.read(inbox)) is not None:
            worker.take(frame)
    except (link.LinkBroken, OSError) as error:
        print(f"the link to the server broke: {error}", file=sys.stderr)
    finally:
        leave()


def leave() -> NoReturn:
    """End at once, with every process that nodes may have started."""
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def die_with_parent() -> None:
    """On Linux, have the system end this process when the server dies, even if no thread here can run any more.

    If memory runs out, this process is to go before the server.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("500")
    except OSError:
        return


if __name__ == "__main__":
    main()
