"""ComfyUI's API JSON: what it becomes here, what goes back out, and that nothing hostile gets further than an error."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import pytest
from comfy_fuzz import json_values, load, mutate, only_our_errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodegraph.comfy.aliases import _TABLE, BY_OURS, BY_THEIRS, NOTES, ForeignInput, alias_for
from nodegraph.comfy.api_json import convert_api, from_api, is_api_json, to_api
from nodegraph.comfy.core_widgets import CORE_WIDGETS
from nodegraph.document import Document, Link, NodeEntry, parse_document
from nodegraph.errors import BadLink, NotConvertible, Problems, UnknownFormat
from nodegraph.graph import build
from nodegraph.registry import Registry, builtin_registry


@cache
def registry() -> Registry:
    return builtin_registry()


def sampler(**changes: Any) -> dict[str, Any]:
    return {"class_type": "KSampler", "inputs": changes}


# --------------------------------------------------------------------------------------------- the table


def test_table_agrees_with_the_nodes() -> None:
    for alias in _TABLE:
        spec = registry().get(alias.ours)
        assert {entry.ours for entry in alias.inputs} | alias.only_ours == set(spec.inputs), alias.theirs
        assert tuple(name for name in alias.outputs if not name.startswith("@")) == tuple(spec.outputs), alias.theirs
        for entry in alias.inputs:
            assert (entry.kind == "link") == (spec.inputs[entry.ours].widget is None), (alias.theirs, entry)


def test_table_is_unambiguous() -> None:
    assert len(BY_THEIRS) == len(_TABLE)
    for alias in _TABLE:
        for entry in alias.inputs:
            assert alias.find(entry.theirs) is entry
            assert alias.find(entry.ours) is entry or entry.ours in alias.by_theirs
        handed_on = [name[1:] for name in alias.outputs if name.startswith("@")]
        assert all(name in alias.by_ours for name in handed_on)


def test_no_node_here_takes_the_name_of_another_one_there() -> None:
    known = set(CORE_WIDGETS) | set(BY_THEIRS)
    for spec in registry():
        assert spec.id not in known or (spec.id in BY_THEIRS and BY_THEIRS[spec.id].ours == spec.id), spec.id


def test_of_several_classes_the_one_with_the_given_inputs_is_written() -> None:
    masked, feathered = alias_for("LatentComposite", ["base", "mask"]), alias_for("LatentComposite", ["base", "feather"])
    assert masked is not None
    assert feathered is not None
    assert (masked.theirs, feathered.theirs) == ("LatentCompositeMasked", "LatentComposite")


def test_of_several_classes_the_one_that_does_the_same_is_written() -> None:
    for format, wanted in (("webp", "SaveAnimatedWEBP"), ("apng", "SaveAnimatedPNG")):
        alias = alias_for("SaveAnimation", {"images": Link("1", "image"), "format": format, "fps": 8.0, "quality": 90, "compress_level": 4})
        assert alias is not None
        assert alias.theirs == wanted


def test_animations_and_averages_come_in_as_they_were() -> None:
    data = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "walk.gif"}},
        "2": {"class_type": "SaveAnimatedWEBP", "inputs": {
            "images": ["1", 0], "filename_prefix": "w", "fps": 6.0, "lossless": True, "quality": 80, "method": "slowest"}},
        "3": {"class_type": "SaveAnimatedPNG", "inputs": {"images": ["1", 0], "filename_prefix": "p", "fps": 6.0, "compress_level": 9}},
        "4": {"class_type": "ConditioningAverage", "inputs": {"conditioning_to_strength": 0.25}},
    }  # fmt: skip
    nodes = from_api(data).nodes
    webp = {"images": Link("1", "image"), "name": "w", "fps": 6.0, "lossless": True, "quality": 80, "method": "slowest", "format": "webp"}
    assert nodes["2"] == NodeEntry("SaveAnimation", webp)
    assert nodes["3"] == NodeEntry(
        "SaveAnimation", {"images": Link("1", "image"), "name": "p", "fps": 6.0, "compress_level": 9, "format": "apng"}
    )
    assert nodes["4"] == NodeEntry("BlendConditioning", {"keep": 0.25, "lengths": "base"})


# --------------------------------------------------------------------------------------------- reading


def test_a_text_to_image_graph() -> None:
    converted = convert_api(load("api_text_to_image.json"))
    assert converted.warnings == ()
    nodes = converted.document.nodes
    assert nodes["3"] == NodeEntry(
        "KSampler",
        {
            "seed": 7,
            "steps": 20,
            "cfg": 8,
            "sampler": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": Link("4", "model"),
            "positive": Link("6", "conditioning"),
            "negative": Link("7", "conditioning"),
            "latent": Link("5", "latent"),
        },
        title="sample",
    )
    assert nodes["4"] == NodeEntry("LoadCheckpoint", {"file": "sd15/model.safetensors"})
    assert nodes["5"].inputs == {"width": 512, "height": 512, "batch": 1}
    assert type(nodes["5"].inputs["height"]) is int
    assert nodes["7"].inputs["clip"] == Link("4", "clip")
    assert nodes["8"].inputs == {"latent": Link("3", "latent"), "vae": Link("4", "vae")}
    assert nodes["9"] == NodeEntry("SaveImage", {"name": "lighthouse", "image": Link("8", "image")})


def test_the_graph_it_becomes_passes_the_check() -> None:
    graph = build(from_api(load("api_text_to_image.json")), registry())
    assert graph.targets == ("9",)
    assert graph.nodes["3"].inputs["cfg"] == 8.0


def test_every_fault_at_once_with_its_place() -> None:
    data = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "x", "clip": ["1", 3]}},
        "3": {"class_type": "VAEDecode", "inputs": {"samples": ["gone", 0], "vae": ["1", True]}},
        "4": {"inputs": {}},
        "5": {"class_type": "VAEDecode", "inputs": [1, 2]},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["1"], "vae": ["1", -1]}},
        "": {"class_type": "Note", "inputs": {}},
        "7": {"class_type": "VAEDecode", "inputs": {"vae": ["5", 0]}},
    }
    with pytest.raises(Problems) as caught:
        from_api(data)
    found = {(error.node, error.input) for error in caught.value.errors}
    assert found == {
        ("2", "clip"), ("3", "samples"), ("3", "vae"), ("4", None), ("5", None), ("6", "samples"), ("6", "vae"), ("", None), ("7", "vae"),
    }  # fmt: skip
    slot = next(error for error in caught.value.errors if error.node == "2")
    assert isinstance(slot, BadLink)
    assert slot.message == 'node 1 "CheckpointLoaderSimple" has no output slot 3; it has 0 model, 1 clip, 2 vae'


def test_a_list_is_a_link_unless_it_is_wrapped() -> None:
    data = {"1": {"class_type": "Mystery", "inputs": {"a": ["1", 0], "b": {"__value__": ["1", 0]}, "c": [1, 2, 3], "d": ["nowhere", 0]}}}
    assert from_api(data).nodes["1"].inputs == {"a": Link("1", "output_0"), "b": ["1", 0], "c": [1, 2, 3], "d": ["nowhere", 0]}
    with pytest.raises(Problems):
        from_api({"1": sampler(seed=[1, 2, 3])})


def test_an_unknown_node_keeps_everything_it_has() -> None:
    data = {
        "1": {"class_type": "pack.Thing", "_meta": {"title": "thing"}, "inputs": {"a": 1, "b": "x", "mode.sub": 2.5, "n": None}},
        "2": {"class_type": "pack.Other", "inputs": {"in": ["1", 3]}},
    }
    document = from_api(data)
    assert document.nodes["1"] == NodeEntry("pack.Thing", {"a": 1, "b": "x", "mode.sub": 2.5, "n": None}, title="thing")
    assert document.nodes["2"].inputs == {"in": Link("1", "output_3")}
    assert to_api(document, Registry()) == data
    with pytest.raises(Problems) as caught:
        build(document, registry())
    assert {error.name for error in caught.value.errors} == {"UnknownNode"}


def test_an_object_among_the_values_survives_saving() -> None:
    converted = convert_api({"1": {"class_type": "Curve", "inputs": {"points": {"a": [1, 2]}}}})
    assert converted.document.nodes["1"].inputs == {"points": '{"a": [1, 2]}'}
    assert "JSON text" in converted.warnings[0]
    assert parse_document(converted.document.to_json()).nodes == converted.document.nodes


def test_constants_that_comfyui_passes_over_are_left_out_and_told() -> None:
    data = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png [input]", "upload": "image", "speech": True}}}
    converted = convert_api(data)
    assert converted.document.nodes["1"].inputs == {"file": "a.png"}
    assert [warning for warning in converted.warnings if "speech" in warning] == list(converted.warnings) != []


def test_samplers_that_differ_only_in_where_their_noise_comes_from() -> None:
    assert from_api({"1": sampler(sampler_name="dpmpp_2m_sde_gpu")}).nodes["1"].inputs == {"sampler": "dpmpp_2m_sde"}


def test_a_file_of_another_folder_is_told() -> None:
    (warning,) = convert_api({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png [output]"}}}).warnings
    assert "output folder" in warning


def test_a_link_from_a_node_that_only_hands_on_goes_to_its_source() -> None:
    data = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        "4": {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}},
    }
    assert from_api(data).nodes["4"].inputs == {"image": Link("1", "image")}
    data["2"]["inputs"]["images"] = ["3", 0]  # type: ignore[index]
    with pytest.raises(Problems) as caught:
        from_api(data)
    assert {error.name for error in caught.value.errors} == {"Cycle"}


def test_our_own_nodes_and_names_are_understood_too() -> None:
    data = {
        "1": {"class_type": "LoadCheckpoint", "inputs": {"file": "m.safetensors"}},
        "2": sampler(sampler="euler", latent_image=["3", 0]),
        "3": {"class_type": "EmptyLatent", "inputs": {"batch": 2}},
        "4": {"class_type": "Seeds", "inputs": {"seed": 1}},
        "5": {"class_type": "ListItem", "inputs": {"items": ["4", 0]}},
    }
    document = from_api(data, registry())
    assert document.nodes["2"].inputs == {"sampler": "euler", "latent": Link("3", "latent")}
    assert document.nodes["5"].inputs == {"items": Link("4", "ints")}
    assert from_api(data).nodes["5"].inputs == {"items": Link("4", "output_0")}


@pytest.mark.parametrize("data", [None, [], {}, "text", 3, {"name": "package", "version": "1"}, {"1": {"inputs": {}}}])
def test_other_json_is_refused(data: Any) -> None:
    assert not is_api_json(data)
    with pytest.raises(UnknownFormat):
        from_api(data)


def test_a_chain_of_100000_nodes() -> None:
    count = 100_000
    data: dict[str, Any] = {"0": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}
    for i in range(1, count):
        data[str(i)] = {"class_type": "SaveImage" if i % 2 else "ImageInvert", "inputs": {"images" if i % 2 else "image": [str(i - 1), 0]}}
    document = from_api(data)
    assert document.nodes[str(count - 2)].inputs["image"] == Link(str(count - 4), "image")
    assert len(to_api(document, registry())) == count


# --------------------------------------------------------------------------------------------- writing


def test_writing_gives_back_what_was_read() -> None:
    data = load("api_text_to_image.json")
    written = to_api(from_api(data), registry())
    assert written["3"] == {**data["3"], "inputs": {**data["3"]["inputs"], "steps": 20}}
    assert written["9"] == {"class_type": "SaveImage", "inputs": {"filename_prefix": "lighthouse", "images": ["8", 0]}}
    assert from_api(written) == from_api(data)


def test_defaults_are_written_out_because_comfyui_wants_them() -> None:
    written = to_api(Document({"1": NodeEntry("EmptyLatent", {"width": 64})}), registry())
    assert written["1"] == {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 128, "batch_size": 1}}


def test_an_empty_latent_of_other_families_is_an_empty_latent_and_written_as_the_plain_one() -> None:
    inputs = {"width": 64, "height": 96, "batch_size": 2}
    document = from_api({"1": {"class_type": "EmptySD3LatentImage", "inputs": inputs}})
    assert document.nodes["1"] == NodeEntry("EmptyLatent", {"width": 64, "height": 96, "batch": 2})
    assert to_api(document, registry())["1"] == {"class_type": "EmptyLatentImage", "inputs": inputs}


def test_notes_are_left_out_but_their_text_is_not() -> None:
    nodes = {"1": NodeEntry("Note", {"text": "a cat"}), "2": NodeEntry("CLIPEncode", {"text": Link("1", "str")})}
    written = to_api(Document(nodes), registry())
    assert list(written) == ["2"]
    assert written["2"]["inputs"]["text"] == "a cat"


def test_lists_are_wrapped() -> None:
    written = to_api(Document({"1": NodeEntry("Thing", {"points": ["2", 0]})}), registry())
    assert written["1"]["inputs"] == {"points": {"__value__": ["2", 0]}}


def disabled(mode: str) -> Document:
    return Document(
        {
            "load": NodeEntry("LoadImage", {"file": "a.png"}),
            "mask": NodeEntry("LoadMask", {"file": "a.png"}),
            "blend": NodeEntry("ImageBlend", {"base": Link("load", "image"), "overlay": Link("invert", "image")}),
            "invert": NodeEntry("ImageInvert", {"image": Link("scale", "image")}, mode=mode),
            "scale": NodeEntry("ImageScale", {"image": Link("load", "image")}, mode=mode),
            "flag": NodeEntry("Switch", {"on": True, "when_true": Link("mask", "mask"), "when_false": Link("load", "mask")}, mode=mode),
            "out": NodeEntry("SaveImage", {"image": Link("blend", "image")}),
            "show": NodeEntry("MaskToImage", {"mask": Link("flag", "value")}),
            "out2": NodeEntry("SaveImage", {"image": Link("show", "image")}),
        }
    )


def test_bypassed_nodes_are_left_out_just_as_the_engine_does() -> None:
    document = disabled("bypassed")
    graph, written = build(document, registry()), from_api(to_api(document, registry()))
    assert set(graph.nodes) == set(written.nodes)
    for id, node in graph.nodes.items():
        assert node.links == {name: value for name, value in written.nodes[id].inputs.items() if type(value) is Link}
    assert written.nodes["blend"].inputs["overlay"] == Link("load", "image")


def test_links_to_muted_nodes_are_left_out() -> None:
    written = to_api(disabled("muted"), registry())
    assert set(written) == {"load", "mask", "blend", "out", "show", "out2"}
    assert "image2" not in written["blend"]["inputs"]
    assert written["show"]["inputs"] == {}


def test_what_cannot_be_expressed_is_told_all_at_once() -> None:
    nodes = {
        "1": NodeEntry("LoadImage", {"file": "a.png"}),
        "2": NodeEntry("ImageInvert", {"image": Link("1", "nonsense")}),
        "3": NodeEntry("ImageInvert", {"image": Link("gone", "image")}),
        "4": NodeEntry("Unheard", {}, mode="bypassed"),
        "5": NodeEntry("ImageInvert", {"image": Link("4", "image")}),
        "6": NodeEntry("ImageInvert", {"image": Link("6", "image")}, mode="bypassed"),
        "7": NodeEntry("ImageInvert", {"image": Link("6", "image")}),
    }
    with pytest.raises(Problems) as caught:
        to_api(Document(nodes), registry())
    assert [(error.node, error.name) for error in caught.value.errors] == [
        ("2", "NotConvertible"),
        ("3", "BadLink"),
        ("5", "NotConvertible"),
        ("7", "Cycle"),
    ]
    assert isinstance(caught.value.errors[0], NotConvertible)
    assert "it has image, mask" in caught.value.errors[0].message


# --------------------------------------------------------------------------------------------- laws

WRITABLE = sorted(BY_OURS.keys() - NOTES)
LITERALS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**64), 2**64),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text(max_size=20),
    "bool": st.booleans(),
    "choice": st.sampled_from(["euler", "lanczos", "center", "red"]),
    "file": st.sampled_from(["a.png", "deep/er/b.safetensors"]),
}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Documents of nodes that ComfyUI has too, every input given, links to earlier nodes."""
    document = Document()
    for i, type_ in enumerate(draw(st.lists(st.sampled_from(WRITABLE), min_size=1, max_size=12))):
        alias = BY_OURS[type_]
        outputs = [Link(id, out) for id, node in document.nodes.items() for out in BY_OURS[node.type].outputs if not out.startswith("@")]
        inputs = {entry.ours: draw(value_of(entry, outputs)) for entry in alias.inputs if entry.kind != "link" or outputs}
        document.nodes[draw(st.sampled_from([f"{i}", f"1:{i}", f"n {i}"]))] = NodeEntry(type_, inputs, title=draw(st.text(max_size=5)))
    return document


def value_of(entry: ForeignInput, outputs: list[Link]) -> st.SearchStrategy[Any]:
    links = [st.sampled_from(outputs)] if outputs else []
    literals = [LITERALS[entry.kind]] if entry.kind != "link" else []
    return st.one_of(*literals, *links)


@given(documents())
@settings(max_examples=150, deadline=None)
def test_law_reading_what_was_written_gives_the_same_graph(document: Document) -> None:
    for entry in document.nodes.values():
        alias = alias_for(entry.type, entry.inputs) if entry.type in BY_OURS else None
        entry.inputs = {**(alias.fixed if alias is not None else {}), **entry.inputs}
    written = json.loads(json.dumps(to_api(document, Registry())))
    assert from_api(written) == document


def test_our_prompt_syntax_survives_the_way_there_and_back() -> None:
    document = Document({"1": NodeEntry("CLIPEncode", {"text": "[a]"})})
    assert from_api(to_api(document, registry())).nodes["1"].inputs == {"text": "[a]", "syntax": "extended"}


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fuzz_a_damaged_file_gives_only_our_errors(data: st.DataObject) -> None:
    broken = copy.deepcopy(load("api_text_to_image.json"))
    for _ in range(data.draw(st.integers(1, 4))):
        mutate(data, broken)
    only_our_errors(lambda: to_api(from_api(broken), registry()))


@given(json_values())
@settings(max_examples=150, deadline=None)
def test_fuzz_any_json_gives_only_our_errors(value: Any) -> None:
    for data in (value, {"1": value}, {"1": {"class_type": "KSampler", "inputs": value}}, {"1": {"class_type": value, "inputs": {}}}):
        only_our_errors(lambda data=data: from_api(data))  # type: ignore[misc]


# --------------------------------------------------------------------------------------------- loaders of single parts

LOADERS = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "net.safetensors", "weight_dtype": "default"}},
    "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "l.safetensors", "type": "stable_diffusion", "device": "default"}},
    "3": {"class_type": "DualCLIPLoader", "inputs": {
        "clip_name1": "l.safetensors", "clip_name2": "g.safetensors", "type": "sdxl", "device": "default"}},
    "4": {"class_type": "VAELoader", "inputs": {"vae_name": "ft-mse.safetensors"}},
    "5": {"class_type": "ModelSamplingDiscrete", "inputs": {"model": ["1", 0], "sampling": "v_prediction", "zsnr": True}},
    "6": {"class_type": "ModelSamplingSD3", "inputs": {"model": ["5", 0], "shift": 3.0}},
}  # fmt: skip


def test_loaders_of_single_parts_come_in_and_go_out_as_they_were() -> None:
    converted = convert_api(LOADERS, registry())
    assert converted.warnings == ()
    nodes = converted.document.nodes
    assert nodes["1"] == NodeEntry("LoadDiffusionModel", {"file": "net.safetensors"})
    assert nodes["3"] == NodeEntry("LoadDualTextEncoder", {"first": "l.safetensors", "second": "g.safetensors"})
    assert nodes["5"].inputs == {"model": Link("1", "model"), "prediction": "v_prediction", "zero_terminal_snr": True}
    assert to_api(converted.document, registry()) == LOADERS


def test_a_setting_of_a_loader_that_changes_something_there_is_told_when_it_is_left_out() -> None:
    data = {"1": {"class_type": "UNETLoader", "inputs": {"unet_name": "net.safetensors", "weight_dtype": "fp8_e4m3fn"}}}
    (warning,) = convert_api(data, registry()).warnings
    assert "weight_dtype" in warning
