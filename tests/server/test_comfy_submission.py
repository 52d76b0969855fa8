"""What is posted to `/prompt`: read, checked, and refused in ComfyUI's own words."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from comfy_prompts import Prompt, node, text, text_to_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodegraph.document import parse_document
from nodegraph.files import Files
from nodegraph.graph import build
from nodegraph.registry import Registry, builtin_registry
from nodegraph.server.comfy.object_info import ObjectInfo
from nodegraph.server.comfy.submission import Accepted, Refused, is_secret, read_request, without_secrets


class Desk:
    """Takes requests for the built-in nodes."""

    def __init__(self, registry: Registry, files: Files) -> None:
        self.registry, self.files = registry, files
        self.info = ObjectInfo(registry, files)

    def accept(self, prompt: Any, **more: Any) -> Accepted:
        return read_request({"prompt": prompt, **more}, self.registry, self.files, self.info)

    def refuse(self, prompt: Any, **more: Any) -> dict[str, Any]:
        """The body of the refusal."""
        with pytest.raises(Refused) as refusal:
            self.accept(prompt, **more)
        assert refusal.value.status == 400
        body = json.loads(json.dumps(refusal.value.body))
        assert body.keys() == {"error", "node_errors"}
        assert body["error"].keys() == {"type", "message", "details", "extra_info"}
        return dict(body)

    def answer(self, body: Any) -> tuple[int, dict[str, Any], Accepted | None]:
        """Status and body of the answer, and what was accepted, if it was."""
        try:
            accepted = read_request(body, self.registry, self.files, self.info)
        except Refused as refusal:
            return refusal.status, json.loads(json.dumps(refusal.body)), None
        return 200, json.loads(json.dumps({"node_errors": accepted.node_errors})), accepted

    def fault(self, prompt: Prompt, id: str) -> dict[str, Any]:
        """The one fault of the one faulty node."""
        (entry,) = [self.refuse(prompt)["node_errors"][id]]
        assert entry.keys() == {"errors", "dependent_outputs", "class_type"}
        (fault,) = entry["errors"]
        assert fault.keys() == {"type", "message", "details", "extra_info"}
        return dict(fault)


@pytest.fixture(scope="module")
def nodes() -> Registry:
    return builtin_registry()


@pytest.fixture
def desk(nodes: Registry, files: Files) -> Desk:
    folder = files.models[0] / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("tiny-emoji.safetensors", "other.safetensors"):
        (folder / name).write_bytes(b"weights")
    return Desk(nodes, files)


def changed(id: str, **inputs: Any) -> Prompt:
    prompt = text_to_image()
    prompt[id]["inputs"].update(inputs)
    return prompt


# ------------------------------------------------------------------------------------------------ accepted


def test_a_prompt_becomes_a_workflow_of_ours(desk: Desk) -> None:
    prompt = text_to_image()
    before = copy.deepcopy(prompt)
    accepted = desk.accept(prompt, client_id="me", number=3)
    submission = accepted.submission
    assert accepted.node_errors == {}
    assert uuid.UUID(submission.id).version == 4
    assert (submission.client, submission.number, submission.front, submission.targets) == ("me", 3.0, False, ("9",))
    document = parse_document(json.loads(json.dumps(submission.document)))
    assert build(document, desk.registry, desk.files, submission.targets).targets == ("9",)
    assert document.nodes["3"].type == "KSampler"
    assert document.nodes["4"].type == "LoadCheckpoint"
    assert submission.origin == {"prompt": before, "extra_data": {}, "outputs_to_execute": ["9"]}


def test_a_given_id_is_kept_whether_a_uuid_or_not(desk: Desk) -> None:
    id = str(uuid.uuid4())
    assert desk.accept(text(), prompt_id=id).submission.id == id
    assert desk.accept(text(), prompt_id="my job").submission.id == "my job"
    assert desk.accept(text(), prompt_id=17).submission.id == "17"


@pytest.mark.parametrize("id", ["", "x" * 201, "a\nb", "a/b", "\ud800", [], {}, 1.5])
def test_an_id_that_no_address_or_log_could_carry_is_refused(desk: Desk, id: Any) -> None:
    assert desk.refuse(text(), prompt_id=id)["error"]["type"] == "invalid_prompt_id"


def test_front_and_numbers(desk: Desk) -> None:
    assert desk.accept(text(), front=True).submission.front
    assert desk.accept(text()).submission.number is None
    assert desk.accept(text(), number="-1.5").submission.number == -1.5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), "first", [], {}, True, 10**400])
def test_a_number_must_be_finite(desk: Desk, number: Any) -> None:
    assert desk.refuse(text(), number=number)["error"]["type"] == "invalid_prompt"


@pytest.mark.parametrize("client", [7, [], "x" * 201, "a\x00b", "\ud800"])
def test_a_client_id_must_be_a_name(desk: Desk, client: Any) -> None:
    assert desk.refuse(text(), client_id=client)["error"]["type"] == "invalid_prompt"


def test_constants_for_inputs_that_a_node_does_not_have_are_passed_over(desk: Desk) -> None:
    prompt = {"1": node("Lines", text="a", nonsense=3), "2": node("PreviewAny", source=["1", 0], is_changed=True)}
    document = desk.accept(prompt).submission.document
    assert document["nodes"]["1"]["inputs"] == {"text": "a"}


def test_numbers_as_text_and_lists_in_a_wrapper_are_unpacked(desk: Desk) -> None:
    document = desk.accept(changed("3", steps="20", seed={"__value__": 5})).submission.document
    assert document["nodes"]["3"]["inputs"]["steps"] == 20
    assert document["nodes"]["3"]["inputs"]["seed"] == 5


def test_previews_are_off_only_if_the_client_says_so(desk: Desk) -> None:
    assert desk.accept(text()).submission.previews
    assert not desk.accept(text(), extra_data={"preview_method": "none"}).submission.previews


# ------------------------------------------------------------------------------------------------ refused as a whole


@pytest.mark.parametrize("body", [{}, [], "text", None, 3, {"workflow": {}}])
def test_a_body_without_a_prompt(desk: Desk, body: Any) -> None:
    with pytest.raises(Refused) as refusal:
        read_request(body, desk.registry, desk.files, desk.info)
    expected = {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}}
    assert refusal.value.body == {"error": expected, "node_errors": {}}


@pytest.mark.parametrize(
    "prompt",
    [
        [],
        "text",
        None,
        3,
        {"1": None},
        {"1": []},
        {"1": {"inputs": {}}},
        {"1": {"class_type": 3}},
        {"1": {"class_type": "SaveImage", "inputs": []}},
        {"": node("SaveImage")},
        {"x" * 1_000_000: node("SaveImage")},
    ],
    ids=lambda value: json.dumps(value)[:30],
)
def test_a_prompt_of_the_wrong_form(desk: Desk, prompt: Any) -> None:
    body = desk.refuse(prompt)
    assert body["error"]["type"] == "invalid_prompt"
    assert body["node_errors"] == {}
    assert len(json.dumps(body)) < 2000, "a refusal never repeats much of what was sent"


def test_a_class_that_nobody_has(desk: Desk) -> None:
    prompt = {**text(), "7": node("PackNode", "My node")}
    assert desk.refuse(prompt)["error"] == {
        "type": "missing_node_type",
        "message": "Node 'My node' not found. The custom node may not be installed.",
        "details": "Node ID '#7'",
        "extra_info": {"node_id": "7", "class_type": "PackNode", "node_title": "My node"},
    }


@pytest.mark.parametrize("type_", ["__init__", "__class__", "specs", "", "core"])
def test_names_of_internals_are_no_classes(desk: Desk, type_: str) -> None:
    assert desk.refuse({"1": node(type_)})["error"]["type"] == "missing_node_type"


def test_no_outputs(desk: Desk) -> None:
    expected = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}
    assert desk.refuse({})["error"] == expected
    assert desk.refuse({"1": node("PrimitiveInt", value=1)})["error"] == expected
    assert desk.refuse(text(), partial_execution_targets=[])["error"] == expected
    assert desk.refuse(text(), partial_execution_targets=["1s", "nowhere", 3])["error"] == expected
    assert desk.refuse(text(), partial_execution_targets="1")["error"]["type"] == "invalid_prompt"


# ------------------------------------------------------------------------------------------------ faults of nodes


def test_a_missing_input(desk: Desk) -> None:
    prompt = text_to_image()
    del prompt["3"]["inputs"]["latent_image"]
    body = desk.refuse(prompt)
    fault = {
        "type": "required_input_missing",
        "message": "Required input is missing",
        "details": "latent_image",
        "extra_info": {"input_name": "latent_image"},
    }
    assert body["node_errors"] == {"3": {"errors": [fault], "dependent_outputs": ["9"], "class_type": "KSampler"}}
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    assert body["error"]["message"] == "Prompt outputs failed validation"
    assert body["error"]["details"] == "Required input is missing: latent_image"


def test_a_link_of_the_wrong_type(desk: Desk) -> None:
    fault = desk.fault(changed("8", samples=["4", 2]), "8")
    assert fault["type"] == "return_type_mismatch"
    assert fault["message"] == "Return type mismatch between linked nodes"
    assert fault["details"] == "samples, received_type(VAE) mismatch input_type(LATENT)"
    info = fault["extra_info"]
    assert (info["input_name"], info["received_type"], info["linked_node"]) == ("samples", "VAE", ["4", 2])
    assert info["input_config"][0] == "LATENT"


@pytest.mark.parametrize("link", [["5"], ["5", 0, 0], [], [5, 0], ["5", "0"], ["5", -1], ["5", 0.5], ["5", True], ["5", None], [["5"], 0]])
def test_a_link_of_the_wrong_form(desk: Desk, link: Any) -> None:
    fault = desk.fault(changed("3", latent_image=link), "3")
    assert fault["type"] == "bad_linked_input"
    assert fault["message"] == "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    assert fault["details"].startswith("latent_image")
    assert fault["extra_info"]["input_name"] == "latent_image"


@pytest.mark.parametrize("link", [["nowhere", 0], ["4", 3], ["9", 1], ["5", 10**30]])
def test_a_link_to_nothing(desk: Desk, link: Any) -> None:
    fault = desk.fault(changed("3", latent_image=link), "3")
    assert fault["type"] == "bad_linked_input"
    assert fault["extra_info"]["received_value"][0] == link[0]


def test_values_out_of_range(desk: Desk) -> None:
    fault = desk.fault(changed("3", steps=0), "3")
    assert fault["type"] == "value_smaller_than_min"
    assert fault["message"] == "Value 0 smaller than min of 1"
    assert fault["details"] == "steps"
    assert fault["extra_info"]["received_value"] == 0
    assert fault["extra_info"]["input_config"][0] == "INT"
    fault = desk.fault(changed("3", denoise=1.5), "3")
    assert fault["type"] == "value_bigger_than_max"
    assert fault["message"] == "Value 1.5 bigger than max of 1"


@pytest.mark.parametrize("value", ["many", None, {"a": 1}, True])
def test_values_of_the_wrong_type(desk: Desk, value: Any) -> None:
    fault = desk.fault(changed("3", steps=value), "3")
    assert fault["type"] == "invalid_input_type"
    assert fault["message"] == "Failed to convert an input value to a INT value"
    assert fault["extra_info"]["input_name"] == "steps"


def test_a_choice_that_is_not_on_the_list(desk: Desk) -> None:
    fault = desk.fault(changed("3", scheduler="fast"), "3")
    assert fault["type"] == "value_not_in_list"
    assert fault["message"] == "Value not in list"
    assert fault["details"].startswith("scheduler: 'fast' not in [")
    assert fault["extra_info"]["input_config"][0]
    long = desk.fault(changed("3", sampler_name="fast"), "3")
    assert long["details"].startswith("sampler_name: 'fast' not in (list of length ")
    assert long["extra_info"]["input_config"] is None


def test_a_model_that_is_not_there(desk: Desk) -> None:
    fault = desk.fault(text_to_image("gone.safetensors"), "4")
    assert fault["type"] == "value_not_in_list"
    assert fault["details"] == "ckpt_name: 'gone.safetensors' not in ['other.safetensors', 'tiny-emoji.safetensors']"


def test_a_picture_that_is_not_there(desk: Desk) -> None:
    fault = desk.fault({"1": node("LoadImage", image="gone.png"), "2": node("PreviewImage", images=["1", 0])}, "1")
    assert fault["type"] == "custom_validation_failed"
    assert fault["message"] == "Custom validation failed for node"
    assert fault["details"] == "image - Invalid image file: gone.png"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\x00.safetensors", "..\\..\\x", "C:\\x", "con", "x" * 5000])
def test_names_that_lead_elsewhere_are_refused(desk: Desk, name: str) -> None:
    assert desk.fault(text_to_image(name), "4")["extra_info"]["input_name"] == "ckpt_name"
    assert len(json.dumps(desk.refuse(text_to_image(name)))) < 20_000


def test_circles(desk: Desk) -> None:
    fault = desk.fault({"1": node("StringConcatenate", string_a=["1", 0], string_b=""), "2": node("PreviewAny", source=["1", 0])}, "1")
    assert fault["type"] == "dependency_cycle"
    two = {"a": node("StringConcatenate", string_a=["b", 0], string_b="", delimiter=""), "b": node("StringConcatenate", string_a=["a", 0])}
    assert desk.refuse({**two, "c": node("PreviewAny", source=["a", 0])})["error"]["type"] == "prompt_outputs_failed_validation"


def test_nodes_after_a_faulty_one_have_no_entry(desk: Desk) -> None:
    assert list(desk.refuse(changed("5", width="wide"))["node_errors"]) == ["5"]


# ------------------------------------------------------------------------------------------------ some outputs of several


def test_valid_outputs_run_although_others_cannot(desk: Desk) -> None:
    prompt = {**text("good", "1"), **text("bad", "2"), "3": node("PreviewAny", source=["2s", 0])}
    prompt["2s"]["inputs"]["value"] = ["gone", 0]
    accepted = desk.accept(prompt)
    assert accepted.submission.targets == ("1",)
    assert accepted.node_errors["2s"]["dependent_outputs"] == ["2", "3"]
    assert accepted.submission.origin["outputs_to_execute"] == ["1"]
    document = parse_document(accepted.submission.document)
    assert build(document, desk.registry, desk.files, accepted.submission.targets).targets == ("1",)


def test_outputs_that_were_not_asked_for_do_not_run(desk: Desk) -> None:
    prompt = {**text("one", "1"), **text("two", "2")}
    assert desk.accept(prompt, partial_execution_targets=["2"]).submission.targets == ("2",)


def test_a_valid_output_among_hundreds_of_faulty_ones_is_found(desk: Desk) -> None:
    bad = {f"b{i}": node("PreviewAny", source=["gone", 0]) for i in range(150)}
    assert desk.accept({**bad, **text("good", "1")}).submission.targets == ("1",)
    worse = {f"w{i}": node("EmptyLatentImage", width=-1, height=512, batch_size=1) for i in range(150)}
    shown = {f"s{i}": node("VAEDecode", samples=[f"w{i}", 0], vae=["none", 0]) for i in range(150)}
    outs = {f"o{i}": node("PreviewImage", images=[f"s{i}", 0]) for i in range(150)}
    accepted = desk.accept({**worse, **shown, **outs, **text("good", "1")})
    assert accepted.submission.targets == ("1",)


def test_an_input_that_may_be_left_out_still_counts_if_its_link_is_broken(desk: Desk) -> None:
    (id,) = desk.refuse({"1": node("PrimitiveString", value=["gone", 0]), "2": node("PreviewAny", source=["1", 0])})["node_errors"]
    assert id == "1"


# ------------------------------------------------------------------------------------------------ large ones


def chain(length: int) -> Prompt:
    nodes = {str(i): node("StringConcatenate", string_a=[str(i - 1), 0], string_b="x", delimiter="") for i in range(1, length)}
    return {"0": node("PrimitiveString", value=""), **nodes, "end": node("PreviewAny", source=[str(length - 1), 0])}


def test_the_document_is_told_ahead_as_it_will_be_run(desk: Desk) -> None:
    told: list[tuple[str, Sequence[str]]] = []
    body = {"prompt": chain(10)}
    accepted = read_request(body, desk.registry, desk.files, desk.info, lambda document, targets: told.append((document, targets)))
    assert told == [(accepted.submission.document_text, accepted.submission.targets)]


def test_a_very_long_chain_is_read_in_linear_time(desk: Desk) -> None:
    def seconds(length: int) -> float:
        prompt = chain(length)
        begin = time.process_time()
        desk.accept(prompt)
        return time.process_time() - begin

    seconds(100)
    assert seconds(40_000) < 60 * max(seconds(4_000), 0.001)


def test_very_many_faults_are_told_in_part_and_in_linear_time(desk: Desk) -> None:
    nodes = {str(i): node("StringConcatenate", string_a=[str(i - 1), 0], string_b=["gone", 0]) for i in range(1, 20_000)}
    begin = time.process_time()
    body = desk.refuse({"0": node("PrimitiveString", value=""), **nodes, "end": node("PreviewAny", source=["19999", 0])})
    assert time.process_time() - begin < 30, "milliseconds a fault would be minutes"
    assert len(body["node_errors"]) == 100


def test_a_ladder_with_very_many_paths_is_read(desk: Desk) -> None:
    rungs = {str(i): node("StringConcatenate", string_a=[str(i - 1), 0], string_b=[str(i - 1), 0]) for i in range(1, 300)}
    prompt = {"0": node("PrimitiveString", value="x"), **rungs, "end": node("PreviewAny", source=["299", 0])}
    assert desk.accept(prompt).submission.targets == ("end",)


# ------------------------------------------------------------------------------------------------ secrets


def test_secrets_are_taken_out_of_what_is_kept(desk: Desk) -> None:
    extra = {
        "auth_token_comfy_org": "T0KEN",
        "api_key_comfy_org": "K3Y",
        "apiKey": {"a": "N3STED"},
        "extra_pnginfo": {"workflow": {"id": "w", "nodes": [], "token": "a user's own text"}, "password": "PASS"},
        "preview_method": "auto",
    }
    submission = desk.accept(text(), extra_data=extra).submission
    assert submission.origin["extra_data"] == {
        "extra_pnginfo": {"workflow": {"id": "w", "nodes": [], "token": "a user's own text"}},
        "preview_method": "auto",
    }
    assert submission.secrets["auth_token_comfy_org"] == "T0KEN"
    assert submission.secrets["password"] == "PASS"
    assert not any(word in repr(submission) for word in ("T0KEN", "K3Y", "N3STED", "PASS"))


@pytest.mark.parametrize("name", ["token", "API-KEY", "comfyToken", "auth_token_comfy_org", "x.secret", "Authorization", "session"])
def test_what_names_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["workflow", "extra_pnginfo", "preview_method", "keyframes", "author", "monkey", "tokenizer"])
def test_what_does_not(name: str) -> None:
    assert not is_secret(name)


def test_extra_data_of_the_wrong_form_counts_as_none(desk: Desk) -> None:
    for extra in (None, [], "text", 3):
        assert desk.accept(text(), extra_data=extra).submission.origin["extra_data"] == {}
    assert without_secrets({}) == ({}, {})


# ------------------------------------------------------------------------------------------------ anything at all

TYPES = ["PreviewAny", "PrimitiveString", "StringConcatenate", "KSampler", "LoadImage", "Lines", "ComfySwitchNode", "Nope", "SaveImage"]
IDS = st.sampled_from(["1", "2", "3", "4"]) | st.text(max_size=3)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
LINK = st.tuples(IDS, st.integers(-1, 3)).map(list)
VALUE = st.recursive(
    PLAIN | LINK, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
INPUT_NAMES = st.sampled_from(["source", "value", "string_a", "string_b", "steps", "image", "images", "text", "switch", "on_true", "x"])
NODE = st.fixed_dictionaries({"class_type": st.sampled_from(TYPES), "inputs": st.dictionaries(INPUT_NAMES, VALUE, max_size=5)})
BODY = st.fixed_dictionaries(
    {"prompt": st.dictionaries(IDS, NODE | VALUE, max_size=6) | VALUE},
    optional=dict.fromkeys(("client_id", "prompt_id", "number", "front", "extra_data", "partial_execution_targets"), VALUE),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODY)
def test_any_body_is_taken_or_refused_in_the_same_shapes(desk: Desk, body: Any) -> None:
    status, told, accepted = desk.answer(body)
    errors = told["node_errors"]
    if accepted is None:
        assert status == 400
        assert told["error"].keys() == {"type", "message", "details", "extra_info"}
    else:
        submission = accepted.submission
        document = parse_document(json.loads(json.dumps(submission.document)))
        assert submission.targets
        assert build(document, desk.registry, desk.files, submission.targets).targets == submission.targets
    for entry in errors.values():
        assert entry["errors"]
        assert all(fault.keys() == {"type", "message", "details", "extra_info"} for fault in entry["errors"])
