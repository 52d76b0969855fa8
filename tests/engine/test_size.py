"""The largest functions and files, printed with `pytest -s`; a generous gate stops those that nobody can read any more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nodegraph

ROOT = Path(nodegraph.__file__).parent
LONGEST_FUNCTION = 80
LONGEST_FILE = 600


def files() -> list[Path]:
    return [path for folder in (ROOT, ROOT.parent / "nodes") for path in sorted(folder.rglob("*.py")) if "_builtin" not in path.parts]


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """(lines without the docstring, where) of each function."""
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = item.body[0] if ast.get_docstring(item, clean=False) is not None else None
            lines = (item.end_lineno or item.lineno) - item.lineno + 1
            yield (
                lines - ((doc.end_lineno or doc.lineno) - doc.lineno + 1 if doc is not None else 0),
                f"{path.name}:{item.lineno} {item.name}",
            )


def largest(found: list[tuple[int, str]], what: str) -> list[str]:
    print(f"\nlargest {what}")
    for lines, where in sorted(found, reverse=True)[:10]:
        print(f"{lines:6}  {where}")
    return [where for _, where in found]


def test_functions_can_be_read_at_a_glance() -> None:
    found = [entry for path in files() for entry in functions(path)]
    largest(found, "functions")
    assert [where for lines, where in found if lines > LONGEST_FUNCTION] == []


def test_files_hold_one_concept() -> None:
    found = [(len(path.read_text(encoding="utf-8").splitlines()), path.name) for path in files()]
    largest(found, "files")
    assert [where for lines, where in found if lines > LONGEST_FILE] == []
