"""nodegraph: a node graph engine for controllable diffusion image generation.

Write nodes with `node` and the markers below; run saved workflows with `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodegraph.authoring import Color, Each, InputFile, Lazy, ModelFile, Number, Ref, Seed, Slider, Text, node
    from nodegraph.context import Context
    from nodegraph.engine import Engine, check, run
    from nodegraph.errors import Cancelled, InputRefused, NodegraphError
    from nodegraph.registry import Registry
    from nodegraph.types import socket
    from nodegraph.values import Blocked, Call, Expand, Result

__version__ = "0.1.0"

_WHERE = {
    "node": "authoring",
    "Slider": "authoring",
    "Number": "authoring",
    "Seed": "authoring",
    "Text": "authoring",
    "ModelFile": "authoring",
    "InputFile": "authoring",
    "Color": "authoring",
    "Lazy": "authoring",
    "Each": "authoring",
    "Ref": "authoring",
    "Context": "context",
    "socket": "types",
    "Blocked": "values",
    "Expand": "values",
    "Call": "values",
    "Result": "values",
    "Registry": "registry",
    "NodegraphError": "errors",
    "InputRefused": "errors",
    "Cancelled": "errors",
    "run": "engine",
    "check": "engine",
    "Engine": "engine",
}

__all__ = [
    "Blocked",
    "Call",
    "Cancelled",
    "Color",
    "Context",
    "Each",
    "Engine",
    "Expand",
    "InputFile",
    "InputRefused",
    "Lazy",
    "ModelFile",
    "NodegraphError",
    "Number",
    "Ref",
    "Registry",
    "Result",
    "Seed",
    "Slider",
    "Text",
    "__version__",
    "check",
    "node",
    "run",
    "socket",
]


def __getattr__(name: str) -> Any:
    """Public names are fetched when first used, so that `import nodegraph` and `--help` stay quick."""
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'nodegraph' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"nodegraph.{module}"), name)
    globals()[name] = value
    return value
