"""Shared by the tests of foreign formats: sample files, hostile JSON, and the rule that only numbered errors come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nodegraph.errors import NodegraphError

DATA = Path(__file__).parent.parent / "data" / "comfy"


def load(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def only_our_errors(run: Callable[[], Any]) -> Any:
    """Run it; a NodegraphError is a fine end if it can be shown, any other exception fails the test."""
    try:
        return run()
    except NodegraphError as error:
        return error.render() and error.to_json()


def json_values() -> st.SearchStrategy[Any]:
    words = st.sampled_from(["1", "2", "-10", "-20", "KSampler", "Reroute", "pair", "link"])
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
    return st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12)


def mutate(data: st.DataObject, root: Any) -> None:
    """Replace or remove something at a random place of plain data."""
    at = root
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or data.draw(st.integers(0, 5)) == 0:
            if isinstance(at, dict) and data.draw(st.booleans()):
                del at[key]
            else:
                at[key] = data.draw(json_values())
            return
        at = at[key]
