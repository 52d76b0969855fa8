"""The one place that turns names from a workflow into paths, and that writes files people keep.

Names are remote input: they may only lead to files inside the folder they belong to, whatever they contain.
Writing is atomic: a file is there whole, under a new name, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from nodegraph.errors import FileMissing, ModelNotFound, UnsafePath, WriteFailed, did_you_mean, shorten
from nodegraph.spans import span

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³])\s*(\..*)?$")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
WEIGHT_SUFFIXES = (".safetensors", ".sft")
MAX_NAME = 200
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK, errno.EINVAL))
"""what systems say on file systems without hard links"""
FORMER_FOLDERS: Final[Mapping[str, str]] = {"diffusion_models": "unet", "text_encoders": "clip"}
"""what folders of weights were called once; programs that share them with this one may still call them so"""


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file a node wrote: `name` is relative to the folder of its `root` ("output" or "temp")."""

    name: str
    root: str
    path: Path
    size: int
    mtime_ns: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "root": self.root, "path": str(self.path), "size": self.size, "mtime_ns": self.mtime_ns}


def is_unchanged(saved: Mapping[str, Any], roots: Files) -> bool:
    """Whether a file once saved still lies where it would be saved today, untouched."""
    try:
        path = Path(saved["path"])
        if path != roots.root(saved["root"]) / saved["name"]:
            return False
        stat = path.stat()
        return bool(stat.st_size == saved["size"] and stat.st_mtime_ns == saved["mtime_ns"])
    except (OSError, KeyError, TypeError, ValueError):
        return False


def safe_parts(name: str) -> list[str]:
    """The parts of a relative file name from outside. Raises UnsafePath for every form that could lead elsewhere."""

    def refuse(why: str) -> UnsafePath:
        return UnsafePath(f"{shorten(name)!r} {why}", hint="use a plain relative name such as `cats/tabby`")

    if not name or len(name) > 1000:
        raise refuse("is empty or far too long for a file name")
    if _FORBIDDEN.search(name) or any("\ud800" <= ch <= "\udfff" for ch in name):
        raise refuse("contains a character that file names cannot have everywhere")
    text = name.replace("\\", "/")
    if text.startswith("/") or text.startswith("~"):
        raise refuse("is an absolute path")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise refuse("leads out of its folder")
    for part in parts:
        if len(part.encode()) > MAX_NAME or part != part.rstrip(". ") or _RESERVED.match(part):
            raise refuse("has a part that is too long, ends in a dot or space, or is a reserved name")
    return parts


def inside(root: Path, name: str) -> Path:
    """`root/name`, proven to lie inside `root` after following links. The file need not exist."""
    path = root.joinpath(*safe_parts(name))
    real_root, real = os.path.realpath(root), os.path.realpath(path)
    if real != real_root and not real.startswith(os.path.join(real_root, "")):
        raise UnsafePath(f"{shorten(name)!r} is a link that leads out of {root}", hint="copy the file into the folder")
    return path


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One more place for weights of a kind, whatever it is called on disk. first: looked up before the models roots, else after them."""

    kind: str
    path: Path
    first: bool = False


@dataclass(frozen=True)
class Files:
    """The folders of a session. `models` are looked up in order; folders are made when first written to.

    examples: pictures that are shipped, found after those in `input`
    extra_models: places for weights outside the models roots
    """

    input: Path
    output: Path
    temp: Path
    models: tuple[Path, ...] = ()
    examples: Path | None = None
    extra_models: tuple[ModelFolder, ...] = ()

    def place(self, root: str, name: str) -> Path:
        """A path below one of the folders, for nodes that keep several files together. Raises UnsafePath if it would lie elsewhere."""
        return inside(self.root(root), name)

    def root(self, name: str) -> Path:
        return {"input": self.input, "output": self.output, "temp": self.temp}[name]

    # -------------------------------------------------------------------------------- reading

    def find_input(self, name: str) -> Path:
        """A file in the input folder. Raises FileMissing (with what is there) or UnsafePath."""
        for root in (self.input, self.examples):
            if root is not None and os.path.isfile(path := inside(root, name)):
                return path
        known = sorted({*listing(self.input), *(listing(self.examples) if self.examples is not None else ())})
        raise FileMissing(f"there is no {shorten(name)!r} in the input folder {self.input}", hint=_what_is_there(name, known))

    def find_model(self, folder: str, name: str) -> Path:
        """A weights file by the name a workflow uses: exact, else with other slashes, else its base name if that is unique.

        Links that the owner put into a models folder are followed: weights are large and often shared. Raises ModelNotFound, UnsafePath.
        """
        parts = safe_parts(name)
        exact = self._model(folder, parts)
        if exact is not None:
            return exact
        known = self.list_models(folder)
        same_base = [other for other in known if other.rsplit("/", 1)[-1] == parts[-1]]
        by_base = self._model(folder, same_base[0].split("/")) if len(same_base) == 1 else None
        if by_base is not None:
            return by_base
        where = ", ".join(map(str, self.model_folders(folder))) or "no models folder is set"
        raise ModelNotFound(f"there is no {shorten(name)!r} in {where}", hint=_what_is_there(name, known))

    def _model(self, folder: str, parts: list[str]) -> Path | None:
        paths = (root.joinpath(*parts) for root in self.model_folders(folder))
        return next((path for path in paths if os.path.isfile(path)), None)

    def model_folders(self, folder: str) -> list[Path]:
        """Where weights of a kind are looked for, in order."""
        mine = [extra for extra in self.extra_models if extra.kind == folder]
        before = [extra.path for extra in mine if extra.first]
        own = [root / folder for root in self.models]
        if folder in FORMER_FOLDERS:
            own += [path for root in self.models if (path := root / FORMER_FOLDERS[folder]).is_dir()]
        return [*before, *own, *(extra.path for extra in mine if not extra.first)]

    def find(self, folder: str, name: str) -> Path:
        """The file that an input with this `folder` names."""
        return self.find_input(name) if folder == "input" else self.find_model(folder, name)

    def list_models(self, folder: str) -> list[str]:
        """Names of the weights files in a models folder, all roots together, with forward slashes."""
        names: dict[str, None] = {}
        for root in self.model_folders(folder):
            names.update(dict.fromkeys(n for n in listing(root) if n.lower().endswith(WEIGHT_SUFFIXES)))
        return sorted(names)

    # -------------------------------------------------------------------------------- writing

    def save(
        self, root: str, pattern: str, suffix: str, write: Callable[[IO[bytes]], Any], values: Mapping[str, str] | None = None
    ) -> SavedFile:
        """Write a new file `pattern_00001suffix` (the next free number); never overwrites.

        pattern: relative, may have folders, and `%name%` for each name in `values` and for the date (see `fill_pattern`)

        Raises UnsafePath, or WriteFailed (disk full, no permission) with nothing left behind.
        """
        pattern = fill_pattern(pattern, values or {})
        base = self.root(root)
        try:
            base.mkdir(parents=True, exist_ok=True)
            folder = inside(base, pattern + "_00000" + suffix).parent
            folder.mkdir(parents=True, exist_ok=True)
            with temporary(folder) as (stream, temp):
                with span("encode"):
                    write(stream)
                    stream.flush()
                with span("save"):
                    os.fsync(stream.fileno())
                    stream.close()
                    final = _claim(temp, base, pattern, suffix)
                    sync_folder(folder)
            stat = final.stat()
        except OSError as error:
            raise write_failed(base / pattern, error) from error
        return SavedFile(final.relative_to(base).as_posix(), root, final, stat.st_size, stat.st_mtime_ns)


def _claim(temp: Path, base: Path, pattern: str, suffix: str) -> Path:
    """Give the finished file its number without ever replacing another one."""
    target = inside(base, pattern + "_00000" + suffix)
    stem = target.name[: -len("_00000" + suffix)]
    number = 1 + max((_number(entry.name, stem) for entry in os.scandir(target.parent)), default=0)
    while True:
        final = target.with_name(f"{stem}_{number:05d}{suffix}")
        try:
            move_to_new(temp, final)
            return final
        except FileExistsError:
            number += 1


def move_to_new(temp: Path, final: Path) -> None:
    """Give a file a name that no other has. Raises FileExistsError."""
    try:
        os.link(temp, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: reserve the name, then move the whole file over the reservation.
        os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temp, final)


def _number(name: str, stem: str) -> int:
    match = re.match(re.escape(stem) + r"_(\d{1,9})\.", name)
    return int(match.group(1)) if match else 0


@contextlib.contextmanager
def temporary(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new hidden file in `folder` to write to, removed at the end whatever happens."""
    path = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(path, "xb") as stream:
            yield stream, path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write or replace `path` as a whole: readers see the old file or the new one. A link is followed. Raises WriteFailed."""
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(path.parent) as (stream, temp):
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            os.replace(temp, path)
            sync_folder(path.parent)
    except OSError as error:
        raise write_failed(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make a new name survive a loss of power, where folders can be synced (not on Windows, which does it by itself)."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_failed(path: Path, error: OSError) -> WriteFailed:
    """Say what stopped a write in words, and that nothing half-written stays."""
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "free some space or choose another folder with --output; nothing half-written was left",
        errno.EDQUOT: "your quota is used up; free some space or choose another folder",
        errno.EACCES: "you may not write there; choose another folder with --output",
        errno.EROFS: "that disk is read-only; choose another folder with --output",
    }
    return WriteFailed(f"cannot write {path}: {reason}", hint=hints.get(error.errno or 0, "choose another folder with --output"))


def listing(folder: Path, limit: int = 10_000) -> Iterable[str]:
    """Relative names of the files below `folder`, hidden ones left out; links out of it are not followed."""
    count = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(where, name).relative_to(folder).as_posix()
                count += 1
                if count >= limit:
                    return


def _what_is_there(name: str, known: list[str]) -> str:
    if not known:
        return "the folder is empty; put the file there"
    shown = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    guess = did_you_mean(name, known)
    return f"{guess} There is: {shown}" if guess else f"there is: {shown}"


def fill_pattern(pattern: str, values: Mapping[str, str], now: time.struct_time | None = None) -> str:
    """Replace `%year%`, `%date%`, `%width%`, `%seed%` ... in a file name pattern; unknown names stay as they are.

    Values are made harmless: they can never add a folder or leave one.
    """
    now = now or time.localtime()
    known = {
        "year": f"{now.tm_year:04d}",
        "month": f"{now.tm_mon:02d}",
        "day": f"{now.tm_mday:02d}",
        "hour": f"{now.tm_hour:02d}",
        "minute": f"{now.tm_min:02d}",
        "second": f"{now.tm_sec:02d}",
        "date": time.strftime("%Y-%m-%d", now),
        "time": time.strftime("%H-%M-%S", now),
        **values,
    }

    def replace(match: re.Match[str]) -> str:
        value = known.get(match.group(1))
        if value is None:
            return match.group(0)
        return re.sub(r"[\s/\\]+", "_", _FORBIDDEN.sub("", value)).strip("._ ")[:60].rstrip("._ ") or "_"

    return re.sub(r"%([A-Za-z0-9_.: -]{1,80})%", replace, pattern)
