"""What a worker can be asked, also while a run goes on. Each answer is plain data; faults are NodegraphErrors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from nodegraph.device import device_state
from nodegraph.document import Document, parse_document
from nodegraph.engine import Engine
from nodegraph.errors import NodegraphError
from nodegraph.graph import Graph, upgrade_document
from nodegraph.server.catalog import descriptions
from nodegraph.server.memory import resident_bytes
from nodegraph.server.wire import link


def document_of(data: bytes) -> Document:
    """A workflow as the server sends it: our JSON, whose size and depth it has checked."""
    return parse_document(json.loads(data))


def describe(engine: Engine, frame: link.Frame) -> Mapping[str, Any]:
    return descriptions.describe(engine.registry)


def upgrade(engine: Engine, frame: link.Frame) -> Mapping[str, Any]:
    return upgrade_document(document_of(frame.binary), engine.registry).to_json()


def explain(engine: Engine, frame: link.Frame) -> Mapping[str, Any]:
    """run: nodes that would run now, with their reasons; cached: those whose results are at hand; reasons: of all that are needed"""
    graph = engine.check(document_of(frame.binary), targets=frame.data["targets"])
    reasons, plan = engine.compare(graph, _earlier(engine, frame.data["before"])), engine.plan(graph)
    return {"run": {id: reasons[id] for id in plan.run if id in reasons}, "cached": list(plan.cached), "reasons": reasons}


def _earlier(engine: Engine, before: Any) -> Graph | None:
    """The graph of an earlier run; nothing if today's nodes would refuse it."""
    try:
        return engine.check(parse_document(before)) if before is not None else None
    except NodegraphError:
        return None


def stats(engine: Engine, frame: link.Frame) -> Mapping[str, Any]:
    return {"pid": os.getpid(), "rss": resident_bytes(), "device": device_state(engine.policy().device), **engine.usage()}


ANSWERS: Final[Mapping[str, Callable[[Engine, link.Frame], Mapping[str, Any]]]] = {
    "describe": describe,
    "upgrade": upgrade,
    "explain": explain,
    "stats": stats,
}
