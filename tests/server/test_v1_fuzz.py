"""Whatever is sent, the API answers in its own form, and never with a fault of its own."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

import pytest
from engine_worker import add
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from v1_api import PATIENCE, V1, Api, promised, serving

from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1.routes import OPERATIONS


class Held:
    """A server that lives while hypothesis tries things."""

    def __init__(self, options: ServeSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready: Future[Api] = Future()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(options),))
        self._thread.start()
        self.api = self._ready.result(PATIENCE)

    async def _live(self, options: ServeSettings) -> None:
        async with serving(options, seconds=600) as api:
            await api.ask("PUT", "/workflows/kept", add(1))
            await api.submit(add(1), id="run")
            self._ready.set_result(api)
            await self._end.wait()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self.api.live.ask(method, path, **options), self._loop).result(PATIENCE)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("fuzz")
    folders = {name: folder / name for name in ("input", "output", "state")}
    for path in folders.values():
        path.mkdir()
    server = Held(ServeSettings(port=0, **folders))
    yield server
    server.close()


TRIES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
ANYTHING = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)
LINKS = st.fixed_dictionaries({"link": st.lists(st.sampled_from(["a", "b", "int", 0]) | ANYTHING, max_size=3)})
INPUTS = st.dictionaries(st.sampled_from(["a", "b", "value", "values"]) | TEXTS, LINKS | ANYTHING, max_size=3) | ANYTHING
TYPES = st.sampled_from(["Add", "Show", "Constant", "Sum", "Pick"]) | ANYTHING
NODES = st.fixed_dictionaries({"type": TYPES}, optional={"inputs": INPUTS, "mode": ANYTHING}) | ANYTHING
OURS = st.fixed_dictionaries({"nodegraph": st.just(1), "nodes": st.dictionaries(st.sampled_from("abc"), NODES, max_size=3) | ANYTHING})
API_JSON = st.dictionaries(st.sampled_from("123"), st.fixed_dictionaries({"class_type": TYPES, "inputs": INPUTS}), max_size=3)
UI_JSON = st.fixed_dictionaries({"nodes": st.lists(ANYTHING, max_size=3), "links": st.lists(ANYTHING, max_size=3)})
WORKFLOWS = OURS | API_JSON | UI_JSON
OVERRIDES = st.dictionaries(st.sampled_from(["a.value", "Add.b"]) | TEXTS, LINKS | ANYTHING, max_size=2)
REQUESTS = st.fixed_dictionaries(
    {"workflow": WORKFLOWS | st.sampled_from(["kept", "text_to_image"])},
    optional={"overrides": OVERRIDES, "targets": st.lists(TEXTS) | ANYTHING},
)
KEYS = ("workflow", "overrides", "targets", "id", "title", "front", "number", "previews", "trace", "secrets", "to")
BODIES = ANYTHING | WORKFLOWS | REQUESTS | st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5)
NAMES = TEXTS.map(lambda text: quote(text, safe="", errors="surrogatepass")) | st.sampled_from(["..", ".", "%2e%2e", "run", "kept", "1"])
WITH_BODY = sorted({(each.method, each.plain_path) for each in OPERATIONS if "body" in each.parameters})
NAMED = sorted({(each.method, each.plain_path) for each in OPERATIONS if each.path_names and "socket" not in each.path})


def fill(path: str, name: str) -> str:
    """A path with a name in the places of its names."""
    return re.sub(r"\{\w+\}", lambda match: name, path)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@TRIES
@given(body=BODIES)
def test_bodies_of_json(held: Held, method: str, path: str, body: Any) -> None:
    answer = held.ask(method, fill(path, "run"), data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    promised(method, fill(path, "run"), answer)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@settings(TRIES, max_examples=15)
@given(body=st.binary(max_size=200), kind=st.sampled_from(["application/json", "image/png", "image/webp", "text/plain"]))
def test_bodies_of_bytes(held: Held, method: str, path: str, body: bytes, kind: str) -> None:
    answer = held.ask(method, fill(path, "run"), data=body, headers={"Content-Type": kind})
    promised(method, fill(path, "run"), answer)


@pytest.mark.parametrize(("method", "path"), NAMED)
@settings(TRIES, max_examples=25)
@given(name=NAMES, query=TEXTS)
def test_names_and_queries(held: Held, method: str, path: str, name: str, query: str) -> None:
    asked = fill(path, name or "x") + "?" + quote(query, safe="=&", errors="surrogatepass")
    data = b"{}" if method in ("POST", "PUT", "PATCH") else None
    answer = held.ask(method, asked, data=data, headers={"Content-Type": "application/json"})
    assert answer.status < 500 or answer.error["error"] == "WorkerAway", (asked, answer.body)
    if answer.status >= 400:
        assert "error" in answer.json


def test_the_server_is_as_well_as_before(held: Held) -> None:
    held.ask("POST", f"{V1}/queue/resume")
    run = held.ask("POST", f"{V1}/runs", json=add(1)).json
    assert "job_ended" in held.ask("GET", f"{V1}/runs/{run['id']}/events").body.decode()
    assert held.ask("GET", f"{V1}/runs/{run['id']}").json["status"] == "done"
    assert held.ask("GET", "/metrics").status == 200
