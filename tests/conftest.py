"""What all tests share: a registry of toy nodes, folders of their own, and a way to run small graphs."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Harness, folders
from hypothesis import settings
from toys import TOYS

from nodegraph.files import Files
from nodegraph.registry import Registry

# Machines are shared: time is not a law.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture
def registry() -> Registry:
    """The toy nodes."""
    return Registry().add(*TOYS)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Folders below `tmp_path`."""
    return folders(tmp_path)


@pytest.fixture
def toys(registry: Registry, files: Files) -> Harness:
    """Check and run graphs of toy nodes."""
    return Harness(registry, files)
