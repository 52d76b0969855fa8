"""ComfyUI's protocol as a client meets it: a real process, real sockets, real runs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from comfy_client import Client, Ear, Told, connected
from comfy_prompts import Prompt, node, text, text_to_image
from hypothesis import HealthCheck, given, settings
from PIL import Image
from test_comfy_submission import BODY

from nodegraph.server.safety.body import IN_A_THREAD
from tests.server.conftest import Process

PACK = Path(__file__).parent / "packs" / "talk"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("served")
    process = Process("--packs", str(PACK), "--device", "cpu", cwd=folder, environ={"NODEGRAPH_CACHE": str(folder / "cache")})
    yield process
    process.process.terminate()
    _, errors = process.process.communicate(timeout=30)
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def address(served: Process) -> str:
    return served.address()


Play = Callable[[Client], Awaitable[None]]


def play(address: str, scene: Play) -> None:
    async def whole() -> None:
        async with connected(address) as client:
            await scene(client)

    asyncio.run(whole())


def fresh(count: int = 3, seconds: float = 0.02, **more: Any) -> Prompt:
    """A run with a node that takes steps; it is never cached."""
    return {"1": node("talk/Steps", count=count, seconds=seconds), "2": node("PreviewAny", source=["1", 0]), **more}


def kinds(told: list[Told]) -> list[str]:
    return [message["type"] for message in told]


# ------------------------------------------------------------------------------------------------ the usual sequence


def test_listen_post_wait_read_the_history(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            assert ear.messages == [{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}}]
            prompt = fresh()
            id = await client.submit(prompt, "me")
            assert await client.get(f"/history/{id}") in ({}, {id: await client.finished(id)})
            told = await ear.until_end(id)
            history = await client.get(f"/history/{id}")
        order = [kind for kind in kinds(told) if kind not in ("progress_state", "progress")]
        assert [kind for kind in order if kind != "status"] == [
            "execution_start",
            "execution_cached",
            "executing",
            "executing",
            "executed",
            "execution_success",
            "executing",
        ]
        assert order[-3:] == ["execution_success", "status", "executing"]
        assert kinds(told)[0] == "status"
        remaining = [message["data"]["status"]["exec_info"]["queue_remaining"] for message in told if message["type"] == "status"]
        assert (remaining[0], remaining[-1]) == (1, 0)
        steps = [message["data"] for message in told if message["type"] == "progress"]
        assert [(step["value"], step["max"], step["node"]) for step in steps][-1] == (3, 3, "1")
        last = [message["data"] for message in told if message["type"] == "progress_state"][-1]
        assert {id: entry["state"] for id, entry in last["nodes"].items()} == {"1": "finished", "2": "finished"}
        (entry,) = history.values()
        assert entry["prompt"][1:3] == [id, prompt]
        assert entry["outputs"] == {"2": {"text": ["3"]}}
        assert entry["status"]["status_str"] == "success"
        assert [name for name, _ in entry["status"]["messages"]] == ["execution_start", "execution_cached", "execution_success"]

    play(address, scene)


def test_the_history_has_a_run_when_its_end_is_told(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            for _ in range(20):
                id = await client.submit(fresh(1, 0), "me")
                await ear.until(lambda told: told["type"] in ("execution_success", "execution_error"))
                assert list(await client.get(f"/history/{id}")) == [id]
                await ear.until_end(id)

    play(address, scene)


def test_what_is_cached_is_told_and_not_run(address: str) -> None:
    async def scene(client: Client) -> None:
        value = uuid.uuid4().hex
        async with client.ear("me") as ear:
            await ear.until_end(await client.submit(text(value), "me"))
            id = await client.submit(text(value), "me")
            told = await ear.until_end(id)
        cached = next(message["data"]["nodes"] for message in told if message["type"] == "execution_cached")
        assert "1" in cached
        assert [message["data"]["node"] for message in told if message["type"] == "executing"] == [None]
        assert [message["data"]["output"] for message in told if message["type"] == "executed"] == [{"text": [value]}]
        assert (await client.get(f"/history/{id}"))[id]["outputs"] == {"1": {"text": [value]}}

    play(address, scene)


def test_a_program_without_a_content_type_is_understood(address: str) -> None:
    request = urllib.request.Request(address + "/prompt", data=json.dumps({"prompt": text()}).encode())
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["node_errors"] == {}


def test_every_route_exists_with_the_prefix_too(address: str) -> None:
    async def scene(client: Client) -> None:
        for path in ("/prompt", "/queue", "/history", "/object_info", "/object_info/KSampler", "/history/nothing"):
            assert (await client.get("/api" + path)).keys() == (await client.get(path)).keys()
        _, body = await client.post("/api/prompt", {"prompt": text()})
        assert body["node_errors"] == {}
        async with client.session.ws_connect(client.address + "/api/ws") as socket:
            assert (await socket.receive_json())["type"] == "status"

    play(address, scene)


def test_nodes_are_described(address: str) -> None:
    async def scene(client: Client) -> None:
        info = await client.get("/object_info")
        assert info["KSampler"]["input"]["required"]["seed"][0] == "INT"
        assert info["talk/Steps"]["python_module"] == "custom_nodes.talk"
        assert await client.get("/object_info/talk/Steps") == {"talk/Steps": info["talk/Steps"]}
        assert await client.get("/object_info/talk%2FSteps") == {"talk/Steps": info["talk/Steps"]}
        assert await client.get("/object_info/Nothing") == {}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ pictures and words on the way


def test_pictures_come_only_to_those_who_understand_them(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("plain") as plain, client.ear("editor", {"supports_preview_metadata": True}) as editor:
            await plain.until_end(await client.submit(fresh(), "plain"))
            assert plain.frames == []
            await plain.until_end(await client.submit(fresh(), "plain", extra_data={"preview_method": "auto"}))
            assert {struct.unpack(">II", frame[:8]) for frame in plain.frames} == {(1, 1)}
            assert all(frame[8:10] == b"\xff\xd8" for frame in plain.frames)
            id = await client.submit(fresh(), "editor")
            await editor.until_end(id)
        types = [struct.unpack(">I", frame[:4])[0] for frame in editor.frames]
        assert {3, 4} == set(types)
        picture = next(frame for frame in editor.frames if frame[3] == 4)
        length = struct.unpack(">I", picture[4:8])[0]
        told = json.loads(picture[8 : 8 + length])
        assert (told["node_id"], told["prompt_id"], told["image_type"]) == ("1", id, "image/jpeg")
        assert picture[8 + length :][:2] == b"\xff\xd8"
        words = next(frame for frame in editor.frames if frame[3] == 3)
        assert words[4:] == struct.pack(">I", 1) + b"1" + b"step 0"

    play(address, scene)


def test_who_wants_no_pictures_gets_none(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("editor", {"supports_preview_metadata": True}) as ear:
            await ear.until_end(await client.submit(fresh(), "editor", extra_data={"preview_method": "none"}))
            assert {struct.unpack(">I", frame[:4])[0] for frame in ear.frames} == {3}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ several clients


def test_clients_hear_of_their_own_runs_only(address: str) -> None:
    async def scene(client: Client) -> None:
        flags = {"supports_preview_metadata": True}
        async with client.ear("a", flags) as a, client.ear("b", flags) as b, client.ear() as nobody:
            ids = [await client.submit(fresh(), "a"), await client.submit(fresh(), "b"), await client.submit(fresh())]
            await a.until_end(ids[0])
            await b.until_end(ids[1])
            await client.finished(ids[2])
            await nobody.until(lambda told: told["data"]["status"]["exec_info"]["queue_remaining"] == 0)
        for ear, id in ((a, ids[0]), (b, ids[1])):
            assert {told["data"]["prompt_id"] for told in ear.messages if "prompt_id" in told["data"]} == {id}
            heard = b"".join(ear.frames)
            assert id.encode() in heard
            assert not any(other.encode() in heard for other in ids if other != id)
        assert set(kinds(nobody.messages)) == {"status"}
        assert nobody.frames == []

    play(address, scene)


def told_of_runs(ear: Ear) -> list[Told]:
    return [told for told in ear.messages if told["type"] not in ("status", "feature_flags")]


def test_of_two_sockets_of_one_client_the_newer_one_is_told_and_the_older_one_neither_hears_nor_drops_out(address: str) -> None:
    """Attack case 36. A tab that was duplicated connects with the same name, and again at once whenever it is closed."""
    flags = {"supports_preview_metadata": True}

    async def scene(client: Client) -> None:
        async with client.ear("other", flags) as other, client.ear("me", flags) as first:
            id = await client.submit(fresh(60, 0.02), "me")
            await first.until(lambda told: told["type"] == "progress")
            async with client.ear("me", flags) as second:
                await second.until_end(id)
                assert any(id.encode() in frame for frame in second.frames), "it is told of the run that the older one began"
                again = await client.submit(fresh(), "me")
                await second.until_end(again)
                assert any(again.encode() in frame for frame in second.frames)
                await first.until(lambda told: told["type"] == "status" and told["data"]["status"]["exec_info"]["queue_remaining"] == 1)
                assert not any(told["data"].get("prompt_id") == again for told in first.messages)
                assert not any(again.encode() in frame for frame in first.frames)
            third = await client.submit(fresh(), "me")
            await first.until_end(third)
            assert any(third.encode() in frame for frame in first.frames), "the newer one went, and the older one has its place again"
            assert other.frames == told_of_runs(other) == []

    play(address, scene)


def test_an_older_socket_that_goes_leaves_the_newer_one_alone(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as first, client.ear("me") as second:
            await first.socket.close()
            id = await client.submit(fresh(), "me")
            assert kinds(await second.until_end(id))[-1] == "executing"

    play(address, scene)


def test_who_comes_back_hears_what_runs_and_how_it_ends(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            id = await client.submit(fresh(60, 0.02), "me")
            await ear.until(lambda told: told["type"] == "progress")
        async with client.ear("me") as ear:
            first = await ear.until(lambda told: told["type"] == "executing")
            assert first["data"] == {"node": "1"}
            told = await ear.until_end(id)
        assert "execution_start" not in kinds(told)
        assert kinds(told)[-3:] == ["execution_success", "status", "executing"]
        last = [message["data"]["nodes"] for message in told if message["type"] == "progress_state"][-1]
        assert last["1"]["state"] == "finished"

    play(address, scene)


def test_a_socket_without_a_name_is_given_one(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear() as ear:
            sid = ear.messages[0]["data"]["sid"]
            assert len(sid) == 32
            await ear.until_end(await client.submit(text(), sid))

    play(address, scene)


def test_what_a_client_says_is_bounded_and_mostly_ignored(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            for said in ("", "{", "[]", '{"type": 3}', '{"type": "feature_flags", "data": 3}', "[" * 10_000):
                await ear.socket.send_str(said)
            await ear.socket.send_bytes(b"\x00" * 100)
            await ear.until_end(await client.submit(text(), "me"))
            assert "feature_flags" not in kinds(ear.messages)
            await ear.socket.send_str("x" * 100_000)
            assert await ear.until_closed() == 1009
        for bad in ("x" * 201, "a\x00b", "a\nb"):
            async with client.session.get(client.address + "/ws", params={"clientId": bad}) as answer:
                assert answer.status == 400
        async with client.session.get(client.address + "/ws") as answer:
            assert answer.status in (400, 426)

    play(address, scene)


@pytest.mark.parametrize("way", ["announced", "in pieces without end"])
@pytest.mark.parametrize("path", ["/ws?clientId=big", "/api/v1/runs/{id}/socket"])
def test_a_frame_of_a_gigabyte_is_refused_when_it_begins(served: Process, address: str, path: str, way: str) -> None:
    """Attack case 46."""
    first = struct.pack(">BBQ", 0x82, 0xFF, 2**30) if way == "announced" else struct.pack(">BBQ", 0x02, 0xFF, 50_000)
    further = b"" if way == "announced" else struct.pack(">BBQ", 0x00, 0xFF, 50_000)

    async def scene(client: Client) -> None:
        id = await client.submit(fresh(200, 0.02), "someone")
        before = resident(served)
        assert await accepted(address, path.replace("{id}", id), first, further) < 2**22
        assert resident(served) < before + 2**24
        await client.post("/interrupt", {"prompt_id": id})
        await client.finished(id)

    play(address, scene)


async def accepted(address: str, path: str, first: bytes, further: bytes) -> int:
    """Bytes of a message that a websocket takes before it is closed. first: header of the first frame; further: of the next ones"""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{upgrade}\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    reading = asyncio.create_task(reader.read(-1))
    sent, header = 0, first
    try:
        async with asyncio.timeout(60):
            while not reading.done() and sent < 2**28:
                piece = (header + b"mask") * bool(header) + bytes(50_000)
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                sent, header = sent + len(piece), further
    except ConnectionError:
        pass
    finally:
        reading.cancel()
        writer.close()
    return sent


def resident(process: Process) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "body",
    [
        '{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {}}, "1": {"class_type": "PreviewAny", "inputs": {}}}}',
        '{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": 1, "source": 2}}}}',
        '{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": 1}}}, "prompt": {}}',
        '{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": NaN}}, "1": {"class_type": "PreviewAny"}}}',
    ],
)
def test_what_stands_twice_in_a_prompt_is_refused(address: str, body: str) -> None:
    """Attack case 27: of two nodes with one id, none is chosen in silence."""

    async def scene(client: Client) -> None:
        async with client.session.post(client.address + "/prompt", data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 400
            assert "stands twice" in (await answer.json())["error"]["message"]

    play(address, scene)


def test_pages_of_other_sites_cannot_listen(address: str) -> None:
    async def scene(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.session.ws_connect(client.address + "/ws", origin="https://evil.example")
        assert refusal.value.status == 403

    play(address, scene)


# ------------------------------------------------------------------------------------------------ other ends


def test_a_failure(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            prompt = {"1": node("talk/Fail", value=["0", 0]), "0": node("PrimitiveInt", value=7), "2": node("PreviewAny", source=["1", 0])}
            id = await client.submit(prompt, "me")
            told = await ear.until_end(id)
        error = next(message["data"] for message in told if message["type"] == "execution_error")
        assert (error["node_id"], error["node_type"], error["exception_type"]) == ("1", "talk/Fail", "KeyError")
        assert "no 7" in error["exception_message"]
        assert error["prompt_id"] == id
        assert error["executed"] == ["0"]
        assert "execution_success" not in kinds(told)
        entry = (await client.get(f"/history/{id}"))[id]
        assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
        assert entry["status"]["messages"][-1][0] == "execution_error"
        assert (await client.get(f"/api/jobs/{id}"))["status"] == "failed"

    play(address, scene)


def test_an_interruption_of_the_run_that_is_meant(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            id = await client.submit(fresh(2000, 0.02), "me")
            await ear.until(lambda told: told["type"] == "progress")
            assert await client.post("/interrupt", {"prompt_id": "another"}) == (200, None)
            await ear.until(lambda told: told["type"] == "progress")
            assert await client.post("/interrupt", {"prompt_id": id}) == (200, None)
            told = await ear.until_end(id)
            last = next(message["data"] for message in told if message["type"] == "execution_interrupted")
            assert (last["node_id"], last["node_type"], last["executed"]) == ("1", "talk/Steps", [])
            entry = (await client.get(f"/history/{id}"))[id]
            assert (entry["status"]["status_str"], entry["status"]["messages"][-1][0]) == ("error", "execution_interrupted")
            other = await client.submit(fresh(2000, 0.02), "me")
            await ear.until(lambda told: told["type"] == "progress")
            async with client.session.post(client.address + "/interrupt") as answer:
                assert (answer.status, await answer.text()) == (200, "")
            assert "execution_interrupted" in kinds(await ear.until_end(other))

    play(address, scene)


def test_nodes_of_an_expansion(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear:
            prompt = {"5": node("talk/Twice", value=3), "6": node("PreviewAny", source=["5", 0])}
            told = await ear.until_end(await client.submit(prompt, "me"))
        inner = [
            message["data"] for message in told if message["type"] == "executing" and message["data"].get("node") not in ("5", "6", None)
        ]
        assert inner
        assert {entry["display_node"] for entry in inner} == {"5"}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ the queue


def test_the_queue_lists_what_runs_and_what_waits_in_order(address: str) -> None:
    async def scene(client: Client) -> None:
        running = await client.submit(fresh(2000, 0.02), "me")
        async with asyncio.timeout(60):
            while not (await client.get("/queue"))["queue_running"]:
                await asyncio.sleep(0.02)
        second = await client.submit(text("second"))
        first = await client.submit(text("first"), front=True)
        last = await client.submit(
            text("last"), number=10**6, extra_data={"api_key": "S3CRET", "extra_pnginfo": {"workflow": {"id": "w7"}}}
        )
        assert (await client.get("/prompt")) == {"exec_info": {"queue_remaining": 4}}
        queue = await client.get("/queue")
        assert [item[1] for item in queue["queue_running"]] == [running]
        assert [item[1] for item in queue["queue_pending"]] == [first, second, last]
        number, id, prompt, extra, outputs = queue["queue_pending"][2]
        assert (number, id, prompt, outputs) == (10**6, last, text("last"), ["1"])
        assert extra["extra_pnginfo"] == {"workflow": {"id": "w7"}}
        assert "S3CRET" not in json.dumps([queue, await client.get("/api/jobs"), await client.get(f"/api/jobs/{last}")])
        assert [job["id"] for job in (await client.get("/api/jobs", workflow_id="w7", status="pending"))["jobs"]] == [last]

        assert await client.post("/queue", {"delete": [second, running, "nothing", 7]}) == (200, None)
        queue = await client.get("/queue")
        assert [item[1] for item in queue["queue_pending"]] == [first, last]
        assert await client.post("/queue", {"clear": True}) == (200, None)
        queue = await client.get("/queue")
        assert ([item[1] for item in queue["queue_running"]], queue["queue_pending"]) == ([running], [])
        assert await client.get(f"/history/{second}") == {}
        assert await client.post(f"/api/jobs/{running}/cancel") == (200, {"cancelled": True})
        await client.finished(running)

    play(address, scene)


def test_large_prompts_run_although_a_faulty_one_came_before(address: str) -> None:
    """A large workflow is told to the worker before it is checked, so that both look at it at once."""
    count = 2500

    def chain(first: Any) -> Prompt:
        nodes = {str(i): node("StringConcatenate", string_a=[str(i - 1), 0], string_b="x" * 40, delimiter="") for i in range(1, count)}
        return {"0": node("PrimitiveString", value=first), **nodes, "end": node("PreviewAny", source=[str(count - 1), 0])}

    async def scene(client: Client) -> None:
        faulty = chain("a")
        faulty["7"]["inputs"]["string_a"] = ["nowhere", 0]
        assert len(json.dumps(faulty)) > IN_A_THREAD
        status, body = await client.post("/prompt", {"prompt": faulty})
        assert (status, list(body["node_errors"])) == (400, ["7"])
        for first in ("b", "c"):
            done = await client.finished(await client.submit(chain(first)))
            assert done["status"]["status_str"] == "success"
            assert done["outputs"]["end"]["text"][0].startswith(first + "xxx")

    play(address, scene)


def test_the_same_id_is_the_same_run(address: str) -> None:
    async def scene(client: Client) -> None:
        id, prompt = str(uuid.uuid4()), text(uuid.uuid4().hex)
        body = {"prompt": prompt, "prompt_id": id}
        first = await client.post("/prompt", body)
        assert first == (200, {"prompt_id": id, "number": first[1]["number"], "node_errors": {}})
        assert await client.post("/prompt", body) == first
        await client.finished(id)
        assert await client.post("/prompt", body) == first
        status, told = await client.post("/prompt", {"prompt": text("other"), "prompt_id": id})
        assert (status, told["error"]["type"]) == (409, "invalid_prompt_id")

    play(address, scene)


def test_some_outputs_of_several(address: str) -> None:
    async def scene(client: Client) -> None:
        prompt = {**text("good", "1"), "2": node("PreviewAny", source=["gone", 0])}
        status, body = await client.post("/prompt", {"prompt": prompt})
        assert status == 200
        assert body["node_errors"]["2"]["errors"][0]["type"] == "bad_linked_input"
        assert (await client.finished(body["prompt_id"]))["outputs"] == {"1": {"text": ["good"]}}
        id = await client.submit({**text("one", "1"), **text("two", "2")}, partial_execution_targets=["2"])
        assert (await client.finished(id))["outputs"] == {"2": {"text": ["two"]}}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ the past


def test_pages_of_the_history(address: str) -> None:
    async def scene(client: Client) -> None:
        await client.post("/history", {"clear": True})
        ids = []
        for turn in range(5):
            ids.append(await client.submit(text(str(turn))))
            await client.finished(ids[-1])
        whole = await client.get("/history")
        assert list(whole) == ids
        assert await client.get("/history", offset=0) == whole
        assert list(await client.get("/history", max_items=2)) == ids[3:]
        assert list(await client.get("/history", max_items=2, offset=1)) == ids[1:3]
        assert list(await client.get("/history", max_items=2, offset=-1)) == ids[3:]
        assert list(await client.get("/history", offset=3)) == ids[3:]
        assert await client.get("/history", offset=5) == {}
        assert await client.get("/history", max_items=0) == {}
        assert whole[ids[0]]["status"] == {**whole[ids[0]]["status"], "status_str": "success", "completed": True}
        assert await client.post("/history", {"delete": ids[:2]}) == (200, None)
        assert list(await client.get("/history")) == ids[2:]
        assert await client.post("/history", {"clear": True}) == (200, None)
        assert await client.get("/history") == {}
        for query in ("max_items=x", "offset=1.5", "max_items=" + "9" * 20):
            async with client.session.get(f"{client.address}/history?{query}") as answer:
                assert answer.status == 400

    play(address, scene)


def test_pages_of_the_jobs(address: str) -> None:
    async def scene(client: Client) -> None:
        await client.post("/history", {"clear": True})
        ids = [await client.submit(text(str(turn))) for turn in range(4)]
        for id in ids:
            await client.finished(id)
        page = await client.get("/api/jobs", limit=2)
        assert [job["id"] for job in page["jobs"]] == ids[:1:-1]
        assert page["pagination"] == {"offset": 0, "limit": 2, "total": 4, "has_more": True}
        page = await client.get("/api/jobs", sort_order="asc", offset=1, status="completed,failed")
        assert [job["id"] for job in page["jobs"]] == ids[1:]
        assert page["pagination"] == {"offset": 1, "limit": None, "total": 4, "has_more": False}
        assert len((await client.get("/api/jobs", sort_by="execution_duration"))["jobs"]) == 4
        assert (await client.get("/api/jobs", status="pending"))["jobs"] == []
        detail = await client.get(f"/api/jobs/{ids[0]}")
        assert (detail["outputs"], detail["workflow"]["prompt"]) == ({"1": {"text": ["0"]}}, text("0"))
        for path in ("/api/jobs/nothing", "/api/jobs?status=odd", "/api/jobs?limit=0", "/api/jobs?sort_by=x", "/api/jobs?offset=-1"):
            async with client.session.get(client.address + path) as answer:
                assert answer.status == (404 if path.endswith("nothing") else 400)
                assert isinstance((await answer.json())["error"], str)
        assert await client.post(f"/api/jobs/{ids[0]}/cancel") == (200, {"cancelled": False})
        assert await client.post("/api/jobs/cancel", {"job_ids": [ids[0], "nothing"]}) == (200, {"cancelled": False})
        assert (await client.post("/api/jobs/cancel", {"job_ids": 3}))[0] == 400
        assert (await client.post("/api/jobs/nothing/cancel"))[0] == 404

    play(address, scene)


def test_secrets_reach_the_node_and_nobody_else(address: str) -> None:
    async def scene(client: Client) -> None:
        secret = "S3CRET-" + uuid.uuid4().hex
        async with client.ear("me") as ear:
            prompt = {"1": node("talk/Secret", name="api_key_comfy_org"), "2": node("PreviewAny", source=["1", 0])}
            id = await client.submit(prompt, "me", extra_data={"api_key_comfy_org": secret})
            told = await ear.until_end(id)
        seen = [
            told,
            *[await client.get(path) for path in ("/history", f"/history/{id}", "/api/jobs", f"/api/jobs/{id}", "/internal/logs")],
        ]
        assert secret not in json.dumps(seen)
        assert (await client.finished(id))["outputs"] == {"2": {"text": [str(len(secret))]}}

    play(address, scene)


def test_letting_go_of_memory(address: str) -> None:
    async def scene(client: Client) -> None:
        for body in ({}, {"unload_models": True}, {"free_memory": True}, None):
            assert await client.post("/free", body) in ((200, None), (400, None))
        value = uuid.uuid4().hex
        await client.finished(await client.submit(text(value)))
        await client.post("/free", {"free_memory": True})
        assert (await client.finished(await client.submit(text(value))))["outputs"] == {"1": {"text": [value]}}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ bad requests


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 413),
        (b'{"prompt": {}, "prompt": {}}', 400),
        (b'{"prompt": ' + b"9" * 10_000 + b"}", 400),
        (b'{"prompt": NaN}', 400),
        (json.dumps({"prompt": text_to_image("../../secret.safetensors")}).encode(), 400),
    ],
    ids=range(8),
)
def test_bodies_that_are_refused(address: str, body: bytes, status: int) -> None:
    async def scene(client: Client) -> None:
        async with client.session.post(client.address + "/prompt", data=body, headers={"Content-Type": "application/json"}) as answer:
            told = await answer.json()
        assert answer.status == status, told
        assert told["error"].keys() == {"type", "message", "details", "extra_info"}
        assert isinstance(told["node_errors"], dict)

    play(address, scene)


def test_python_writes_nan_where_it_does_not_matter(address: str) -> None:
    async def scene(client: Client) -> None:
        prompt = text("x")
        prompt["1"]["is_changed"] = [float("nan")]
        body = json.dumps({"prompt": prompt, "number": float("nan")})
        async with client.session.post(client.address + "/prompt", data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 200

    play(address, scene)


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_that_any_page_could_send_are_refused(address: str, type_: str) -> None:
    async def scene(client: Client) -> None:
        data = json.dumps({"prompt": text()}).encode()
        async with client.session.post(client.address + "/prompt", data=data, headers={"Content-Type": type_}) as answer:
            assert answer.status == 415

    play(address, scene)


def test_no_folder_of_this_machine_is_told(served: Process, address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = str(tmp_path_factory.getbasetemp())

    async def scene(client: Client) -> None:
        prompts = [
            text_to_image("gone.safetensors"),
            {"1": node("LoadImage", image="../x.png"), "2": node("PreviewImage", images=["1", 0])},
        ]
        for prompt in prompts:
            status, body = await client.post("/prompt", {"prompt": prompt})
            assert status == 400
            assert base not in json.dumps(body)

    play(address, scene)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=BODY)
def test_any_body_is_answered_in_the_same_shapes(address: str, body: Any) -> None:
    async def scene(client: Client) -> None:
        status, told = await client.post("/prompt", body)
        assert status in (200, 400, 409)
        if status == 200:
            assert told.keys() == {"prompt_id", "number", "node_errors"}
        else:
            assert told.keys() == {"error", "node_errors"}

    play(address, scene)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=BODY)
def test_the_other_routes_take_any_body_too(address: str, body: Any) -> None:
    async def scene(client: Client) -> None:
        for path in ("/queue", "/history", "/interrupt", "/free", "/api/jobs/cancel"):
            for said in (body, body["prompt"], {"delete": body["prompt"], "prompt_id": body["prompt"], "job_ids": body["prompt"]}):
                assert (await client.post(path, said))[0] in (200, 400)

    play(address, scene)


# ------------------------------------------------------------------------------------------------ the end


def test_open_sockets_do_not_hold_up_the_end(started: Callable[..., Process]) -> None:
    server = started("--device", "cpu")

    async def scene(client: Client) -> None:
        async with client.ear("a") as a, client.ear("b") as b:
            server.process.terminate()
            assert await a.until_closed() == 1001
            assert await b.until_closed() == 1001

    play(server.address(), scene)
    assert server.process.wait(60) == 0


def test_who_follows_the_log_is_told_what_is_logged(address: str) -> None:
    async def scene(client: Client) -> None:
        async with client.ear("me") as ear, client.ear("other") as other:
            follow = {"clientId": "me", "enabled": True}
            async with client.session.patch(client.address + "/internal/logs/subscribe", json=follow) as answer:
                assert answer.status == 200
            await client.session.get(client.address + "/history?max_items=x")
            told = await ear.until(lambda told: told["type"] == "logs")
            assert told["data"]["entries"][0].keys() == {"t", "m"}
            assert told["data"]["size"].keys() == {"cols", "rows"}
            async with client.session.patch(client.address + "/internal/logs/subscribe", json={**follow, "enabled": False}):
                pass
            assert set(kinds(other.messages)) == {"status"}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ pictures carry what made them


def test_a_saved_picture_carries_the_prompt_and_the_workflow_as_comfyui_writes_them(address: str) -> None:
    async def scene(client: Client) -> None:
        prompt = {
            "1": node("EmptyImage", width=8, height=8, batch_size=1, color=uuid.uuid4().int % 2**24),
            "2": node("SaveImage", images=["1", 0], filename_prefix="carried"),
        }
        drawn = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}
        extra = {"extra_pnginfo": {"workflow": drawn, "note": "mine", "nodegraph": "not ours", "": 1}, "api_key_comfy_org": "sesame"}
        entry = await client.finished(await client.submit(prompt, extra_data=extra))
        (image,) = entry["outputs"]["2"]["images"]
        async with client.session.get(f"{client.address}/view", params=image) as answer:
            data = await answer.read()
        with Image.open(io.BytesIO(data)) as picture:
            texts = {name: json.loads(text) for name, text in picture.info.items() if isinstance(text, str)}
        assert texts.keys() == {"nodegraph", "prompt", "workflow", "note"}
        assert (texts["prompt"], texts["workflow"], texts["note"]) == (prompt, drawn, "mine")
        assert texts["nodegraph"]["nodes"]["2"]["type"] == "SaveImage"
        assert b"sesame" not in data
        status, again = await client.post("/prompt", {"prompt": texts["prompt"]})
        assert status == 200, again

    play(address, scene)
