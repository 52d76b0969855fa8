"""What a wheel carries besides the Python package: nodes, workflows and models, inside it, so that no generic top-level name is taken.

An editable install leaves them where they are: `nodegraph.registry.builtin_folder` finds both.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = ("nodes", "workflows", "models")


class CarryBuiltins(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"].update({name: f"nodegraph/_builtin/{name}" for name in CARRIED})
