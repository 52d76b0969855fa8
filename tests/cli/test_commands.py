"""The command line as people use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from tests.cli.conftest import Cli, text_to_image


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "wf.json"
    path.write_text(json.dumps(text_to_image()))
    return path


def test_run_prints_where_the_picture_went(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    outcome = cli("run", workflow, "--models", tiny_models)
    assert outcome.code == 0, outcome.err
    line = outcome.out.splitlines()[0]
    assert line == f"{Path('output', 'text_to_image_00001.png')}  128x128"
    with Pillow.open(line.split()[0]) as picture:
        assert picture.size == (128, 128)


def test_the_same_again_saves_nothing_new(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    again = cli("run", workflow, "--models", tiny_models)
    assert "(unchanged)" in again.out
    assert len(list(Path("output").iterdir())) == 1


def test_a_deleted_picture_is_made_again_from_the_cache(
    cli: Cli, workflow: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodegraph.cache.DISK_MIN_SECONDS", 0.0)  # on a quick machine tiny results are not worth a file
    cli("run", workflow, "--models", tiny_models)
    Path("output/text_to_image_00001.png").unlink()
    outcome = cli("run", workflow, "--models", tiny_models, "--json")
    ran = [event["node"] for event in outcome.events if event["event"] == "node_started"]
    assert ran == ["save"]
    assert Path("output/text_to_image_00001.png").is_file()


def test_another_output_folder_gets_a_picture_too(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    outcome = cli("run", workflow, "--models", tiny_models, "--output", "elsewhere")
    assert outcome.code == 0
    assert Path("elsewhere/text_to_image_00001.png").read_bytes() == Path("output/text_to_image_00001.png").read_bytes()


def test_without_cache_nothing_is_kept(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    for _ in range(2):
        assert cli("run", workflow, "--models", tiny_models, "--no-cache").code == 0
    assert len(list(Path("output").iterdir())) == 2
    assert not Path("cache/results").exists()


def test_json_is_one_object_a_line_in_order(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    events = cli("run", workflow, "--models", tiny_models, "--json").events
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    assert events[-1]["status"] == "done"
    started = [event["node"] for event in events if event["event"] == "node_started"]
    finished = [event["node"] for event in events if event["event"] == "node_finished"]
    assert sorted(started) == sorted(finished) == sorted(text_to_image()["nodes"])
    shown = next(event for event in events if event["event"] == "node_finished" and event["node"] == "save")["shown"]
    assert Path(shown[0]["file"]["path"]).is_file()


def test_quiet_prints_only_paths(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    outcome = cli("run", workflow, "--models", tiny_models, "--quiet")
    assert outcome.out.splitlines() == [str(Path("output", "text_to_image_00001.png"))]
    assert outcome.err == ""


@pytest.mark.parametrize("name", ["sample", "KSampler"])
def test_set_changes_an_input_by_id_title_or_type(name: str, cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    outcome = cli("run", workflow, "--models", tiny_models, "--set", f"{name}.seed=9", "--explain")
    assert outcome.code == 0
    assert "sample KSampler: input `seed`: 1 -> 9" in outcome.err
    assert "checkpoint" not in outcome.err.replace("checkpoint LoadCheckpoint: its result is no longer kept", "")


def test_set_keeps_text_as_text(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    outcome = cli("run", workflow, "--models", tiny_models, "--set", "prompt.text=42", "--set", "save.name=%KSampler.seed%_%width%")
    assert outcome.code == 0, outcome.err
    assert Path("output/1_128_00001.png").is_file()


def test_only_runs_to_one_node(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    events = cli("run", workflow, "--models", tiny_models, "--only", "prompt", "--json").events
    assert {event["node"] for event in events if event["event"] == "node_started"} == {"checkpoint", "prompt"}


def test_a_saved_picture_is_a_workflow(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    outcome = cli("run", "output/text_to_image_00001.png", "--models", tiny_models)
    assert "(unchanged)" in outcome.out


def test_strip_removes_the_workflow_and_keeps_the_pixels(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    assert cli("strip", "output/text_to_image_00001.png", "--output", "clean.png").code == 0
    with Pillow.open("output/text_to_image_00001.png") as before, Pillow.open("clean.png") as after:
        assert before.tobytes() == after.tobytes()
    outcome = cli("check", "clean.png")
    assert outcome.code == 2
    assert "E403" in outcome.err


def test_convert_there_and_back_is_the_same_run(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    cli("run", workflow, "--models", tiny_models)
    assert cli("convert", workflow, "comfy.json", "--to", "comfy-api").code == 0
    assert json.loads(Path("comfy.json").read_text())["sample"]["class_type"] == "KSampler"
    assert cli("convert", "comfy.json", "back.json").code == 0
    events = cli("run", "back.json", "--models", tiny_models, "--json").events
    ran = {event["node"] for event in events if event["event"] == "node_started"}
    assert ran <= {"save"}, "keys are the same, so results are found; the file may be named otherwise"


def test_nodes_explains_one_and_lists_all(cli: Cli) -> None:
    listing = cli("nodes")
    assert "KSampler" in listing.out
    one = cli("nodes", "KSampler")
    assert "uncond + s * (cond" in one.out
    assert "1 to 1000" in one.out
    data = json.loads(cli("nodes", "--json").out)
    assert data["KSampler"]["inputs"]["steps"]["maximum"] == 1000
    wrong = cli("nodes", "KSamplr")
    assert wrong.code == 2
    assert "did you mean `KSampler`" in wrong.err


def test_workflows_lists_what_is_shipped(cli: Cli) -> None:
    assert "text_to_image" in cli("workflows").out


def test_help_teaches_with_examples(cli: Cli) -> None:
    outcome = cli("--help")
    assert outcome.code == 0
    for text in ("examples:", "run text_to_image", "--set", "exit codes"):
        assert text in outcome.out
    for command in ("run", "check", "nodes", "convert", "strip", "workflows"):
        assert cli(command, "--help").code == 0


def test_a_broken_pack_is_told_and_does_not_stop_others(cli: Cli, workflow: Path, tiny_models: Path) -> None:
    Path("badpack").mkdir()
    Path("badpack/x.py").write_text("import does_not_exist\n")
    outcome = cli("run", workflow, "--models", tiny_models, "--packs", "badpack")
    assert outcome.code == 0
    assert "E502 BrokenPack" in outcome.err
    assert "x.py:1" in outcome.err


def test_ctrl_c_ends_within_a_step_and_leaves_nothing(tmp_path: Path, tiny_models: Path) -> None:
    data = text_to_image(sample__steps=1000)
    (tmp_path / "wf.json").write_text(json.dumps(data))
    command = [sys.executable, "-m", "nodegraph", "run", "wf.json", "--models", str(tiny_models), "--json"]
    environment = {**os.environ, "NODEGRAPH_CACHE": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    steps = []
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["node"] == "sample":
            steps.append(event["value"])
            if len(steps) == 1:
                process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert max(steps) < 1000
    assert event == {"event": "run_finished", "status": "cancelled", **{k: event[k] for k in ("seconds", "executed", "cached")}}
    assert not list((tmp_path / "output").rglob("*")) if (tmp_path / "output").exists() else True
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_python_call_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: Path) -> None:
    import nodegraph
    from nodegraph.errors import Problems

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODEGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NODEGRAPH_MODELS", str(tiny_models))
    result = nodegraph.run(text_to_image(), {"sample.seed": 3}, output=tmp_path / "pictures")
    assert Path(result.shown["save"][0]["file"]["path"]).parent == tmp_path / "pictures"
    with pytest.raises(Problems, match="E107"):
        nodegraph.run(text_to_image(), {"sample.steps": -1})
