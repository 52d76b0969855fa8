"""ComfyUI's `extra_model_paths.yaml`: weights and packs that lie in the folders of other programs.

    comfyui:
        base_path: ../ComfyUI/          # relative to the file
        is_default: true                # looked up before the models folders
        checkpoints: models/checkpoints/
        loras: |
            models/loras/
            models/more_loras/
        custom_nodes: custom_nodes/     # each folder in it is a pack

Only plain YAML is read (no object is ever made from a tag).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nodegraph.errors import NodegraphError, Problems, shorten
from nodegraph.files import FORMER_FOLDERS, ModelFolder, safe_parts
from nodegraph.server.http_errors import BadSetting

LARGEST: Final = 1 << 20
MOST_PATHS: Final = 1000
OLD_NAMES: Final[Mapping[str, str]] = {old: new for new, old in FORMER_FOLDERS.items()}
PACKS: Final = "custom_nodes"


@dataclass(frozen=True, slots=True)
class ExtraPaths:
    folders: tuple[ModelFolder, ...] = ()
    packs: tuple[Path, ...] = ()


def read_all(files: Iterable[Path]) -> ExtraPaths:
    """All files together, in order. Raises Problems with the faults of all of them."""
    found: list[ExtraPaths] = []
    problems: list[NodegraphError] = []
    for file in files:
        try:
            found.append(read(file))
        except NodegraphError as error:
            problems.append(error)
    if problems:
        raise Problems(problems)
    return ExtraPaths(tuple(f for one in found for f in one.folders), tuple(p for one in found for p in one.packs))


def read(file: Path) -> ExtraPaths:
    """One file. Folders that do not exist are kept (a disk may be mounted later), except those of packs. Raises BadSetting."""
    data = _load(file)
    if data is None:
        return ExtraPaths()
    if not isinstance(data, dict):
        raise _bad(file, "must hold sections such as `comfyui:`")
    entries = [entry for name, section in data.items() for entry in _section(file, name, section)]
    if len(entries) > MOST_PATHS:
        raise _bad(file, f"names more than {MOST_PATHS} folders")
    packs = [pack for entry in entries if entry.kind == PACKS for pack in _packs_in(entry.path)]
    return ExtraPaths(tuple(entry for entry in entries if entry.kind != PACKS), tuple(packs))


def _load(file: Path) -> Any:
    import yaml

    try:
        if file.stat().st_size > LARGEST:
            raise _bad(file, "is too large")
        return yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadSetting(f"cannot read {file}: {error.strerror or error}", hint="check the path given with --extra-model-paths") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(file, f"is not plain YAML: {shorten(str(error), 300)}") from error


def _section(file: Path, name: object, section: Any) -> Iterator[ModelFolder]:
    if section is None:
        return
    if not isinstance(section, dict):
        raise _bad(file, f"section {shorten(name)} must hold lines such as `checkpoints: models/checkpoints`")
    base = _base(file, name, section.get("base_path"))
    first = section.get("is_default", False) is True
    for kind, value in section.items():
        if kind in ("base_path", "is_default"):
            continue
        if not isinstance(kind, str) or (value is not None and not isinstance(value, str)):
            raise _bad(file, f"{shorten(name)}: {shorten(kind)} must be a path, or several on lines of their own after `|`")
        known = OLD_NAMES.get(kind, kind)
        if len(safe_parts(known)) != 1:
            raise _bad(file, f"{shorten(name)}: {shorten(kind)} is not the name of one folder")
        for line in (value or "").splitlines():
            if line.strip():
                yield ModelFolder(known, _join(base, line.strip()), first)


def _base(file: Path, name: object, value: Any) -> Path:
    here = Path(os.path.abspath(file)).parent
    if value is None:
        return here
    if not isinstance(value, str):
        raise _bad(file, f"{shorten(name)}: base_path must be a path")
    return _join(here, value)


def _join(base: Path, text: str) -> Path:
    return Path(os.path.abspath(base / Path(os.path.expandvars(text)).expanduser()))


def _packs_in(folder: Path) -> list[Path]:
    """The packs of a folder of packs: folders and single files of Python, those switched off left out."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        entry for entry in entries if entry.is_dir() and not entry.name.startswith((".", "__")) and not entry.name.endswith(".disabled")
    ]


def _bad(file: Path, why: str) -> BadSetting:
    return BadSetting(f"{file} {why}", hint="see ComfyUI's extra_model_paths.yaml.example for the form")
