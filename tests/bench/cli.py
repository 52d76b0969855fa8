"""Whole processes: from the command to a picture on disk, the same again, `check` and `--help`.

    python tests/bench/cli.py [--repeats 5]

Budgets on 2 cores: fresh 6 s, again 1.0 s, check and help 0.35 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BUDGETS = {"fresh": 6.0, "again": 1.0, "check": 0.35, "help": 0.35}


def timed(arguments: list[str], folder: Path) -> float:
    environment = {**os.environ, "NODEGRAPH_CACHE": str(folder / "cache"), "NODEGRAPH_OUTPUT": str(folder / "output")}
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nodegraph", *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - begin


def once(workflow: str) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp())
    try:
        times = {"fresh": timed(["run", workflow], folder)}
        assert len(list((folder / "output").glob("*.png"))) == 1
        times["again"] = timed(["run", workflow], folder)
        assert len(list((folder / "output").glob("*.png"))) == 1
        times["check"] = timed(["check", workflow], folder)
        times["help"] = timed(["--help"], folder)
        return times
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workflow", default="text_to_image")
    options = parser.parse_args()
    once(options.workflow)
    rows = [once(options.workflow) for _ in range(options.repeats)]
    print(f"{'':<8}{'median s':>10}{'fastest':>10}{'budget':>10}")
    for name, budget in BUDGETS.items():
        values = [row[name] for row in rows]
        print(f"{name:<8}{median(values):>10.2f}{min(values):>10.2f}{budget:>10.2f}")


if __name__ == "__main__":
    main()
