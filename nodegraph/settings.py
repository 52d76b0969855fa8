"""Where things lie and what may be used: one frozen value, made once from defaults, environment and command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodegraph.cache import DISK_BYTES, MEMORY_BYTES
from nodegraph.files import Files, ModelFolder
from nodegraph.registry import builtin_folder


@dataclass(frozen=True, slots=True)
class Settings:
    """`cache` None keeps results in memory only. `device` "auto" takes an accelerator if there is one."""

    input: Path
    output: Path
    temp: Path
    models: tuple[Path, ...]
    packs: tuple[Path, ...] = ()
    cache: Path | None = None
    memory_bytes: int = MEMORY_BYTES
    disk_bytes: int = DISK_BYTES
    device: str = "auto"
    dtype: str = "float32"
    extra_models: tuple[ModelFolder, ...] = ()

    def files(self) -> Files:
        return Files(self.input, self.output, self.temp, self.models, builtin_folder("workflows") / "input", self.extra_models)


def default_settings(
    *,
    input: Path | None = None,
    output: Path | None = None,
    models: tuple[Path, ...] = (),
    packs: tuple[Path, ...] = (),
    cache: Path | None = None,
    use_cache: bool = True,
    device: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Arguments first, then NODEGRAPH_INPUT, _OUTPUT, _MODELS, _PACKS (lists like PATH), _CACHE, _DEVICE, then defaults.

    Input and output are folders of the place where it is started; the shipped models are always looked up last, so that a user's win.
    """
    here = Path.cwd()
    kept = cache or _path(environ.get("NODEGRAPH_CACHE")) or cache_folder()
    return Settings(
        input=input or _path(environ.get("NODEGRAPH_INPUT")) or here / "input",
        output=output or _path(environ.get("NODEGRAPH_OUTPUT")) or here / "output",
        temp=kept / "temp",
        models=(*models, *_paths(environ.get("NODEGRAPH_MODELS")), *_existing(here / "models"), builtin_folder("models")),
        packs=(*packs, *_paths(environ.get("NODEGRAPH_PACKS"))),
        cache=kept / "results" if use_cache else None,
        device=device or environ.get("NODEGRAPH_DEVICE") or "auto",
    )


def cache_folder() -> Path:
    """The user's cache folder by the custom of the platform."""
    from platformdirs import user_cache_path

    return user_cache_path("nodegraph", appauthor=False)


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _paths(text: str | None) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser() for part in (text or "").split(os.pathsep) if part)


def _existing(folder: Path) -> tuple[Path, ...]:
    return (folder,) if folder.is_dir() and folder.resolve() != builtin_folder("models").resolve() else ()
