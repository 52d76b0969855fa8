"""The saved workflow: strict reading of hostile JSON, every fault of form at once, and nothing lost when it is written again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nodegraph.document import (
    FORMAT,
    MAX_DEPTH,
    MAX_NODES,
    Document,
    Link,
    NodeEntry,
    as_link,
    depth,
    parse_document,
    parse_json,
    read_json,
    upgrade,
)
from nodegraph.errors import (
    BadLink,
    BadValue,
    FileMissing,
    FormatTooNew,
    GraphTooLarge,
    NotJson,
    Problems,
    ReadFailed,
    TooLarge,
    UnknownFormat,
)

SAVED: dict[str, Any] = {
    "nodegraph": 1,
    "nodes": {
        "3": {
            "type": "KSampler",
            "version": 2,
            "inputs": {"seed": 7, "model": {"link": ["4", "model"]}, "list": [1, [2]], "none": None},
            "title": "sample",
            "mode": "muted",
            "note": {"of": "a later version"},
        },
        "4": {"type": "LoadCheckpoint", "inputs": {}},
    },
    "layout": {"3": {"pos": [420, 80], "size": [280, 320], "color": "#335"}},
    "groups": [{"title": "g"}],
    "subgraphs": {
        "s": {
            "name": "S",
            "inputs": [{"name": "seed", "type": "int", "default": 0, "note": 1}],
            "outputs": [{"name": "image", "type": "image"}],
            "nodes": {"out": {"type": "SubgraphOutputs", "inputs": {"image": {"link": ["in", "seed"]}}}},
            "layout": {"out": {"pos": [1, 2]}},
            "later": True,
        }
    },
    "meta": {"title": "..."},
    "viewport": {"zoom": 2.5},
}


def with_node(**changes: Any) -> dict[str, Any]:
    return {"nodegraph": 1, "nodes": {"1": {"type": "A", **changes}}}


# ------------------------------------------------------------------------------------------------ JSON


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{}x", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not a number that JSON knows"),
        (b'{"a": Infinity}', "Infinity is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e400}', "1e400 is too large a number"),
        (b'{"a": -1e400}', "-1e400 is too large a number"),
        (b'{"a": 1' + b"0" * 400 + b"}", "401 digits, too large"),
        (b'{"a": 1' + b"0" * 100_000 + b"}", "100001 digits, too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        (b'[{"x": {"link": 1, "link": 2}}]', "the key 'link' stands twice"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        ("{}".encode("utf-16"), "byte 0 is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "byte 0 is not UTF-8"),
        (b'"\x00"', "not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(NotJson, match=reason) as caught:
        parse_json(text, "it")
    assert caught.value.hint
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500, "[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1)]
)
def test_brackets_within_brackets_have_an_end(text: str) -> None:
    with pytest.raises(TooLarge, match="nested too deeply"):
        parse_json(text)


def test_as_many_brackets_as_allowed_are_read() -> None:
    text = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert depth(parse_json(text)) == MAX_DEPTH


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_numbers_that_fit_are_kept_exactly() -> None:
    assert parse_json("[18446744073709551615, -5, 0.1, 1e308, 1e-400]") == [2**64 - 1, -5, 0.1, 1e308, 0.0]


def test_a_text_of_more_than_64_mib_is_refused() -> None:
    with pytest.raises(TooLarge, match="more than 64 MiB"):
        parse_json(b" " * (64 * 2**20 + 1))


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with open(path, "wb") as stream:
        stream.truncate(100_000_000)  # sparse: reading it would give 100 MB of zeros, which are no JSON
    with pytest.raises(TooLarge, match="more than 64 MiB"):
        read_json(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a device that never ends")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(TooLarge):
        read_json("/dev/zero")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(SAVED))
    assert read_json(path) == SAVED


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "portrait.json").write_text("{}")
    with pytest.raises(FileMissing, match="there is no file") as caught:
        read_json(tmp_path / "potrait.json")
    assert "portrait.json" in (caught.value.hint or "")
    with pytest.raises(FileMissing) as caught:
        read_json(tmp_path / "nowhere" / "w.json")
    assert "does not exist either" in (caught.value.hint or "")


def test_a_folder_is_no_workflow(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="cannot read"):
        read_json(tmp_path)


# ------------------------------------------------------------------------------------------------ documents


def test_a_document_is_read_with_its_links() -> None:
    found = parse_document(SAVED)
    assert found.nodes["3"] == NodeEntry(
        "KSampler",
        {"seed": 7, "model": Link("4", "model"), "list": [1, [2]], "none": None},
        2,
        "sample",
        "muted",
        {"note": {"of": "a later version"}},
    )
    assert found.nodes["4"] == NodeEntry("LoadCheckpoint")
    assert found.rest == {"groups": [{"title": "g"}], "viewport": {"zoom": 2.5}}
    subgraph = found.subgraphs["s"]
    assert subgraph.name == "S"
    assert subgraph.inputs["seed"].has_default
    assert not subgraph.outputs["image"].has_default
    assert subgraph.nodes["out"].inputs == {"image": Link("in", "seed")}
    assert subgraph.rest == {"layout": {"out": {"pos": [1, 2]}}, "later": True}


def test_nothing_is_lost_when_a_document_is_written_again() -> None:
    assert parse_document(SAVED).to_json() == SAVED


def test_writing_and_reading_gives_an_equal_document() -> None:
    for found in (parse_document(SAVED), Document(), Document(rest={}), Document({"a": NodeEntry("A", {"b": Link("c", "d")})})):
        assert parse_document(json.loads(json.dumps(found.to_json()))) == found


def test_what_is_written_does_not_share_its_lists_with_the_next() -> None:
    first = Document().to_json()
    first["groups"].append(1)
    assert Document().to_json()["groups"] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no nodegraph workflow"),
        ({}, "the key `nodegraph` is missing"),
        (None, "no nodegraph workflow"),
        ({"nodegraph": "1", "nodes": {}}, "must be a format number from 1 to 1, not 1"),
        ({"nodegraph": True, "nodes": {}}, "not True"),
        ({"nodegraph": 0, "nodes": {}}, "not 0"),
        ({"nodegraph": 1.0, "nodes": {}}, "not 1.0"),
        ({"nodegraph": 1}, "`nodes` must be an object of nodes by id, not None"),
        ({"nodegraph": 1, "nodes": []}, r"`nodes` must be an object of nodes by id, not \[\]"),
    ],
)
def test_data_that_is_no_document_is_refused(data: Any, message: str) -> None:
    with pytest.raises(UnknownFormat, match=message) as caught:
        parse_document(data)
    assert caught.value.hint


def test_a_later_format_asks_for_an_update() -> None:
    with pytest.raises(FormatTooNew, match="format 2; this version knows formats up to 1") as caught:
        parse_document({"nodegraph": 2, "nodes": {}})
    assert caught.value.hint == "update nodegraph"


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"nodegraph": 1, "nodes": {"1": []}}, UnknownFormat, "a node must be an object with a `type`"),
        ({"nodegraph": 1, "nodes": {"1": {}}}, UnknownFormat, "a node must be an object with a `type`"),
        (with_node(type=5), UnknownFormat, "a node must be an object with a `type`"),
        (with_node(inputs=[]), UnknownFormat, "`inputs` must be an object"),
        (with_node(inputs=None), UnknownFormat, "`inputs` must be an object"),
        (with_node(mode="sleeping"), BadValue, "the mode sleeping is not one of active, muted, bypassed"),
        (with_node(mode=[]), BadValue, r"the mode \[\] is not one of"),
        (with_node(version="2"), BadValue, "the version 2 is not a whole number"),
        (with_node(version=True), BadValue, "the version True is not a whole number"),
        (with_node(version=0), BadValue, "the version 0 is not a whole number"),
        (with_node(title=["a"]), BadValue, r"the title \['a'\] is not a text"),
        (with_node(inputs={"a": {}}), BadLink, "is not a link"),
        (with_node(inputs={"a": {"link": "3.int"}}), BadLink, "is not a link"),
        (with_node(inputs={"a": {"link": ["3"]}}), BadLink, "is not a link"),
        (with_node(inputs={"a": {"link": ["3", 0]}}), BadLink, "is not a link"),
        (with_node(inputs={"a": {"link": [3, "int"]}}), BadLink, "is not a link"),
        (with_node(inputs={"a": {"link": ["3", "int"], "more": 1}}), BadLink, "is not a link"),
        ({"nodegraph": 1, "nodes": {"": {"type": "A"}}}, UnknownFormat, "a text of 1 to 500 characters"),
        ({"nodegraph": 1, "nodes": {"x" * 501: {"type": "A"}}}, UnknownFormat, "a text of 1 to 500 characters"),
        ({"nodegraph": 1, "nodes": {3: {"type": "A"}}}, UnknownFormat, "a text of 1 to 500 characters"),
        ({"nodegraph": 1, "nodes": {}, "layout": []}, UnknownFormat, r"`layout` must be an object, not \[\]"),
        ({"nodegraph": 1, "nodes": {}, "meta": "x"}, UnknownFormat, "`meta` must be an object, not x"),
    ],
)
def test_a_malformed_node_is_refused_with_its_place(data: Any, kind: type, message: str) -> None:
    with pytest.raises(Problems) as caught:
        parse_document(data)
    (problem,) = caught.value.errors
    assert type(problem) is kind
    with pytest.raises(kind, match=message):
        raise problem
    assert problem.hint
    if data["nodes"]:
        assert problem.node == next(iter(map(str, data["nodes"])))[:39] + ("…" if len(problem.node or "") == 40 else "")


def test_all_faults_are_told_at_once() -> None:
    nodes = {
        "": {"type": "A", "mode": "x", "version": -1, "inputs": []},
        "2": {},
        "3": {"type": "B", "inputs": {"a": {}, "b": {"link": 3}}, "title": 1},
    }
    with pytest.raises(Problems) as caught:
        parse_document({"nodegraph": 1, "nodes": nodes, "layout": 3})
    assert [(e.node, e.code, e.input) for e in caught.value.errors] == [
        ("", "E403", None),
        ("", "E106", None),
        ("", "E106", None),
        ("", "E403", None),
        ("2", "E403", None),
        ("3", "E106", None),
        ("3", "E109", "a"),
        ("3", "E109", "b"),
        (None, "E403", None),
    ]


def test_of_very_many_faults_the_first_are_told_and_the_others_counted() -> None:
    with pytest.raises(Problems) as caught:
        parse_document({"nodegraph": 1, "nodes": {str(i): {} for i in range(5000)}})
    assert (len(caught.value.errors), caught.value.hidden) == (100, 4900)


def test_a_million_nodes_are_the_limit() -> None:
    class Many(dict):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return MAX_NODES + 1

    with pytest.raises(GraphTooLarge, match="1000001 nodes; at most 1000000"):
        parse_document({"nodegraph": 1, "nodes": Many()})


def test_a_list_that_looks_like_a_link_is_a_list() -> None:
    assert parse_document(with_node(inputs={"a": ["3", 0]})).nodes["1"].inputs == {"a": ["3", 0]}


def test_older_formats_are_brought_up_step_by_step() -> None:
    steps = {1: lambda data: {**data, "one": True}, 2: lambda data: {**data, "two": data["one"]}}
    assert upgrade({"nodegraph": 1, "nodes": {}}, steps, to=3) == {"nodegraph": 3, "nodes": {}, "one": True, "two": True}
    with pytest.raises(UnknownFormat, match="no way from format 1 to 3"):
        upgrade({"nodegraph": 1}, {2: steps[2]}, to=3)
    assert upgrade({"nodegraph": FORMAT}) == {"nodegraph": FORMAT}


def test_a_link_in_plain_data_is_recognised() -> None:
    assert as_link({"link": ["a", "b"]}) == Link("a", "b")
    assert as_link({"link": ["a", "b"], "x": 1}) is None
    assert as_link({}) is None
