"""A browser to test with: the one that is named, one that is installed, or Debian's, which is installed then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "NODEGRAPH_CHROMIUM"
ADVICE = f"the browser tests need Chromium: install it (Debian: `apt-get install chromium`), or say in {VARIABLE} where one is"


class NoBrowser(RuntimeError):
    """There is none, and none can be installed."""


def find() -> str | None:
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise NoBrowser(f"{VARIABLE} is {named}, which is no file")
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def provide() -> str:
    """The path of a browser. Raises NoBrowser, with what to do."""
    found = find()
    if found is not None:
        return found
    if not _may_install():
        raise NoBrowser(ADVICE)
    told = [_apt("update"), _apt("install", "--no-install-recommends", "chromium")]
    found = find()
    if found is None:
        raise NoBrowser("\n".join([ADVICE, *told]))
    return found


def _may_install() -> bool:
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def _apt(*arguments: str) -> str:
    command = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return f"`{' '.join(command)}`: {done.returncode}\n{done.stdout.decode('utf-8', 'replace')[-2000:]}"
