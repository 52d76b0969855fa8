"""Settings: four sources in one order, and every fault of all of them told at once. ComfyUI's YAML of further folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nodegraph.cli.main import parser
from nodegraph.errors import Problems
from nodegraph.files import ModelFolder
from nodegraph.server.http_errors import BadSetting
from nodegraph.server.setup.config import OPTIONS, Limits, ServeSettings, is_loopback, serve_settings
from nodegraph.server.setup.extra_paths import read, read_all


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def settings(*arguments: str, **environ: str) -> ServeSettings:
    return serve_settings(vars(parser().parse_args(["serve", *arguments])), environ)


def faults(*arguments: str, **environ: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        settings(*arguments, **environ)
    return [error.message for error in caught.value.errors]


def test_defaults_are_safe(tmp_path: Path) -> None:
    found = settings()
    assert (found.host, found.port, found.token, found.open, found.dev) == ("127.0.0.1", 8188, None, False, False)
    assert (found.input, found.output, found.limits) == (tmp_path / "input", tmp_path / "output", Limits())


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('port = 1\nhost = "localhost"\ndevice = "cpu"\n[limits]\nbody = "1M"\ntemp = 7\n')
    found = settings("--port", "3", "--settings", str(file), "--limit", "temp=2K", NODEGRAPH_PORT="2", NODEGRAPH_DEVICE="cuda:1")
    assert (found.port, found.device, found.host) == (3, "cuda:1", "localhost")
    assert (found.limits.body, found.limits.temp) == (1 << 20, 2048)


def test_the_platforms_file_is_read_if_it_is_there(tmp_path: Path) -> None:
    from nodegraph.server.setup.config import settings_folder

    settings_folder().mkdir(parents=True)
    (settings_folder() / "serve.json").write_text('{"port": 77, "extra-model-paths": []}')
    assert settings().port == 77


def test_lists_of_all_sources_count_and_the_command_line_comes_first(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "s.json").write_text('{"models": ["file_models"], "allow_hosts": "box.lan"}')
    environ = {"NODEGRAPH_MODELS": os.pathsep.join(("a", "b")), "NODEGRAPH_ALLOW_HOSTS": "one.lan,TWO.lan."}
    found = settings("--models", "x", "--models", "y", "--settings", "sub/s.json", "--allow-host", "zero.lan", **environ)
    assert found.models == tuple(tmp_path / name for name in ("x", "y", "a", "b", "sub/file_models"))
    assert found.allow_hosts == ("zero.lan", "one.lan", "two.lan", "box.lan")


def test_every_setting_can_come_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "editor").mkdir()
    (tmp_path / "editor" / "index.html").write_text("<!doctype html>")
    (tmp_path / "extra.yaml").write_text("")
    (tmp_path / "pack").mkdir()
    values: dict[str, Any] = {
        "host": "::1",
        "port": 9,
        "open": True,
        "input": "i",
        "output": "o",
        "models": ["m"],
        "packs": ["pack"],
        "extra_model_paths": ["extra.yaml"],
        "state": "s",
        "device": "mps",
        "dtype": "bfloat16",
        "memory": "3G",
        "token": "t" * 16,
        "allow_hosts": ["h.lan"],
        "allow_origins": ["https://o.example"],
        "editor": "editor",
        "dev": True,
    }
    assert set(values) == set(OPTIONS)
    (tmp_path / "s.json").write_text(json.dumps(values))
    environ = {f"NODEGRAPH_{name.upper()}": value[0] if isinstance(value, list) else str(value) for name, value in values.items()}
    words: list[str] = []
    for name, value in values.items():
        flag = "--" + (name.removesuffix("s") if name.startswith("allow") else name).replace("_", "-")
        words += [flag] if value is True else [flag, value[0] if isinstance(value, list) else str(value)]
    by_file, by_environ, by_words = settings("--settings", "s.json"), settings(**environ), settings(*words)
    assert by_file == by_environ == by_words
    assert by_words.memory == 3 << 30
    assert by_words.extra_model_paths == (tmp_path / "extra.yaml",)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('porrt = 1\ndevice = "gpu"\n[limits]\nbody = "much"\nbodyy = 1\n')
    told = faults("--port", "x", "--settings", "bad.toml", "--limit", "temp=-1", "--limit", "upload", NODEGRAPH_DTYPE="float64")
    assert len(told) == 8
    for part in ("--port", "`porrt` in", "`device` in", "NODEGRAPH_DTYPE", "body must be a size", "bodyy", "--limit", "float64"):
        assert any(part in message for message in told), part


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.lan", "", "127.0.0.1.nip.io"])
def test_other_machines_are_let_in_with_a_token_only(host: str) -> None:
    assert any("no token" in message or "must be a text" in message for message in faults("--host", host or "\n"))
    if host:
        assert settings("--host", host, NODEGRAPH_TOKEN="0123456789abcdef").token == "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host)
    assert settings("--host", host).token is None


def test_a_token_is_never_shown(tmp_path: Path) -> None:
    assert "0123456789abcdef" not in repr(settings(NODEGRAPH_TOKEN="0123456789abcdef"))
    assert not any("hunter2" in message for message in faults("--token", "hunter2"))
    made_up = settings("--token", "new").token
    assert made_up is not None
    assert len(made_up) >= 32
    assert made_up != settings("--token", "new").token


@pytest.mark.parametrize("origin", ["*", "null", "example.org", "https://example.org/", "file://x", "https://a b"])
def test_no_star_and_no_path_is_an_origin(origin: str) -> None:
    assert "never allowed" in faults("--allow-origin", origin)[0]


@pytest.mark.parametrize("text", ["[1]", "{", '{"port": 1', "\xff"])
def test_a_settings_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    assert "x.json" in faults("--settings", "x.json")[0]


def test_a_settings_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    assert "there is no settings file" in faults("--settings", "gone.toml")[0]
    assert "cannot read" in faults("--settings", str(tmp_path))[0]


def test_missing_folders_of_packs_are_told_with_other_faults() -> None:
    assert len(faults("--packs", "p1", "--packs", "p2", "--extra-model-paths", "e", "--editor", "ed")) == 4


def test_help_explains_every_setting_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", "--help"])
    text = capsys.readouterr().out
    for name in OPTIONS:
        assert "--" + (name.removesuffix("s") if name.startswith("allow") else name).replace("_", "-") in text, name
    for group in ("where it answers", "where things are", "how it runs", "who may use it"):
        assert group in text


def test_the_engine_gets_the_same(tmp_path: Path) -> None:
    (tmp_path / "extra.yaml").write_text("a:\n  base_path: far\n  loras: l\n")
    engine = settings("--state", "st", "--memory", "1M", "--device", "cpu", "--extra-model-paths", "extra.yaml", "--models", "mm").engine()
    assert (engine.temp, engine.memory_bytes, engine.device, engine.models[0]) == (
        tmp_path / "st" / "temp",
        1 << 20,
        "cpu",
        tmp_path / "mm",
    )
    assert engine.files().model_folders("loras")[-1] == tmp_path / "far" / "l"


# ------------------------------------------------------------------------------------------------ extra_model_paths.yaml

EXAMPLE = """
# a comment
comfyui:
    base_path: ../other/
    is_default: true
    checkpoints: models/checkpoints/
    clip: models/clip/
    loras: |
        models/loras
        /absolute/loras

    custom_nodes: custom_nodes/
a111:
    checkpoints: here
empty:
"""


def test_comfyuis_yaml(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for name in ("one", "two", "old.disabled", "__pycache__", ".git"):
        (tmp_path / "other" / "custom_nodes" / name).mkdir(parents=True)
    file = tmp_path / "conf" / "extra.yaml"
    file.write_text(EXAMPLE)
    found = read(file)
    other = tmp_path / "other"
    assert found.folders == (
        ModelFolder("checkpoints", other / "models" / "checkpoints", True),
        ModelFolder("text_encoders", other / "models" / "clip", True),
        ModelFolder("loras", other / "models" / "loras", True),
        ModelFolder("loras", Path("/absolute/loras"), True),
        ModelFolder("checkpoints", tmp_path / "conf" / "here", False),
    )
    assert found.packs == (other / "custom_nodes" / "one", other / "custom_nodes" / "two")


def test_default_folders_come_first(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("a: {is_default: true, vae: first}\nb: {vae: last}\n")
    for name in ("first", "last", "models/vae"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.safetensors").write_text(name)
    files = settings("--extra-model-paths", "e.yaml", "--models", "models").engine().files()
    assert files.find_model("vae", "x.safetensors").read_text() == "first"
    assert files.list_models("vae") == ["x.safetensors"]


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['touch pwned']",
        "!!python/object/new:os.system ['touch pwned']",
        "a: {checkpoints: !!python/name:os.system }",
        "- a",
        "a: [1]",
        "a: {checkpoints: [x]}",
        "a: {checkpoints: 3}",
        "a: {base_path: 3}",
        "a: {../x: y}",
        "a: {x/y: z}",
        "a: {1: z}",
        "{" * 5000,
        "a: &a [*a",
        "\x00",
    ],
)
def test_yaml_that_is_not_of_that_form(tmp_path: Path, text: str) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(text)
    with pytest.raises(Problems) as caught:
        read_all([file, tmp_path / "gone.yaml"])
    assert [type(error).__name__ for error in caught.value.errors][1:] == ["BadSetting"]
    assert not (tmp_path / "pwned").exists()


def test_a_yaml_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(BadSetting, match="too large"):
        read(tmp_path / "e.yaml")


def test_reading_nothing() -> None:
    assert read_all([]).folders == ()
