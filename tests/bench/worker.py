"""A worker process: microseconds a node on chains of no-op nodes, from the submission to its outcome, and what events cost.

    python tests/bench/worker.py [--size 5000] [--repeats 5]

cold: nothing is kept; cached: the same workflow again; start: until the process is ready
emit: what the thread that runs nodes spends on one event
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "server"))

from rig import Recorder, working

from nodegraph import events as ev
from nodegraph.server.queue.model import Submission
from nodegraph.server.wire.board import new_board
from nodegraph.server.worker.outbox import Outbox, Sink


def chain(count: int, first: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {"0": {"type": "trouble/Number", "inputs": {"value": first}}}
    for i in range(1, count):
        nodes[str(i)] = {"type": "trouble/Add", "inputs": {"a": {"link": [str(i - 1), "int"]}, "b": i}}
    return {"nodegraph": 1, "nodes": nodes, "layout": {}, "meta": {}}


async def runs(size: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        async with working(Path(folder)) as worker:
            await worker.ready()
            print(f"start   {(time.perf_counter() - begin) * 1e3:8.0f} ms")
            cold, cached, events = [], [], 0
            for turn in range(repeats):
                document = chain(size, turn)
                for times in (cold, cached):
                    recorder = Recorder()
                    begin = time.perf_counter()
                    outcome = await worker.run(f"job{turn}", Submission("", document, (str(size - 1),)), recorder)
                    times.append((time.perf_counter() - begin) / size * 1e6)
                    assert outcome.status == "done"
                    events = max(events, len(recorder.events))
            rate = events / size / min(cold) * 1e6
            print(f"cold    {median(cold):8.1f} us a node, best {min(cold):.1f}; {events} events, {rate:.0f} a second")
            print(f"cached  {median(cached):8.1f} us a node, best {min(cached):.1f}")
            print(f"memory  {(await worker.stats())['rss'] / 2**20:8.1f} MiB")


def emitting(count: int = 200_000) -> None:
    out, into = os.pipe()

    def drain() -> None:
        while os.read(out, 1 << 20):
            pass

    threading.Thread(target=drain, daemon=True).start()
    box = Outbox(into)
    sink = Sink(box, {}, "job", new_board())
    started, finished = ev.NodeStarted("17", "KSampler"), ev.NodeFinished("17", "KSampler", 0.1)
    begin = time.thread_time()
    for _ in range(count // 2):
        sink(started)
        sink(finished)
    print(f"emit    {(time.thread_time() - begin) / count * 1e6:8.2f} us an event")
    box.close()
    begin = time.perf_counter()
    for _ in range(20_000):
        json.dumps(finished.to_json())
    print(f"write   {(time.perf_counter() - begin) / 20_000 * 1e6:8.2f} us an event, in the thread of the outbox")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(runs(options.size, options.repeats))
    emitting()


if __name__ == "__main__":
    main()
