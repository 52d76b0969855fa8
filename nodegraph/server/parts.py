"""What works behind the routes: the store, the workers, the queue, the catalog of nodes; how they come up and go down together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodegraph.server.catalog.catalog import Catalog
from nodegraph.server.queue.service import Service
from nodegraph.server.queue.store.database import Store
from nodegraph.server.safety.quota import trim
from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.supervision.supervisor import WorkerProcess
from nodegraph.settings import Settings

LOG: Final = logging.getLogger("nodegraph.server")
WORKER_LOG: Final = logging.getLogger("nodegraph.worker")
TRIM_SECONDS: Final = 60.0
CATALOG: Final = "nodes.json"


@dataclass(frozen=True, slots=True)
class Parts:
    """One worker a device; the queue hands runs to all of them."""

    store: Store
    workers: Sequence[WorkerProcess]
    service: Service
    catalog: Catalog

    async def start(self) -> None:
        """The queue is recovered when this returns; the workers come up by themselves, and tell of nodes that are not known yet."""
        self.catalog.load()
        for worker in self.workers:
            await worker.start()
        await self.service.start()

    async def stop(self) -> None:
        """Runs that go on are stopped and wait again at the next start."""
        try:
            await self.service.stop()
        finally:
            await asyncio.gather(*(worker.stop() for worker in self.workers))
            await self.store.close()


def open_parts(engine: Settings, state: Path, dev: bool = False) -> Parts:
    """Nothing runs yet. dev: the worker starts anew when the code of nodes changes. Raises StateInUse, FormatTooNew or WriteFailed."""
    store = Store.open(state)
    catalog = Catalog(state / CATALOG, engine.packs)
    workers = [WorkerProcess(engine, catalog=catalog, on_line=lambda line: WORKER_LOG.info("%s", line), follow_code=dev)]
    return Parts(store, workers, Service(store, workers), catalog)


async def keep_tidy(settings: ServeSettings) -> None:
    """For as long as the server runs: passing files stay within their limit."""
    while True:
        removed = await asyncio.to_thread(trim, settings.temp, settings.limits.temp)
        if removed:
            LOG.info("removed the %d oldest passing files", removed)
        await asyncio.sleep(TRIM_SECONDS)
