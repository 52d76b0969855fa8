"""Packs: loaded from folders, kept apart, broken ones named with file and line, and their code part of every key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Harness
from toys import TOYS, add, constant

from nodegraph import node
from nodegraph.authoring import spec_of
from nodegraph.errors import BadNode, BrokenPack, NameClash, UnknownNode
from nodegraph.files import Files
from nodegraph.registry import Registry, builtin_folder, builtin_registry, code_hash, package_name

NODE = '''
from nodegraph import node

@node("{id}", category="test")
def it(a: int = {default}) -> int:
    """Do."""
    return a + {plus}
'''


def write_pack(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def node_file(id: str, default: int = 0, plus: int = 0) -> str:
    return NODE.format(id=id, default=default, plus=plus)


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("nodegraph_pack_") and not name.startswith("nodegraph_pack_core"):
            del sys.modules[name]


# ------------------------------------------------------------------------------------------------ one by one


def test_nodes_are_found_by_id(registry: Registry) -> None:
    assert registry.get("Add").function is add
    assert "Add" in registry
    assert "Nothing" not in registry
    assert {spec.id for spec in registry} >= {"Add", "Constant"}
    assert len(registry.packs["core"].nodes) == len(TOYS)


def test_an_unknown_node_is_told_with_the_nearest_names(registry: Registry) -> None:
    with pytest.raises(UnknownNode, match="there is no node type 'Ad'") as caught:
        registry.get("Ad")
    assert caught.value.hint == "did you mean `Add`?"
    with pytest.raises(UnknownNode) as caught:
        registry.get("zzzzzzzzzz")
    assert "nodegraph nodes" in (caught.value.hint or "")
    with pytest.raises(UnknownNode) as caught:
        registry.get("somepack/Blend")
    assert "the pack `somepack`, which is not installed" in (caught.value.hint or "")


def test_two_nodes_cannot_share_an_id(registry: Registry) -> None:
    @node("Add", category="other")
    def other(a: int) -> int:
        """Another."""
        return a

    with pytest.raises(NameClash, match=r"Add is declared twice: .*toys\.py:\d+ and .*test_registry\.py:\d+"):
        registry.add(other)
    assert registry.get("Add").function is add


def test_the_same_function_twice_is_no_clash(registry: Registry) -> None:
    assert registry.add(add, constant) is registry
    assert registry.packs["core"].nodes.count("Add") == 1


def test_only_decorated_functions_can_be_added() -> None:
    with pytest.raises(BadNode, match="not decorated with @node"):
        Registry().add(len)


def test_the_prefix_of_an_id_is_the_name_of_the_pack() -> None:
    @node("mine/Blend", category="test")
    def blend(a: int) -> int:
        """Blend."""
        return a

    Registry().add(blend, pack="mine")
    for pack in ("core", "other"):
        with pytest.raises(BadNode, match=f"node mine/Blend is in pack `{pack}`"):
            Registry().add(blend, pack=pack)
    with pytest.raises(BadNode, match="node Add is in pack `other`") as caught:
        Registry().add(add, pack="other")
    assert caught.value.hint == "call it `other/Add`"


# ------------------------------------------------------------------------------------------------ folders


def test_every_python_file_of_a_folder_is_loaded(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One"), two=node_file("mine/Two", plus=2), Three=node_file("mine/Three"))
    registry = Registry()
    pack = registry.load_pack(folder)
    assert pack.error is None
    assert sorted(pack.nodes) == ["mine/One", "mine/Three", "mine/Two"]
    assert registry.get("mine/Two").function(1) == 3


def test_helpers_tests_and_setup_files_are_not_looked_at(tmp_path: Path) -> None:
    broken = "raise RuntimeError('not to be imported')"
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One"), _helper=broken, test_one=broken, conftest=broken, setup=broken)
    pack = Registry().load_pack(folder)
    assert (pack.error, pack.nodes) == (None, ["mine/One"])


def test_files_of_a_pack_import_each_other(tmp_path: Path) -> None:
    folder = write_pack(
        tmp_path / "my-pack.v2",
        __init__="from ._helper import PLUS\nBEGUN = True\n",
        _helper="PLUS = 40\n" + node_file("my-pack.v2/Hidden"),
        a="from .b import it as other\nfrom ._helper import PLUS, it as hidden\nfrom . import BEGUN\n"
        + node_file("my-pack.v2/A").replace("+ 0", "+ PLUS"),
        b=node_file("my-pack.v2/B"),
    )
    registry = Registry()
    pack = registry.load_pack(folder)
    assert pack.error is None
    assert sorted(pack.nodes) == ["my-pack.v2/A", "my-pack.v2/B", "my-pack.v2/Hidden"]
    assert registry.get("my-pack.v2/A").function(2) == 42


def test_what_a_file_imports_from_elsewhere_is_not_its_own(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one="from toys import add\n" + node_file("mine/One"))
    pack = Registry().load_pack(folder)
    assert (pack.error, pack.nodes) == (None, ["mine/One"])


def test_one_node_under_two_names_is_one_node(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One") + "\nagain = it\n")
    assert Registry().load_pack(folder).nodes == ["mine/One"]


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("import nodegraph\n\nx = 1 / 0\n", "ZeroDivisionError: division by zero", 3),
        ("def f(:\n", "SyntaxError", 1),
        ("\nimport not_a_module_anywhere\n", "No module named 'not_a_module_anywhere'", 2),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye", 2),
        ("from nodegraph import node\n@node('mine/X', category='c')\ndef f(a): pass\n", "node mine/X has no docstring", None),
        (node_file("X"), "node X is in pack `mine`", None),
        (node_file("other/X"), "node other/X is in pack `mine`", None),
    ],
)
def test_a_broken_pack_is_an_entry_with_file_and_line_and_hurts_nobody(tmp_path: Path, text: str, message: str, line: int | None) -> None:
    registry = Registry()
    registry.load_pack(write_pack(tmp_path / "fine", one=node_file("fine/One")))
    pack = registry.load_pack(write_pack(tmp_path / "mine", good=node_file("mine/Good"), oops=text))
    assert pack.error is not None
    assert message in pack.error.message
    assert registry.packs["mine"] is pack
    assert pack.nodes == []
    assert "mine/Good" not in registry
    assert "fine/One" in registry
    if line is not None:
        assert f"{tmp_path / 'mine' / 'oops.py'}:{line}" in (pack.error.hint or "")
    with pytest.raises(UnknownNode) as caught:
        registry.get("mine/Good")
    assert "the pack mine could not be loaded" in (caught.value.hint or "")


def test_the_line_is_the_last_one_in_the_pack_also_when_the_folder_is_given_relatively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(tmp_path / "mine", oops="\nimport json\njson.loads('{')\n")
    monkeypatch.chdir(tmp_path / "mine")
    pack = Registry().load_pack(Path())
    assert (pack.name, pack.error and pack.error.hint) == ("mine", f"at {tmp_path / 'mine' / 'oops.py'}:3")


def test_a_mended_pack_is_loaded_again(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", a="from .b import x", b="x = 1/0")
    assert Registry().load_pack(folder).error is not None
    write_pack(folder, a=node_file("mine/A"), b="x = 1\n")
    pack = Registry().load_pack(folder)
    assert (pack.error, pack.nodes) == (None, ["mine/A"])


def test_a_second_pack_of_one_name_is_an_error_that_can_be_seen(tmp_path: Path) -> None:
    first = write_pack(tmp_path / "a" / "mine", one=node_file("mine/One"))
    second = write_pack(tmp_path / "b" / "mine", two=node_file("mine/Two"))
    registry = Registry()
    registry.load_pack(first)
    pack = registry.load_pack(second)
    assert isinstance(pack.error, NameClash)
    assert str(first) in pack.error.message
    assert str(second) in pack.error.message
    assert pack in registry.packs.values()
    assert "mine/One" in registry
    assert "mine/Two" not in registry


def test_the_same_folder_twice_is_one_pack(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One"))
    registry = Registry()
    assert registry.load_pack(folder) is registry.load_pack(folder / ".." / "mine")
    assert len(registry.packs) == 1


def test_a_pack_cannot_take_an_id_of_the_core(tmp_path: Path) -> None:
    registry = Registry().add(*TOYS)
    pack = registry.load_pack(write_pack(tmp_path / "core", one=node_file("Add")))
    assert isinstance(pack.error, NameClash)
    assert registry.get("Add").function is add


def test_packs_whose_names_differ_in_a_sign_are_kept_apart(tmp_path: Path) -> None:
    registry = Registry()
    for name, plus in (("a-b", 1), ("a_b", 2), ("a.b", 3)):
        text = f"from ._helper import PLUS\n{node_file(name + '/X').replace('+ 0', '+ PLUS')}"
        assert registry.load_pack(write_pack(tmp_path / name, x=text, _helper=f"PLUS = {plus}\n")).error is None
    assert [registry.get(f"{name}/X").function(0) for name in ("a-b", "a_b", "a.b")] == [1, 2, 3]
    assert len({package_name(name) for name in ("a-b", "a_b", "a.b", "a_2db")}) == 4


@pytest.mark.parametrize("name", ["two words", "ünï", "a'b"])
def test_a_folder_whose_name_cannot_stand_in_ids_is_told(tmp_path: Path, name: str) -> None:
    registry = Registry()
    pack = registry.load_pack(write_pack(tmp_path / name))
    assert isinstance(pack.error, BrokenPack)
    assert pack in registry.packs.values()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    pack = Registry().load_pack(tmp_path / "nowhere")
    assert "is not a folder" in (pack.error.message if pack.error else "")


# ------------------------------------------------------------------------------------------------ code and keys


def test_changed_code_is_loaded_and_changes_keys(tmp_path: Path, files: Files) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One", plus=1), two=node_file("mine/Two"))

    def load() -> tuple[int, bytes]:
        registry = Registry()
        assert registry.load_pack(folder).error is None
        return registry.get("mine/One").function(0), Harness(registry, files).keys({"1": ("mine/One", {"a": 5})})["1"]

    before = load()
    assert load() == before
    write_pack(folder, one=node_file("mine/One", plus=1000))
    changed = load()
    assert (before[0], changed[0]) == (1, 1000)
    assert before[1] != changed[1]
    write_pack(folder, _helper="# only a remark")
    assert load()[1] != changed[1]


def test_unchanged_code_is_imported_once(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One"))
    first, second = Registry(), Registry()
    first.load_pack(folder)
    second.load_pack(folder)
    assert first.get("mine/One") is second.get("mine/One")


def test_the_hash_of_code_depends_on_names_and_contents(tmp_path: Path) -> None:
    hashes = {
        code_hash([write_pack(tmp_path / str(i), **files)])
        for i, files in enumerate(({}, {"a": "x"}, {"b": "x"}, {"a": "xb"}, {"a": "x", "b": ""}, {"a": "", "b": "x"}))
    }
    assert len(hashes) == 6
    write_pack(tmp_path / "0" / "deep", a="x")
    assert code_hash([tmp_path / "0"]) not in hashes


# ------------------------------------------------------------------------------------------------ the built-in nodes


def test_the_built_in_nodes_are_a_pack_like_any_other(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mine", one=node_file("mine/One"))
    registry = builtin_registry([folder, write_pack(tmp_path / "broken", x="1/0")])
    assert {"LoadImage", "SaveImage", "KSampler", "mine/One"} <= set(registry.specs)
    assert [pack.name for pack in registry.packs.values() if pack.error is not None] == ["broken"]
    assert registry.packs["core"].path == builtin_folder("nodes")


def test_decorated_functions_are_known_by_their_contract() -> None:
    assert spec_of(add) is not None
    assert spec_of(len) is None
