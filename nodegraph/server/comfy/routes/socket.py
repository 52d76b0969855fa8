"""`/ws?clientId=`: what happens to a client's runs, as ComfyUI's messages. Nobody hears of another's runs.

Of several sockets of one client, as a tab that was duplicated has them, the newest is told of its runs; the others hear how long the
queue is, and wait. They are not closed: ComfyUI's editor connects again at once when it is, and two tabs would throw each other out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from nodegraph.errors import NodegraphError
from nodegraph.server import keys
from nodegraph.server.comfy.log_messages import LogTeller
from nodegraph.server.comfy.messages import (
    Message,
    Narrator,
    ending,
    message,
    preview_frame,
    preview_frame_with_metadata,
    progress_text,
    replay,
    status,
    text_frame,
)
from nodegraph.server.comfy.routes.bundle import Bundle
from nodegraph.server.comfy.routes.queue_routes import redacted
from nodegraph.server.comfy.routes.system_routes import known_features
from nodegraph.server.comfy.submission import is_client_id
from nodegraph.server.http_errors import BadRequest
from nodegraph.server.queue.errors import UnknownJob
from nodegraph.server.queue.hub import Item, Subscription
from nodegraph.server.queue.model import Job, JobEvent, LivePreview
from nodegraph.server.queue.service import is_last

LOG: Final = logging.getLogger("nodegraph.server")
LARGEST_MESSAGE: Final = 64 * 1024
"""bytes a client may send at once: it has little to say"""
HEARTBEAT: Final = 30.0
CLOSE_SECONDS: Final = 2.0
"""how long a client may take to agree to an end"""
SEND_SECONDS: Final = 20.0
"""how long a client may take to read before it is given up"""
AT_ONCE: Final = 100
"""events that a client may take that long for together"""
WAITING: Final = 20_000
"""events that wait for a client that reads slowly, before it is given up"""
TOO_SLOW: Final = 4002
LEGACY_PREVIEWS: Final = frozenset(("auto", "latent2rgb", "taesd"))
"""what `preview_method` must say for a client that never spoke of previews: many take every picture they get for a result"""


def routes() -> list[web.RouteDef]:
    return [web.get("/ws", Sockets().connect)]


class Sockets:
    """The open sockets by client id, the newest last. One per application."""

    def __init__(self) -> None:
        self._open: dict[str, list[Talk]] = {}
        self._all: set[Talk] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched = False

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        client = request.query.get("clientId") or uuid.uuid4().hex
        if not is_client_id(client):
            raise BadRequest("the clientId cannot be used", hint="at most 200 printable characters")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE, compress=False, timeout=CLOSE_SECONDS, writer_limit=0
        )
        await socket.prepare(request)
        talk = Talk(request, socket, client)
        self._watch(request.app)
        self._enter(client, talk)
        try:
            await talk.run()
        finally:
            self._leave(client, talk)
        return socket

    def _enter(self, client: str, talk: Talk) -> None:
        """From now on the older sockets of this client are not told of its runs."""
        self._all.add(talk)
        talks = self._open.setdefault(client, [])
        if talks:
            talks[-1].hear(runs=False)
        talks.append(talk)

    def _leave(self, client: str, talk: Talk) -> None:
        self._all.discard(talk)
        talks = self._open[client]
        was_newest = talks[-1] is talk
        talks.remove(talk)
        if not talks:
            del self._open[client]
        elif was_newest:
            talks[-1].hear(runs=True)

    def _newest(self, client: str) -> Talk | None:
        return self._open[client][-1] if client in self._open else None

    def _watch(self, app: web.Application) -> None:
        """With the first socket begins what concerns all of them."""
        if not self._watched:
            self._watched = True
            self._keep(self._close_at_the_end(app[keys.STOPPING]))
            LogTeller(app[keys.LOGS], self._newest).listen()

    async def _close_at_the_end(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        await asyncio.gather(*(talk.close(WSCloseCode.GOING_AWAY, "the server stops") for talk in self._all))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(slots=True)
class _Run:
    """A run that is told. last: number of the event up to which it was told on joining; job: once it had to be read, which takes a while"""

    narrator: Narrator
    last: int = 0
    job: Job | None = None


class Talk:
    """One socket: tells until it is closed, and listens for the little that clients say."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, client: str) -> None:
        self._request = request
        self._socket = socket
        self._bundle = Bundle(socket, request)
        self._client = client
        self._service = request.app[keys.SERVICE]
        self._runs: dict[str, _Run] = {}
        self._flags: Mapping[str, Any] = {}
        self.news: Subscription = self._subscribe(runs=True)

    def _subscribe(self, runs: bool) -> Subscription:
        return self._service.hub.subscribe(client=self._client if runs else None, queue=True, limit=WAITING)

    def hear(self, runs: bool) -> None:
        """From now on be told of the client's runs, or only how long the queue is."""
        before, self.news = self.news, self._subscribe(runs)
        self._runs.clear()
        before.close()

    async def run(self) -> None:
        teller = asyncio.create_task(self._tell_all())
        try:
            await self._listen()
        finally:
            self.news.close()
            teller.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await teller

    async def close(self, code: int, why: str) -> None:
        with suppress(ConnectionError):
            await self._socket.close(code=code, message=why.encode())

    # ------------------------------------------------------------------------------ listening

    async def _listen(self) -> None:
        first = True
        async for told in self._socket:
            if told.type is WSMsgType.TEXT and first:
                await self._exchange_flags(told.data)
            first = False

    async def _exchange_flags(self, text: str) -> None:
        """What both sides can do, if the client begins with it."""
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(told, dict) and told.get("type") == "feature_flags" and isinstance(told.get("data"), dict):
            self._flags = told["data"]
            await self.send([message("feature_flags", **known_features(self._request.app[keys.CONFIG]))])

    # ------------------------------------------------------------------------------ telling

    async def _tell_all(self) -> None:
        try:
            await self.send([status(self._service.remaining, self._client)])
            while await self._tell_all_of(self.news):
                pass
            if self.news.overflowed:
                await self.close(TOO_SLOW, "the client reads too slowly")
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
        except NodegraphError as error:
            LOG.warning("a websocket is closed: %s", error.message)
            await self.close(WSCloseCode.INTERNAL_ERROR, "the server cannot read its log")

    async def _tell_all_of(self, news: Subscription) -> bool:
        """Tell what comes until that ends; whether something else is to be heard then."""
        if f"client:{self._client}" in news.topics:
            await self._join_running()
        async for item in news:
            await self._tell_waiting(item)
        return news is not self.news

    async def _tell_waiting(self, item: Item) -> None:
        """This and what waits behind it, then it is the turn of others. Raises TimeoutError if the client does not read it."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._tell(item)
            for more in islice(iter(self.news.take, None), AT_ONCE):
                await self._tell(more)
                if self._bundle.is_full:
                    await self._bundle.send()
            await self._bundle.send()
        await asyncio.sleep(0)

    async def _join_running(self) -> None:
        """A client that comes back hears first which node runs."""
        for job in self._service.running():
            if job.client == self._client:
                run = await self._join(job.id)
                if run.narrator.doing is not None:
                    await self.send([message("executing", node=run.narrator.doing)])

    async def _tell(self, item: Item) -> None:
        if isinstance(item, JobEvent):
            await self._tell_event(item)
        elif isinstance(item, LivePreview):
            await self._tell_preview(item)
        else:
            self._put([status(item.remaining)])

    async def _tell_event(self, event: JobEvent) -> None:
        run = self._runs.get(event.job) or await self._join(event.job, event.seq)
        if 0 < event.seq <= run.last:
            return
        if "/" in event.data.get("node", ""):
            await self._read(run)  # only the workflow says whether that is a node of an expansion
        messages = run.narrator.tell(event)
        if messages:
            self._put(messages)
        words = progress_text(event) if self._flags else None
        if words is not None:
            node, text = words
            await self._bundle.send_bytes(text_frame(node, self._request.app[keys.REDACTOR].text(text)))
        if is_last(event):
            await self._end(event, run)

    async def _join(self, id: str, before: int | None = None) -> _Run:
        """Take up a run: bring its narrator to where it is, or to the event before number `before`."""
        run = self._runs[id] = _Run(Narrator(id))
        if before is None or before > 1:
            await self._read(run)
            events = [event for event in await self._log(id) if before is None or event.seq < before]
            replay(run.narrator, events)
            run.last = events[-1].seq if events else 0
        return run

    async def _log(self, id: str) -> list[JobEvent]:
        events: list[JobEvent] = []
        with suppress(UnknownJob):
            while more := await self._service.events(id, events[-1].seq if events else 0):
                events += more
        return events

    async def _read(self, run: _Run) -> Job:
        """The job with what the client posted."""
        if run.job is None:
            run.job = await self._service.job(run.narrator.job, origin=True) or Job(run.narrator.job, 0.0, "running", 0.0)
            run.narrator.prompt = run.job.origin.get("prompt", {})
        return run.job

    async def _end(self, event: JobEvent, run: _Run) -> None:
        """The last messages of a run: it is in the history by now."""
        id, status_ = event.job, event.data["status"]
        self._runs.pop(id, None)
        if run.narrator.started is None:
            return
        known = Job(id, 0.0, "done", 0.0) if status_ == "done" else await self._read(run)
        job = replace(known, status=status_, error=event.data.get("error"), started=run.narrator.started, ended=event.time)
        self._put([*run.narrator.end(redacted(self._request, job)), status(self._remaining_without(id)), ending(id)])

    def _remaining_without(self, id: str) -> int:
        return len(self._service.pending()) + sum(job.id != id for job in self._service.running())

    async def _tell_preview(self, preview: LivePreview) -> None:
        run = self._runs.get(preview.job)
        if run is None:
            return
        if self._flags.get("supports_preview_metadata"):
            await self._bundle.send_bytes(preview_frame_with_metadata(preview, run.narrator.display(preview.node)))
        elif (await self._read(run)).origin.get("extra_data", {}).get("preview_method") in LEGACY_PREVIEWS:
            await self._bundle.send_bytes(preview_frame(preview))

    # ------------------------------------------------------------------------------ sending

    async def send(self, messages: Iterable[Message]) -> None:
        """Raises TimeoutError if the client does not read, ConnectionError if it is gone."""
        async with asyncio.timeout(SEND_SECONDS):
            self._put(messages)
            await self._bundle.send()

    def _put(self, messages: Iterable[Message]) -> None:
        for told in messages:
            self._bundle.add(json.dumps(told))
