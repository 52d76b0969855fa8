"""Why a process ended, in words: exit codes, signals, and whether the system took it because memory ran out."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_COUNTERS: Final = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""files of Linux that count processes that were killed because memory ran out: of the machine, of the control group"""


def memory_kills(counters: Sequence[Path] = _COUNTERS) -> Mapping[str, int]:
    """How many processes the system has killed for want of memory so far, by source; empty where it does not say."""
    found = {}
    for path in counters:
        try:
            words = path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            continue
        for name, value in zip(words[::2], words[1::2], strict=False):
            if name == "oom_kill" and value.isdigit():
                found[str(path)] = int(value)
    return found


def cause(code: int | None, before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """How a process ended. code: as `subprocess` gives it, a signal's number negated; before, after: `memory_kills`."""
    if code is None:
        return "closed its link"
    if code >= 0:
        return f"ended with exit code {code}"
    name = _signal_name(-code)
    ran_out = -code == getattr(signal, "SIGKILL", 9) and any(after.get(key, 0) > count for key, count in before.items())
    return f"was killed by {name}" + (" because memory ran out" if ran_out else "")


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
