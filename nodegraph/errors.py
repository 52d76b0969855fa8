"""Every fault a user can meet: one class, one number, one form.

An error says what is wrong with both sides of the disagreement (`message`), where (`node`, `input`), and the way out (`hint`).
It is raised where the fact is known and rendered in one place (`render`, `to_json`).

    E1xx the graph     E2xx a node failed     E3xx models and memory     E4xx files and formats     E5xx packs
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

LONGEST_WORD: Final = 60
MOST_WORDS: Final = 2000
"""what `nearest` looks at: names come from remote files, and comparing them costs the product of their lengths"""


class Cancelled(BaseException):
    """The run was cancelled. Not an `Exception`, so that a node's `except Exception` cannot eat it."""


class NodegraphError(Exception):
    """Base of all faults shown to users; `code` is unique among the subclasses."""

    code: ClassVar[str] = "E000"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        node: str | None = None,
        node_type: str | None = None,
        input: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node = node
        self.node_type = node_type
        self.input = input

    @property
    def name(self) -> str:
        return type(self).__name__

    def at(self, node: str, node_type: str | None = None, input: str | None = None) -> NodegraphError:
        """Fill in where it happened, keeping what is already known. Returns self."""
        self.node = self.node or node
        self.node_type = self.node_type or node_type
        self.input = self.input or input
        return self

    def where(self) -> str:
        parts = []
        if self.node is not None:
            parts.append(f'node {shorten(self.node)} "{shorten(self.node_type)}"' if self.node_type else f"node {shorten(self.node)}")
        if self.input is not None:
            parts.append(f"input `{shorten(self.input)}`")
        return ", ".join(parts)

    def render(self) -> str:
        head = f"{self.code} {self.name}"
        where = self.where()
        lines = [f"{head}   {where}" if where else head]
        lines += [f"  {line}" for line in printable(self.message).splitlines()]
        if self.hint:
            lines += [f"  -> {line}" if i == 0 else f"     {line}" for i, line in enumerate(printable(self.hint).splitlines())]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"code": self.code, "error": self.name, "message": self.message}
        for key, value in (("node", self.node), ("node_type", self.node_type), ("input", self.input), ("hint", self.hint)):
            if value is not None:
                out[key] = value
        return out

    def __str__(self) -> str:
        return self.render()


class Problems(NodegraphError):
    """Several faults reported at once, none of them first among equals."""

    code = "E100"

    def __init__(self, errors: Sequence[NodegraphError], hidden: int = 0) -> None:
        """`hidden`: how many more there are than are told here."""
        count = len(errors) + hidden
        super().__init__(f"{count} problem{'s' if count != 1 else ''}" + (f", the first {len(errors)} of them here" if hidden else ""))
        self.errors = tuple(errors)
        self.hidden = hidden

    def render(self) -> str:
        told = [error.render() for error in self.errors]
        return "\n".join([*told, f"and {self.hidden} more problems"] if self.hidden else told)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "error": self.name, "message": self.message, "errors": [e.to_json() for e in self.errors]}


# ------------------------------------------------------------------------------------------------ E1xx the graph


class MissingInput(NodegraphError):
    code = "E101"


class TypeMismatch(NodegraphError):
    code = "E102"


class Cycle(NodegraphError):
    code = "E103"


class UnknownNode(NodegraphError):
    code = "E104"


class UnknownInput(NodegraphError):
    code = "E105"


class BadValue(NodegraphError):
    code = "E106"


class OutOfRange(NodegraphError):
    code = "E107"


class NotAChoice(NodegraphError):
    code = "E108"


class BadLink(NodegraphError):
    code = "E109"


class NothingToRun(NodegraphError):
    code = "E110"


class BadOverride(NodegraphError):
    code = "E111"


class GraphTooLarge(NodegraphError):
    code = "E112"


class BadVersion(NodegraphError):
    code = "E113"


# ------------------------------------------------------------------------------------------------ E2xx a node failed


class NodeFailed(NodegraphError):
    code = "E201"


class BadOutput(NodegraphError):
    code = "E202"


class InputRefused(NodegraphError):
    """A node found its inputs unfit for work: sizes that disagree, an empty list, an unknown word."""

    code = "E203"


class RunawayExpansion(NodegraphError):
    code = "E204"


class UnevenLists(NodegraphError):
    code = "E205"


# ------------------------------------------------------------------------------------------------ E3xx models and memory


class ModelNotFound(NodegraphError):
    code = "E301"


class UnknownModel(NodegraphError):
    """The file holds weights, but not of an architecture that is known here."""

    code = "E302"


class MissingPart(NodegraphError):
    code = "E303"


class MissingTrace(NodegraphError):
    code = "E304"


class OutOfMemory(NodegraphError):
    code = "E305"


class ModelMismatch(NodegraphError):
    """Two models, or a model and a latent, that do not fit each other."""

    code = "E306"


class TrainingDiverged(NodegraphError):
    code = "E307"


class BadCheckpointState(NodegraphError):
    code = "E308"


class MissingPackage(NodegraphError):
    code = "E309"


class NoDevice(NodegraphError):
    code = "E310"


# ------------------------------------------------------------------------------------------------ E4xx files and formats


class FileMissing(NodegraphError):
    code = "E401"


class NotJson(NodegraphError):
    code = "E402"


class UnknownFormat(NodegraphError):
    code = "E403"


class FormatTooNew(NodegraphError):
    code = "E404"


class TooLarge(NodegraphError):
    code = "E405"


class UnsafePath(NodegraphError):
    code = "E406"


class NotAPicture(NodegraphError):
    code = "E407"


class WriteFailed(NodegraphError):
    code = "E408"


class BrokenWeights(NodegraphError):
    """A weights file that is truncated or whose header lies."""

    code = "E409"


class PickleRefused(NodegraphError):
    code = "E410"


class BadDataset(NodegraphError):
    code = "E411"


class NotConvertible(NodegraphError):
    code = "E412"


class ReadFailed(NodegraphError):
    code = "E413"


# ------------------------------------------------------------------------------------------------ E5xx packs


class NameClash(NodegraphError):
    code = "E501"


class BrokenPack(NodegraphError):
    code = "E502"


class BadNode(NodegraphError):
    """A node function whose signature or docstring cannot be turned into a contract."""

    code = "E503"


def all_errors() -> list[type[NodegraphError]]:
    """Every numbered class, by number: the table in the documentation."""

    def walk(cls: type[NodegraphError]) -> Iterable[type[NodegraphError]]:
        for sub in cls.__subclasses__():
            yield sub
            yield from walk(sub)

    return sorted((c for c in walk(NodegraphError) if c.__module__ == __name__), key=lambda c: c.code)


def printable(text: str) -> str:
    """Text from a file or a request, safe to write to a terminal: control characters (ANSI escapes too) are shown, not obeyed."""
    return "".join(ch if ch in "\n\t" or ch.isprintable() else f"\\x{ord(ch):02x}" for ch in text)


def shorten(value: object, limit: int = 80) -> str:
    """A value quoted in a message: one line, bounded, printable."""
    text = printable(value if isinstance(value, str) else repr(value)).replace("\n", "\\n")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `word`, ignoring case, for "did you mean". Long words and long lists are looked at in part only."""
    import difflib

    by_folded = {name[:LONGEST_WORD].casefold(): name for name in islice(known, MOST_WORDS)}
    hits = difflib.get_close_matches(word[:LONGEST_WORD].casefold(), by_folded, n=count, cutoff=0.6)
    return [by_folded[hit] for hit in hits]


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    hits = nearest(word, known)
    if not hits:
        return otherwise
    return "did you mean " + " or ".join(f"`{shorten(hit)}`" for hit in hits) + "?"
