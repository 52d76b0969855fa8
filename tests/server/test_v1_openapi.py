"""The OpenAPI document says what there is, and nothing else; the page that shows it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from v1_api import V1, Api, play

from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1.openapi import document
from nodegraph.server.v1.operation import Operation
from nodegraph.server.v1.routes import DESKS, OPERATIONS, routes

DOCUMENT: dict[str, Any] = json.loads(json.dumps(document(OPERATIONS)))
METHODS = {"get", "put", "post", "delete", "patch"}


def told() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def values(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth."""
    if isinstance(value, dict):
        yield from (item for name, item in value.items() if name == key)
        for item in value.values():
            yield from values(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from values(item, key)


def test_every_route_is_told_and_every_told_one_is_there(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        there = set()
        for route in api.live.app.router.routes():
            path = re.sub(r"\{(\w+):[^{}]+\}", r"{\1}", route.resource.canonical if route.resource is not None else "")
            if path.startswith(V1) and route.method != "HEAD":
                there.add((route.method, path))
        assert there == {(method, path) for method, path in told() if path.startswith(V1)}
        assert told() - there == {("GET", "/metrics")}

    play(settings, scene)


def test_the_document_has_the_form_that_openapi_wants() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    ids = list(values(DOCUMENT["paths"], "operationId"))
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for path, methods in DOCUMENT["paths"].items():
        assert path.startswith("/")
        assert methods.keys() <= METHODS
        for operation in methods.values():
            check_operation(path, operation)


def check_operation(path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"].endswith(".")
    assert len(operation["tags"]) == 1
    assert operation["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"]]
    assert operation["responses"]
    for status, answer in operation["responses"].items():
        assert re.fullmatch(r"[1-5]\d\d", status)
        assert answer["description"]
    parameters = operation.get("parameters", [])
    assert {each["name"] for each in parameters if each["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))
    assert len({(each["name"], each["in"]) for each in parameters}) == len(parameters)
    for each in parameters:
        assert each["in"] in ("path", "query", "header")
        assert each["required"] is True or each["in"] != "path"
        assert "type" in each["schema"] or "anyOf" in each["schema"] or "enum" in each["schema"]


def test_every_reference_leads_somewhere_and_everything_is_referred_to() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    names = {reference.removeprefix("#/components/schemas/") for reference in values(DOCUMENT, "$ref")}
    assert names == set(schemas)
    assert not [name for name in schemas if not re.fullmatch(r"\w+", name)]


def test_schemas_are_of_the_dialect_that_they_claim() -> None:
    kinds = {"object", "array", "string", "integer", "number", "boolean", "null"}
    for schema in DOCUMENT["components"]["schemas"].values():
        assert schema["type"] == "object"
        assert schema["properties"]
        assert set(schema.get("required", ())) <= schema["properties"].keys()
    assert {kind for kind in values(DOCUMENT["components"]["schemas"], "type") if isinstance(kind, str)} <= kinds
    assert "nullable" not in json.dumps(DOCUMENT), "that is OpenAPI 3.0"


def test_fields_have_the_descriptions_that_stand_below_them() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["RunRequest"]["properties"]["front"]["description"] == "Before everything that waits."
    assert schemas["Run"]["properties"]["attempt"]["description"] == "2 if the worker was lost the first time."
    assert schemas["Kept"]["properties"]["etag"]["description"] == "For `If-Match`."


def test_what_is_sent_is_told() -> None:
    body = DOCUMENT["paths"][f"{V1}/runs"]["post"]["requestBody"]["content"]
    assert body.keys() == {"application/json", "image/png", "image/webp"}
    assert body["application/json"]["schema"]["anyOf"][0] == {"$ref": "#/components/schemas/RunRequest"}
    stream = DOCUMENT["paths"][f"{V1}/runs/{{id}}/events"]["get"]
    assert "text/event-stream" in stream["responses"]["200"]["content"]
    assert [each["name"] for each in stream["parameters"]] == ["id", "after", "previews", "Last-Event-ID"]
    stale = DOCUMENT["paths"][f"{V1}/workflows/{{name}}"]["put"]["responses"]["412"]
    assert stale["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Stale"}


def test_every_operation_says_what_it_answers_and_belongs_to_a_chapter() -> None:
    assert all(isinstance(operation, Operation) and operation.tag for operation in OPERATIONS)
    assert len(routes()) == len(OPERATIONS)
    assert {operation.desk for operation in OPERATIONS} == set(DESKS)


def test_the_document_and_its_page_are_served(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert await api.get("/openapi.json") == DOCUMENT
        page = await api.ask("GET", "/docs")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        for name, kind in (("docs.js", "text/javascript"), ("docs.css", "text/css")):
            assert f'"{V1}/docs/{name}"'.encode() in page.body
            file = await api.ask("GET", f"/docs/{name}")
            assert (file.status, file.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        for bad in ("..%2f__init__.py", "nothing.js", "%00"):
            assert (await api.ask("GET", f"/docs/{bad}")).status in (403, 404)

    play(settings, scene)


@pytest.mark.parametrize("name", ["docs.html", "docs.js", "docs.css"])
def test_the_page_asks_nothing_of_other_sites_and_has_nothing_inline(name: str) -> None:
    import nodegraph.server.v1

    text = (Path(nodegraph.server.v1.__file__).parent / "docs" / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.", text)
    assert not re.search(r"<style|<script(?![^>]*src=)|\son\w+=|style=|innerHTML|eval\(", text)
