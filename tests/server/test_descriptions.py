"""Checking with descriptions is the same as checking with the nodes themselves, and needs none of their code."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
from faulty import faulty_document, outcome, parse_type
from hypothesis import given
from hypothesis import strategies as st
from rig import TROUBLE
from toys import TOYS

from nodegraph import Each, Lazy, Ref, Registry, Slider, node, socket
from nodegraph.document import parse_document
from nodegraph.errors import BadNode, BadVersion, BrokenPack, ModelNotFound, NodegraphError, Problems, UnknownNode, all_errors
from nodegraph.files import Files
from nodegraph.graph import upgrade_document
from nodegraph.registry import builtin_folder, builtin_registry
from nodegraph.schema import InputSpec, NodeSpec, OutputSpec
from nodegraph.server.catalog.descriptions import NotLoaded, describe, digest, needs_upgrade, registry_of
from nodegraph.server.wire.faults import error_from_json
from nodegraph.types import BOOL, FLOAT, INT, STR, Type, declare_cast, joint, sockets, to_text

HERE = Path(__file__).parent
T = TypeVar("T")


@socket("zoo_animal", color="#112233")
class Animal:
    """Something alive."""


@socket("zoo_cat", handle=True)
class Cat(Animal):
    """It purrs."""


class Hidden(Cat):
    """No socket type itself."""


@socket("zoo_tiger")
class Tiger(Hidden):
    """It does not."""


@socket("zoo_length")
class Length(float):
    """A number of metres."""


@socket("zoo_table")
class Table(dict[str, Any]):
    """Rows by name."""


declare_cast(Animal, Length, lambda value: Animal())


class Zoo(NamedTuple):
    cat: Cat
    tigers: list[Tiger]


@node("Breed", category="zoo")
def breed(animal: Animal, many: list[Animal], either: Cat | Length, each: Each[Animal], n: int = 3) -> Zoo:
    """Take all kinds."""
    raise NotImplementedError


@node("Measure", category="zoo", output=True, cached=False, fingerprint=lambda **inputs: 1, status="beta")
def measure(
    table: Table | None = None,
    far: Annotated[float, Slider(0.0, float("inf"), 0.5)] = float("inf"),
    unit: Literal["m", "km", 3] = "m",
    lazy: Lazy[Animal] | None = None,
    ref: Ref[Cat] | None = None,
    flag: bool = True,
) -> Length:
    """Everything has a default.

    far: how far
    unit: in which unit
    zoo_length: what was measured
    """
    raise NotImplementedError


@node("Cages", category="zoo")
def cages(first: list[T], second: T) -> list[T]:
    """What fits together."""
    raise NotImplementedError


@node("Hunt", category="zoo", version=3, upgrade=lambda version, inputs: {"cat": inputs["mouse"]})
def hunt(cat: Cat) -> Tiger:
    """Its input had another name."""
    raise NotImplementedError


@cache
def real() -> Registry:
    """All there is: the built-in nodes, the toys, a pack, a pack that is broken, and the zoo."""
    registry = builtin_registry([TROUBLE])
    registry.add(*(toy for toy in TOYS if toy.__nodegraph__.id not in registry), breed, measure, cages, hunt)
    registry.load_pack(HERE / "no such folder", "broken")
    return registry


@cache
def rebuilt() -> Registry:
    return registry_of(json.loads(json.dumps(describe(real()), allow_nan=False)))


def in_another_process(documents: list[dict[str, Any]], folder: Path) -> tuple[list[Any], list[str]]:
    """What documents are checked into where only the descriptions are known, and the modules that are loaded there."""
    lines = [json.dumps(describe(real())), *map(json.dumps, documents)]
    done = subprocess.run([sys.executable, HERE / "faulty.py", folder], input="\n".join(lines), capture_output=True, text=True, check=True)
    *found, modules = map(json.loads, done.stdout.splitlines())
    return found, modules


# ------------------------------------------------------------------------------------------------ what is described


def test_a_description_of_what_was_described_is_the_same() -> None:
    assert describe(rebuilt()) == describe(real())
    assert digest(describe(rebuilt())) == digest(describe(real()))
    assert digest(describe(Registry())) != digest(describe(real()))


def test_nodes_are_known_in_everything_but_their_code() -> None:
    assert list(rebuilt().specs) == list(real().specs)
    for spec in real():
        known = rebuilt().specs[spec.id]
        assert known.to_json() == spec.to_json()
        for name in NodeSpec.__dataclass_fields__:
            mine, theirs = getattr(known, name), getattr(spec, name)
            if name in ("upgrade", "fingerprint"):
                assert (mine is None) == (theirs is None)
            elif name in ("inputs", "outputs"):
                assert list(mine) == list(theirs)
            elif name != "function":
                assert mine == theirs
        for name, input in spec.inputs.items():
            same_input(known.inputs[name], input)


def same_input(mine: InputSpec, theirs: InputSpec) -> None:
    for name in InputSpec.__dataclass_fields__:
        if name == "type":
            assert to_text(mine.type) == to_text(theirs.type)
        else:
            assert repr(getattr(mine, name)) == repr(getattr(theirs, name))
            assert type(getattr(mine, name)) is type(getattr(theirs, name))


def test_packs_are_known_with_what_is_wrong_with_them() -> None:
    assert {name: (pack.name, pack.path, pack.code, pack.nodes) for name, pack in rebuilt().packs.items()} == {
        name: (pack.name, pack.path, pack.code, pack.nodes) for name, pack in real().packs.items()
    }
    error = rebuilt().packs["broken"].error
    assert isinstance(error, BrokenPack)
    for id in ("broken/Node", "gone/Node", "Ksampler"):
        with pytest.raises(UnknownNode) as mine:
            rebuilt().get(id)
        with pytest.raises(UnknownNode) as theirs:
            real().get(id)
        assert mine.value.to_json() == theirs.value.to_json()


def test_code_that_is_not_there_says_so() -> None:
    with pytest.raises(NotLoaded, match="code of node Breed is not loaded"):
        rebuilt().specs["Breed"].function(animal=1)


@pytest.mark.parametrize(
    "data", [{}, {"format": 2}, {"format": 1}, {"format": 1, "sockets": [{}]}, {"format": 1, "sockets": [], "casts": [1]}]
)
def test_what_is_no_description_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        registry_of(data)


# ------------------------------------------------------------------------------------------------ types


def rebuilt_types(types: list[Type]) -> list[Type]:
    registry = Registry()
    outputs = {str(number): OutputSpec(str(number), type_) for number, type_ in enumerate(types)}
    registry.register(NodeSpec("All", lambda: None, {}, outputs))
    return [output.type for output in registry_of(describe(registry)).specs["All"].outputs.values()]


def test_described_types_connect_as_the_shared_table_says() -> None:
    table = json.loads((HERE.parent / "data" / "connect_cases.json").read_text())
    if "portrait" not in sockets():
        socket("portrait")(type("Portrait", (sockets()["image"].cls,), {"__doc__": "A picture of somebody."}))
    real()
    for case in table["cases"]:
        target, source = rebuilt_types([parse_type(case["target"]), parse_type(case["source"])])
        assert joint(target, source, case.get("each", False)) == case["how"], case


def test_all_types_connect_as_the_real_ones_do() -> None:
    known = {input.type for spec in real() for input in spec.inputs.values()} | {
        out.type for spec in real() for out in spec.outputs.values()
    }
    mine = sorted(known | {INT, FLOAT, STR, BOOL}, key=to_text)
    theirs = rebuilt_types(mine)
    assert len(mine) > 25
    for a, other_a in zip(mine, theirs, strict=True):
        for b, other_b in zip(mine, theirs, strict=True):
            for each in (False, True):
                assert joint(a, b, each) == joint(other_a, other_b, each), (to_text(a), to_text(b), each)


# ------------------------------------------------------------------------------------------------ the law


@given(st.randoms(use_true_random=False), st.booleans())
def test_documents_are_checked_as_with_the_nodes_themselves(random: Random, all_targets: bool) -> None:
    data = faulty_document(random, real())
    targets = list(data["nodes"]) if all_targets else None
    if needs_upgrade(parse_document(data), real()):
        return
    assert outcome(data, rebuilt(), targets=targets) == outcome(data, real(), targets=targets)


def shipped() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(builtin_folder("workflows").glob("*.json"))]


def test_a_process_without_any_node_checks_as_one_that_has_them(tmp_path: Path) -> None:
    for name in ("input", "models"):
        (tmp_path / name).mkdir()
    files = Files(tmp_path / "input", tmp_path / "output", tmp_path / "temp", (tmp_path / "models",))
    made = [faulty_document(Random(seed), real()) for seed in range(600)]
    documents = shipped() + [data for data in made if not needs_upgrade(parse_document(data), real())]
    found, modules = in_another_process(documents, tmp_path)
    expected = [json.loads(json.dumps(outcome(data, real(), files))) for data in documents]
    assert found == expected
    assert sum("nodes" in one for one in found) > 20, "some are right"
    assert sum("problems" in one for one in found) > 100, "some are wrong"
    kinds = {problem["error"] for one in found for problem in one.get("problems", ())}
    assert kinds >= {
        "MissingInput",
        "TypeMismatch",
        "UnknownNode",
        "UnknownInput",
        "BadValue",
        "OutOfRange",
        "NotAChoice",
        "BadLink",
        "Cycle",
    }
    assert ModelNotFound.__name__ in kinds
    loaded = {name.partition(".")[0] for name in modules}
    assert not loaded & {"torch", "numpy", "PIL", "safetensors", "tokenizers", "pydantic", "aiohttp", "nodes"}
    assert not [name for name in modules if name.startswith(("nodegraph_pack_", "nodegraph.diffusion", "nodegraph.engine"))]


def test_shipped_workflows_are_right_either_way() -> None:
    for data in shipped():
        found = outcome(data, rebuilt())
        assert found == outcome(data, real())
        assert "nodes" in found, data.get("meta", {}).get("title")


# ------------------------------------------------------------------------------------------------ upgrades


def old(version: int | None, inputs: dict[str, Any], mode: str = "active") -> dict[str, Any]:
    entry = {"type": "trouble/Older", "inputs": inputs, "mode": mode} | ({"version": version} if version else {})
    return {"nodegraph": 1, "nodes": {"x": entry}}


@pytest.mark.parametrize(
    ("data", "needed"),
    [
        (old(1, {"number": 3}), True),
        (old(2, {"value": 3}), False),
        (old(None, {"value": 3}), False),
        (old(3, {"value": 3}), False),
        (old(1, {"number": 3}, "muted"), False),
        ({"nodegraph": 1, "nodes": {"x": {"type": "gone/Node", "version": 1}}}, False),
        ({"nodegraph": 1, "nodes": {"x": {"type": "Breed", "version": 1}}}, False),
    ],
)
def test_it_is_known_when_a_worker_must_carry_nodes_over(data: dict[str, Any], needed: bool) -> None:
    assert needs_upgrade(parse_document(data), rebuilt()) is needed


def test_nodes_that_were_carried_over_are_checked_alike() -> None:
    upgraded = upgrade_document(parse_document(old(1, {"number": 3})), real()).to_json()
    assert upgraded["nodes"]["x"] == {"type": "trouble/Older", "version": 2, "inputs": {"value": 3}}
    assert not needs_upgrade(parse_document(upgraded), rebuilt())
    assert outcome(upgraded, rebuilt(), targets=["x"]) == outcome(old(1, {"number": 3}), real(), targets=["x"])


def test_a_node_that_cannot_be_carried_over_is_a_problem() -> None:
    with pytest.raises(Problems) as caught:
        upgrade_document(parse_document(old(1, {})), real())
    (fault,) = caught.value.errors
    assert isinstance(fault, BadVersion)
    assert fault.node == "x"


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("cls", [cls for cls in all_errors() if cls is not Problems], ids=lambda cls: cls.__name__)
def test_errors_come_back_as_they_were(cls: type[NodegraphError]) -> None:
    error = cls("what", hint="way out", node="3", node_type="T", input="a")
    again = error_from_json(error.to_json())
    assert type(again) is cls
    assert again.to_json() == error.to_json()
    assert error_from_json(cls("what").to_json()).to_json() == cls("what").to_json()


def test_several_problems_come_back_together() -> None:
    problems = Problems([BadNode("a"), BrokenPack("b", hint="c")])
    again = error_from_json(problems.to_json())
    assert isinstance(again, Problems)
    assert again.to_json() == problems.to_json()
    assert error_from_json({"error": "Unheard", "message": "of"}).message == "of"
