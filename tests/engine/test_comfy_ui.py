"""ComfyUI's editor JSON: every way a value or a wire may be written, and that nothing hostile gets further than an error."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from comfy_fuzz import json_values, load, mutate, only_our_errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodegraph.comfy.aliases import BY_OURS
from nodegraph.comfy.ui_file import MAX_PORTS
from nodegraph.comfy.ui_json import convert_ui, from_ui, is_ui_json
from nodegraph.document import Document, Link, NodeEntry, parse_document
from nodegraph.errors import FormatTooNew, GraphTooLarge, Problems, UnknownFormat
from nodegraph.graph import build
from nodegraph.registry import Registry, builtin_registry


@cache
def registry() -> Registry:
    return builtin_registry()


def port(name: str, type_: str, link: Any = None, widget: bool = False) -> dict[str, Any]:
    return {"name": name, "type": type_, "link": link, **({"widget": {"name": name}} if widget else {})}


def node(id: Any, type_: str, inputs: list[Any] | None = None, outputs: str = "", **more: Any) -> dict[str, Any]:
    out = [{"name": name, "type": name, "links": []} for name in outputs.split()]
    return {"id": id, "type": type_, "inputs": inputs or [], "outputs": out, "mode": 0, **more}


def file(nodes: list[Any], links: list[Any], **more: Any) -> dict[str, Any]:
    return {"version": 0.4, "nodes": nodes, "links": links, **more}


def inputs(document: Document, id: str) -> dict[str, Any]:
    """Inputs of a node, less those that every node of its class is given."""
    entry = document.nodes[id]
    fixed = BY_OURS[entry.type].fixed if entry.type in BY_OURS else {}
    return {name: value for name, value in entry.inputs.items() if name not in fixed}


# --------------------------------------------------------------------------------------------- a whole file of the usual kind


def test_classic_file_values_and_links() -> None:
    nodes = from_ui(load("ui_classic.json")).nodes
    assert nodes["1"] == NodeEntry("LoadCheckpoint", {"file": "sd15/model.safetensors"}, title="base model")
    assert nodes["7"].inputs == {
        "seed": 156680208700286,
        "steps": 20,
        "cfg": 8,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 0.75,
        "model": Link("1", "model"),
        "positive": Link("2", "conditioning"),
        "negative": Link("3", "conditioning"),
        "latent": Link("6", "latent"),
    }
    assert nodes["6"].inputs == {"width": 512, "height": 768, "batch": 2}
    assert nodes["15"].inputs == {"file": "cats/tabby.png"}


def test_classic_file_reroutes_and_primitives_are_gone() -> None:
    document = from_ui(load("ui_classic.json"))
    assert "4" not in document.nodes
    assert "5" not in document.nodes
    assert inputs(document, "2") == {"text": "a lighthouse at dusk", "clip": Link("1", "clip")}
    assert inputs(document, "3") == {"text": "blurry", "clip": Link("1", "clip")}


def test_a_prompt_that_comes_from_there_is_read_as_it_was_there() -> None:
    assert from_ui(load("ui_classic.json")).nodes["2"].inputs["syntax"] == "comfyui"


def test_classic_file_switched_off_nodes_stay_and_are_passed() -> None:
    nodes = from_ui(load("ui_classic.json")).nodes
    assert nodes["11"] == NodeEntry("PreviewImage", {"image": Link("8", "image")}, mode="muted")
    assert nodes["9"].mode == "bypassed"
    assert nodes["10"].inputs["image"] == Link("9", "image")
    assert nodes["12"].mode == "muted", "its type is unknown here, so it is led around and muted"
    assert nodes["7"].inputs["model"] == Link("1", "model")


def test_classic_file_notes_looks_and_needs() -> None:
    document, warnings = convert_ui(load("ui_classic.json"))
    assert document.nodes["13"] == NodeEntry("Note", {"text": "start here"})
    assert document.nodes["14"] == NodeEntry("Note", {"text": "# Help"}, title="help")
    assert document.layout["1"] == {"pos": [0, 0], "size": [300, 100], "color": "#223"}
    assert document.rest["groups"] == [{"title": "Prompts", "bounding": [380, -40, 340, 400], "color": "#3f789e"}]
    assert document.meta["requires"] == {
        "packs": {"fancy-pack": "1.2.0"},
        "models": {"checkpoints/model.safetensors": "https://example.org/m"},
        "nodes": {"FancyModelPatch": "fancy-pack"},
    }
    assert len(warnings) == 1
    assert "FancyModelPatch" in warnings[0]


def test_classic_file_passes_the_check_and_survives_saving() -> None:
    document = from_ui(load("ui_classic.json"))
    graph = build(document, registry())
    assert graph.nodes["10"].links == {"image": Link("8", "image")}
    again = parse_document(document.to_json())
    assert (again.nodes, again.layout, again.meta) == (document.nodes, document.layout, document.meta)
    assert again.rest["groups"] == document.rest["groups"]


def test_version_1_with_objects_and_names() -> None:
    document, warnings = convert_ui(load("ui_version_1.json"))
    assert inputs(document, "load") == {"file": "cat.png"}
    assert inputs(document, "scale") == {
        "image": Link("load", "image"),
        "method": "lanczos",
        "width": Link("4", "int"),
        "height": 480,
        "crop": "center",
    }
    assert inputs(document, "4") == {"value": 333}
    assert [warning for warning in warnings if "disagree about `value`" in warning] == list(warnings) != []
    assert document.layout["load"] == {"pos": [10, 20], "size": [210, 90]}


# --------------------------------------------------------------------------------------------- values by position


def test_holes_numbers_as_text_and_missing_controls() -> None:
    document, warnings = convert_ui(load("ui_holes.json"))
    settings = {"seed": 42, "steps": 12, "cfg": 7.5, "sampler": "euler", "scheduler": "normal", "denoise": 1.0}
    assert inputs(document, "1") == settings
    assert inputs(document, "2") == settings
    assert inputs(document, "3") == {"height": 640}
    assert inputs(document, "4") == {"file": "mask.png", "channel": "red"}
    assert inputs(document, "5") == {"widget_0": 1, "widget_1": "two", "widget_2": [3, 4], "widget_3": '{"five": 5}'}
    assert inputs(document, "6") == {"seed": 5, "label": "x"}, "named by its own slots, without the word behind the seed"
    assert inputs(document, "7") == {
        "add_noise": "enable",
        "noise_seed": 9,
        "steps": 25,
        "cfg": 8.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "start_at_step": 0,
        "end_at_step": 20,
        "return_with_leftover_noise": "disable",
    }
    assert {warning.split(":")[0] for warning in warnings} == {'node 5 "SomebodysNode"'}


def test_more_values_than_settings_are_told() -> None:
    (warning,) = convert_ui(file([node(1, "EmptyLatentImage", widgets_values=[1, 2, 3, 4])], [])).warnings
    assert "more values are stored" in warning


def test_settings_that_depend_on_another_one() -> None:
    resize = [node(1, "ResizeImageMaskNode", widgets_values=["scale total pixels", 1.5, "area"])]
    assert inputs(from_ui(file(resize, [])), "1") == {
        "resize_type": "scale total pixels",
        "resize_type.megapixels": 1.5,
        "scale_method": "area",
    }


def test_values_as_an_object() -> None:
    data = file([node(1, "VHS_Thing", widgets_values={"rate": 8, "videopreview": {"hidden": False}, "format": "h264"})], [])
    assert inputs(from_ui(data), "1") == {"rate": 8, "format": "h264"}


# --------------------------------------------------------------------------------------------- wires


def chain(*middle: dict[str, Any]) -> Document:
    """LoadImage 1 -> the given nodes one after the other, each through slot 0 -> SaveImage 99."""
    nodes = [node(1, "LoadImage", outputs="IMAGE MASK", widgets_values=["a.png", "image"]), *middle]
    nodes.append(node(99, "SaveImage", [port("images", "IMAGE", len(nodes))], widgets_values=["x"]))
    links = [[i + 1, nodes[i]["id"], 0, nodes[i + 1]["id"], 0, "IMAGE"] for i in range(len(nodes) - 1)]
    return from_ui(file(nodes, links))


def test_reroutes_muted_nodes_and_what_they_mean() -> None:
    reroutes = [node(i, "Reroute", [port("", "*", i - 1)], "IMAGE") for i in (2, 3)]
    assert inputs(chain(*reroutes), "99")["image"] == Link("1", "image")
    muted = chain(node(2, "ImageInvert", [port("image", "IMAGE", 1)], "IMAGE", mode=2))
    assert inputs(muted, "99")["image"] == Link("2", "image"), "the wire stays, so that the node can be switched on again"
    with pytest.raises(Problems, match="MissingInput"):
        build(muted, registry())


def test_bypass_takes_the_same_slot_then_the_same_type_then_what_fits() -> None:
    many = [port("image", "IMAGE"), port("mask", "MASK"), port("other", "IMAGE", 1), port("any", "*")]
    assert inputs(chain(node(2, "Mystery", many, "IMAGE", mode=4)), "99") == {"name": "x"}, "the same slot fits, but nothing comes in there"
    by_type = [port("mask", "MASK"), port("image", "IMAGE", 1), port("any", "*")]
    assert inputs(chain(node(2, "Mystery", by_type, "IMAGE", mode=4)), "99")["image"] == Link("1", "image")
    union = [port("mask", "MASK"), port("either", "MASK,IMAGE", 1)]
    assert inputs(chain(node(2, "Mystery", union, "IMAGE", mode=4)), "99")["image"] == Link("1", "image")
    nothing = [port("mask", "MASK", 1)]
    assert inputs(chain(node(2, "Mystery", nothing, "IMAGE", mode=4)), "99") == {"name": "x"}


def test_bypassed_node_with_two_ways_is_led_around() -> None:
    nodes = [
        node(1, "LoadImage", outputs="IMAGE MASK", widgets_values=["a.png"]),
        node(2, "LoadImage", outputs="IMAGE MASK", widgets_values=["b.png"]),
        node(3, "ImageBlend", [port("image1", "IMAGE", 1), port("image2", "IMAGE", 2)], "IMAGE", mode=4, widgets_values=[0.5, "normal"]),
        node(4, "PreviewImage", [port("images", "IMAGE", 3)]),
    ]
    document = from_ui(file(nodes, [[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 1, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"]]))
    assert inputs(document, "4") == {"image": Link("1", "image")}
    assert document.nodes["3"].mode == "bypassed"


def test_a_wire_from_nowhere_keeps_the_stored_value() -> None:
    nodes = [node(1, "CLIPTextEncode", [port("clip", "CLIP", 77), port("text", "STRING", 1, widget=True)], widgets_values=["kept"])]
    document, warnings = convert_ui(file(nodes, [[1, 50, 0, 1, 1, "STRING"]]))
    assert inputs(document, "1") == {"text": "kept"}
    assert len(warnings) == 2


def test_reroutes_in_a_circle() -> None:
    nodes = [
        node(1, "Reroute", [port("", "*", 1)], "IMAGE"),
        node(2, "Reroute", [port("", "*", 2)], "IMAGE"),
        node(3, "PreviewImage", [port("images", "IMAGE", 1)]),
    ]
    document, warnings = convert_ui(file(nodes, [[1, 2, 0, 1, 0, "IMAGE"], [2, 1, 0, 2, 0, "IMAGE"]]))
    assert inputs(document, "3") == {}
    assert "circle" in warnings[0]


def test_nodes_that_set_and_get_by_name() -> None:
    nodes = [
        node(1, "LoadImage", outputs="IMAGE MASK", widgets_values=["a.png"]),
        node(2, "SetNode", [port("IMAGE", "IMAGE", 1)], "*", widgets_values=["picture"]),
        node(3, "GetNode", outputs="IMAGE", widgets_values=["picture"]),
        node(4, "PreviewImage", [port("images", "IMAGE", 2)]),
        node(5, "GetNode", outputs="IMAGE", widgets_values=["nobody"]),
        node(6, "PreviewImage", [port("images", "IMAGE", 3)]),
    ]
    document, warnings = convert_ui(file(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"], [3, 5, 0, 6, 0, "IMAGE"]]))
    assert inputs(document, "4") == {"image": Link("1", "image")}
    assert set(document.nodes) == {"1", "4", "6"}
    assert "nobody" in warnings[0]


def test_nodes_that_hand_on_what_they_show() -> None:
    saved = node(2, "SaveImage", [port("images", "IMAGE", 1)], "IMAGE", widgets_values=["x"])
    assert inputs(chain(saved), "99")["image"] == Link("1", "image")


def test_a_slot_that_a_known_node_does_not_have() -> None:
    nodes = [node(1, "VAEDecode", outputs="IMAGE EXTRA"), node(2, "PreviewImage", [port("images", "IMAGE", 1)])]
    with pytest.raises(Problems) as caught:
        from_ui(file(nodes, [[1, 1, 1, 2, 0, "IMAGE"]]))
    (error,) = caught.value.errors
    assert (error.node, error.input) == ("2", "images")
    assert "has no output slot 1; it has 0 image" in error.message


# --------------------------------------------------------------------------------------------- subgraphs


def test_subgraphs_are_unfolded_with_their_own_values() -> None:
    document = from_ui(load("ui_subgraphs.json"))
    assert inputs(document, "2:11:21") == {"text": "a red cat", "clip": Link("1", "clip")}
    assert inputs(document, "2:12:21") == {"text": "ugly", "clip": Link("1", "clip")}
    assert inputs(document, "3:11:21") == {"text": Link("4", "str"), "clip": Link("1", "clip")}
    assert inputs(document, "5") == {"conditioning_1": Link("2:11:21", "conditioning"), "conditioning_2": Link("3:11:21", "conditioning")}
    assert not {"2", "3", "6"} & document.nodes.keys()


def test_a_switched_off_subgraph_stays_muted() -> None:
    document = from_ui(load("ui_subgraphs.json"))
    assert {id for id, entry in document.nodes.items() if entry.mode == "muted"} == {"6:11:21", "6:12:21"}
    assert inputs(document, "6:11:21")["text"] == "off"


def test_the_inside_of_subgraphs_is_laid_out_below_without_overlap() -> None:
    document = from_ui(load("ui_subgraphs.json"))
    outside = max(document.layout[id]["pos"][1] for id in ("1", "4", "5"))
    boxes = [group["bounding"] for group in document.rest["groups"]]
    assert len(boxes) == 6
    for i, (x, y, w, h) in enumerate(boxes):
        assert y > outside
        assert not any(x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h for x2, y2, w2, h2 in boxes[:i])
    x, y, w, h = boxes[0]
    left, top = document.layout["2:11:21"]["pos"]
    assert x < left < x + w
    assert y < top < y + h


def test_values_of_an_instance_by_position() -> None:
    data = load("ui_subgraphs.json")
    instance = data["nodes"][1]
    instance["properties"] = {}
    instance["widgets_values"] = ["by position"]
    assert inputs(from_ui(data), "2:11:21")["text"] == "by position"
    instance["widgets_values"] = ["too", "many"]
    document, warnings = convert_ui(data)
    assert inputs(document, "2:11:21")["text"] == "inner default", "the value stored on the nested instance itself"
    assert "2 values are stored for the 1 settings" in warnings[0]


def test_a_proxy_for_an_inner_widget() -> None:
    data = load("ui_subgraphs.json")
    data["nodes"][1]["widgets_values"] = ["a red cat", "set from outside"]
    assert inputs(from_ui(data), "2:12:21")["text"] == "set from outside"
    assert inputs(from_ui(data), "3:12:21")["text"] == "ugly"


def test_a_bypassed_subgraph_hands_on_by_type() -> None:
    data = load("ui_subgraphs.json")
    data["nodes"][1]["mode"] = 4
    data["nodes"][1]["inputs"][0]["type"] = data["nodes"][1]["outputs"][0]["type"] = "CLIP"
    data["nodes"][4]["inputs"][0]["type"] = "CLIP"
    assert inputs(from_ui(data), "5")["conditioning_1"] == Link("1", "clip")


def test_a_subgraph_inside_itself() -> None:
    data = load("ui_subgraphs.json")
    data["definitions"]["subgraphs"][0]["nodes"][1]["type"] = "pair"
    with pytest.raises(Problems) as caught:
        from_ui(data)
    assert {error.name for error in caught.value.errors} == {"Cycle"}
    assert "Prompt pair" in caught.value.errors[0].message


def test_copies_of_copies_are_bounded() -> None:
    levels = [
        {"id": f"s{i}", "name": f"s{i}", "nodes": [node(1, f"s{i + 1}"), node(2, f"s{i + 1}")], "links": [], "inputs": [], "outputs": []}
        for i in range(38)
    ]
    with pytest.raises(GraphTooLarge):
        from_ui(file([node(1, "s0")], [], definitions={"subgraphs": levels}))


def test_nesting_is_bounded() -> None:
    levels = [{"id": f"s{i}", "nodes": [node(1, f"s{i + 1}")], "links": []} for i in range(2000)]
    with pytest.raises(GraphTooLarge):
        from_ui(file([node(1, "s0")], [], definitions={"subgraphs": levels}))


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("data", [None, [], {}, {"nodes": 3}, {"nodes": [], "edges": []}, {"nodes": {}, "links": []}])
def test_other_json_is_refused(data: Any) -> None:
    assert not is_ui_json(data)
    with pytest.raises(UnknownFormat):
        from_ui(data)


def test_every_fault_of_form_at_once() -> None:
    nodes = [
        7,
        {"type": "X"},
        {"id": 1},
        node(2, "A"),
        node(2, "B"),
        node(True, "C"),
        node("x" * 300, "D"),
        node(3, "E", [port("a", "*")] * (MAX_PORTS + 1)),
    ]
    with pytest.raises(Problems) as caught:
        from_ui(file(nodes, [[1, 2], "no", {"id": 1}]))
    assert len(caught.value.errors) == 10
    assert {error.name for error in caught.value.errors} == {"UnknownFormat"}


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(FormatTooNew):
        from_ui({"version": 2, "nodes": [], "links": []})


def test_long_chains_need_no_recursion() -> None:
    count = 50_000
    nodes = [node(i, "Reroute", [port("", "*", i)], "*") for i in range(1, count)]
    nodes += [node(count + i, "PreviewImage", [port("images", "*", i)]) for i in range(1, count)]
    links = [[i, i - 1, 0, i, 0, "*"] for i in range(2, count)]
    nodes.append(node(0, "LoadImage", outputs="IMAGE MASK"))
    document = from_ui(file(nodes, [*links, [1, 0, 0, 1, 0, "*"]]))
    assert inputs(document, str(2 * count - 1)) == {"image": Link("0", "image")}


@pytest.mark.parametrize("name", ["ui_classic.json", "ui_subgraphs.json", "ui_version_1.json", "ui_holes.json"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_fuzz_a_damaged_file_gives_only_our_errors(name: str, data: st.DataObject) -> None:
    broken = copy.deepcopy(load(name))
    for _ in range(data.draw(st.integers(1, 4))):
        mutate(data, broken)
    only_our_errors(lambda: from_ui(broken).to_json())


@given(json_values())
@settings(max_examples=100, deadline=None)
def test_fuzz_any_json_gives_only_our_errors(value: Any) -> None:
    made_up = {"id": 1, "type": "X", "inputs": value, "outputs": value, "widgets_values": value, "properties": {"proxyWidgets": value}}
    for data in (value, file(value, value), file([value], [value]), file([made_up], [], definitions=value, groups=value)):
        only_our_errors(lambda data=data: from_ui(data))  # type: ignore[misc]
