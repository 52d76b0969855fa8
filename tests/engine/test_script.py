"""A workflow as a program: run, it does what the workflow does, whatever texts are in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodegraph.document import Document, parse_document
from nodegraph.formats import load_workflow
from nodegraph.script import to_script

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))


def document(nodes: dict[str, Any], **more: Any) -> Document:
    return parse_document({"nodegraph": 1, "nodes": nodes, **more})


def written(source: Document) -> Document:
    """The workflow that the program of a workflow makes."""
    scope: dict[str, Any] = {"__name__": "script"}
    exec(compile(to_script(source), "script.py", "exec"), scope)
    return parse_document(json.loads(json.dumps(scope["workflow"])))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_program_of_a_shipped_workflow_makes_the_same_workflow(path: Path) -> None:
    source = load_workflow(path).document
    made = written(source)
    assert made.nodes == source.nodes
    assert made.meta == source.meta


def test_the_program_runs_and_tells_what_it_saved(tmp_path: Path) -> None:
    nodes = {
        "show": {"type": "SaveImage", "inputs": {"image": {"link": ["red", "image"]}}},
        "red": {"type": "EmptyImage", "title": "a red square", "inputs": {"width": 16, "height": 16, "color": 0xFF0000}},
    }
    script = tmp_path / "script.py"
    script.write_text(to_script(document(nodes)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))), "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_file()


def test_nodes_stand_behind_what_they_depend_on_and_have_readable_names() -> None:
    link = {"link": ["2", "value"]}
    text = to_script(document({"1": {"type": "Add", "inputs": {"a": link}}, "2": {"type": "Const", "title": "The Value!", "inputs": {}}}))
    assert "the_value = add('2', 'Const', None, {}, title='The Value!')\nadd_2 = add('1', 'Add', None, {'a': the_value('value')})" in text


def test_a_cycle_and_a_link_to_nothing_stay_as_they_are() -> None:
    nodes = {"1": {"type": "A", "inputs": {"x": {"link": ["2", "o"]}, "y": {"link": ["none", "o"]}}}, "2": {"type": "A", "inputs": {}}}
    nodes["2"]["inputs"] = {"x": {"link": ["1", "o"]}}
    assert written(document(nodes)).nodes == document(nodes).nodes


HOSTILE = st.text(max_size=30) | st.sampled_from(['"""', "'''\nimport os", "\\", "{0}", "\r\n", "\u202e", "import", "print", "None"])
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE | st.lists(HOSTILE, max_size=3)
)
IDS = HOSTILE.filter(bool)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(IDS, st.tuples(HOSTILE, HOSTILE, st.dictionaries(HOSTILE, VALUES, max_size=3)), max_size=4), HOSTILE)
def test_whatever_texts_a_workflow_has_they_stay_texts(nodes: dict[str, tuple[str, str, dict[str, Any]]], title: str) -> None:
    entries = {id: {"type": type, "title": name, "inputs": inputs} for id, (type, name, inputs) in nodes.items()}
    source = document(entries, meta={"title": title})
    made = written(source)
    assert made.nodes == source.nodes
    assert made.meta == source.meta
