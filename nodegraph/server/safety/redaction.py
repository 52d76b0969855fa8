"""What leaves the server in messages, logs and statistics: no token, no path of this machine's disk."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

import nodegraph
from nodegraph.errors import printable
from nodegraph.server.setup.config import ServeSettings
from nodegraph.settings import Settings

HIDDEN = "<hidden>"
SHORTEST_SECRET: Final = 6
PACKAGE: Final = Path(nodegraph.__file__).parent
_SECRET = re.compile(
    r"(?i)(\b(?:[\w-]*token|secret|password|api[_-]?key|authorization|cookie)[\"']?\s*[=:]\s*[\"']?|\bbearer\s+)([^\s\"'&,;]+)"
)


def without(value: Any, secrets: Iterable[str]) -> Any:
    """Plain data whose texts do not hold these secrets, not even as parts. A word of few characters is none: it would hide anything."""
    known = sorted((secret for secret in secrets if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)
    return _without(value, known) if known else value


def _without(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {key: _without(item, secrets) for key, item in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list | tuple) else value


class Redactor:
    """Replaces known folders by their names (`<output>/cat.png`), other paths below home by `<home>`, and secrets by `<hidden>`."""

    def __init__(self, folders: Mapping[str, Path | Iterable[Path]], secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted((s for s in secrets if s), key=len, reverse=True)
        pairs: dict[str, str] = {}
        for name, value in folders.items():
            for path in [value] if isinstance(value, Path) else value:
                for form in {str(path), os.path.realpath(path)}:
                    if len(form) > 1:
                        pairs.setdefault(form, f"<{name}>")
        self._paths = sorted(pairs.items(), key=lambda pair: len(pair[0]), reverse=True)
        texts = [re.escape(path) for path, _ in self._paths]
        self._pattern = re.compile("(" + "|".join(texts) + r")(?![\w.-])") if texts else None
        self._names = dict(self._paths)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: self._names[match[1]], text)
        return _SECRET.sub(lambda match: f"{match[1]}{HIDDEN}", text)

    def value(self, value: Any) -> Any:
        """The same for every text in plain data."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def line(self, text: str) -> str:
        """One line of a log: redacted, and what a terminal or a reader of lines would obey is shown instead."""
        return printable(self.text(text)).replace("\n", "\\n").replace("\t", " ")


REDACTOR = web.AppKey("REDACTOR", Redactor)


def redactor_for(settings: ServeSettings, engine: Settings) -> Redactor:
    folders: dict[str, Path | Iterable[Path]] = {
        "input": settings.input,
        "output": settings.output,
        "temp": settings.temp,
        "state": settings.state,
        "models": [*engine.models, *(extra.path for extra in engine.extra_models)],
        "packs": engine.packs,
        "cache": engine.cache or (),
        "editor": settings.editor or (),
        "nodegraph": PACKAGE,
        "project": PACKAGE.parent,
        "python": Path(sys.prefix),
        "here": Path.cwd(),
        "home": Path.home(),
    }
    return Redactor(folders, [settings.token or ""])
