"""A server for a long time: memory over thousands of short runs, and kills at random moments.

    python tests/bench/server_soak.py [--runs 2000] [--kills 100]

runs: of 20 nodes, each another graph, 50 submitted at a time; memory of both processes at every tenth of them, and how much a run adds in
    the second half, fitted. Results are kept up to the cache's budget, so the same 100 graphs are sent again and again
kills: tests/server/test_crash.py with that many SIGKILLs under load; it fails if a promise is broken
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import linear_regression

from serving import ROOT, Server, chain, fresh, rss

GRAPHS = 100
AT_ONCE = 50


def run_some(server: Server, first: int) -> None:
    for number in range(first, first + AT_ONCE):
        server.submit(chain(20, number % GRAPHS), client_id=f"client{number % 7}")
    while server.ask("/prompt")["exec_info"]["queue_remaining"]:
        time.sleep(0.01)


def soak(runs: int) -> None:
    rows: list[tuple[int, float, float]] = []
    with fresh() as server:
        begin = time.perf_counter()
        for first in range(0, runs, AT_ONCE):
            run_some(server, first)
            rows.append((first + AT_ONCE, rss(server.process.pid), rss(server.worker)))
        seconds = time.perf_counter() - begin
    for count, own, worker in rows[:: max(1, len(rows) // 10)] + rows[-1:]:
        print(f"{count:>6} runs   server {own:6.1f} MiB   worker {worker:6.1f} MiB")
    half = rows[len(rows) // 2 :]
    for name, column in (("server", 1), ("worker", 2)):
        slope = linear_regression([row[0] for row in half], [row[column] for row in half]).slope
        print(f"{name}: {slope * 1024:+.2f} KiB a run in the second half")
    print(f"{runs / seconds:.0f} runs a second", flush=True)


def kill(times: int) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/server/test_crash.py"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NODEGRAPH_KILLS": str(times)}, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args()
    soak(options.runs)
    if options.kills:
        kill(options.kills)


if __name__ == "__main__":
    main()
