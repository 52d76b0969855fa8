"""The OpenAPI 3.1 document, made of the operations and the types in their signatures. Imports pydantic."""

from __future__ import annotations

import inspect
import re
import types as python_types
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Union, get_args, get_origin

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from nodegraph import __version__
from nodegraph.server.v1 import shapes
from nodegraph.server.v1.binding import Answered, types_of
from nodegraph.server.v1.operation import JSON, Operation

REFS: Final = "#/components/schemas/{model}"
NO_FAULT: Final = frozenset((204, 206, 304))
"""further answers that are not told as an error"""
ABOUT: Final = """Runs workflows and keeps them. Everything is JSON unless it says otherwise; every fault has the form `Fault`.

A server on this machine alone wants no token; one with a token wants `Authorization: Bearer TOKEN` with every request.
Whoever may use it may use all of it: there is one user."""


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    made = list(operations)
    schemas = _Schemas(made)
    paths: dict[str, dict[str, Any]] = {}
    for each in made:
        paths.setdefault(each.plain_path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nodegraph",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in made)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "what `nodegraph serve --token` was given"}},
        },
    }


# ------------------------------------------------------------------------------------------------ schemas


class _Schemas:
    """JSON schemas of all types in the signatures, each named type once. What is sent and what is answered have no name in common."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.definitions: dict[str, Any] = {}
        self._plain: dict[str, dict[str, Any]] = {}
        for type_ in [shapes.Fault, shapes.Stale, *filter(None, map(result_type, operations))]:
            self._add(type_)

    def _add(self, type_: Any) -> dict[str, Any]:
        with_docstrings()
        schema = TypeAdapter(type_).json_schema(ref_template=REFS, mode="serialization")
        self.definitions.update(schema.pop("$defs", {}))
        name = getattr(type_, "__name__", "")
        if name and name in vars(shapes):
            self.definitions[name] = schema
            schema = {"$ref": REFS.format(model=name)}
        self._plain[repr(type_)] = schema
        return schema

    def answer(self, type_: Any) -> dict[str, Any]:
        return self._plain.get(repr(type_)) or self._add(type_)

    def request(self, model: Any) -> dict[str, Any]:
        """Of a body; a workflow alone will do as well."""
        _, made = models_json_schema([(model, "validation")], ref_template=REFS, schema_generator=GenerateJsonSchema)
        self.definitions.update(made.get("$defs", {}))
        schema: dict[str, Any] = {"$ref": REFS.format(model=model.__name__)}
        if "workflow" in model.model_fields:
            alone = {"type": "object", "title": "Workflow", "description": "A workflow of any accepted format, by itself."}
            return {"anyOf": [schema, alone]}
        return schema


def with_docstrings() -> None:
    """Have pydantic take the texts below the fields of our shapes for their descriptions."""
    for shape in vars(shapes).values():
        if isinstance(shape, type) and shape.__module__ == shapes.__name__:
            shape.__pydantic_config__ = {"use_attribute_docstrings": True}  # type: ignore[attr-defined]


def result_type(operation: Operation) -> Any:
    """What an operation answers as JSON; None if it answers something else."""
    found = types_of(operation)["return"]
    members = get_args(found) if get_origin(found) in (Union, python_types.UnionType) else (found,)
    for member in members:
        if get_origin(member) is Answered:
            return get_args(member)[0]
        if member is not type(None) and not (isinstance(member, type) and issubclass(member, web.StreamResponse)):
            return member
    return None


# ------------------------------------------------------------------------------------------------ operations


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    summary, _, rest = inspect.cleandoc(operation.handler.__doc__ or "").partition("\n")
    types = types_of(operation)
    out: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag], "summary": summary}
    if rest.strip():
        out["description"] = rest.strip()
    parameters = [*_in_path(operation), *_in_query(types.get("query")), *_in_headers(operation)]
    if parameters:
        out["parameters"] = parameters
    if operation.method in ("POST", "PUT", "PATCH"):
        body = _body(operation, types.get("body"), schemas)
        if body:
            out["requestBody"] = body
    out["responses"] = _responses(operation, schemas)
    return out


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    kinds = {name: "integer" if each.annotation == "int" else "string" for name, each in operation.parameters.items()}
    return [{"name": name, "in": "path", "required": True, "schema": {"type": kinds[name]}} for name in operation.path_names]


def _in_query(model: Any) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    found = []
    for name, each in schema["properties"].items():
        told = {key: value for key, value in each.items() if key not in ("title", "description")}
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": told}
        found.append({**parameter, "description": each["description"]} if "description" in each else parameter)
    return found


def _in_headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in operation.headers.items()
    ]


def _body(operation: Operation, model: Any, schemas: _Schemas) -> dict[str, Any] | None:
    if model is None:
        types = ["application/octet-stream" if name == "*" else name for name in operation.takes]
        content = {name: {"schema": {"type": "string", "format": "binary"}} for name in types}
        return {"required": True, "content": content} if types != [JSON] else None
    binary: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    content = {name: {"schema": schemas.request(model)} if name == JSON else dict(binary) for name in operation.takes}
    return {"required": True, "content": content}


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    type_ = result_type(operation)
    good: dict[str, Any] = {"description": _phrase(operation.status)}
    if type_ is not None:
        good["content"] = {JSON: {"schema": schemas.answer(type_)}}
    elif operation.status == 200:
        good["content"] = {operation.content: {"schema": {"type": "string"}}}
    found = {str(operation.status): good}
    for status in operation.statuses[1:]:
        found.setdefault(str(status), {**good, "description": _phrase(status)} if status in (200, 201) else _fault(status))
    return dict(sorted(found.items()))


def _fault(status: int) -> dict[str, Any]:
    out: dict[str, Any] = {"description": _phrase(status)}
    if status not in NO_FAULT:
        name = "Stale" if status == 412 else "Fault"
        out["content"] = {JSON: {"schema": {"$ref": REFS.format(model=name)}}}
    return out


def _phrase(status: int) -> str:
    return re.sub(r"^(\w)", lambda match: match[1].upper(), HTTPStatus(status).phrase.lower())
