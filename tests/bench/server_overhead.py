"""What the server costs a node: chains and fans of nodes that do nothing, from the request to the end of the run, over HTTP.

    python tests/bench/server_overhead.py [--sizes 100 1000 5000] [--repeats 5]

cold: nothing is kept; cached: the same again. From sending the request until the run has ended by the server's clock, or, with an
open websocket, until the client has its last message. cpu: of server and worker together, until both are done with it
Must reach on chains of 5,000: 60 us a node cold, 15 cached.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import aiohttp
from serving import Server, chain, cpu_seconds, fan, fresh, ours

SELDOM = 0.2
"""seconds between two looks at whether a run has ended; when it did, its record says"""
Times = tuple[float, float, float]
"""seconds: all, processor of the server, processor of the worker"""


class Bench:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.worker = server.worker
        self.count = itertools.count(1)

    def cpu(self) -> tuple[float, float]:
        return cpu_seconds(self.server.process.pid), cpu_seconds(self.worker)

    def timed(self, path: str, data: bytes, wait: Callable[[bytes], float]) -> Times:
        before, begin = self.cpu(), time.time()
        end = wait(self.server.fetch(path, data))
        self.settle()
        after = self.cpu()
        return end - begin, after[0] - before[0], after[1] - before[1]

    def settle(self, quiet: float = 0.1) -> None:
        """Until both processes have stopped working."""
        before = None
        while before != (before := self.cpu()):
            time.sleep(quiet)

    def by_record(self, id: str) -> float:
        """When the run ended, as its record says."""
        return float(self.server.ended(id, SELDOM)["ended"])

    def comfy(self, prompt: dict[str, Any]) -> Times:
        return self.timed(
            "/prompt", json.dumps({"prompt": prompt}).encode(), lambda answer: self.by_record(json.loads(answer)["prompt_id"])
        )

    def own(self, prompt: dict[str, Any]) -> Times:
        data = json.dumps({"workflow": ours(prompt)}).encode()
        return self.timed("/api/v1/runs", data, lambda answer: self.by_record(json.loads(answer)["id"]))

    def watched(self, prompt: dict[str, Any]) -> Times:
        """As `comfy`, with a client that listens; its reading is not counted as the server's."""
        return asyncio.run(self._watched(json.dumps({"prompt": prompt, "client_id": "bench"}).encode()))

    async def _watched(self, data: bytes) -> Times:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{self.server.address}/ws?clientId=bench", max_msg_size=0) as ws:
            before, begin = self.cpu(), time.time()
            async with session.post(f"{self.server.address}/prompt", data=data, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 200, await answer.text()
            async for message in ws:
                if message.data.startswith('{"type": "executing"') and '"node": null' in message.data:
                    break
            end = time.time()
        self.settle()
        after = self.cpu()
        return end - begin, after[0] - before[0], after[1] - before[1]


def row(
    bench: Bench, name: str, make: Callable[[int, int], dict[str, Any]], run: Callable[[dict[str, Any]], Times], size: int, repeats: int
) -> None:
    cold, cached = [], []
    for _ in range(repeats):
        prompt = make(size, next(bench.count))
        cold.append(run(prompt))
        cached.append(run(prompt))
    columns = [median(column) / size * 1e6 for times in (cold, cached) for column in zip(*times, strict=True)]
    shown = "".join(f"{value:>9.1f}" for value in columns)
    print(f"{name:<6}{run.__name__:<9}{size:>6}{shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=["comfy", "own", "watched"])
    parser.add_argument("--graphs", nargs="+", default=["chain", "fan"])
    options = parser.parse_args()
    print(f"us a node, median of {options.repeats}\n{'':<21}{'cold':>9}{'server':>9}{'worker':>9}{'cached':>9}{'server':>9}{'worker':>9}")
    with fresh() as server:
        bench = Bench(server)
        for run in (bench.comfy, bench.own):
            run(chain(100, 0))  # what is imported with the first request
        bench.settle(2.0)  # a worker without work imports torch after a second
        for make, way, size in itertools.product((chain, fan), options.ways, options.sizes):
            if make.__name__ in options.graphs:
                row(bench, make.__name__, make, getattr(bench, way), size, options.repeats)


if __name__ == "__main__":
    main()
