"""The API in this process: the real application on a real socket, a queue on disk, an engine with toy nodes for a worker.

Every JSON that comes is checked against the type that the operation promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine_worker import EngineWorker, engine
from live import Answer, Live, live
from pydantic import TypeAdapter

from nodegraph.registry import Registry
from nodegraph.server import keys
from nodegraph.server.parts import Parts
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.database import Store
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.openapi import result_type, with_docstrings
from nodegraph.server.v1.routes import OPERATIONS

V1 = "/api/v1"
PATIENCE = 60.0
"""seconds after which a test gives up; machines are shared"""


class _Known:
    """Where the application finds its nodes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def registry(self) -> Registry:
        return self._registry


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    with_docstrings()
    return TypeAdapter(type_)


@dataclass(frozen=True)
class Api:
    live: Live
    worker: EngineWorker

    async def ask(self, method: str, path: str, data: Any = None, **options: Any) -> Answer:
        """`path` below /api/v1. data: sent as JSON"""
        given = {"json": data} if data is not None else {}
        answer = await self.live.ask(method, V1 + path, **given, **options)
        promised(method, V1 + path.partition("?")[0], answer)
        return answer

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a good answer."""
        answer = await self.ask("GET", path, **options)
        assert answer.status == 200, answer.body
        return answer.json

    async def submit(self, workflow: Any, **more: Any) -> Any:
        answer = await self.ask("POST", "/runs", {"workflow": workflow, **more})
        assert answer.status == 201, answer.body
        return answer.json

    async def finished(self, id: str) -> Any:
        """The run when it has ended."""
        async with asyncio.timeout(PATIENCE), self.live.session.get(f"{self.live.address}{V1}/runs/{id}/events") as answer:
            assert answer.status == 200
            await answer.read()
        return await self.get(f"/runs/{id}")


def promised(method: str, path: str, answer: Answer) -> None:
    """Check an answer against what the OpenAPI document says of its operation."""
    operation = next(each for each in OPERATIONS if each.method == method and matches(each.plain_path, path))
    assert answer.status in operation.statuses, (method, path, answer.status, answer.body)
    if answer.status == 412:
        strict(shapes.Stale, answer.json)
    elif answer.status >= 400:
        strict(shapes.Fault, answer.json)
    elif answer.body and result_type(operation) is not None:
        strict(result_type(operation), answer.json)


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one of `/a/{b}`; the last name may have slashes."""
    wanted, given = pattern.split("/"), path.split("/")
    if wanted[-1].startswith("{") and len(given) > len(wanted) and pattern.endswith("/nodes/{id}"):
        given = [*given[: len(wanted) - 1], "/".join(given[len(wanted) - 1 :])]
    return len(wanted) == len(given) and all(one.startswith("{") or one == other for one, other in zip(wanted, given, strict=True))


def strict(type_: Any, value: Any) -> None:
    """The value has the shape, and no key that the shape does not have."""
    made = _adapter(type_).validate_python(value, strict=True)
    assert made == value, f"not promised: {value.keys() - made.keys()}"


@asynccontextmanager
async def serving(settings: ServeSettings, worker: EngineWorker | None = None, seconds: float = PATIENCE) -> AsyncIterator[Api]:
    worker = worker or EngineWorker(engine(settings.state.parent))
    store = Store.open(settings.state)
    service = Service(store, [worker])
    parts = Parts(store, [worker], service, _Known(worker.engine.registry))  # type: ignore[arg-type, list-item]
    try:
        await service.start()
        async with live(settings, parts=parts) as server:
            server.app[keys.STARTED].set()
            async with asyncio.timeout(seconds):
                yield Api(server, worker)
    finally:
        await service.stop()
        await store.close()


def play(settings: ServeSettings, scene: Callable[[Api], Awaitable[None]], **options: Any) -> None:
    """Run a test's coroutine against an API of its own."""

    async def main() -> None:
        async with serving(settings, **options) as api:
            await scene(api)

    asyncio.run(main())
