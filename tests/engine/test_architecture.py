"""Who may import whom: errors <- types <- schema <- authoring <- registry <- graph <- keys and cache <- scheduler <- engine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nodegraph

PACKAGE = Path(nodegraph.__file__).parent
NODES = PACKAGE.parent / "nodes"

LAYERS = [
    {"errors", "values", "lanes", "spans"},
    {"types", "document", "events", "files", "device"},
    {"schema", "context", "content", "codec", "tracing"},
    {"authoring", "literals", "cache", "media", "script"},
    {"registry"},
    {"subgraphs", "settings", "ports"},
    {"graph"},
    {"keys", "overrides", "calling", "expansion"},
    {"plan", "async_lane", "comfy"},
    {"scheduler", "formats"},
    {"engine"},
    {"cli"},
    {"__main__"},
]
"""a file imports files of earlier layers only; a folder is one member"""

SERVER_LAYERS = [
    {"http_errors", "memory"},
    {"wire", "setup", "queue"},
    {"catalog", "safety"},
    {"worker", "supervision", "logs"},
    {"keys"},
    {"comfy", "v1", "home"},
    {"parts"},
    {"app"},
]
"""the same within the server: the queue knows of no process and no protocol, the worker nothing of HTTP"""

PUBLIC = {"__init__"}
"""fetches names when they are used, and so is above all"""

DIFFUSION_MAY = {"errors", "types", "files", "media", "authoring", "context", "values", "spans"}
ENGINE_KNOWS_OF_DIFFUSION = {("engine.py", "nodegraph.diffusion.store")}
"""the weights store is made when the first node loads a model"""


def imports(path: Path, top_only: bool = False) -> Iterator[str]:
    """Modules a file imports: everywhere in it, or only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for item in _at_import(tree) if top_only else ast.walk(tree):
        if isinstance(item, ast.Import):
            yield from (alias.name for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path} imports relatively"
            module = item.module or ""
            yield from (
                (f"{module}.{alias.name}" for alias in item.names)
                if module in ("nodegraph", "nodegraph.comfy", "nodegraph.server")
                else (module,)
            )


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: not bodies of functions, not what only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _at_import(child)


def core_files() -> list[Path]:
    """All of nodegraph but the diffusion layer and the server."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in ("diffusion", "server", "_builtin")]


def member(name: str) -> str:
    """The member of LAYERS that a dotted name in nodegraph belongs to."""
    return name.split(".")[1] if "." in name else "__init__"


def owner(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_file_has_its_layer() -> None:
    layered = set().union(*LAYERS)
    assert {owner(path) for path in core_files()} - PUBLIC == layered


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_files_of_earlier_layers_only(path: Path) -> None:
    mine = owner(path)
    if mine in PUBLIC:
        return
    level = next(i for i, layer in enumerate(LAYERS) if mine in layer)
    below = set().union(*LAYERS[:level]) | {mine}
    for name in imports(path):
        if name.startswith("nodegraph.diffusion"):
            assert (path.name, name) in ENGINE_KNOWS_OF_DIFFUSION
        elif name.startswith("nodegraph.server"):
            assert mine == "cli", f"{path.name} imports {name}"
        elif name.split(".")[0] == "nodegraph" and name != "nodegraph.__version__":
            assert member(name) in below, f"{path.name} imports {name}"


def server_files() -> list[Path]:
    return [path for path in sorted((PACKAGE / "server").rglob("*.py")) if path != PACKAGE / "server" / "__init__.py"]


@pytest.mark.parametrize("path", server_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_of_the_server_imports_files_of_earlier_layers_only(path: Path) -> None:
    mine = path.relative_to(PACKAGE / "server").parts[0].removesuffix(".py")
    level = next(i for i, layer in enumerate(SERVER_LAYERS) if mine in layer)
    below = set().union(*SERVER_LAYERS[:level]) | {mine}
    for name in imports(path):
        if name.startswith("nodegraph.server."):
            assert name.split(".")[2] in below, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "diffusion").rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_diffusion_layer_knows_nothing_of_graphs_and_runs(path: Path) -> None:
    names = {member(name) for name in imports(path) if name.split(".")[0] == "nodegraph"} - {"diffusion"}
    assert names <= DIFFUSION_MAY


@pytest.mark.parametrize("path", sorted(NODES.glob("*.py")), ids=lambda path: path.name)
def test_nodes_import_public_names_only(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] == "nodegraph" and not name.startswith("nodegraph.diffusion"):
            assert name.removeprefix("nodegraph.") in nodegraph.__all__, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("torch", {"diffusion", "device.py"}),
        ("safetensors", {"diffusion"}),
        ("tokenizers", {"diffusion"}),
        ("aiohttp", {"server"}),
        ("networkx", {"graph.py"}),
        ("rich", {"cli"}),
        ("pickle", set()),
        ("marshal", set()),
        ("shelve", set()),
        ("torchvision", set()),
    ],
)
def test_a_library_is_used_in_its_place_only(library: str, allowed: set[str]) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports(path)) and "_builtin" not in path.parts
    }
    assert users <= allowed


@pytest.mark.parametrize("path", [*core_files(), *sorted(NODES.glob("*.py"))], ids=lambda path: path.name)
def test_nothing_heavy_is_imported_at_the_top(path: Path) -> None:
    heavy = {"torch", "numpy", "PIL", "networkx", "pydantic", "aiohttp", "av", "safetensors", "tokenizers", "scipy"}
    if "cli" not in path.parts:
        heavy.add("rich")
    assert not heavy & {name.split(".")[0] for name in imports(path, top_only=True)}


def test_whoever_catches_every_exception_raises_another_or_says_why() -> None:
    for path in core_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        for handler in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(handler, ast.ExceptHandler):
                caught = ast.unparse(handler.type) if handler.type is not None else "BaseException"
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))
                if {"Exception", "BaseException"} & set(
                    caught.replace("(", " ").replace(")", " ").replace(",", " ").split()
                ) and not raises:
                    assert "# noqa: BLE001 - " in lines[handler.lineno - 1], f"{path.name}:{handler.lineno}"


def test_no_file_is_for_odds_and_ends() -> None:
    names = {path.name for folder in (PACKAGE, NODES) for path in folder.rglob("*.py")}
    assert not names & {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}


def test_public_names_are_where_they_are_said_to_be() -> None:
    assert sorted(nodegraph.__all__) == nodegraph.__all__
    assert all(getattr(nodegraph, name) is not None for name in nodegraph.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nodegraph.nothing  # noqa: B018


# ------------------------------------------------------------------------------------------------ starting up

WATCHED = ["torch", "numpy", "PIL", "networkx", "pydantic", "rich", "aiohttp", "safetensors", "tokenizers", "asyncio"]


def loaded_by(code: str) -> set[str]:
    """Which of the watched libraries a fresh process has loaded after running some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {WATCHED!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(found)


HELP = """
from nodegraph.cli.main import main
try:
    main(["--help"])
except SystemExit as leave:
    assert not leave.code
"""

REGISTRY = """
from nodegraph.registry import builtin_registry
assert len(builtin_registry().specs) > 20
"""

RUN_TOYS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from toys import TOYS
from nodegraph import Engine, Registry
from nodegraph.document import Document, Link, NodeEntry
from nodegraph.settings import Settings
here = Path({here!r})
nodes = {{"a": NodeEntry("Constant", {{"value": 3}}), "s": NodeEntry("Show", {{"value": Link("a", "int")}})}}
with Engine(Settings(here, here, here, (), cache=here / "cache", device="cpu"), Registry().add(*TOYS)) as engine:
    assert engine.run(Document(nodes)).status == "done"
"""


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by(HELP) == set()


def test_the_engine_and_the_command_line_load_without_torch() -> None:
    assert loaded_by("import nodegraph, nodegraph.engine, nodegraph.cli.main") == set()


def test_the_built_in_nodes_load_without_torch() -> None:
    assert "torch" not in loaded_by(REGISTRY)


def test_a_graph_is_checked_run_and_cached_without_torch_or_numpy(tmp_path: Path) -> None:
    code = RUN_TOYS.format(tests=str(Path(__file__).parent.parent), here=str(tmp_path))
    assert loaded_by(code) <= {"asyncio"}, "the toys themselves import asyncio"
