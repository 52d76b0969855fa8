"""What commands that take a workflow share: find it, read it, change its inputs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nodegraph.document import Document
from nodegraph.engine import Engine
from nodegraph.errors import FileMissing, NodegraphError, Problems, did_you_mean
from nodegraph.graph import Graph
from nodegraph.overrides import apply_overrides, find_path, parse_override
from nodegraph.registry import builtin_folder
from nodegraph.settings import default_settings


def find_workflow(name: str) -> Path:
    """A path, or the file of a shipped workflow of that name. Raises FileMissing with the names there are."""
    path = Path(name)
    if path.exists():
        return path
    shipped = builtin_folder("workflows") / f"{path.stem}.json"
    if shipped.is_file() and (path.parent == Path() or path.parent.name == "workflows"):
        return shipped
    known = [file.stem for file in sorted(builtin_folder("workflows").glob("*.json"))]
    raise FileMissing(
        f"there is no file {name}", hint=did_you_mean(path.stem, known, f"check the path, or use a shipped one: {', '.join(known)}")
    )


def engine_for(arguments: argparse.Namespace) -> Engine:
    settings = default_settings(
        input=arguments.input,
        output=getattr(arguments, "output", None),
        models=tuple(arguments.models),
        packs=tuple(arguments.packs),
        cache=getattr(arguments, "cache", None),
        use_cache=not getattr(arguments, "no_cache", False),
        device=getattr(arguments, "device", None),
    )
    engine = Engine(settings)
    warn_of_broken_packs(engine)
    return engine


def warn_of_broken_packs(engine: Engine) -> None:
    for pack in engine.registry.packs.values():
        if pack.error is not None:
            print(pack.error.render(), file=sys.stderr)


def overridden(engine: Engine, path: Path, arguments: argparse.Namespace) -> tuple[Document, list[str] | None]:
    """The document with --set applied, and the ids of --only."""
    from nodegraph.formats import load_workflow

    loaded = load_workflow(path)
    for warning in loaded.warnings:
        print(f"note: {warning}", file=sys.stderr)
    document = loaded.document
    document = apply_overrides(document, engine.registry, dict(parse_all(document, engine, arguments.sets)))
    return document, ["/".join(find_path(document, name)) for name in arguments.only] or None


def parse_all(document: Document, engine: Engine, texts: Sequence[str]) -> list[tuple[str, object]]:
    pairs, problems = [], []
    for text in texts:
        try:
            pairs.append(parse_override(document, engine.registry, text))
        except NodegraphError as error:
            problems.append(error)
    if problems:
        raise Problems(problems)
    return pairs


def tell_left_out(graph: Graph, as_json: bool) -> None:
    """Faults of nodes that no output depends on: they do not stop a run, but are not kept quiet either."""
    for error in graph.left_out:
        if as_json:
            print(json.dumps({"event": "left_out", **error.to_json()}), flush=True)
        else:
            print(f"{error.render()}\n  (left out: no output depends on this node)", file=sys.stderr)
