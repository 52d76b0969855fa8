"""Engine alone, in process: microseconds a node on chains and fans of no-op nodes.

    python tests/bench/engine.py [--sizes 100 1000 10000] [--repeats 5]

cold: an empty cache, from the checked graph to the result (keys, plan, calls, cache, result)
cached: the same document again
build: checking the document (types, links, order), which both pay once a submission
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from nodegraph import Registry, events, node
from nodegraph.cache import Cache
from nodegraph.calling import Caller
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.files import Files
from nodegraph.graph import build
from nodegraph.keys import KeyMaker
from nodegraph.scheduler import Run, RunResult


@node("Pass", category="bench")
def pass_on(a: int, b: int = 0) -> int:
    """Return the first number."""
    return a


def chain(count: int) -> tuple[Document, list[str]]:
    nodes = {str(i): NodeEntry("Pass", {"a": Link(str(i - 1), "int") if i else 1, "b": i}) for i in range(count)}
    return Document(nodes), [str(count - 1)]


def fan(count: int) -> tuple[Document, list[str]]:
    nodes = {"0": NodeEntry("Pass", {"a": 1})}
    nodes |= {str(i): NodeEntry("Pass", {"a": Link("0", "int"), "b": i}) for i in range(1, count)}
    return Document(nodes), [str(i) for i in range(1, count)]


class Bench:
    def __init__(self) -> None:
        self.registry = Registry().add(pass_on)
        here = Path()
        self.files = Files(here, here, here)
        self.keys = KeyMaker(self.registry, self.files, "cpu", lambda path: "", lambda: b"")

    def run(self, document: Document, targets: list[str], cache: Cache) -> tuple[RunResult, float, float]:
        start = time.perf_counter()
        graph = build(document, self.registry, None, targets)
        built = time.perf_counter()
        caller = Caller(self.registry, self.files, events.ignore, threading.Event())
        result = Run(graph, self.keys, cache, caller).execute()
        return result, built - start, time.perf_counter() - built


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    bench = Bench()
    print(f"{'graph':<8}{'nodes':>8}{'build':>10}{'cold':>10}{'cached':>10}   us a node, median of {options.repeats}")
    for name, make in (("chain", chain), ("fan", fan)):
        for size in options.sizes:
            rows = []
            for _ in range(options.repeats):
                document, targets = make(size)
                cache = Cache()
                gc.collect()
                first, build_time, cold = bench.run(document, targets, cache)
                again, _, cached = bench.run(document, targets, cache)
                assert first.status == again.status == "done"
                assert len(first.executed) == size
                assert not again.executed
                rows.append((build_time, cold, cached))
            build_time, cold, cached = (median(column) / size * 1e6 for column in zip(*rows, strict=True))
            print(f"{name:<8}{size:>8}{build_time:>10.2f}{cold:>10.2f}{cached:>10.2f}")


if __name__ == "__main__":
    main()
