"""`nodegraph check`."""

from __future__ import annotations

import argparse
import json

from nodegraph.cli.main import DONE
from nodegraph.cli.workflow import engine_for, find_workflow, overridden, tell_left_out


def check(arguments: argparse.Namespace) -> int:
    path = find_workflow(arguments.workflow)
    engine = engine_for(arguments)
    document, targets = overridden(engine, path, arguments)
    graph = engine.check(document, targets=targets)
    tell_left_out(graph, arguments.json)
    if arguments.json:
        print(json.dumps({"event": "checked", "nodes": len(graph.nodes), "targets": list(graph.targets)}))
    else:
        print(f"{path}: {len(graph.nodes)} nodes, {len(graph.targets)} outputs, {'no problems' if not graph.left_out else 'it can run'}")
    return DONE
