"""Toy nodes without torch, to test the engine with: arithmetic, failure, counting, laziness, lists, expansion, blocking, waiting."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from nodegraph import Blocked, Call, Context, Each, Expand, InputRefused, Lazy, Ref, Result, Seed, Slider, node

T = TypeVar("T")


@node("Constant", category="toys")
def constant(value: int = 0) -> int:
    """Give a number."""
    return value


@node("Word", category="toys")
def word(value: str = "") -> str:
    """Give a text."""
    return value


@node("Add", category="toys")
def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@node("Half", category="toys")
def half(a: float) -> float:
    """Divide by two."""
    return a / 2


@node("Parity", category="toys")
def parity(a: int) -> int:
    """0 for even, 1 for odd: many inputs, few outputs."""
    return a % 2


class Both(NamedTuple):
    total: int
    text: str


@node("Two", category="toys")
def two(a: int) -> Both:
    """Give two outputs."""
    return Both(a, str(a))


@node("Show", category="toys", output=True)
def show(ctx: Context, value: Annotated[int, Slider(-1_000_000, 1_000_000)]) -> None:
    """Show a number."""
    ctx.show("text", text=str(value))


@node("ShowText", category="toys", output=True)
def show_text(ctx: Context, value: str) -> None:
    """Show a text."""
    ctx.show("text", text=value)


@node("Boom", category="toys")
def boom(a: int) -> int:
    """Fail."""
    raise ZeroDivisionError(f"boom at {a}")


@node("Refuse", category="toys")
def refuse(a: int) -> int:
    """Refuse the input."""
    raise InputRefused(f"{a} is not welcome", hint="try another", input="a")


@node("Lies", category="toys")
def lies(a: int) -> int:
    """Return a text though a number is promised."""
    return str(a)  # type: ignore[return-value]


@node("Sum", category="toys")
def total(values: list[int]) -> int:
    """Add up a list."""
    return sum(values)


@node("Count", category="toys")
def count(to: int) -> list[int]:
    """0, 1, ... to - 1."""
    return list(range(to))


@node("Double", category="toys")
def double(a: Each[int], plus: Each[int] = 0) -> int:
    """Twice each, plus something."""
    return 2 * a + plus


@node("Pick", category="toys")
def pick(items: list[T], index: int = 0) -> T:
    """One item of a list of anything."""
    return items[index]


@node("Mean", category="toys")
def mean(values: list[float]) -> float:
    """The mean of a list."""
    return sum(values) / len(values)


@node("Mode", category="toys")
def mode(name: Literal["low", "high"] = "low", level: Annotated[int, Slider(0, 9)] = 0) -> str:
    """A choice and a bounded number."""
    return f"{name} {level}"


@node("Anything", category="toys")
def anything(value: Any) -> Any:
    """Pass on whatever comes, and promise nothing."""
    return value


@node("If", category="toys")
def choose(on: bool, yes: Lazy[T], no: Lazy[T]) -> T:
    """One of two, the other is not worked out."""
    return yes.get() if on else no.get()


@node("Later", category="toys")
def later(a: Lazy[int], b: int = 0) -> int:
    """Add, but ask for the first number only when called."""
    return a.get() + b


@node("Greater", category="toys")
def greater(a: int, b: int = 0) -> bool:
    """Whether a > b."""
    return a > b


@node("Gate", category="toys")
def gate(a: int, open: bool = True) -> int | Blocked:
    """Let a number through or not."""
    return a if open else Blocked("closed")


@node("Repeat", category="toys")
def repeat(times: int, value: int) -> int | Expand:
    """Add 1 to `value` as often as `times` says, by expanding into itself."""
    if times <= 0:
        return value
    nodes = {"add": Call("Add", {"a": value, "b": 1}), "next": Call("Repeat", {"times": times - 1, "value": Result("add", "int")})}
    return Expand(nodes, {"int": Result("next", "int")})


@node("Twice", category="toys")
def twice(a: Ref[int]) -> int | Expand:
    """Add a value to itself without looking at it."""
    return Expand({"sum": Call("Add", {"a": a, "b": a})}, {"int": Result("sum", "int")})


@node("Forever", category="toys")
def forever(a: int) -> int | Expand:
    """Expand without end."""
    return Expand({"again": Call("Forever", {"a": a + 1})}, {"int": Result("again", "int")})


@node("Dice", category="toys", cached=False)
def dice(seed: Seed = 0) -> int:
    """Run every time."""
    return seed


_clock = {"now": 0}


@node("Clock", category="toys", fingerprint=lambda: _clock["now"])
def clock() -> int:
    """Read something outside the graph."""
    return _clock["now"]


@node("Steps", category="toys")
def steps(ctx: Context, count: int, a: int = 0) -> int:
    """Work in steps that can be cancelled."""
    for step in ctx.track(range(count)):
        a += step
    return a


@node("Async", category="toys")
async def wait_a_turn(a: int) -> int:
    """Give the loop a turn."""
    await asyncio.sleep(0)
    return a


@node("Thread", category="toys")
def thread_name(a: int) -> str:
    """The name of the thread it runs in."""
    return threading.current_thread().name


TOYS = [value for value in list(globals().values()) if hasattr(value, "__nodegraph__")]
