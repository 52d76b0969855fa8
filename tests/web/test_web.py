"""The editor's own checks and tests, run by Node, and what they cannot see: that it is made of what the server really sends."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
sys.path.insert(0, str(WEB))

import building  # noqa: E402

LAYERS = [{"wire"}, {"document"}, {"network"}, {"state"}, {"gestures"}, {"widgets"}, {"view"}, {"main"}]
"""a file imports from its own layer and from earlier ones; `wire` holds types only, and knows what JSON is"""
MOST_BYTES = 400_000
IMPORT = re.compile(r"""(?:from|import)\s+['"]([^'"]+)['"]""")


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    building.install()


def test_types_are_right() -> None:
    building.run(["node", "node_modules/typescript/bin/tsc", "--noEmit"])


def test_the_core_needs_no_page() -> None:
    """Its types are right without those of the browser."""
    building.run(["node", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.core.json"])


def test_style_is_kept() -> None:
    building.run(["node", "node_modules/@biomejs/biome/bin/biome", "check", "src", "test"])


def test_the_document_core_passes_its_tests(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    building.run(["node", "node_modules/vitest/vitest.mjs", "run", "--reporter=dot", "--reporter=json", f"--outputFile={report}"])
    result = json.loads(report.read_text("utf-8"))
    assert result["numPassedTests"] == result["numTotalTests"] > 100


def test_types_of_the_server_are_up_to_date() -> None:
    command = [sys.executable, str(WEB / "wire_types.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `python web/wire_types.py`"


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((WEB / "src").rglob("*.ts*")):
        yield path, path.read_text("utf-8")


def layer_of(path: Path) -> int:
    name = path.relative_to(WEB / "src").parts[0].split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if name in names)


def test_layers_import_downwards_only() -> None:
    for path, text in sources():
        for target in (name for name in IMPORT.findall(text) if name.startswith(".") and not name.endswith(".css")):
            resolved = (path.parent / target).resolve()
            assert layer_of(resolved) <= max(layer_of(path), 1), f"{path.name} imports {target}"


def test_the_core_uses_no_library() -> None:
    for path, text in sources():
        if path.relative_to(WEB / "src").parts[0] == "document":
            assert all(name.startswith(".") for name in IMPORT.findall(text)), path


def test_the_lock_file_names_versions_and_no_addresses() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    declared = json.loads((WEB / "package.json").read_text())
    exact = {**declared["dependencies"], **declared["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in exact.values())


def test_the_built_page_is_small_and_has_nothing_inline() -> None:
    if not building.is_current():
        building.build()
    page = (building.STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    first = [building.STATIC / name for name in re.findall(r"""(?:src|href)="\./([^"]+)""", page)]
    assert first
    assert sum(len(gzip.compress(path.read_bytes())) for path in first) < MOST_BYTES
