"""How the server is set up: one frozen value from command line, environment, settings file and defaults, in this order.

Every fault of every source is told at once. Folders and packs may come from several sources: all of them count, the command line's first.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nodegraph.errors import FileMissing, NodegraphError, Problems, ReadFailed, did_you_mean, shorten
from nodegraph.server.http_errors import BadSetting

if TYPE_CHECKING:
    from nodegraph.settings import Settings

DEFAULT_PORT: Final = 8188
SHORTEST_TOKEN: Final = 16
DTYPES: Final = ("float32", "bfloat16", "float16")
LARGEST_FILE: Final = 1 << 20
"""bytes of a settings file"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and everything that is kept, may cost at most. Sizes are bytes, times are seconds.

    body: of a request that is not an upload; upload: of one uploaded file
    uploads: of the input folder as a whole; temp: of previews and other passing files; userdata: of saved workflows and settings
    pixels: of a picture that is decoded here; connections: open at once
    body_seconds: until a body is there, and between two pieces of an upload; idle_seconds: until headers are there, and between requests
    """

    body: int = 32 << 20
    upload: int = 512 << 20
    uploads: int = 32 << 30
    temp: int = 2 << 30
    userdata: int = 1 << 30
    pixels: int = 100_000_000
    connections: int = 4096
    body_seconds: int = 60
    idle_seconds: int = 75


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Everything `nodegraph serve` can be told.

    models: roots with a folder a kind (`checkpoints`, `loras`, ...); extra_model_paths: ComfyUI's YAML files
    state: where queue, history, saved workflows and passing files are kept
    memory: bytes of results kept in memory, None for the engine's default
    token: what every request must carry; None only on a loopback address
    allow_hosts, allow_origins: more names it is reached by, and more pages that may use it
    editor: a folder with another web editor to serve at `/`
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    open: bool = False
    input: Path = field(default_factory=lambda: Path.cwd() / "input")
    output: Path = field(default_factory=lambda: Path.cwd() / "output")
    models: tuple[Path, ...] = ()
    packs: tuple[Path, ...] = ()
    extra_model_paths: tuple[Path, ...] = ()
    state: Path = field(default_factory=lambda: state_folder())
    device: str = "auto"
    dtype: str = "float32"
    memory: int | None = None
    token: str | None = field(default=None, repr=False)
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    editor: Path | None = None
    dev: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def temp(self) -> Path:
        return self.state / "temp"

    def engine(self) -> Settings:
        """The same for the engine. Reads `extra_model_paths`: raises its faults."""
        from nodegraph.server.setup.extra_paths import read_all
        from nodegraph.settings import default_settings

        extra = read_all(self.extra_model_paths)
        cache = {name: value for name, value in os.environ.items() if name == "NODEGRAPH_CACHE"}
        plain = default_settings(
            input=self.input, output=self.output, models=self.models, packs=(*self.packs, *extra.packs), device=self.device, environ=cache
        )
        memory = plain.memory_bytes if self.memory is None else self.memory
        return replace(plain, temp=self.temp, dtype=self.dtype, memory_bytes=memory, extra_models=extra.folders)


def state_folder() -> Path:
    """Where the platform keeps a user's data of programs."""
    from platformdirs import user_data_path

    return user_data_path("nodegraph", appauthor=False)


def settings_folder() -> Path:
    """Where the platform keeps a user's settings: `serve.toml` or `serve.json` is looked for there."""
    from platformdirs import user_config_path

    return user_config_path("nodegraph", appauthor=False)


# ------------------------------------------------------------------------------------------------ values


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("must be a text")
    return value


def _number(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value.strip()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _size(value: Any) -> int:
    """Bytes: a number, or one with K, M, G or T (powers of 1024)."""
    match = re.fullmatch(r"\s*(\d{1,15})\s*([KMGT]?)i?B?\s*", value, re.IGNORECASE) if isinstance(value, str) else None
    if match:
        return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2].upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("must be a size such as 512M or 4G")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("must be yes or no")


def _device(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", value):
        raise ValueError("must be auto, cpu, cuda, cuda:1, mps or xpu")
    return value


def _dtype(value: Any) -> str:
    if value not in DTYPES:
        raise ValueError(f"must be one of {', '.join(DTYPES)}")
    return str(value)


def _token(value: Any) -> str:
    """Visible ASCII, so that it fits a header and an address; `new` makes one up."""
    if value == "new":
        from secrets import token_urlsafe

        return token_urlsafe(24)
    if not isinstance(value, str) or not re.fullmatch(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST_TOKEN},256}}", value):
        raise ValueError(
            f"must have {SHORTEST_TOKEN} to 256 letters, digits and -._~+/= only; `--token new` makes one up and prints the address with it"
        )
    return value


def _origin(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
        raise ValueError("must be like https://example.org, without a path; a star is never allowed")
    return value.lower()


def _host_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9.\-]+|[0-9A-Fa-f:]+", value):
        raise ValueError("must be a host name or an address, without a port")
    return value.lower().rstrip(".")


class _Option(NamedTuple):
    """How the values of one setting are read. many: a list, joined over all sources; path: relative to where it was written."""

    read: Callable[[Any], Any]
    many: bool = False
    path: bool = False


_PATH = _Option(_text, path=True)
_PATHS = _Option(_text, many=True, path=True)
OPTIONS: Final[Mapping[str, _Option]] = {
    "host": _Option(_text),
    "port": _Option(_number(0, 65535)),
    "open": _Option(_flag),
    "input": _PATH,
    "output": _PATH,
    "models": _PATHS,
    "packs": _PATHS,
    "extra_model_paths": _PATHS,
    "state": _PATH,
    "device": _Option(_device),
    "dtype": _Option(_dtype),
    "memory": _Option(_size),
    "token": _Option(_token),
    "allow_hosts": _Option(_host_name, many=True),
    "allow_origins": _Option(_origin, many=True),
    "editor": _PATH,
    "dev": _Option(_flag),
}
_LIMIT_SIZES: Final = frozenset(("body", "upload", "uploads", "temp", "userdata"))
LIMIT_NAMES: Final = tuple(f.name for f in fields(Limits))


# ------------------------------------------------------------------------------------------------ sources


@dataclass(frozen=True, slots=True)
class Source:
    """Raw values from one place: `where` begins its faults, `base` is what its paths are relative to."""

    where: Callable[[str], str]
    values: Mapping[str, Any]
    limits: Mapping[str, Any]
    base: Path


def from_arguments(arguments: Mapping[str, Any]) -> Source:
    """What argparse found; None and empty lists mean: not given."""
    by_name = {name: arguments.get(name, arguments.get(name.removesuffix("s"))) for name in OPTIONS}
    given = {name: value for name, value in by_name.items() if value not in (None, [], False)}
    return Source(lambda name: f"--{_flag_name(name)}", given, _pairs(arguments.get("limit") or ()), Path.cwd())


def _flag_name(name: str) -> str:
    return name.removesuffix("s").replace("_", "-") if name.startswith("allow_") else name.replace("_", "-")


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    """`name=value` texts; one without a value gives an empty one, which is then refused with its name."""
    return {name.strip().replace("-", "_"): value for name, _, value in (text.partition("=") for text in texts)}


def from_environment(environ: Mapping[str, str]) -> Source:
    """NODEGRAPH_HOST and so on; lists are split like PATH (names and origins at commas), limits are `NAME=VALUE,...`."""
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        text = environ.get(f"NODEGRAPH_{name.upper()}")
        if text:
            separator = os.pathsep if option.path else ","
            values[name] = [part for part in text.split(separator) if part] if option.many else text
    limits = _pairs(part for part in environ.get("NODEGRAPH_LIMITS", "").split(",") if part)
    return Source(lambda name: f"NODEGRAPH_{name.upper()}", values, limits, Path.cwd())


def from_file(path: Path) -> Source:
    """A TOML or JSON file: the same names (dashes or underscores), and a table `limits`. Raises FileMissing, ReadFailed, BadSetting."""
    data = {str(name).replace("-", "_"): value for name, value in _read(path).items()}
    limits = data.pop("limits", {})
    if not isinstance(limits, dict):
        raise BadSetting(f"`limits` in {path} must be a table", hint='write [limits] and below it lines such as body = "32M"')
    return Source(lambda name: f"`{name}` in {path}", data, limits, path.parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadSetting(f"{path} is too large for a settings file", hint="check the path")
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except FileNotFoundError as error:
        raise FileMissing(f"there is no settings file {path}", hint="check the path given with --settings") from error
    except OSError as error:
        raise ReadFailed(
            f"cannot read the settings file {path}: {error.strerror or error}", hint="check the path and its rights"
        ) from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise BadSetting(f"{path} is not {kind}: {error}", hint="correct the file, or give another with --settings") from error
    if not isinstance(data, dict):
        raise BadSetting(f"{path} must hold an object", hint='for instance {"port": 8188}')
    return data


def find_file(given: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file to read: as given, from NODEGRAPH_SETTINGS, else the platform's, if there is one."""
    named = given or environ.get("NODEGRAPH_SETTINGS")
    if named:
        return Path(named).expanduser()
    folder = settings_folder()
    return next((path for path in (folder / "serve.toml", folder / "serve.json") if path.is_file()), None)


# ------------------------------------------------------------------------------------------------ putting together


def serve_settings(arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ) -> ServeSettings:
    """The settings from all sources. Raises Problems with everything that is wrong with them."""
    arguments = arguments or {}
    problems: list[NodegraphError] = []
    sources = [from_arguments(arguments), from_environment(environ)]
    try:
        file = find_file(arguments.get("settings"), environ)
        if file is not None:
            sources.append(from_file(file))
    except NodegraphError as error:
        problems.append(error)
    values = _merge(sources, problems)
    limits = _merge_limits(sources, problems)
    settings = ServeSettings(**values, limits=limits)
    _check(settings, "token" in values or bool(problems), problems)
    if problems:
        raise Problems(problems)
    return settings


def _merge(sources: Iterable[Source], problems: list[NodegraphError]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for source in sources:
        for name, raw in source.values.items():
            option = OPTIONS.get(name)
            if option is None:
                problems.append(_unknown(source.where(name), name, OPTIONS))
                continue
            try:
                value = _value(option, raw, source.base)
            except ValueError as error:
                said = "the given token" if name == "token" else shorten(raw)
                problems.append(BadSetting(f"{source.where(name)} {error}, not {said}"))
                continue
            if option.many:
                found[name] = (*found.get(name, ()), *value)
            else:
                found.setdefault(name, value)
    return found


def _value(option: _Option, raw: Any, base: Path) -> Any:
    if option.many:
        if not isinstance(raw, list | tuple):
            raw = [raw]
        return tuple(_single(option, item, base) for item in raw)
    return _single(option, raw, base)


def _single(option: _Option, raw: Any, base: Path) -> Any:
    value = option.read(str(raw) if isinstance(raw, Path) else raw)
    return Path(os.path.abspath(base / Path(value).expanduser())) if option.path else value


def _unknown(where: str, name: str, known: Iterable[str]) -> BadSetting:
    names = list(known)
    return BadSetting(f"{where} is not a setting", hint=did_you_mean(name, names, f"there are: {', '.join(names)}"))


def _merge_limits(sources: Iterable[Source], problems: list[NodegraphError]) -> Limits:
    found: dict[str, int] = {}
    for source in sources:
        for name, raw in source.limits.items():
            where = source.where("limits")
            if name not in LIMIT_NAMES:
                problems.append(_unknown(f"{where}: {shorten(name)}", name, LIMIT_NAMES))
                continue
            try:
                value = _size(raw) if name in _LIMIT_SIZES else _number(1, 10**12)(raw)
                found.setdefault(name, value)
            except ValueError as error:
                problems.append(BadSetting(f"{where}: {name} {error}, not {shorten(raw)}"))
    return Limits(**found)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(settings: ServeSettings, has_token: bool, problems: list[NodegraphError]) -> None:
    """What no single value shows: a token for the network, folders that do not swallow each other."""
    if not is_loopback(settings.host) and not has_token:
        problems.append(
            BadSetting(
                f"--host {shorten(settings.host)} lets other machines in, and there is no token",
                hint="add --token new (a token is made up and the address with it is printed), or set NODEGRAPH_TOKEN",
            )
        )
    for folder in settings.packs:
        if not folder.is_dir():
            problems.append(BadSetting(f"the pack folder {folder} is not there", hint="check the path given with --packs"))
    for file in settings.extra_model_paths:
        if not file.is_file():
            problems.append(BadSetting(f"there is no file {file}", hint="check the path given with --extra-model-paths"))
    if settings.editor is not None and not (settings.editor / "index.html").is_file():
        problems.append(BadSetting(f"there is no index.html in {settings.editor}", hint="give the folder of a built web editor"))
