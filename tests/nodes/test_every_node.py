"""Laws that hold for each built-in node, and the examples of the documentation, run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from nodegraph.authoring import build_input
from nodegraph.registry import Registry, builtin_folder, builtin_registry
from nodegraph.schema import NodeSpec

REGISTRY = builtin_registry()
SPECS = {spec.id: spec for spec in REGISTRY}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_it_explains_itself(spec: NodeSpec) -> None:
    assert len(spec.description.split()) >= 3
    assert spec.category
    assert spec.title
    assert spec.outputs or spec.output_node


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_its_description_is_plain_data(spec: NodeSpec) -> None:
    data = spec.to_json()
    assert json.loads(json.dumps(data)) == data
    assert list(data["inputs"]) == list(spec.inputs)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_plain_input_has_a_widget(spec: NodeSpec) -> None:
    for input in spec.inputs.values():
        if getattr(input.type, "name", "") in ("int", "float", "str", "bool"):
            assert input.widget is not None, input.name


def test_the_nodes_fixed_by_name_are_there() -> None:
    assert {"LoadCheckpoint", "CLIPEncode", "KSampler", "VAEDecode"} <= SPECS.keys()


def test_sampler_and_schedule_choices_are_those_of_the_library() -> None:
    from nodegraph.diffusion.samplers import SAMPLERS
    from nodegraph.diffusion.schedules import SCHEDULES

    inputs = SPECS["KSampler"].inputs
    assert set(inputs["sampler"].choices or ()) == set(SAMPLERS)
    assert set(inputs["scheduler"].choices or ()) == set(SCHEDULES)


def test_listing_the_nodes_imports_nothing_heavy() -> None:
    code = (
        "import sys; from nodegraph.registry import builtin_registry; builtin_registry();"
        "heavy = {'torch', 'numpy', 'PIL', 'networkx', 'pydantic', 'rich', 'safetensors', 'tokenizers', 'aiohttp'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def examples() -> list[str]:
    text = (Path(__file__).parents[2] / "nodes" / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_examples_of_the_documentation_load_as_a_pack(number: int, tmp_path: Path) -> None:
    folder = tmp_path / "mypack"
    folder.mkdir()
    (folder / "example.py").write_text(examples()[number])
    registry = builtin_registry([folder])
    assert registry.packs["mypack"].error is None
    assert registry.packs["mypack"].nodes


def test_the_loop_of_the_documentation_turns_a_thousand_times(tmp_path: Path) -> None:
    from nodegraph.engine import Engine
    from nodegraph.settings import Settings

    folder = tmp_path / "mypack"
    folder.mkdir()
    (folder / "example.py").write_text(next(text for text in examples() if "mypack/Times" in text))
    settings = Settings(tmp_path / "in", tmp_path / "out", tmp_path / "temp", ())
    nodes = {
        "loop": {"type": "mypack/Times", "inputs": {"count": 1000, "value": 7}},
        "show": {"type": "ShowText", "inputs": {"value": {"link": ["loop", "int"]}}},
    }
    result = Engine(settings, builtin_registry([folder])).run({"nodegraph": 1, "nodes": nodes})
    assert result.error is None
    assert result.shown["show"][0]["text"] == "1007"


def test_the_documentation_names_every_marker() -> None:
    text = (builtin_folder("nodes") / "README.md").read_text(encoding="utf-8")
    for name in ("Slider", "Number", "Seed", "Text", "ModelFile", "InputFile", "Each", "Lazy", "Ref", "Expand", "Blocked", "Context"):
        assert name in text


def test_a_hint_that_is_no_socket_is_refused_with_the_way_out() -> None:
    from nodegraph.errors import BadNode

    with pytest.raises(BadNode, match="not a socket type"):
        build_input("x", typing.Any if False else Registry)
