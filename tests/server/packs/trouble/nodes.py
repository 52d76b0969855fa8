"""Nodes that do to their process what packs can do to it."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time

from nodegraph import Context, node

LONG = 600


@node("trouble/Number", category="trouble")
def number(value: int = 0) -> int:
    """Give a number."""
    return value


@node("trouble/Add", category="trouble")
def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@node("trouble/Show", category="trouble", output=True)
def show(ctx: Context, value: int) -> None:
    """Show a number."""
    ctx.show("text", text=str(value))


@node("trouble/Odd", category="trouble", output=True)
def odd(ctx: Context, value: int) -> None:
    """Show what JSON cannot hold."""
    ctx.show("odd", bad=float("nan"), cls=int, huge=10**5000, keys={1: b"x"}, broken="\ud800", where={3})


@node("trouble/Huge", category="trouble", output=True)
def huge(ctx: Context, value: int) -> None:
    """Show far too much."""
    ctx.log("x" * value)
    ctx.show("text", text="x" * value)


@node("trouble/Spin", category="trouble")
def spin(a: int) -> int:
    """Never come back."""
    while True:
        pass


@node("trouble/Stuck", category="trouble")
def stuck(a: int) -> int:
    """Wait in C, with a lock that nobody gives back."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return a


@node("trouble/HoldsAll", category="trouble")
def holds_all(a: int) -> int:
    """Wait in C without letting any other Python thread run."""
    ctypes.PyDLL(None).sleep(LONG)
    return a


@node("trouble/Die", category="trouble", cached=False)
def die(a: int, how: str = "kill") -> int:
    """End the process."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "once" and not os.path.exists(os.environ["TROUBLE_FILE"]):
        open(os.environ["TROUBLE_FILE"], "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return a


@node("trouble/Noise", category="trouble", cached=False)
def noise(a: int) -> int:
    """Print in every way there is, and read what is not there."""
    print("printed")
    sys.stdout.write("a line that is long: " + "x" * 100_000 + "\n")
    os.write(1, b"written to descriptor 1\n\x00\x00\x00\x05\xff\xfe\n")
    os.write(2, b"written to descriptor 2\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    assert sys.stdin.read() == ""
    return a


@node("trouble/Parent", category="trouble", cached=False)
def parent(ctx: Context, a: int) -> int:
    """Start a process that would outlive this one, and die."""
    child = subprocess.Popen(["sleep", str(LONG)])
    ctx.log(str(child.pid))
    time.sleep(0.2)  # so that the message is on its way
    os.kill(os.getpid(), signal.SIGKILL)
    return a


@node("trouble/Steps", category="trouble", cached=False)
def steps(ctx: Context, count: int, a: int = 0) -> int:
    """Work in steps that can be cancelled, with a picture of each."""
    import numpy as np

    for step in ctx.track(range(count), preview=lambda step: np.full((8, 12, 3), step % 256, np.uint8)):
        time.sleep(0.02)
        a += step
    return a


@node("trouble/Talk", category="trouble", cached=False)
def talk(ctx: Context, count: int) -> int:
    """Say something often."""
    for turn in range(count):
        ctx.log(str(turn))
    return count


@node("trouble/Secret", category="trouble", cached=False)
def secret(ctx: Context, name: str) -> int:
    """The length of a secret."""
    return len(ctx.secret(name) or "")


@node("trouble/Leak", category="trouble", cached=False)
def leak(ctx: Context, name: str, fails: bool = True) -> int:
    """Say a secret in every way there is."""
    told = f"the key is {ctx.secret(name)}!"
    print(told, flush=True)
    ctx.log(told)
    ctx.progress(1, 2, told)
    ctx.show("text", text=told)
    if fails:
        raise RuntimeError(told)
    return 0


@node("trouble/Late", category="trouble", cached=False)
def late(ctx: Context, a: int) -> int:
    """Leave a thread behind that goes on talking."""

    def chatter() -> None:
        while True:
            ctx.log("still here")
            time.sleep(0.001)

    threading.Thread(target=chatter, daemon=True).start()
    return a


@node("trouble/Collect", category="trouble", cached=False)
def collect(a: int) -> int:
    """How many objects there are."""
    gc.collect()
    return len(gc.get_objects())


@node("trouble/Older", category="trouble", version=2, upgrade=lambda version, inputs: {"value": inputs["number"]})
def older(value: int) -> int:
    """Its input was once called otherwise."""
    return value
