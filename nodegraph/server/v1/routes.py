"""All operations of the API, and the routes that they are reached by."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from nodegraph.files import Files
from nodegraph.server import keys
from nodegraph.server.v1.asset_index import AssetIndex
from nodegraph.server.v1.assets_desk import AssetsDesk
from nodegraph.server.v1.binding import bind
from nodegraph.server.v1.docs_desk import DocsDesk
from nodegraph.server.v1.library import Library
from nodegraph.server.v1.metrics import MetricsDesk
from nodegraph.server.v1.my_nodes_desk import MyNodesDesk
from nodegraph.server.v1.nodes_desk import NodesDesk
from nodegraph.server.v1.operation import operations_of
from nodegraph.server.v1.reading import Reader
from nodegraph.server.v1.runs_desk import QueueDesk, RunsDesk
from nodegraph.server.v1.streams import StreamsDesk
from nodegraph.server.v1.templates import Templates
from nodegraph.server.v1.tokens_desk import TokensDesk
from nodegraph.server.v1.why_desk import WhyDesk
from nodegraph.server.v1.workflows_desk import TemplatesDesk, WorkflowsDesk

DESKS: Final = (
    RunsDesk,
    StreamsDesk,
    WhyDesk,
    QueueDesk,
    NodesDesk,
    TokensDesk,
    WorkflowsDesk,
    MyNodesDesk,
    TemplatesDesk,
    AssetsDesk,
    MetricsDesk,
    DocsDesk,
)
OPERATIONS: Final = tuple(operation for desk in DESKS for operation in operations_of(desk))


def routes() -> list[web.RouteDef]:
    """For one application: its desks are made when the first request comes."""
    desks = _Desks()
    return [web.RouteDef(each.method, each.path, bind(each, desks.of), {}) for each in OPERATIONS]


class _Desks:
    def __init__(self) -> None:
        self._made: dict[type, object] = {}

    def of(self, request: web.Request, kind: type) -> object:
        if not self._made:
            self._made = {type(desk): desk for desk in desks_in(request.app[keys.STATE], request.app[keys.FILES])}
        return self._made[kind]


def desks_in(state: Path, files: Files) -> list[object]:
    """state: the folder that the server keeps things in"""
    library, templates = Library(state / "workflows"), Templates()
    reader, index = Reader(library, templates), AssetIndex(state / "assets.db", files)
    made: list[object] = [RunsDesk(reader), StreamsDesk(), WhyDesk(), QueueDesk(), NodesDesk(reader), TokensDesk()]
    made += [WorkflowsDesk(library, reader), MyNodesDesk(Library(state / "nodes"), reader)]
    return [*made, TemplatesDesk(templates), AssetsDesk(index, files), MetricsDesk(), DocsDesk()]
