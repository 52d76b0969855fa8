"""A server with much to do: requests while a picture is sampled, many sockets, branches side by side, and how late events come.

    python tests/bench/server_load.py [sampling] [sockets] [branches] [events]

sampling: 500 runs of 20 nodes are submitted, over 8 connections, while a run samples: seconds until all are accepted, and seconds a step
    meanwhile. Each such run has a twin that is left alone, now before it and now after, and the same steps of both are compared; of the
    pairs the median counts. lost: by how many seconds the run ends later, as these steps say, and which part of it that is (the whole
    runs say less: they differ by some percent of themselves). cpu: processor time that the worker takes for a step of the whole run,
    which other programs on the machine hardly change. Needs the shipped model
sockets: 1,000 that only listen, and one whose client never reads while its runs tell much: memory, and seconds of a request
branches: four that wait 0.5 s each
events: from the moment in the node to the moment at the socket's client
Must reach: 500 accepted in 2 s, sampler slowed by less than 3 %, memory bounded, branches 0.8 s, events 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import aiohttp
from serving import ROOT, Server, chain, cpu_seconds, fresh, rss

CONNECTIONS = 8


# ------------------------------------------------------------------------------------------------ a client that costs little


class Line:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, address: str) -> Line:
        host, port = address.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """(head, body) of the answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head, await self.reader.readexactly(int(size)) if size else b""


def post(address: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    host = address.removeprefix("http://")
    return f"POST /prompt HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def upgrade(address: str, client: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /ws?clientId={client} HTTP/1.1", f"Host: {address.removeprefix('http://')}", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "\r\n"]).encode()


async def accepted(address: str, count: int, first: int) -> tuple[float, float, list[float]]:
    """(begin, end, seconds of each) of so many submissions."""
    requests = [post(address, {"prompt": chain(20, first + i)}) for i in range(count)]
    lines = [await Line.to(address) for _ in range(CONNECTIONS)]
    times: list[float] = []

    async def work(line: Line) -> None:
        while requests:
            begin = time.perf_counter()
            head, _ = await line.ask(requests.pop())
            assert head.startswith(b"HTTP/1.1 200"), head
            times.append(time.perf_counter() - begin)

    begin = time.time()
    await asyncio.gather(*map(work, lines))
    return begin, time.time(), times


# ------------------------------------------------------------------------------------------------ sampling


def sampling(server: Server, steps: int, seed: int) -> str:
    workflow = json.loads((ROOT / "workflows" / "text_to_image.json").read_text())
    workflow["nodes"]["sample"]["inputs"] |= {"steps": steps, "seed": seed}
    return str(server.ask("/api/v1/runs", {"workflow": workflow, "previews": False})["id"])


Step = tuple[float, float]
"""when it was told, in seconds since 1970, and which"""


def steps_told(server: Server, id: str) -> list[Step]:
    """Not every step is told, but each that is says its number."""
    events: list[dict[str, Any]] = []
    while more := server.ask(f"/api/v1/runs/{id}/log?after={events[-1]['seq'] if events else 0}")["events"]:
        events += more
    return [(event["time"], event["value"]) for event in events if event["event"] == "progress" and event["node"] == "sample"]


def wait_for_step(server: Server, id: str, number: int) -> None:
    while not any(value >= number for _, value in steps_told(server, id)):
        time.sleep(0.2)


def number_at(steps: Sequence[Step], moment: float) -> float:
    """The last step told before a moment, or the first one."""
    return max((number for time, number in steps if time <= moment), default=steps[0][1])


def pace(steps: Sequence[Step], first: float, last: float) -> float:
    """Seconds a step between two steps, or those told next to them."""
    numbers = [number for _, number in steps]
    begin, end = min(bisect_left(numbers, first), len(steps) - 2), min(bisect_left(numbers, last), len(steps) - 1)
    end = max(end, begin + 1)
    return (steps[end][0] - steps[begin][0]) / (numbers[end] - numbers[begin])


@dataclass(frozen=True)
class Sampled:
    """A run. cpu: of the worker, seconds a step; begin, end: of the submissions meanwhile, and seconds of each"""

    steps: Sequence[Step]
    cpu: float
    begin: float = 0.0
    end: float = 0.0
    times: Sequence[float] = ()

    @property
    def seconds(self) -> float:
        """From the first step told to the last."""
        return self.steps[-1][0] - self.steps[0][0]


def sample(server: Server, steps: int, seed: int, load: int = 0) -> Sampled:
    """A run of so many steps; `load` others are submitted when a third of it is done."""
    before = cpu_seconds(server.worker)
    id = sampling(server, steps, seed)
    wait_for_step(server, id, steps // 3)
    begin, end, times = asyncio.run(accepted(server.address, load, 1000 * seed)) if load else (0.0, 0.0, [])
    if load:
        server.ask("/api/v1/queue/clear", {})
    server.ended(id, 0.5)
    return Sampled(steps_told(server, id), (cpu_seconds(server.worker) - before) / steps, begin, end, times)


def measure_sampling(steps: int, repeats: int) -> None:
    pairs = []
    with fresh("--models", str(ROOT / "models")) as server:
        server.ended(sampling(server, 20, 0), 0.2)
        for turn in range(repeats):
            order = (500, 0) if turn % 2 else (0, 500)
            runs = {load: sample(server, steps, 2 * turn + place + 1, load) for place, load in enumerate(order)}
            pairs.append((runs[500], runs[0]))
    seconds = [busy.end - busy.begin for busy, _ in pairs]
    times = [moment for busy, _ in pairs for moment in busy.times]
    print(f"sampling  500 accepted in {median(seconds):.2f} s, at worst {max(seconds):.2f}", end="; ")
    print(f"a request {median(times) * 1e3:.1f} ms, at worst {max(times) * 1e3:.1f}")
    rows, lost = [], []
    for busy, quiet in pairs:
        first, last = number_at(busy.steps, busy.begin), number_at(busy.steps, busy.end) + 1
        slow, fast = pace(busy.steps, first, last), pace(quiet.steps, first, last)
        rows.append((slow, fast, busy.cpu, quiet.cpu))
        lost.append(((slow - fast) * (last - first), quiet.seconds))
    for name, over, under in (("clock", 0, 1), ("cpu", 2, 3)):
        ratios = sorted(row[over] / row[under] - 1 for row in rows)
        print(
            f"          {name:<6}a step {median(row[under] for row in rows) * 1e3:.2f} ms alone,"
            f" {median(row[over] for row in rows) * 1e3:.2f} meanwhile: {median(ratios):+.1%}, of {len(rows)} pairs"
            f" {ratios[0]:+.1%} to {ratios[-1]:+.1%}"
        )
    later, whole = median(later for later, _ in lost), median(whole for _, whole in lost)
    print(f"          lost  {later:.2f} s of a run of {whole:.0f} s: {later / whole:.1%}", flush=True)


# ------------------------------------------------------------------------------------------------ sockets


async def listen(server: Server, count: int) -> tuple[float, float, list[float], list[float]]:
    """(MiB with the sockets, MiB at most while one does not read, seconds of requests meanwhile, MiB after each of its runs)."""
    lines = []
    for number in range(count):
        line = await Line.to(server.address)
        head, _ = await line.ask(upgrade(server.address, f"idle{number}"))
        assert head.startswith(b"HTTP/1.1 101"), head
        lines.append(line)
    await asyncio.sleep(1)
    opened = rss(server.process.pid)
    slow = await Line.to(server.address)
    await slow.ask(upgrade(server.address, "slow"))
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    times, sizes = [], []
    asking = await Line.to(server.address)
    for turn in range(20):
        begin = time.perf_counter()
        await asking.ask(post(server.address, {"prompt": chain(2000, 10**6 + turn), "client_id": "slow"}))
        times.append(time.perf_counter() - begin)
        while (await asyncio.to_thread(server.ask, "/prompt"))["exec_info"]["queue_remaining"]:
            await asyncio.sleep(0.02)
        sizes.append(rss(server.process.pid))
    for line in lines:
        line.writer.close()
    return opened, max(sizes), times, sizes


def measure_sockets() -> None:
    with fresh() as server:
        server.ended(server.submit(chain(2000, 0)))
        before = rss(server.process.pid)
        opened, most, times, sizes = asyncio.run(listen(server, 1000))
        each = (opened - before) * 1.024
        print(f"sockets   {before:.1f} MiB before, {opened:.1f} with 1,000 ({each:.1f} KiB each), {most:.1f} at most after runs")
        print(f"          of a client that does not read; after 5, 10, 15, 20 runs: {', '.join(f'{size:.1f}' for size in sizes[4::5])}")
        print(f"          a request of 2,000 nodes meanwhile {median(times) * 1e3:.0f} ms, at worst {max(times) * 1e3:.0f}", flush=True)


# ------------------------------------------------------------------------------------------------ branches and events


def branches(first: int) -> dict[str, Any]:
    prompt: dict[str, Any] = {}
    for i in range(4):
        prompt[f"sleep{i}"] = {"class_type": "bench/Sleep", "inputs": {"a": first + i}}
        prompt[f"sink{i}"] = {"class_type": "bench/Sink", "inputs": {"a": [f"sleep{i}", 0]}}
    return prompt


def measure_branches(repeats: int) -> None:
    times = []
    with fresh() as server:
        for turn in range(repeats):
            begin = time.time()
            times.append(server.ended(server.submit(branches(100 * turn)))["ended"] - begin)
    print(f"branches  {median(times):.3f} s, at worst {max(times):.3f}", flush=True)


async def lateness(server: Server, turn: int) -> list[float]:
    """Seconds from a node to the client, for each of 100 nodes."""
    nodes = {str(i): {"class_type": "bench/Clock", "inputs": {"a": 1000 * turn + i}} for i in range(100)}
    late = []
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        socket = await stack.enter_async_context(session.ws_connect(f"{server.address}/ws?clientId=clock"))
        await asyncio.to_thread(server.submit, nodes, client_id="clock")
        async for message in socket:
            now, told = time.time(), json.loads(message.data)
            if told["type"] == "executed":
                late.append(now - float(told["data"]["output"]["text"][0]))
            if told["type"] == "executing" and told["data"]["node"] is None:
                break
    return late


def measure_events(repeats: int) -> None:
    with fresh() as server:
        late = sorted(value for turn in range(repeats) for value in asyncio.run(lateness(server, turn)))
    shown = ", ".join(f"{name} {late[int(len(late) * part)] * 1e3:.1f}" for name, part in (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99)))
    print(f"events    {len(late)}: {shown}, at worst {late[-1] * 1e3:.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["branches", "events", "sockets", "sampling"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for part in options.parts:
        if part == "sampling":
            measure_sampling(options.steps, options.repeats)
        elif part == "sockets":
            measure_sockets()
        elif part == "branches":
            measure_branches(options.repeats)
        else:
            measure_events(options.repeats)


if __name__ == "__main__":
    main()
