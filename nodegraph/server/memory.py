"""How much memory there is and how much a process holds, as the system says; and how often garbage is looked for."""

from __future__ import annotations

import contextlib
import gc
import os


def machine_bytes() -> tuple[int, int]:
    """Bytes of this machine's memory: all, and what programs could still get. Zero where the system does not say."""
    with contextlib.suppress(OSError, KeyError, ValueError), open("/proc/meminfo", encoding="ascii") as stream:
        found = {name: text.split()[0] for name, _, text in (line.partition(":") for line in stream)}
        return int(found["MemTotal"]) * 1024, int(found["MemAvailable"]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0
    return 0, 0


def resident_bytes() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def collect_seldom() -> None:
    """Look for garbage in cycles less often. What is loaded by now never becomes any, and need not be looked at.

    A workflow of 5,000 nodes makes 100,000 objects that are all in use; by default Python looks through all there are while it is made.
    """
    gc.freeze()
    gc.set_threshold(2_000, 10, 50)
