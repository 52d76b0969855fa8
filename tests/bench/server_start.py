"""How soon a server answers, and what it takes while it has nothing to do.

    python tests/bench/server_start.py [--repeats 9]

first start: with empty state and cache folders; second: with what the first one left; all from the start of the process
root: until `GET /` is answered; object_info: until its answer is complete; rss: of the server process, idle, after that
cpu: seconds of processor time that the server process has taken by then, which other programs on the machine hardly change
v1: the same after a first request to our own API, which imports pydantic
Must reach: root 0.5 s, object_info 1.0 s on the second start, rss 80 MiB.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from serving import Server, chain, cpu_seconds, ours, rss, serving


def until(server: Server, path: str) -> float:
    server.fetch(path)
    return time.perf_counter() - server.begin


def start(folder: Path) -> dict[str, float]:
    with serving(folder) as server:
        found = {}
        for name, path in (("root", "/"), ("system_stats", "/system_stats"), ("object_info", "/object_info")):
            found[name], found[f"{name} cpu"] = until(server, path), cpu_seconds(server.process.pid)
        time.sleep(2)
        found["rss"] = rss(server.process.pid)
        server.ended(server.submit(chain(20, 1)))
        server.ended(server.ask("/api/v1/runs", {"workflow": ours(chain(20, 2))})["id"])
        found["v1"] = rss(server.process.pid)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    starts: dict[str, list[dict[str, float]]] = {"first": [], "second": []}
    for _ in range(options.repeats):
        with TemporaryDirectory() as folder:
            for rows in starts.values():
                rows.append(start(Path(folder)))
    for name, rows in starts.items():
        shown = [f"{key} {median(row[key] for row in rows):.{1 if key in ('rss', 'v1') else 3}f}" for key in rows[0]]
        print(f"{name + ' start':<14}{', '.join(shown)}   (s; rss and v1 in MiB; median of {options.repeats})")


if __name__ == "__main__":
    main()
