"""Requests that come again: looked up while nothing that they depend on has changed, and only as many as fit."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from nodegraph import InputFile, Registry, node
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.files import Files
from nodegraph.server.catalog.lately import Lately
from nodegraph.server.comfy.object_info import ObjectInfo
from nodegraph.server.comfy.submission import Accepted, read_request


@node("ReadName", category="test")
def read(file: Annotated[str, InputFile("image")]) -> str:
    """Name a file."""
    return file


@node("SayName", category="test", output=True)
def say(text: str) -> None:
    """Show a text."""


@pytest.fixture
def registry() -> Registry:
    return Registry().add(read, say)


def document(name: Any = "cat.png") -> dict[str, Any]:
    return Document({"1": NodeEntry("ReadName", {"file": name}), "2": NodeEntry("SayName", {"text": Link("1", "text")})}).to_json()


def test_the_same_bytes_are_found_again(registry: Registry, files: Files) -> None:
    (files.input / "cat.png").touch()
    lately: Lately[str] = Lately()
    assert lately.find(b"{}", registry, files) is None
    lately.keep(b"{}", "read", document(), registry)
    assert lately.find(b"{}", registry, files) == "read"
    assert lately.find(b"{ }", registry, files) is None


def test_a_file_that_has_gone_is_noticed_and_one_that_comes_by_a_link_is_not_looked_for(registry: Registry, files: Files) -> None:
    (files.input / "cat.png").touch()
    lately: Lately[str] = Lately()
    lately.keep(b"named", "read", document(), registry)
    lately.keep(b"linked", "read", document(Link("2", "text")), registry)
    (files.input / "cat.png").unlink()
    assert lately.find(b"named", registry, files) is None
    assert lately.find(b"linked", registry, files) == "read"
    (files.input / "cat.png").touch()
    assert lately.find(b"named", registry, files) is None


def test_with_other_nodes_everything_is_read_anew(registry: Registry, files: Files) -> None:
    (files.input / "cat.png").touch()
    lately: Lately[str] = Lately()
    lately.keep(b"{}", "read", document(), registry)
    assert lately.find(b"{}", Registry().add(read, say), files) is None


def test_only_the_latest_are_kept_by_number_and_by_size(registry: Registry, files: Files) -> None:
    (files.input / "cat.png").touch()
    lately: Lately[int] = Lately(most=3, largest=100)
    for number in range(5):
        lately.keep(b"%d" % number, number, document(), registry)
    lately.find(b"2", registry, files)
    lately.keep(b"5", 5, document(), registry)
    assert [lately.find(b"%d" % number, registry, files) for number in range(6)] == [None, None, 2, None, 4, 5]
    lately.keep(b"x" * 97, 6, document(), registry)
    assert [lately.find(data, registry, files) for data in (b"2", b"4", b"5", b"x" * 97)] == [None, 4, 5, 6]
    lately.keep(b"y" * 101, 7, document(), registry)
    assert lately.find(b"y" * 101, registry, files) is None


def accept(registry: Registry, files: Files, **more: Any) -> Accepted:
    (files.input / "cat.png").touch()
    prompt = {
        "1": {"class_type": "ReadName", "inputs": {"file": "cat.png"}},
        "2": {"class_type": "SayName", "inputs": {"text": ["1", 0]}},
    }
    return read_request({"prompt": prompt, **more}, registry, files, ObjectInfo(registry, files))


def test_a_prompt_that_comes_again_is_another_run_unless_the_client_named_it(registry: Registry, files: Files) -> None:
    unnamed, named = accept(registry, files), accept(registry, files, prompt_id="mine")
    assert unnamed.again().submission.id not in (unnamed.submission.id, unnamed.again().submission.id)
    assert unnamed.again().submission.document == unnamed.submission.document
    assert named.again().submission.id == "mine"


def test_what_holds_a_secret_or_a_fault_is_not_kept(registry: Registry, files: Files) -> None:
    assert accept(registry, files).may_be_kept
    assert not accept(registry, files, extra_data={"api_key_comfy_org": "s3cret"}).may_be_kept
    (files.input / "cat.png").touch()
    prompt = {"1": {"class_type": "SayName", "inputs": {"text": "a"}}, "2": {"class_type": "SayName", "inputs": {}}}
    faulty = read_request({"prompt": prompt}, registry, files, ObjectInfo(registry, files))
    assert faulty.node_errors
    assert not faulty.may_be_kept


def test_what_is_written_beforehand_is_what_is_stored_otherwise(registry: Registry, files: Files) -> None:
    submission = accept(registry, files, extra_data={"name": "Größe"}).submission
    assert json.loads(submission.document_text) == submission.document
    assert json.loads(submission.origin_text) == submission.origin
