"""Subgraphs over the API: checked without loading a pack, run by path, explained by path, kept as nodes of one's own."""

from __future__ import annotations

from typing import Any

from v1_api import Api, play

from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1.why_desk import explained


def link(node: str, output: str) -> dict[str, Any]:
    return {"link": [node, output]}


ADD = {
    "name": "Sum of two",
    "inputs": [{"name": "a", "type": "int", "default": 1}, {"name": "b", "type": "int"}],
    "outputs": [{"name": "sum", "type": "int"}],
    "nodes": {
        "in": {"type": "SubgraphInputs"},
        "1": {"type": "Add", "inputs": {"a": link("in", "a"), "b": link("in", "b")}},
        "out": {"type": "SubgraphOutputs", "inputs": {"sum": link("1", "int")}},
    },
}


def workflow(inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    nodes = {"x": {"type": "subgraph/add", "inputs": inputs}, "show": {"type": "Show", "inputs": {"value": link("x", "sum")}}}
    return {"nodegraph": 1, "nodes": nodes, "subgraphs": {"add": ADD}, **more}


def test_a_workflow_with_a_subgraph_is_checked_and_run(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("POST", "/check", workflow({"a": 3, "b": 4}))).json["ok"]
        accepted = (await api.ask("POST", "/runs", {"workflow": workflow({"a": 3, "b": 4}), "overrides": {"x/1.b": 40}})).json
        run = await api.finished(accepted["id"])
        assert run["outputs"]["show"][0]["text"] == "43"
        log = (await api.get(f"/runs/{accepted['id']}/log"))["events"]
        assert "x/1" in {event.get("node") for event in log}
        kept = await api.get(f"/runs/{accepted['id']}/workflow")
        assert kept["workflow"]["subgraphs"]["add"]["name"] == "Sum of two"

    play(settings, scene)


def test_nodes_inside_are_explained_with_their_types() -> None:
    found = explained(workflow({"b": 1}), {"x/1": ["first run"], "show": [], "gone/2": []}, [])
    assert {each["node"]: each["type"] for each in found} == {"x/1": "Add", "show": "Show"}


def test_faults_are_told_at_the_instance(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        verdict = (await api.ask("POST", "/check", workflow({"b": "four", "c": 1}))).json
        assert {(each["node"], each["input"]) for each in verdict["problems"]} == {("x", "b"), ("x", "c")}

    play(settings, scene)


def test_it_is_converted_without_subgraphs(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        found = (await api.ask("POST", "/convert", {"workflow": workflow({"b": 4}), "to": "comfyui-api"})).json["workflow"]
        assert found["x/1"]["inputs"] == {"a": 1, "b": 4}

    play(settings, scene)


def mine(**changes: Any) -> dict[str, Any]:
    return {"nodegraph": 1, "nodes": {"1": {"type": "subgraph/add", "inputs": {}}}, "subgraphs": {"add": {**ADD, **changes}}}


def test_a_node_of_ones_own_is_kept_listed_replaced_and_forgotten(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert await api.get("/my-nodes") == {"nodes": []}
        assert (await api.ask("PUT", "/my-nodes/Sum", mine())).status == 201
        assert (await api.ask("PUT", "/my-nodes/Sum", mine(name="Other"))).status == 200
        (found,) = (await api.get("/my-nodes"))["nodes"]
        assert (found["name"], found["version"]) == ("Sum", 2)
        assert found["workflow"]["subgraphs"]["add"]["name"] == "Other"
        assert (await api.ask("DELETE", "/my-nodes/Sum")).status == 204
        assert (await api.ask("DELETE", "/my-nodes/Sum")).status == 404
        assert await api.get("/my-nodes") == {"nodes": []}

    play(settings, scene)


def test_only_a_subgraph_alone_is_kept_as_a_node(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for data in (workflow({"b": 1}), {"nodegraph": 1, "nodes": {"1": {"type": "Constant"}}}, {**mine(), "subgraphs": {}}):
            answer = await api.ask("PUT", "/my-nodes/x", data)
            assert (answer.status, answer.error["error"]) == (400, "BadRequest")
        (settings.state / "nodes").mkdir(parents=True, exist_ok=True)
        (settings.state / "nodes" / "odd.json").write_text("{}")
        assert await api.get("/my-nodes") == {"nodes": []}

    play(settings, scene)
