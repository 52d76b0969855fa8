"""Runs over the API: asked for once, followed to the end, stopped, moved, repeated, forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from engine_worker import add, document
from held_worker import HeldWorker
from v1_api import V1, Api, play

from nodegraph.server.setup.config import ServeSettings
from nodegraph.server.v1 import runs_desk

HELD = document({"h": ("Hold", {}), "s": ("Show", {"value": ["h.int"]})})
BROKEN = document({"b": ("Boom", {"a": 1}), "s": ("Show", {"value": ["b.int"]})})
API_JSON = {"1": {"class_type": "Constant", "inputs": {"value": 4}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}


def texts(run: Any) -> dict[str, list[str]]:
    return {node: [item["text"] for item in items] for node, items in run["outputs"].items()}


@pytest.fixture
def held(settings: ServeSettings) -> Any:
    """Play with a worker whose node `Hold` lasts until it is released."""
    return lambda scene: _play_held(settings, scene)


def _play_held(settings: ServeSettings, scene: Any) -> None:
    async def main() -> None:
        from v1_api import serving

        worker = HeldWorker(settings.state.parent)
        async with serving(settings, worker) as api:
            await scene(api, worker)

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------ asking


def test_a_run_is_accepted_and_told_when_it_is_done(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        run = await api.submit(add(1, 2), title="Sum", id="sum-1")
        assert (run["id"], run["status"], run["title"], run["attempt"]) == ("sum-1", "pending", "Sum", 0)
        done = await api.finished("sum-1")
        assert (done["status"], texts(done), done["error"]) == ("done", {"s": ["3"]}, None)
        assert done["started"] <= done["ended"]
        assert done["links"]["events"] == f"{V1}/runs/sum-1/events"

    play(settings, scene)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("workflow", [add(3, 1), API_JSON, {"prompt": API_JSON}], ids=["ours", "comfyui", "as posted to ComfyUI"])
def test_a_workflow_may_come_in_any_format_and_alone(settings: ServeSettings, workflow: Any, wrapped: bool) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("POST", "/runs", {"workflow": workflow} if wrapped else workflow)
        assert answer.status == 201, answer.body
        assert answer.headers["Location"] == f"{V1}/runs/{answer.json['id']}"
        done = await api.finished(answer.json["id"])
        assert [item["text"] for items in done["outputs"].values() for item in items] == ["4"]

    play(settings, scene)


def test_inputs_are_replaced_and_targets_chosen(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        two = document({"a": ("Constant", {"value": 1}), "s": ("Show", {"value": ["a.int"]}), "t": ("Show", {"value": 9})})
        run = await api.submit(two, overrides={"Constant.value": 5}, targets=["s"])
        assert run["targets"] == ["s"]
        assert texts(await api.finished(run["id"])) == {"s": ["5"]}
        assert (await api.get(f"/runs/{run['id']}/workflow"))["workflow"]["nodes"]["a"]["inputs"] == {"value": 5}

    play(settings, scene)


def test_saved_workflows_and_templates_run_by_name(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("PUT", "/workflows/my%20sum", add(2, 2))).status == 201
        run = await api.submit("my sum", overrides={"a.value": 7})
        assert texts(await api.finished(run["id"])) == {"s": ["9"]}
        refused = await api.ask("POST", "/runs", {"workflow": "text_to_image"})
        assert refused.status == 400, "the toys know no LoadCheckpoint"
        assert "there is no node type 'LoadCheckpoint'" in refused.error["errors"][0]["message"]
        unknown = await api.ask("POST", "/runs", {"workflow": "no such"})
        assert (unknown.status, unknown.error["error"]) == (404, "UnknownWorkflow")
        assert "text_to_image" in unknown.error["hint"]

    play(settings, scene)


def test_the_same_request_is_the_same_run(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        body = {"workflow": add(1), "id": "once"}
        answers = await asyncio.gather(*(api.ask("POST", "/runs", body) for _ in range(5)))
        assert {answer.status for answer in answers} <= {200, 201}
        await api.finished("once")
        again = await api.ask("POST", "/runs", body)
        assert (again.status, again.json["status"]) == (200, "done")
        assert api.worker.started == ["once"]
        other = await api.ask("POST", "/runs", {**body, "workflow": add(2)})
        assert (other.status, other.error["error"]) == (409, "Conflict")

    play(settings, scene)


def test_all_faults_of_a_workflow_are_told_at_once_and_nothing_is_run(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        bad = document({"a": ("Add", {"a": "x", "c": 1}), "n": ("Nothing", {}), "s": ("Show", {"value": ["a.int"]}), "t": ("ShowText", {})})
        answer = await api.ask("POST", "/runs", {"workflow": bad})
        assert answer.status == 400
        assert {(each["node"], each.get("input")) for each in answer.error["errors"]} >= {
            ("a", "a"),
            ("a", "c"),
            ("n", None),
            ("t", "value"),
        }
        assert (await api.get("/runs"))["total"] == 0

    play(settings, scene)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"workflow": 1}, "workflow"),
        ({"workflow": add(1), "front": "yes"}, "front"),
        ({"workflow": add(1), "id": ""}, "id"),
        ({"workflow": add(1), "id": "a/b"}, "id"),
        ({"workflow": add(1), "id": "x" * 201}, "id"),
        ({"workflow": add(1), "title": "x" * 1001}, "title"),
        ({"workflow": add(1), "number": 1e16}, "number"),
        ({"workflow": add(1), "targets": "s"}, "targets"),
        ({"workflow": add(1), "targets": [1]}, "targets.0"),
        ({"workflow": add(1), "colour": 1}, "colour"),
        ({"workflow": add(1), "secrets": {"k": 1}}, "secrets.k"),
        ([], "the body"),
        (3, "the body"),
    ],
)
def test_a_request_that_does_not_fit_says_where(settings: ServeSettings, body: Any, said: str) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("POST", "/runs", body)
        assert answer.status == 400
        assert any(said in each["message"] for each in answer.error["errors"]), answer.error

    play(settings, scene)


def test_several_faults_of_a_request_are_told_together(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("POST", "/runs", {"workflow": add(1), "front": 1, "previews": "no", "extra": 0})
        assert [each["input"] for each in answer.error["errors"]] == ["front", "previews", "extra"]
        assert {each["error"] for each in answer.error["errors"]} == {"BadRequest"}
        for body, kind in ((b"", "BadRequest"), (b"{", "NotJson"), (b'{"a": NaN}', "NotJson"), (b"[" * 9000, "TooLarge")):
            sent = await api.live.post(f"{V1}/runs", data=body, headers={"Content-Type": "application/json"})
            assert (sent.status // 100, sent.error["error"]) == (4, kind)
        form = await api.live.post(f"{V1}/runs", data=b"{}", headers={"Content-Type": "text/plain"})
        assert (form.status, form.error["error"]) == (415, "WrongContentType")

    play(settings, scene)


def test_overrides_that_name_nothing_are_all_told(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        answer = await api.ask("POST", "/runs", {"workflow": add(1), "overrides": {"a.valeu": 1, "z.value": 2, "": 3}})
        assert answer.status == 400
        assert [each["error"] for each in answer.error["errors"]] == ["BadOverride"] * 3
        assert "did you mean `value`?" in answer.error["errors"][0]["hint"]

    play(settings, scene)


def test_secrets_are_given_to_nodes_and_never_seen_again(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.submit(add(1), id="s", secrets={"api_key": "hush-hush"})
        await api.finished("s")
        for path in ("/runs", "/runs/s", "/runs/s/log", "/runs/s/workflow", "/runs/s/trace", "/queue"):
            assert b"hush-hush" not in (await api.ask("GET", path)).body
        kept = b"".join(path.read_bytes() for path in settings.state.rglob("*") if path.is_file())
        assert b"hush-hush" not in kept
        bad = await api.ask("POST", "/runs", {"workflow": add(1), "secrets": {"api_key": ["hush-hush"]}})
        assert bad.status == 400
        assert b"hush-hush" not in bad.body

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ what became of it


def test_a_failed_run_says_why_without_paths_of_this_machine(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        run = await api.submit(BROKEN)
        failed = await api.finished(run["id"])
        assert (failed["status"], failed["error"]["error"], failed["error"]["node"]) == ("failed", "NodeFailed", "b")
        assert "boom at 1" in failed["error"]["message"]
        assert str(settings.state.parent) not in json.dumps(failed)

    play(settings, scene)


def test_what_there_is_not(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for method, path in (
            ("GET", "/runs/none"), ("GET", "/runs/none/workflow"), ("GET", "/runs/none/log"), ("GET", "/runs/none/events"),
            ("GET", "/runs/none/assets"), ("GET", "/runs/none/trace"), ("GET", "/runs/none/explain"), ("POST", "/runs/none/cancel"),
            ("POST", "/runs/none/retry"), ("DELETE", "/runs/none"), ("GET", "/runs/none/socket"),
        ):  # fmt: skip
            answer = await api.ask(method, path)
            assert (answer.status, answer.error["error"]) == (404, "UnknownJob"), (method, path)
        answer = await api.ask("PATCH", "/runs/none", {"front": True})
        assert answer.status == 404
        assert (await api.live.get(f"{V1}/nothing")).status == 404
        wrong = await api.live.ask("PUT", f"{V1}/runs")
        assert (wrong.status, wrong.error["error"]) == (405, "MethodNotAllowed")

    play(settings, scene)


def test_runs_are_found_by_words_of_their_title_texts_and_files(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        def told(text: str, title: str = "") -> Any:
            note = {"type": "ShowText", "title": title, "inputs": {"value": text}}
            return {"nodegraph": 1, "nodes": {"note": note}}

        workflows = {"fox": told("Ein Füchslein, blue\nbackground"), "owl": told("an owl " * 500, "inputs of night"), "one": add(1)}
        for id, workflow in workflows.items():
            await api.submit(workflow, id=id, title=f"the {id} run")
            await api.finished(id)

        async def found(search: str, more: str = "") -> list[str]:
            page = await api.get(f"/runs?search={quote(search)}{more}")
            assert page["total"] == len(page["runs"]) or more
            return [run["id"] for run in page["runs"]]

        assert await found("run") == ["one", "owl", "fox"]
        assert await found("FÜCHSLEIN background") == ["fox"]
        assert await found("owl night") == ["owl"]
        assert await found("inputs") == ["owl"], "the words of the format are no text"
        assert await found("owl blue") == []
        assert await found("run", "&limit=1&offset=1") == ["owl"]
        assert await found("run", "&status=failed") == []
        assert (await api.ask("GET", "/runs?search=" + "x" * 300)).status == 400

    play(settings, scene)


def test_lists_are_filtered_sorted_and_paged(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        for i in range(5):
            await api.submit(add(i) if i != 2 else BROKEN, id=f"r{i}", title=f"run {i}")
            await api.finished(f"r{i}")
        page = await api.get("/runs?limit=2&offset=1")
        assert ([run["id"] for run in page["runs"]], page["total"], page["limit"], page["offset"]) == (["r3", "r2"], 5, 2, 1)
        assert [run["id"] for run in (await api.get("/runs?status=failed"))["runs"]] == ["r2"]
        assert (await api.get("/runs?status=failed,done"))["total"] == 5
        assert [run["id"] for run in (await api.get("/runs?sort=ended&order=asc&limit=1"))["runs"]] == ["r0"]
        for query, name in (("limit=0", "limit"), ("limit=x", "limit"), ("sort=size", "sort"), ("offset=-1", "offset"), ("page=2", "page")):
            answer = await api.ask("GET", f"/runs?{query}")
            assert (answer.status, answer.error["errors"][0]["input"]) == (400, name)
        assert (await api.ask("GET", "/runs?status=finished")).error["error"] == "NotAChoice"
        assert (await api.ask("GET", "/runs?limit=1&limit=2")).status == 400

    play(settings, scene)


def test_the_queue_is_paused_ordered_cancelled_and_cleared(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        assert (await api.ask("POST", "/queue/pause")).json["paused"] is True
        for name in "abcd":
            await api.submit(add(1), id=name, **({"front": True} if name == "c" else {}))
        waiting = await api.get("/queue")
        assert ([run["id"] for run in waiting["pending"]], waiting["running"], waiting["remaining"]) == (["c", "a", "b", "d"], [], 4)
        assert (await api.ask("PATCH", "/runs/d", {"front": True})).json["number"] < waiting["pending"][0]["number"]
        await api.ask("PATCH", "/runs/a", {"number": 1e6})
        assert [run["id"] for run in (await api.get("/queue"))["pending"]] == ["d", "c", "b", "a"]
        assert (await api.ask("PATCH", "/runs/a", {})).status == 400
        assert (await api.ask("PATCH", "/runs/a", {"front": True, "number": 1.0})).status == 400
        cancelled = await api.ask("POST", "/runs/b/cancel")
        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
        assert (await api.ask("POST", "/runs/b/cancel")).status == 409
        assert (await api.ask("DELETE", "/runs/c")).status == 204
        assert (await api.ask("GET", "/runs/c")).status == 404
        assert (await api.ask("POST", "/queue/clear")).json == {"cancelled": 2}
        assert (await api.ask("POST", "/queue/resume")).json["paused"] is False
        assert api.worker.started == []

    play(settings, scene)


def test_what_runs_can_be_cancelled_but_neither_moved_nor_deleted(held: Any) -> None:
    async def scene(api: Api, worker: HeldWorker) -> None:
        await api.submit(HELD, id="h")
        await worker.begun.wait()
        assert [run["id"] for run in (await api.get("/queue"))["running"]] == ["h"]
        assert (await api.ask("DELETE", "/runs/h")).status == 409
        assert (await api.ask("PATCH", "/runs/h", {"front": True})).status == 409
        assert (await api.ask("POST", "/runs/h/retry")).status == 409
        assert (await api.ask("POST", "/runs/h/cancel")).status == 200
        assert (await api.finished("h"))["status"] == "cancelled"

    held(scene)


def test_an_ended_run_is_repeated_as_a_new_one(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.submit(BROKEN, id="first")
        await api.finished("first")
        again = await api.ask("POST", "/runs/first/retry")
        assert (again.status, again.json["retry_of"]) == (201, "first")
        assert (await api.finished(again.json["id"]))["status"] == "failed"
        assert again.headers["Location"].endswith(again.json["id"])

    play(settings, scene)


# ------------------------------------------------------------------------------------------------ following


async def sse(api: Api, path: str, **options: Any) -> list[dict[str, Any]]:
    """All events of a stream until the server closes it: (id, event, data)."""
    async with api.live.session.get(f"{api.live.address}{V1}{path}", **options) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        return [event async for event in parsed(answer)]


async def parsed(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """As the standard says that a browser reads them."""
    event: dict[str, Any] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


def test_a_stream_tells_the_whole_log_in_order_and_ends(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        run = await api.submit(add(1, 2))
        events = await sse(api, f"/runs/{run['id']}/events")
        assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
        assert [event["event"] for event in events] == [event["data"]["event"] for event in events]
        assert (events[0]["event"], events[-1]["event"], events[-1]["data"]["status"]) == ("job_started", "job_ended", "done")
        log = await api.get(f"/runs/{run['id']}/log")
        assert log["events"] == [event["data"] for event in events]
        assert log["last"] == len(events)

    play(settings, scene)


def test_a_reader_goes_on_behind_the_number_it_saw(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        run = await api.submit(add(1, 2))
        path = f"/runs/{run['id']}"
        everything = await sse(api, f"{path}/events")
        for seen in range(len(everything)):
            assert await sse(api, f"{path}/events?after={seen}") == everything[seen:]
            assert await sse(api, f"{path}/events?after=0", headers={"Last-Event-ID": str(seen)}) == everything[seen:]
            assert (await api.get(f"{path}/log?after={seen}"))["events"] == [event["data"] for event in everything[seen:]]
        nothing_left = await api.ask("GET", f"{path}/events?after={len(everything)}")
        assert (nothing_left.status, nothing_left.body) == (204, b""), "so that a browser does not connect again"
        for bad in ("after=-1", "after=x", "after=1.5", "before=1"):
            assert (await api.ask("GET", f"{path}/events?{bad}")).status == 400
        assert (await api.ask("GET", f"{path}/events", headers={"Last-Event-ID": "seven"})).status == 400

    play(settings, scene)


def test_a_reader_that_is_cut_off_in_the_middle_of_a_run_misses_nothing(held: Any) -> None:
    async def scene(api: Api, worker: HeldWorker) -> None:
        await api.submit(HELD, id="h")
        seen: list[dict[str, Any]] = []
        async with api.live.session.get(f"{api.live.address}{V1}/runs/h/events") as answer:
            async for event in parsed(answer):
                seen.append(event)
                if event["event"] == "progress":
                    break
        last = max(int(event["id"]) for event in seen)
        following = asyncio.create_task(sse(api, "/runs/h/events", headers={"Last-Event-ID": str(last)}))
        worker.release()
        seen += await following
        assert [event["data"] for event in seen] == (await api.get("/runs/h/log"))["events"]

    held(scene)


@asynccontextmanager
async def socket_of(api: Api, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with api.live.session.ws_connect(f"{api.live.address}{V1}{path}") as socket:
        yield socket


def test_a_websocket_tells_the_same_and_is_closed_at_the_end(held: Any) -> None:
    async def scene(api: Api, worker: HeldWorker) -> None:
        await api.submit(HELD, id="h")
        async with socket_of(api, "/runs/h/socket?after=1") as socket:
            first = json.loads((await socket.receive()).data)
            assert (first["seq"], first["event"]) == (2, "run_started")
            await socket.send_str("what a client says is passed over")
            worker.release()
            told = [first, *[json.loads(message.data) async for message in socket]]
            assert socket.close_code == 1000
        assert told == (await api.get("/runs/h/log?after=1"))["events"]
        async with socket_of(api, f"/runs/h/socket?after={told[-1]['seq']}") as socket:
            assert [message async for message in socket] == []

    held(scene)


def test_a_websocket_needs_the_same_door_as_everything_else(settings: ServeSettings) -> None:
    async def scene(api: Api) -> None:
        await api.submit(add(1), id="a")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with api.live.session.ws_connect(f"{api.live.address}{V1}/runs/a/socket", headers={"Origin": "https://evil.example"}):
                pass
        assert refused.value.status == 403

    play(settings, scene)


def test_streams_end_when_the_server_stops_or_the_run_is_gone(held: Any) -> None:
    async def scene(api: Api, worker: HeldWorker) -> None:
        await api.submit(HELD, id="h")
        await worker.begun.wait()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with api.live.session.get(f"{api.live.address}{V1}/runs/h/events") as answer, socket_of(api, "/runs/h/socket") as socket:
            await answer.content.readline()
            stopping = asyncio.create_task(api.live.app.shutdown())
            await answer.read()
            async for _ in socket:
                pass
            await stopping
        assert loop.time() - begin < 5

    held(scene)


def test_long_lists_come_in_parts(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_desk, "MOST_EVENTS", 3)
    monkeypatch.setattr(runs_desk, "MOST_LISTED", 2)

    async def scene(api: Api) -> None:
        await api.submit(add(1), id="a")
        await api.finished("a")
        numbers: list[int] = []
        while (part := await api.get(f"/runs/a/log?after={numbers[-1] if numbers else 0}"))["events"]:
            assert len(part["events"]) <= 3
            numbers += [event["seq"] for event in part["events"]]
            assert part["last"] == numbers[-1]
        assert numbers == list(range(1, 11))
        await api.ask("POST", "/queue/pause")
        for name in "bcd":
            await api.submit(add(1), id=name)
        queue = await api.get("/queue")
        assert ([run["id"] for run in queue["pending"]], queue["remaining"]) == (["b", "c"], 3)

    play(settings, scene)
