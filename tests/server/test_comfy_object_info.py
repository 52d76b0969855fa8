"""`/object_info`: ComfyUI's names, shapes and order for every node that prompts may use."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodegraph.comfy.aliases import BY_OURS, BY_THEIRS
from nodegraph.files import Files
from nodegraph.registry import Registry, builtin_registry
from nodegraph.server.comfy.object_info import ObjectInfo
from nodegraph.types import ANY, FLOAT, INT, STR, ListOf, Socket, Union, Var


@pytest.fixture(scope="module")
def nodes() -> Registry:
    return builtin_registry()


@pytest.fixture
def info(nodes: Registry, files: Files) -> ObjectInfo:
    return ObjectInfo(nodes, files)


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


SAMPLER_INPUTS = ["model", "seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image", "denoise"]


def test_the_sampler_is_described_as_comfyui_does(info: ObjectInfo) -> None:
    told = info.one("KSampler")["KSampler"]
    inputs = told["input"]["required"]
    assert list(inputs) == told["input_order"]["required"] == SAMPLER_INPUTS
    assert inputs["model"][0] == "MODEL"
    assert inputs["positive"][0] == "CONDITIONING"
    assert inputs["latent_image"][0] == "LATENT"
    kind, options = inputs["seed"]
    assert kind == "INT"
    assert {key: options[key] for key in ("default", "min", "max", "control_after_generate")} == {
        "default": 0,
        "min": 0,
        "max": 2**64 - 1,
        "control_after_generate": True,
    }
    assert inputs["denoise"][0] == "FLOAT"
    assert inputs["denoise"][1]["step"] == 0.01
    names, options = inputs["sampler_name"]
    assert "euler" in names
    assert "dpmpp_2m_sde_gpu" in names
    assert options["default"] == "euler"
    assert "karras" in inputs["scheduler"][0]
    assert told["output"] == ["LATENT"]
    assert told["output_is_list"] == [False]
    assert told["output_name"] == ["LATENT"]
    assert told["name"] == "KSampler"
    assert told["python_module"] == "nodes"
    assert told["output_node"] is False


def test_keys_stand_in_comfyuis_order(info: ObjectInfo) -> None:
    begin = ["input", "input_order", "is_input_list", "output", "output_is_list", "output_name", "name", "display_name", "description"]
    for told in info.all().values():
        assert list(told)[:12] == [*begin, "python_module", "category", "output_node"]


def test_loaders_list_the_files_there_are(info: ObjectInfo, files: Files) -> None:
    put(files.models[0] / "checkpoints" / "sd" / "a.safetensors")
    put(files.models[0] / "checkpoints" / "b.ckpt")
    put(files.input / "cat.png")
    put(files.input / "notes.txt")
    assert info.one("CheckpointLoaderSimple")["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == ["sd/a.safetensors"]
    names, options = info.one("LoadImage")["LoadImage"]["input"]["required"]["image"]
    assert names == ["cat.png"]
    assert options["image_upload"] is True


def test_a_new_file_is_listed_at_once_and_an_old_list_is_kept(info: ObjectInfo, files: Files) -> None:
    def images() -> list[str]:
        found: list[str] = info.one("LoadImage")["LoadImage"]["input"]["required"]["image"][0]
        return found

    assert images() == []
    for name in ("a.png", "deep/b.png", "deep/c.png"):
        put(files.input / name)
        assert name in images()
    old = time.time() - 100
    for folder in (files.input, files.input / "deep"):
        os.utime(folder, (old, old))
    assert len(images()) == 3
    (files.input / "deep" / "d.png").write_bytes(b"x")
    os.utime(files.input / "deep", (old, old))
    assert len(images()) == 3, "a list is kept while no folder has changed"
    os.utime(files.input / "deep", (old + 1, old + 1))
    assert len(images()) == 4


def test_a_default_that_is_not_on_the_list_is_left_out(info: ObjectInfo) -> None:
    names, options = info.one("CheckpointLoaderSimple")["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"]
    assert names == []
    assert "default" not in options


def test_every_class_that_prompts_may_name_is_there_with_its_inputs_and_slots(info: ObjectInfo, nodes: Registry) -> None:
    told = info.all()
    assert set(told) == set(BY_THEIRS) | set(nodes.specs)
    for name, alias in BY_THEIRS.items():
        inputs = {**told[name]["input"]["required"], **told[name]["input"].get("optional", {})}
        assert set(inputs) == set(alias.by_theirs), name
        assert len(told[name]["output"]) == sum(not output.startswith("@") for output in alias.outputs)
    for id, spec in nodes.specs.items():
        if id not in BY_THEIRS:
            assert told[id]["output_name"] == list(spec.outputs)
            assert id not in BY_OURS or tuple(spec.outputs) == BY_OURS[id].outputs, "slots are numbered by the table when a prompt is read"


def test_an_unknown_class_is_nothing(info: ObjectInfo) -> None:
    assert info.one("Nothing") == {}
    assert info.one("__class__") == {}


def test_the_whole_is_plain_json_and_quickly_made(info: ObjectInfo) -> None:
    begin = time.process_time()
    told = info.all()
    assert time.process_time() - begin < 0.1
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_numbers_without_bounds_have_wide_ones_and_decimals_a_fine_step(info: ObjectInfo) -> None:
    assert info.one("PrimitiveInt")["PrimitiveInt"]["input"]["required"]["value"] == [
        "INT",
        {"default": 0, "min": -(2**63 - 1), "max": 2**63 - 1, "control_after_generate": True},
    ]
    assert info.one("PrimitiveFloat")["PrimitiveFloat"]["input"]["required"]["value"][1]["step"] == 0.01


def test_inputs_that_take_links_only_get_no_widget(info: ObjectInfo) -> None:
    grid = info.one("ImageGrid")["ImageGrid"]["input"]
    assert grid["required"]["images"] == ["IMAGE"]
    assert grid["optional"]["row_labels"][1]["forceInput"] is True
    masked = info.one("ImageCompositeMasked")["ImageCompositeMasked"]["input"]
    assert masked["optional"]["mask"][0] == "MASK"
    assert "resize_source" in masked["required"]


def test_lists_switches_and_text(info: ObjectInfo) -> None:
    assert info.one("Lines")["Lines"]["output_is_list"] == [True]
    switch = info.one("ComfySwitchNode")["ComfySwitchNode"]
    assert switch["input"]["required"]["on_true"] == ["*", {"lazy": True}]
    assert switch["output"] == ["*"]
    kind, options = info.one("CLIPTextEncode")["CLIPTextEncode"]["input"]["required"]["text"]
    assert kind == "STRING"
    assert options["multiline"] is True
    assert options["dynamicPrompts"] is True


@pytest.mark.parametrize(
    ("type_", "theirs"),
    [
        (INT, "INT"),
        (FLOAT, "FLOAT"),
        (STR, "STRING"),
        (ListOf(INT), "INT"),
        (Union((INT, STR)), "INT,STRING"),
        (ANY, "*"),
        (Var("T"), "*"),
        (Socket("upscaler", object), "UPSCALE_MODEL"),
        (Socket("pack/depth", object), "PACK/DEPTH"),
    ],
)
def test_types_are_spelled_as_there(type_: Any, theirs: str) -> None:
    from nodegraph.server.comfy.classes import spelling

    assert spelling(type_) == theirs


def test_deprecated_nodes_and_those_of_packs_say_so(nodes: Registry, files: Files) -> None:
    registry = Registry()
    registry.register(replace(nodes.get("Lines"), id="texts/Lines", status="deprecated"), "texts")
    told = ObjectInfo(registry, files).all()["texts/Lines"]
    assert told["python_module"] == "custom_nodes.texts"
    assert told["deprecated"] is True
