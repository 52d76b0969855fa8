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
from nodegraph.comfy.api_json import to_api
from nodegraph.comfy.ui_file import MAX_PORTS
from nodegraph.comfy.ui_json import convert_ui, from_ui, is_ui_json
from nodegraph.document import Document, Link, NodeEntry, parse_document
from nodegraph.errors import FormatTooNew, GraphTooLarge, Problems, UnknownFormat
from nodegraph.formats import document_from
from nodegraph.graph import build
from nodegraph.registry import Registry, builtin_registry
from nodegraph.subgraphs import flatten


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


def flat(document: Document) -> dict[str, dict[str, Any]]:
    """What would run: inputs of nodes by path."""
    nodes = flatten(parse_document(document.to_json()), registry()).document.nodes
    return {id: {name: value for name, value in entry.inputs.items() if name != "syntax"} for id, entry in nodes.items()}


def test_subgraphs_stay_subgraphs_with_their_own_values() -> None:
    document, warnings = convert_ui(load("ui_subgraphs.json"))
    assert warnings == ()
    assert {id: entry.type for id, entry in document.nodes.items() if entry.type.startswith("subgraph/")} == {
        "2": "subgraph/pair",
        "3": "subgraph/pair",
        "6": "subgraph/pair",
    }
    assert document.nodes["2"].inputs == {"clip": Link("1", "clip"), "subject": "a red cat"}
    assert document.nodes["2"].title == "first pair"
    pair, encode = document.subgraphs["pair"], document.subgraphs["encode"]
    assert (pair.name, encode.name) == ("Prompt pair", "Encode")
    assert [(port.raw["type"], port.raw.get("default")) for port in pair.inputs.values()] == [
        ("clip", None),
        ("str", "inner default"),
        ("str", "ugly"),
    ]
    assert encode.nodes["21"].inputs["text"] == Link("in", "text")
    assert pair.nodes["11"].inputs == {"clip": Link("in", "clip"), "text": Link("in", "subject")}
    nodes = flat(document)
    assert nodes["2/11/21"] == {"text": "a red cat", "clip": Link("1", "clip")}
    assert nodes["2/12/21"] == {"text": "ugly", "clip": Link("1", "clip")}
    assert nodes["3/11/21"] == {"text": Link("4", "str"), "clip": Link("1", "clip")}
    assert nodes["5"] == {"conditioning_1": Link("2/11/21", "conditioning"), "conditioning_2": Link("3/11/21", "conditioning")}


def test_ports_look_like_what_they_set() -> None:
    data = file(
        [node(1, "draw", [port("seed", "INT", None, True)], widgets_values=[7])],
        [],
        definitions={
            "subgraphs": [
                {
                    "id": "draw",
                    "name": "Draw",
                    "inputs": [port("seed", "INT")],
                    "outputs": [port("LATENT", "LATENT")],
                    "nodes": [node(2, "KSampler", [port("seed", "INT", 1, True)], "LATENT", widgets_values=[5, "fixed", 20, 8])],
                    "links": [[1, -10, 0, 2, 0, "INT"], [2, 2, 0, -20, 0, "LATENT"]],
                }
            ]
        },
    )
    document = document_from(data, registry()).document
    seed = document.subgraphs["draw"].inputs["seed"].raw
    assert (seed["type"], seed["default"], seed["widget"], seed["minimum"]) == ("int", 5, {"kind": "seed"}, 0)
    assert document.subgraphs["draw"].outputs["LATENT"].raw["type"] == "latent"
    assert document.nodes["1"].inputs == {"seed": 7}


def test_a_switched_off_subgraph_stays_switched_off() -> None:
    document = from_ui(load("ui_subgraphs.json"))
    assert {id for id, entry in document.nodes.items() if entry.mode == "bypassed"} == {"6"}
    assert document.nodes["6"].inputs["subject"] == "off"


def test_the_inside_of_a_subgraph_lies_as_it_did() -> None:
    layout = from_ui(load("ui_subgraphs.json")).subgraphs["pair"].rest["layout"]
    assert layout["11"]["pos"] == [200, 0]
    assert layout["in"]["pos"][0] + 260 < layout["11"]["pos"][0] < layout["out"]["pos"][0]


def test_values_of_an_instance_by_position() -> None:
    data = load("ui_subgraphs.json")
    instance = data["nodes"][1]
    instance["properties"] = {}
    instance["widgets_values"] = ["by position"]
    assert from_ui(data).nodes["2"].inputs["subject"] == "by position"
    instance["widgets_values"] = ["too", "many"]
    document, warnings = convert_ui(data)
    assert flat(document)["2/11/21"]["text"] == "inner default", "the value stored on the nested instance itself"
    assert "2 values are stored for the 1 settings" in warnings[0]


def test_a_setting_of_an_inner_node_that_is_shown_outside_is_an_input() -> None:
    data = load("ui_subgraphs.json")
    data["nodes"][1]["widgets_values"] = ["a red cat", "set from outside"]
    document = from_ui(data)
    assert list(document.subgraphs["pair"].inputs) == ["clip", "subject", "text"]
    assert document.nodes["2"].inputs["text"] == "set from outside"
    nodes = flat(document)
    assert nodes["2/12/21"]["text"] == "set from outside"
    assert nodes["3/12/21"]["text"] == "ugly"


def test_settings_shown_outside_as_newer_versions_store_them() -> None:
    draw = {
        "id": "draw",
        "name": "Draw",
        "inputs": [{**port("text", "STRING"), "label": "prompt"}, port("width", "INT")],
        "outputs": [port("LATENT", "LATENT")],
        "nodes": [
            node(
                3, "KSampler", [port("latent_image", "LATENT", 3)], "LATENT", widgets_values=[5, "randomize", 20, 8, "euler", "normal", 1]
            ),
            node(13, "EmptyLatentImage", [port("width", "INT", 2, True)], "LATENT", widgets_values=[64, 64, 1]),
            node(27, "CLIPTextEncode", [port("text", "STRING", 1, True)], "CONDITIONING", widgets_values=["inner"]),
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 27, "target_slot": 0},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 13, "target_slot": 0},
            {"id": 3, "origin_id": 13, "origin_slot": 0, "target_id": 3, "target_slot": 0},
            {"id": 4, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    proxies = [["-1", "text"], ["-1", "width"], ["3", "seed"], ["3", "control_after_generate"]]

    def read(values: list[Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        ports = [port("text", "STRING", None, True), port("width", "INT", None, True)]
        outer = node(5, "draw", ports, "LATENT", properties={"proxyWidgets": proxies}, widgets_values=values)
        document, warnings = convert_ui(file([outer], [], definitions={"subgraphs": [draw]}))
        assert list(document.subgraphs["draw"].inputs) == ["prompt", "width", "seed"], "called as people call them"
        return document.nodes["5"].inputs, warnings

    assert read(["a cat", 128, 7, "fixed"]) == ({"prompt": "a cat", "width": 128, "seed": 7}, ())
    assert read(["a cat", 128, None, None]) == ({"prompt": "a cat", "width": 128}, ())
    assert read(["a cat", 128, 7]) == ({"prompt": "a cat", "width": 128, "seed": 7}, ()), "without what becomes of the seed"
    assert read([]) == ({}, ())
    values, warnings = read(["a cat", 128, 7, "fixed", "more", "and more"])
    assert values == {}, "a guess could set the wrong ones"
    assert "6 values are stored for the 3 settings" in warnings[0]


def test_what_becomes_of_seeds_after_a_run_is_kept_for_the_editor() -> None:
    def after(**more: Any) -> Any:
        return from_ui(file([node(1, "KSampler", [], "LATENT", **more)], [])).layout.get("1", {}).get("after")

    assert after(widgets_values=[5, "randomize", 20, 8, "euler", "normal", 1]) == {"seed": "random"}
    assert after(widgets_values=[5, "increment", 20, 8, "euler", "normal", 1]) == {"seed": "increment"}
    assert after(widgets_values=[5, "fixed", 20, 8, "euler", "normal", 1]) is None
    assert after(widgets_values=[5, 20, 8, "euler", "normal", 1]) is None
    assert after(widgets_values_named={"seed": 5, "control_after_generate": "randomize", "steps": 20}) == {"seed": "random"}
    definition = {"id": "draw", "name": "Draw", "nodes": [node(3, "KSampler", [], "LATENT", widgets_values=[5, "fixed"])], "links": []}
    proxies = {"proxyWidgets": [["3", "seed"], ["3", "control_after_generate"]]}
    outer = node(1, "draw", [], "", properties=proxies, widgets_values=[7, "randomize"])
    document = from_ui(file([outer], [], definitions={"subgraphs": [definition]}))
    assert document.layout["1"]["after"] == {"seed": "random"}


def test_a_bypassed_subgraph_hands_on_by_type() -> None:
    blur = {
        "id": "blur",
        "name": "Blur",
        "inputs": [port("image", "IMAGE")],
        "outputs": [port("IMAGE", "IMAGE")],
        "nodes": [node(1, "ImageBlur", [port("image", "IMAGE", 1)], "IMAGE", widgets_values=[3, 1.0])],
        "links": [[1, -10, 0, 1, 0, "IMAGE"], [2, 1, 0, -20, 0, "IMAGE"]],
    }
    nodes = [
        node(1, "LoadImage", [], "IMAGE MASK", widgets_values=["cat.png", "image"]),
        node(2, "blur", [port("image", "IMAGE", 1)], "IMAGE", mode=4),
        node(3, "PreviewImage", [port("images", "IMAGE", 2)]),
    ]
    document = from_ui(file(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]], definitions={"subgraphs": [blur]}))
    assert document.nodes["2"].mode == "bypassed"
    api = to_api(document, registry())
    assert api["3"]["inputs"]["images"] == ["1", 0]
    assert set(api) == {"1", "3"}


def fetching(setter_outside: bool) -> dict[str, Any]:
    """A subgraph that fetches its picture by a name, which is set outside of it or inside."""
    setter = node(5, "SetNode", [port("IMAGE", "IMAGE", 1)], "*", widgets_values=["photo"])
    load_image = node(4, "LoadImage", [], "IMAGE MASK", widgets_values=["cat.png", "image"])
    source, wire = [load_image, setter], [1, 4, 0, 5, 0, "IMAGE"]
    inner = [node(6, "GetNode", [], "IMAGE", widgets_values=["photo"]), node(7, "PreviewImage", [port("images", "IMAGE", 2)])]
    definition = {
        "id": "show",
        "name": "Show",
        "inputs": [],
        "outputs": [],
        "nodes": inner if setter_outside else [*inner, *source],
        "links": [[2, 6, 0, 7, 0, "IMAGE"], *([] if setter_outside else [wire])],
    }
    canvas = [node(1, "show"), *(source if setter_outside else [])]
    return file(canvas, [wire] if setter_outside else [], definitions={"subgraphs": [definition]})


def test_a_subgraph_that_fetches_from_outside_is_unfolded_and_told() -> None:
    document, warnings = convert_ui(fetching(setter_outside=True))
    assert document.subgraphs == {}
    assert inputs(document, "1:7") == {"image": Link("4", "image")}
    assert warnings == ("the subgraph 'Show' was unfolded: it fetches 'photo', which is set outside of it",)
    assert [group["title"] for group in document.rest["groups"]] == []
    document, warnings = convert_ui(fetching(setter_outside=False))
    assert document.subgraphs["show"].nodes["7"].inputs["image"] == Link("4", "image")
    assert warnings == ()


def test_an_unfolded_subgraph_inside_a_kept_one() -> None:
    data = fetching(setter_outside=True)
    outer = {"id": "outer", "name": "Outer", "inputs": [], "outputs": [], "nodes": data["nodes"], "links": data["links"]}
    data["definitions"]["subgraphs"].append(outer)
    data["nodes"], data["links"] = [node(9, "outer")], []
    document, warnings = convert_ui(data)
    assert list(document.subgraphs) == ["outer"]
    assert document.subgraphs["outer"].nodes["1:7"].inputs["image"] == Link("4", "image")
    assert len(warnings) == 1


def test_faults_and_remarks_inside_say_in_which_subgraph_they_are() -> None:
    data = load("ui_subgraphs.json")
    inner = data["definitions"]["subgraphs"][0]["definitions"]["subgraphs"][0]
    inner["nodes"][0]["widgets_values"] = [{"an": "object"}]
    _, warnings = convert_ui(data)
    assert any(text.startswith("subgraph 'Encode', node 21") for text in warnings)
    inner["links"][2]["origin_slot"] = 3
    with pytest.raises(Problems) as caught:
        from_ui(data)
    assert "has no output slot 3" in caught.value.errors[0].message
    assert caught.value.errors[0].message.startswith("subgraph 'Encode'")


def test_a_primitive_that_is_shown_outside() -> None:
    definition = {
        "id": "wide",
        "name": "Wide",
        "inputs": [],
        "outputs": [port("LATENT", "LATENT")],
        "nodes": [
            node(1, "PrimitiveNode", [], "INT", widgets_values=[512, "fixed"]),
            node(2, "EmptyLatentImage", [port("width", "INT", 1, True)], "LATENT", widgets_values=[64, 64, 1]),
        ],
        "links": [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, -20, 0, "LATENT"]],
    }
    instance = node(1, "wide", [], "LATENT", properties={"proxyWidgets": [["1", "value"]]}, widgets_values=[768])
    document = from_ui(file([instance], [], definitions={"subgraphs": [definition]}))
    assert document.nodes["1"].inputs == {"value": 768}
    assert flat(document)["1/2"]["width"] == 768


def test_an_output_to_which_nothing_is_connected_inside_feeds_nothing() -> None:
    data = load("ui_subgraphs.json")
    pair = data["definitions"]["subgraphs"][0]
    pair["links"] = [link for link in pair["links"] if link["id"] != 4]
    assert inputs(from_ui(data), "5") == {}


def test_a_subgraph_inside_itself() -> None:
    data = load("ui_subgraphs.json")
    data["definitions"]["subgraphs"][0]["nodes"][1]["type"] = "pair"
    with pytest.raises(Problems) as caught:
        from_ui(data)
    assert {error.name for error in caught.value.errors} == {"Cycle"}
    assert "Prompt pair" in caught.value.errors[0].message


def test_copies_of_copies_are_bounded() -> None:
    get = node(3, "GetNode", [], "IMAGE", widgets_values=["photo"])
    levels = [{"id": f"s{i}", "name": f"s{i}", "nodes": [node(1, f"s{i + 1}"), node(2, f"s{i + 1}"), get], "links": []} for i in range(38)]
    plain = file([node(1, "s0")], [], definitions={"subgraphs": levels})
    assert len(from_ui(plain).subgraphs) == 38, "they stay, and are not written out"
    plain["nodes"].append(node(2, "SetNode", [port("IMAGE", "IMAGE")], "*", widgets_values=["photo"]))
    with pytest.raises(GraphTooLarge):
        from_ui(plain)


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


def test_loaders_of_single_parts_and_their_settings_that_mean_nothing_here() -> None:
    nodes = [
        node(1, "UNETLoader", outputs="MODEL", widgets_values=["net.safetensors", "default"]),
        node(2, "CLIPLoader", outputs="CLIP", widgets_values=["l.safetensors", "stable_diffusion"]),
        node(3, "DualCLIPLoader", outputs="CLIP", widgets_values=["l.safetensors", "g.safetensors", "sdxl", "default"]),
        node(4, "UNETLoader", outputs="MODEL", widgets_values=["net.safetensors", "fp8_e4m3fn"]),
    ]
    converted = convert_ui(file(nodes, []))
    assert inputs(converted.document, "1") == inputs(converted.document, "4") == {"file": "net.safetensors"}
    assert inputs(converted.document, "2") == {"file": "l.safetensors"}
    assert inputs(converted.document, "3") == {"first": "l.safetensors", "second": "g.safetensors"}
    (warning,) = converted.warnings
    assert "weight_dtype" in warning
