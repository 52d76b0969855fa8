"""Nodes, checking and converting over the API."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from engine_worker import EngineWorker, add, document, engine
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from v1_api import V1, Api, play

from nodegraph import media, node
from nodegraph.server.setup.config import ServeSettings

API_JSON = {"1": {"class_type": "Constant", "inputs": {"value": 4}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}


def png(*, ours: Any = None, **texts: Any) -> bytes:
    """A picture, with workflows in it."""
    out, info = io.BytesIO(), PngInfo()
    for key, value in {"nodegraph": ours, **texts}.items():
        if value is not None:
            info.add_text(key, json.dumps(value))
    Image.new("RGB", (8, 8), "teal").save(out, "PNG", pnginfo=info)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------ nodes


def test_every_node_is_described_once_and_unchanged_ones_are_not_sent_again(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("GET", "/nodes")
        told = answer.json
        registry = api.worker.engine.registry
        assert told["nodes"].keys() == registry.specs.keys()
        assert told["nodes"]["Add"]["inputs"]["b"] == {"type": "int", "required": False, "default": 0, "widget": {"kind": "number"}}
        assert {"int", "float", "str", "bool"} <= told["types"].keys()
        assert told["packs"]["core"]["nodes"] == list(registry.specs)
        tag = answer.headers["ETag"]
        again = await api.live.get(f"{V1}/nodes", headers={"If-None-Match": tag})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert (await api.live.get(f"{V1}/nodes", headers={"If-None-Match": '"another"'})).status == 200

    play(settings, scene)


def test_the_tag_changes_with_the_nodes(settings: ServeSettings) -> None:
    @node("Extra", category="toys")
    def extra(a: int) -> int:
        """One more."""
        return a

    tags = []

    async def scene(api: Api) -> None:
        tags.append((await api.ask("GET", "/nodes")).headers["ETag"])

    play(settings, scene)
    play(settings, scene)
    play(settings, scene, worker=EngineWorker(engine(settings.state.parent, extra)))
    assert tags[0] == tags[1] != tags[2]


def test_one_node_also_one_of_a_pack(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.get("/nodes/Add"))["description"] == "Add two numbers."
        for name in ("Ad", "pack/Nothing", "%2e%2e", "x" * 500):
            answer = await api.ask("GET", f"/nodes/{name}")
            assert (answer.status, answer.error["error"]) == (404, "UnknownNode")
        assert "did you mean `Add`" in (await api.ask("GET", "/nodes/Ad")).error["hint"]

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ checking


async def verdict(api: Api, body: Any) -> Any:
    answer = await api.ask("POST", "/check", body)
    assert answer.status == 200, answer.body
    return answer.json


def test_a_right_workflow_is_right_in_every_format(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for workflow, format in ((add(1), "nodegraph"), (API_JSON, "comfyui-api"), ({"prompt": API_JSON}, "comfyui-api")):
            for body in (workflow, {"workflow": workflow}):
                told = await verdict(api, body)
                assert (told["ok"], told["problems"], told["format"]) == (True, [], format)
                assert told["nodes"] == len(workflow.get("nodes", API_JSON))
        assert api.worker.started == []

    play(settings, scene)


def test_all_problems_come_at_once(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        bad = document({"a": ("Add", {"a": "x", "c": 1}), "n": ("Nothing", {}), "t": ("ShowText", {"value": ["a.int"]})})
        told = await verdict(api, bad)
        assert not told["ok"]
        assert {each["error"] for each in told["problems"]} >= {"UnknownInput", "UnknownNode"}
        assert all(each["message"] and each["code"] for each in told["problems"])
        for odd in ({"nodegraph": 99, "nodes": {}}, {"nodegraph": 1, "nodes": {"a": 1, "": {}}}, {"a": 1}, {"nodes": [], "edges": []}, {}):
            told = await verdict(api, odd)
            assert not told["ok"]
            assert told["problems"]
        assert (await verdict(api, {"workflow": "no such"}))["problems"][0]["error"] == "UnknownWorkflow"

    play(settings, scene)


def test_a_half_built_branch_is_told_but_does_not_count(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        told = await verdict(api, document({"s": ("Show", {"value": 1}), "open": ("Add", {})}))
        assert told["ok"]
        assert [each["node"] for each in told["left_out"]] == ["open"]
        chosen = await verdict(api, {"workflow": document({"s": ("Show", {"value": 1}), "t": ("ShowText", {})}), "targets": ["s"]})
        assert chosen["ok"]
        assert not (await verdict(api, {"workflow": add(1), "targets": ["nothing"]}))["ok"]

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ converting


def test_a_workflow_is_converted_both_ways(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        ours = (await api.ask("POST", "/convert", API_JSON)).json
        assert ours["format"] == "comfyui-api"
        assert ours["workflow"]["nodes"]["1"]["inputs"] == {"value": 4}
        theirs = await api.ask("POST", "/convert", {"workflow": ours["workflow"], "to": "comfyui-api"})
        assert {id: each["class_type"] for id, each in theirs.json["workflow"].items()} == {"1": "Constant", "2": "Show"}
        assert theirs.json["workflow"]["2"]["inputs"] == {"value": ["1", 0]}
        changed = (await api.ask("POST", "/convert", {"workflow": API_JSON, "overrides": {"1.value": 9}})).json
        assert changed["workflow"]["nodes"]["1"]["inputs"]["value"] == 9
        assert (await api.ask("POST", "/convert", {"workflow": API_JSON, "to": "xml"})).status == 400
        assert (await api.ask("POST", "/convert", {"a": 1})).error["error"] == "UnknownFormat"

    play(settings, scene)


def test_a_workflow_becomes_a_program(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        told = (await api.ask("POST", "/script", {"workflow": API_JSON})).json
        scope: dict[str, Any] = {"__name__": "script"}
        exec(compile(told["script"], "script.py", "exec"), scope)
        ours = (await api.ask("POST", "/convert", API_JSON)).json
        assert scope["workflow"]["nodes"].keys() == ours["workflow"]["nodes"].keys()
        assert told["warnings"] == ours["warnings"]

    play(settings, scene)


@pytest.mark.parametrize("route", ["/check", "/convert", "/runs"])
def test_a_picture_is_as_good_as_the_workflow_in_it(settings: ServeSettings, route: str) -> None:
    async def scene(api: Api) -> None:
        for picture in (png(ours=add(1)), png(prompt=API_JSON), png(ours=add(1), prompt={"broken": 1})):
            answer = await send(api, route, picture)
            assert answer.status in (200, 201), answer.body
        for body, status in ((png(), 400), (b"", 415), (b"no picture", 415), (media.PNG_MAGIC, 400), (png(ours=add(1))[:60], 400)):
            assert (await send(api, route, body)).status == status, body[:20]

    play(settings, scene)


async def send(api: Api, route: str, data: bytes) -> Any:
    return await api.live.post(V1 + route, data=data, headers={"Content-Type": "image/png"})


def test_what_comfyui_wrote_with_nan_is_read(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        prompt = {**API_JSON, "3": {"class_type": "Constant", "inputs": {"value": 1}, "is_changed": [float("nan")]}}
        answer = await send(api, "/convert", png(prompt=prompt))
        assert (answer.status, answer.json["format"]) == (200, "comfyui-api")

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ tokens


def test_the_tokens_of_a_prompt_are_counted_by_chunk(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        async def chunks(text: str, **more: str) -> list[int]:
            told = (await api.ask("POST", "/tokens", {"text": text, **more})).json
            assert told["size"] == 75
            found: list[int] = told["chunks"]
            return found

        assert await chunks("") == [0]
        assert await chunks("a red fox") == [3]
        assert await chunks("a (red:1.3) fox") == [3]
        assert await chunks("a (red:1.3) fox BREAK an owl") == [3, 2]
        assert len(await chunks("a (red:1.3) fox BREAK an owl", syntax="comfyui")) == 1
        assert await chunks("fox " * 80) == [75, 5]
        assert await chunks("\u0000") == [1]
        assert (await api.ask("POST", "/tokens", {"text": 5})).status == 400
        assert (await api.ask("POST", "/tokens", {"text": "a", "syntax": "latin"})).status == 400

    play(settings, scene)
