"""`nodegraph convert` and `nodegraph strip`."""

from __future__ import annotations

import argparse
import json
import sys

from nodegraph.cli.main import DONE
from nodegraph.files import write_atomic
from nodegraph.registry import builtin_registry


def convert(arguments: argparse.Namespace) -> int:
    from nodegraph.comfy.api_json import to_api
    from nodegraph.formats import load_workflow

    registry = builtin_registry(arguments.packs)
    loaded = load_workflow(arguments.source, registry)
    for warning in loaded.warnings:
        print(f"note: {warning}", file=sys.stderr)
    data = to_api(loaded.document, registry) if arguments.to == "comfy-api" else loaded.document.to_json()
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomic(arguments.target, lambda stream: stream.write(text.encode("utf-8", "surrogatepass")))
    print(f"{arguments.target}: {len(loaded.document.nodes)} nodes, from {loaded.kind}")
    return DONE


def strip(arguments: argparse.Namespace) -> int:
    from nodegraph import media

    media.strip(arguments.image, arguments.output)
    print(arguments.output or arguments.image)
    return DONE
