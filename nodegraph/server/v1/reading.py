"""Workflows as requests give them: read from any accepted format or by name, changed, brought up to date, checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from nodegraph.document import Document
from nodegraph.errors import NodegraphError, did_you_mean, shorten
from nodegraph.formats import document_from
from nodegraph.graph import Graph, build
from nodegraph.overrides import apply_overrides
from nodegraph.registry import Registry
from nodegraph.server import keys
from nodegraph.server.catalog.descriptions import Outdated, outdated
from nodegraph.server.v1.faults import UnknownWorkflow
from nodegraph.server.v1.library import Library
from nodegraph.server.v1.templates import Templates

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import CheckRequest, WorkflowGiven


MOST_TOLD: Final = 20
"""outdated nodes that are named in one answer"""


@dataclass(frozen=True, slots=True)
class Read:
    """A workflow. format: what it was; warnings: what could not be carried over unchanged"""

    document: Document
    format: str
    warnings: list[str] = field(default_factory=list)


class Reader:
    """Knows the places where workflows have names. Files are read in a thread."""

    def __init__(self, library: Library, templates: Templates) -> None:
        self._library = library
        self._templates = templates

    async def read(self, request: web.Request, given: WorkflowGiven) -> Read:
        """The workflow with its overrides. Raises UnknownWorkflow, UnknownFormat, Problems."""
        registry = await request.app[keys.REGISTRY]()
        read = await asyncio.to_thread(self._read, given, registry)
        old = outdated(read.document, registry)
        if old:
            document = await upgraded(request, read.document) if any(node.carried for node in old) else read.document
            read = Read(document, read.format, [*read.warnings, *map(told, old[:MOST_TOLD])])
        if not given.overrides:
            return read
        changed = await asyncio.to_thread(apply_overrides, read.document, registry, given.overrides)
        return Read(changed, read.format, read.warnings)

    def _read(self, given: WorkflowGiven, registry: Registry) -> Read:
        data = self._named(given.workflow) if isinstance(given.workflow, str) else given.workflow
        loaded = document_from(data, registry, "`workflow`")
        return Read(loaded.document, loaded.kind, list(loaded.warnings))

    def _named(self, name: str) -> Any:
        """A saved workflow, else a template."""
        with suppress(UnknownWorkflow):
            return self._library.get(name).document
        with suppress(UnknownWorkflow):
            return self._templates.document(name)
        known = [kept["name"] for kept in self._library.all()] + self._templates.names()
        hint = did_you_mean(name, known, f"there is: {', '.join(known[:20])}")
        raise UnknownWorkflow(f"there is neither a workflow nor a template {shorten(name)!r}", hint=hint)

    async def check(self, request: web.Request, document: Document, targets: Sequence[str] | None) -> Graph:
        """The checked graph. Raises Problems with all faults."""
        registry, files = await request.app[keys.REGISTRY](), request.app[keys.FILES]
        return await asyncio.to_thread(build, document, registry, files, targets)

    async def checked(self, request: web.Request, given: CheckRequest) -> tuple[Read, Graph]:
        read = await self.read(request, given)
        return read, await self.check(request, read.document, given.targets)


def told(node: Outdated) -> str:
    how = "its inputs were brought up to date" if node.carried else "its inputs are as they were"
    return f"node {shorten(node.id)} ({node.type}) was saved with version {node.saved} of its type, now {node.present}; {how}"


async def upgraded(request: web.Request, document: Document) -> Document:
    """With all nodes as they are today: only a worker has the code for that. Stays as it is if it has to, which the check tells."""
    from nodegraph.document import parse_document
    from nodegraph.server.supervision.life import WorkerLost

    for worker in request.app[keys.WORKERS]:
        upgrade = getattr(worker, "upgrade", None)
        if upgrade is not None:
            with suppress(WorkerLost, NodegraphError):
                return parse_document(await upgrade(document.to_json()))
    return document
