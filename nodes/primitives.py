"""Plain values as nodes, choices between branches, and notes."""

from __future__ import annotations

from typing import Annotated, TypeVar

from nodegraph import Lazy, Text, node

T = TypeVar("T")


@node("Integer", category="values")
def integer(value: int = 0) -> int:
    """A whole number that several inputs can share."""
    return value


@node("Float", category="values")
def float_(value: float = 0.0) -> float:
    """A number that several inputs can share."""
    return value


@node("String", category="values")
def string(value: Annotated[str, Text()] = "") -> str:
    """A text that several inputs can share."""
    return value


@node("Boolean", category="values")
def boolean(value: bool = False) -> bool:
    """Yes or no."""
    return value


@node("Switch", category="flow")
def switch(on: bool, when_true: Lazy[T], when_false: Lazy[T]) -> T:
    """Pass on one of two inputs of any type. The other one is not worked out at all.

    on: which of them
    """
    return when_true.get() if on else when_false.get()


@node("Note", category="flow")
def note(text: Annotated[str, Text()] = "") -> str:
    """A remark for people who read the workflow. It does nothing."""
    return text
