"""Keys: equal where results are equal, different where anything differs that counts, and able to say which part changed."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import pytest
from harness import Harness, Nodes, document, link
from hypothesis import given
from hypothesis import strategies as st

from nodegraph import Each, InputFile, InputRefused, ModelFile, node
from nodegraph.errors import FileMissing, NodeFailed
from nodegraph.keys import canonical, what_changed


class Quotient(NamedTuple):
    whole: int
    rest: int


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.floats() | st.sampled_from(["", "1", "i1;", "a"]) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def tagged(value: Any) -> Any:
    """A value with its types, so that `==` tells 1, 1.0 and True apart."""
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(tagged, value))
    if isinstance(value, dict):
        return ("dict", *sorted((k, tagged(v)) for k, v in value.items()))
    return (type(value).__name__, struct.pack("d", value) if isinstance(value, float) else value)


@given(plain, plain)
def test_plain_values_have_the_same_bytes_only_if_they_are_the_same(a: Any, b: Any) -> None:
    assert (canonical(a) == canonical(b)) == (tagged(a) == tagged(b))


@given(plain, plain)
def test_no_value_begins_with_the_bytes_of_another(a: Any, b: Any) -> None:
    if tagged(a) != tagged(b):
        assert not canonical(a).startswith(canonical(b))


def test_what_python_calls_equal_is_told_apart() -> None:
    values = [1, True, 1.0, "1", b"1", [1], (1,), {"1": 1}, 0, False, 0.0, -0.0, "", None, [], (), {}]
    assert len({canonical(value) for value in values}) == len(values)


def test_the_order_in_a_mapping_does_not_matter() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [object(), {1, 2}, len, [object()], {"a": object()}, 1j, {1: 2, "a": 3}])
def test_what_is_not_plain_has_no_bytes(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


# ------------------------------------------------------------------------------------------------ graphs


BASE: Nodes = {
    "c": ("Constant", {"value": 3}),
    "t": ("Two", {"a": link("c.int")}),
    "a": ("Add", {"a": link("t.total"), "b": 1}),
    "h": ("Half", {"a": 2.0}),
    "s": ("ShowText", {"value": link("t.text")}),
}


def changed(id: str, type: str | None = None, **inputs: Any) -> dict[str, tuple[str, Mapping[str, Any]]]:
    old_type, old = BASE[id]
    return {**BASE, id: (type or old_type, {**old, **inputs})}


def differing(toys: Harness, nodes: Nodes) -> set[str]:
    before, after = toys.keys(BASE), toys.keys(nodes)
    return {id for id in after if before.get(id) != after[id]}


@pytest.mark.parametrize(
    ("nodes", "ids"),
    [
        (BASE, set()),
        (changed("c", value=4), {"c", "t", "a", "s"}),
        (changed("a", b=2), {"a"}),
        (changed("a", b=link("c.int")), {"a"}),
        (changed("h", a=2), set()),
        (changed("h", a=-0.0), {"h"}),
        (changed("c", type="Word", value="3") | {"t": ("Two", {"a": 1}), "a": BASE["a"]}, {"c", "t", "a", "s"}),
        ({**BASE, "a": ("Add", {"a": link("t.total"), "b": 1}), "new": ("Constant", {"value": 3})}, {"new"}),
        ({**BASE, "c": ("Add", {"a": 3})}, {"c", "t", "a", "s"}),
    ],
)
def test_a_key_changes_with_what_the_result_depends_on_and_with_nothing_else(toys: Harness, nodes: Nodes, ids: set[str]) -> None:
    assert differing(toys, nodes) == ids


def test_an_input_left_out_is_its_default_typed_in(toys: Harness) -> None:
    keys = toys.keys({"a": ("Add", {"a": 1}), "b": ("Add", {"a": 1, "b": 0}), "c": ("Add", {"b": 0, "a": 1})})
    assert len(set(keys.values())) == 1


def test_which_output_is_linked_matters(toys: Harness) -> None:
    @node("Divide", category="test")
    def divide(a: int) -> Quotient:
        """Divide."""
        return Quotient(a, a)

    toys.registry.add(divide)
    keys = toys.keys({"d": ("Divide", {"a": 1}), "x": ("Add", {"a": link("d.whole")}), "y": ("Add", {"a": link("d.rest")})})
    assert keys["x"] != keys["y"]


def test_a_link_is_not_the_value_that_comes_along_it(toys: Harness) -> None:
    keys = toys.keys({"c": ("Constant", {"value": 3}), "a": ("Add", {"a": 3}), "b": ("Add", {"a": link("c.int")})})
    assert keys["a"] != keys["b"]


def test_swapped_inputs_are_different(toys: Harness) -> None:
    keys = toys.keys(
        {
            "x": ("Constant", {"value": 1}),
            "y": ("Constant", {"value": 2}),
            "a": ("Add", {"a": link("x.int"), "b": link("y.int")}),
            "b": ("Add", {"a": link("y.int"), "b": link("x.int")}),
            "c": ("Add", {"a": 1, "b": 2}),
            "d": ("Add", {"a": 2, "b": 1}),
        }
    )
    assert len(set(keys.values())) == 6


def test_ids_titles_layout_and_order_never_enter(toys: Harness) -> None:
    renamed = {
        f"other {id}": (type, {n: link(f"other {v.node}.{v.output}") if hasattr(v, "node") else v for n, v in inputs.items()})
        for id, (type, inputs) in reversed(BASE.items())
    }
    assert {id.removeprefix("other "): key for id, key in toys.keys(renamed).items()} == toys.keys(BASE)
    titled = document(BASE)
    for entry in titled.nodes.values():
        entry.title = "a title"
    titled.layout = {"c": {"pos": [1, 2]}}
    titled.meta = {"title": "x"}
    assert toys.keys(titled) == toys.keys(BASE)


def test_version_code_and_policy_enter_every_key(toys: Harness) -> None:
    before = toys.keys(BASE)
    toys.policy = "cuda/float16"
    assert not set(before.values()) & set(toys.keys(BASE).values())
    toys.policy = "cpu/float32"
    toys.registry.packs["core"].code = "changed"
    assert not set(before.values()) & set(toys.keys(BASE).values())
    toys.registry.packs["core"].code = ""
    assert toys.keys(BASE) == before
    toys.registry.specs["Add"] = dataclasses.replace(toys.registry.specs["Add"], version=2)
    assert differing_from(before, toys.keys(BASE)) == {"a"}


def differing_from(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    return {id for id in after if before[id] != after[id]}


# ------------------------------------------------------------------------------------------------ files


@node("ReadOne", category="test")
def read_one(file: Annotated[str, InputFile("any")]) -> str:
    """Name a file."""
    return file


@node("ReadEach", category="test")
def read_each(file: Each[Annotated[str, InputFile("any")]], weights: Annotated[str, ModelFile("loras")] | None = None) -> str:
    """Name files."""
    return file


@pytest.fixture
def reader(toys: Harness) -> Harness:
    toys.registry.add(read_one, read_each)
    for name, text in (("a.txt", "same"), ("b.txt", "same"), ("c.txt", "other")):
        (toys.files.input / name).write_text(text)
    return toys


def test_a_file_enters_by_its_contents_and_not_by_its_name(reader: Harness) -> None:
    keys = reader.keys({name: ("ReadOne", {"file": f"{name}.txt"}) for name in "abc"})
    assert keys["a"] == keys["b"] != keys["c"]
    (reader.files.input / "a.txt").write_text("changed")
    assert reader.keys({"a": ("ReadOne", {"file": "a.txt"})})["a"] not in keys.values()


def test_a_list_of_files_is_not_one_file_nor_another_list(reader: Harness) -> None:
    lists: list[Any] = ["a.txt", ["a.txt"], ["a.txt", "a.txt"], ["a.txt", "c.txt"], ["c.txt", "a.txt"], []]
    keys = reader.keys({str(i): ("ReadEach", {"file": value}) for i, value in enumerate(lists)})
    assert len(set(keys.values())) == len(lists)


def test_no_file_is_not_a_file(reader: Harness) -> None:
    (reader.files.models[0] / "loras").mkdir()
    (reader.files.models[0] / "loras" / "x.safetensors").write_text("w")
    keys = reader.keys({"a": ("ReadEach", {"file": "a.txt"}), "b": ("ReadEach", {"file": "a.txt", "weights": "x.safetensors"})})
    assert keys["a"] != keys["b"]


def test_a_file_that_vanished_after_checking_is_told_with_node_and_input(reader: Harness) -> None:
    graph = reader.check({"1": ("ReadOne", {"file": "a.txt"})}, ["1"])
    (reader.files.input / "a.txt").unlink()
    with pytest.raises(FileMissing) as caught:
        reader.key_maker().keys(graph)
    assert (caught.value.node, caught.value.node_type, caught.value.input) == ("1", "ReadOne", "file")


# ------------------------------------------------------------------------------------------------ things outside the graph


_outside: dict[str, Any] = {"value": 0}


def look_outside(**literals: Any) -> Any:
    _outside["asked"] = literals
    if isinstance(_outside["value"], BaseException):
        raise _outside["value"]
    return _outside["value"]


@node("Watch", category="test", fingerprint=look_outside)
def watch(a: int, b: int = 5) -> int:
    """Read something outside."""
    return a


def test_a_fingerprint_enters_the_key_and_is_told_the_literals(toys: Harness) -> None:
    toys.registry.add(watch)
    nodes: Nodes = {"c": ("Constant", {}), "w": ("Watch", {"a": link("c.int")}), "x": ("Add", {"a": link("w.int")})}
    keys = []
    for value in (1, 1, True, "1", [1], {"t": 1.5}):
        _outside["value"] = value
        keys.append(toys.keys(nodes))
    assert keys[0] == keys[1]
    assert len({k["w"] for k in keys}) == len({k["x"] for k in keys}) == 5
    assert _outside["asked"] == {"a": None, "b": 5}


@pytest.mark.parametrize("value", [RuntimeError("no"), object()])
def test_a_fingerprint_that_fails_is_a_fault_of_its_node(toys: Harness, value: Any) -> None:
    toys.registry.add(watch)
    _outside["value"] = value
    with pytest.raises(NodeFailed, match="its fingerprint failed") as caught:
        toys.keys({"w": ("Watch", {"a": 1})})
    assert (caught.value.node, caught.value.node_type) == ("w", "Watch")
    assert caught.value.hint


def test_a_fingerprint_may_refuse(toys: Harness) -> None:
    toys.registry.add(watch)
    _outside["value"] = InputRefused("the folder is gone", hint="make it")
    with pytest.raises(InputRefused) as caught:
        toys.keys({"w": ("Watch", {"a": 1})})
    assert caught.value.node == "w"


def test_a_node_that_is_never_cached_has_a_new_key_each_time(toys: Harness) -> None:
    nodes: Nodes = {"d": ("Dice", {"seed": 1}), "a": ("Add", {"a": link("d.int")}), "c": ("Constant", {})}
    first, second = toys.keys(nodes), toys.keys(nodes)
    assert differing_from(first, second) == {"d", "a"}


# ------------------------------------------------------------------------------------------------ what came in


def actual(toys: Harness, nodes: Nodes, id: str, ids: Mapping[str, bytes]) -> bytes:
    graph = toys.check(nodes, list(nodes))
    return toys.key_maker().actual_key(graph.nodes[id], {link(text): value for text, value in ids.items()}, {})


def test_the_key_by_what_came_in_depends_on_values_and_not_on_where_they_came_from(toys: Harness) -> None:
    one: Nodes = {"x": ("Constant", {"value": 1}), "n": ("Add", {"a": link("x.int")})}
    two: Nodes = {"y": ("Add", {"a": 1}), "n": ("Add", {"a": link("y.int")})}
    assert actual(toys, one, "n", {"x.int": b"1"}) == actual(toys, two, "n", {"y.int": b"1"})
    assert actual(toys, one, "n", {"x.int": b"1"}) != actual(toys, one, "n", {"x.int": b"2"})


def test_the_key_by_what_came_in_tells_one_call_from_one_call_an_item(toys: Harness) -> None:
    untyped: Nodes = {"l": ("Anything", {"value": [1, 2]}), "d": ("Double", {"a": link("l.value")})}
    typed: Nodes = {"l": ("Count", {"to": 2}), "d": ("Double", {"a": link("l.ints")})}
    assert actual(toys, untyped, "d", {"l.value": b"v"}) != actual(toys, typed, "d", {"l.ints": b"v"})


def test_the_key_by_what_came_in_tells_converted_values_from_others(toys: Harness) -> None:
    cast: Nodes = {"c": ("Constant", {}), "g": ("If", {"on": True, "yes": link("c.int"), "no": 1.5})}
    plain: Nodes = {"c": ("Constant", {}), "g": ("If", {"on": True, "yes": link("c.int"), "no": 1})}
    assert actual(toys, cast, "g", {"c.int": b"v"}) != actual(toys, plain, "g", {"c.int": b"v"})


# ------------------------------------------------------------------------------------------------ why


def explained(toys: Harness, nodes: Nodes, id: str) -> dict[str, str]:
    graph = toys.check(nodes, list(nodes))
    maker = toys.key_maker()
    return maker.explain(graph.nodes[id], maker.keys(graph))


@pytest.mark.parametrize(
    ("before", "after", "id", "lines"),
    [
        (BASE, BASE, "a", []),
        (BASE, changed("a", b=2), "a", ["input `b`: 1 -> 2"]),
        (BASE, changed("c", value=4), "t", ["input `a`: node c `int` gives another result"]),
        (BASE, changed("a", b=link("c.int")), "a", ["input `b`: now from node c `int`"]),
        (changed("a", b=link("c.int")), BASE, "a", None),
        (
            {"an id with spaces": ("Constant", {}), "x": ("Add", {"a": link("an id with spaces.int")})},
            {"an id with spaces": ("Constant", {"value": 1}), "x": ("Add", {"a": link("an id with spaces.int")})},
            "x",
            ["input `a`: node an id with spaces `int` gives another result"],
        ),
    ],
)
def test_what_changed_is_told_by_input(toys: Harness, before: Nodes, after: Nodes, id: str, lines: list[str] | None) -> None:
    found = what_changed(explained(toys, before, id), explained(toys, after, id))
    if lines is None:
        assert len(found) == 1
        assert found[0].startswith("input `b`: node c `int`")
        assert found[0].endswith("-> 1")
    else:
        assert found == lines


def test_a_first_run_is_told_as_such() -> None:
    assert what_changed(None, {}) == ["first run"]


def test_changed_files_code_and_clocks_are_told(reader: Harness) -> None:
    nodes: Nodes = {"r": ("ReadOne", {"file": "a.txt"}), "w": ("Watch", {"a": 1})}
    reader.registry.add(watch)
    _outside["value"] = 1
    before = {id: explained(reader, nodes, id) for id in nodes}
    (reader.files.input / "a.txt").write_text("new")
    _outside["value"] = 2
    assert what_changed(before["r"], explained(reader, nodes, "r")) == ["input `file`: file a.txt has other contents"]
    assert what_changed(before["w"], explained(reader, nodes, "w")) == ["what it reads outside the workflow changed"]
    reader.registry.packs["core"].code = "other"
    (line,) = what_changed(explained_code(before["r"]), explained_code(explained(reader, nodes, "r")))
    assert line.startswith("code: ")


def explained_code(parts: Mapping[str, str]) -> dict[str, str]:
    return {"code": parts["code"]}


def test_long_texts_that_differ_only_at_the_end_are_told_apart(toys: Harness) -> None:
    one, two = ({"w": ("Word", {"value": "x" * 5000 + end})} for end in "ab")
    (line,) = what_changed(explained(toys, one, "w"), explained(toys, two, "w"))
    assert len(line) < 500
