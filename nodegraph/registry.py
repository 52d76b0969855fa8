"""Which node types there are: a plain object filled from packs. A pack is a folder of Python files with `@node` functions.

The built-in nodes are a pack like any other; only theirs have ids without a prefix. A broken pack is an entry, not a crash.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from nodegraph.authoring import spec_of
from nodegraph.errors import BadNode, BrokenPack, NameClash, NodegraphError, UnknownNode, did_you_mean, shorten
from nodegraph.schema import NodeSpec

BUILTIN = "core"
RESERVED = "subgraph"


@dataclass(slots=True)
class Pack:
    """A loaded pack: its node ids, a hash of its code (part of every key), and what went wrong, if anything."""

    name: str
    path: Path | None
    code: str
    nodes: list[str] = field(default_factory=list)
    error: NodegraphError | None = None


class Registry:
    """Node types by id. Two packs cannot silently share an id: a clash is an error."""

    def __init__(self) -> None:
        self.specs: dict[str, NodeSpec] = {}
        self.packs: dict[str, Pack] = {}

    def __contains__(self, id: str) -> bool:
        return id in self.specs

    def __iter__(self) -> Iterator[NodeSpec]:
        return iter(self.specs.values())

    def get(self, id: str) -> NodeSpec:
        """The node type `id`. Raises UnknownNode with the nearest names, and says if a broken pack may have had it."""
        spec = self.specs.get(id)
        if spec is None:
            raise UnknownNode(f"there is no node type {shorten(id)!r}", hint=self._hint(id))
        return spec

    def _hint(self, id: str) -> str:
        broken = [pack for pack in self.packs.values() if pack.error is not None and id.startswith(pack.name + "/")]
        if broken:
            return f"the pack {broken[0].name} could not be loaded: {broken[0].error.message if broken[0].error else ''}"
        if "/" in id and id.split("/", 1)[0] not in self.packs:
            return f"it comes from the pack `{shorten(id.split('/', 1)[0], 40)}`, which is not installed; add its folder with --packs"
        return did_you_mean(id, self.specs) or "`nodegraph nodes` lists what there is"

    def register(self, spec: NodeSpec, pack: str = BUILTIN) -> None:
        """Add one node type. Raises NameClash if the id is taken, BadNode if its prefix is not the pack's name."""
        entry = self.packs.setdefault(pack, Pack(pack, None, ""))
        prefix = spec.id.split("/", 1)[0] if "/" in spec.id else BUILTIN
        if prefix != pack:
            raise BadNode(f"node {spec.id} is in pack `{pack}`", hint=f"call it `{pack}/{spec.id.rsplit('/', 1)[-1]}`")
        taken = self.specs.get(spec.id)
        if taken is spec:
            return
        if taken is not None:
            raise NameClash(
                f"node type {spec.id} is declared twice: {_where(taken)} and {_where(spec)}",
                hint="rename one of them; saved workflows name nodes by this id",
            )
        self.specs[spec.id] = spec
        entry.nodes.append(spec.id)

    def add(self, *functions: object, pack: str = BUILTIN) -> Registry:
        """Register decorated functions, for tests and scripts. Returns self."""
        for function in functions:
            spec = spec_of(function)
            if spec is None:
                raise BadNode(f"{function!r} is not decorated with @node", hint="put @node(id, category=...) above the function")
            self.register(spec, pack)
        return self

    def load_pack(self, folder: Path, name: str | None = None) -> Pack:
        """Load every Python file of a folder as one pack. A fault is kept on the entry; other packs are not touched."""
        folder = Path(os.path.abspath(folder))
        name = name or folder.name
        known = self.packs.get(name)
        if known is not None and known.path == folder:
            return known
        pack = Pack(name, folder, "")
        if known is not None:
            pack.error = NameClash(f"two packs are called `{name}`: {known.path} and {folder}", hint="rename one folder")
        elif name == RESERVED:
            pack.error = BrokenPack(f"no pack can be called `{name}`: types of nodes that begin so are subgraphs", hint="rename the folder")
        elif not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            pack.error = BrokenPack(f"{name!r} cannot be the name of a pack", hint="rename the folder: letters, digits, _ . -")
        if pack.error is not None:
            self.packs[str(folder)] = pack
            return pack
        self.packs[name] = pack
        try:
            pack.code = code_hash([folder])
            for module in import_folder(folder, name, pack.code):
                self._take(module, name)
        except NodegraphError as error:
            self._drop(pack, error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a pack may fail in any way; it must not take the others down
            self._drop(pack, BrokenPack(f"{type(error).__name__}: {error}", hint=_last_frame(error, folder)))
        return pack

    def _take(self, module: ModuleType, pack: str) -> None:
        """Register the nodes of a module that were written in this pack, and not merely imported from elsewhere."""
        package = package_name(pack)
        for value in list(vars(module).values()):
            spec = spec_of(value)
            home = str(getattr(value, "__module__", ""))
            if spec is not None and (home == package or home.startswith(package + ".")):
                self.register(spec, pack)

    def _drop(self, pack: Pack, error: NodegraphError) -> None:
        for id in pack.nodes:
            self.specs.pop(id, None)
        pack.nodes.clear()
        pack.error = error
        forget(package_name(pack.name))


def _where(spec: NodeSpec) -> str:
    code = getattr(spec.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(spec.function)


def _last_frame(error: BaseException, folder: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"at {error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(folder)]
    return f"at {frames[-1].filename}:{frames[-1].lineno}" if frames else f"while loading {folder}"


def package_name(pack: str) -> str:
    """The module name a pack is imported under; different packs have different ones."""
    return "nodegraph_pack_" + re.sub(r"[^A-Za-z0-9]", lambda sign: f"_{ord(sign.group()):02x}", pack)


def forget(package: str) -> None:
    """Drop a package and its modules, so that they are read again from their files."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def import_folder(folder: Path, name: str, code: str = "") -> Iterable[ModuleType]:
    """Import the Python files of a folder as submodules of one synthetic package, so that they may import each other relatively.

    code: hash of the source; if the same folder was imported with the same hash before, its modules are used again

    Raises BrokenPack, and whatever the files raise.
    """
    package = package_name(name)
    if not folder.is_dir():
        raise BrokenPack(f"{folder} is not a folder", hint="give the folder that holds the pack's Python files")
    state = (str(folder), code)
    if getattr(sys.modules.get(package), "__nodegraph_state__", None) != state:
        forget(package)
        root = ModuleType(package)
        root.__path__ = [str(folder)]
        sys.modules[package] = root
    begin = folder / "__init__.py"
    modules = [_import_file(begin, package)] if begin.is_file() else []
    modules += [_import_file(path, f"{package}.{path.stem}") for path in sorted(folder.glob("*.py")) if _holds_nodes(path)]
    sys.modules[package].__nodegraph_state__ = state  # type: ignore[attr-defined]
    return modules


def _holds_nodes(path: Path) -> bool:
    """Whether a file of a pack is looked at: not helpers (`_name`), not tests and not what installs it."""
    return not path.name.startswith(("_", "test_")) and path.name not in ("conftest.py", "setup.py")


def _import_file(path: Path, name: str) -> ModuleType:
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[str(path.parent)] if path.name == "__init__.py" else None
    )
    if spec is None or spec.loader is None:
        raise BrokenPack(f"cannot import {path}", hint="is it a Python file?")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def code_hash(folders: Iterable[Path]) -> str:
    """A hash of all Python source below `folders`: a changed pack does not meet results of its former self."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            name, source = path.relative_to(folder).as_posix().encode(), path.read_bytes()
            digest.update(b"%d:%b%d:%b" % (len(name), name, len(source), source))
    return digest.hexdigest()


def builtin_folder(kind: str) -> Path:
    """Where the project's own `nodes`, `workflows` or `models` lie: in the installed package, else beside it in a checkout."""
    packaged = Path(__file__).parent / "_builtin" / kind
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / kind


def builtin_registry(packs: Iterable[Path] = ()) -> Registry:
    """The built-in nodes, then the given pack folders. Built-in code that cannot be loaded is raised; a foreign pack is not."""
    registry = Registry()
    core = registry.load_pack(builtin_folder("nodes"), BUILTIN)
    if core.error is not None:
        raise core.error
    core.code = code_hash([builtin_folder("nodes"), Path(__file__).parent / "diffusion"])
    for folder in packs:
        registry.load_pack(folder)
    return registry
