"""What a wheel carries besides the Python package: the built editor, and nodes, workflows and models inside it, so that no generic
top-level name is taken.

An editable install leaves the latter where they are: `nodegraph.registry.builtin_folder` finds both.
The editor is built with Node where its sources are newer than what is built; with NODEGRAPH_NO_EDITOR=1 it is left out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "web"))

import building

CARRIED = ("nodes", "workflows", "models")


class CarryBuiltins(BuildHookInterface):  # type: ignore[type-arg]
    def dependencies(self) -> list[str]:
        """Packages that the build needs on this machine: Node, if it has none and the editor is still to be built."""
        return [building.NODE_PACKAGE] if _is_wanted() and not building.has_system_node() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if _is_wanted():
            building.build()
        build_data["artifacts"].append("/nodegraph/server/static/")
        if version != "editable":
            build_data["force_include"].update({name: f"nodegraph/_builtin/{name}" for name in CARRIED})


def _is_wanted() -> bool:
    return not building.is_current() and not os.environ.get("NODEGRAPH_NO_EDITOR")
