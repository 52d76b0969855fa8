"""Errors of another process, made errors here again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nodegraph.errors import NodegraphError, Problems, all_errors


def error_from_json(data: Mapping[str, Any]) -> NodegraphError:
    """The error that `NodegraphError.to_json` wrote. One of a class that is not known here keeps its message and is a plain one."""
    if "errors" in data:
        return Problems([error_from_json(each) for each in data["errors"]])
    known = _classes().get(data.get("error", ""), NodegraphError)
    where = {name: data.get(name) for name in ("hint", "node", "node_type", "input")}
    return known(str(data.get("message", "")), **where)


@cache
def _classes() -> Mapping[str, type[NodegraphError]]:
    return {cls.__name__: cls for cls in all_errors() if cls is not Problems}
