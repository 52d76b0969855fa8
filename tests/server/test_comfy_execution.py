"""What a client of ComfyUI sees of a run: what was worked out and what was not, errors at the right node, parts of a graph, loops."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfy_client import Client, Ear, Told, connected
from comfy_prompts import Prompt, node
from PIL import Image

from tests.server.conftest import Process

PACK = Path(__file__).parent / "packs" / "execution"
SIZE: dict[str, Any] = {"width": 8, "height": 8}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("execution")
    process = Process("--packs", str(PACK), "--device", "cpu", cwd=folder, environ={"NODEGRAPH_CACHE": str(folder / "cache")})
    yield process.address()
    process.process.terminate()
    _, errors = process.process.communicate(timeout=30)
    assert "Traceback" not in errors


@dataclass
class Seen:
    """ran, cached: ids of nodes, as their messages say; outputs: from the history"""

    id: str
    ran: set[str]
    cached: set[str]
    outputs: dict[str, Any]
    errors: list[Told]


class Player(Client):
    """Runs prompts as a client does that listens first."""

    ear_: Ear

    async def run(self, prompt: Prompt, **more: Any) -> Seen:
        id = await self.submit(prompt, "me", **more)
        told = await self.ear_.until_end(id)
        entry = (await self.get(f"/history/{id}"))[id]
        ran = {message["data"]["node"] for message in told if message["type"] == "executing"} - {None}
        cached = {name for message in told if message["type"] == "execution_cached" for name in message["data"]["nodes"]}
        errors = [message["data"] for message in told if message["type"] == "execution_error"]
        return Seen(id, ran, cached, entry["outputs"], errors)

    async def refused(self, prompt: Prompt, **more: Any) -> Told:
        status, body = await self.post("/prompt", {"prompt": prompt, "client_id": "me", **more})
        assert status == 400, body
        return dict(body)

    async def pictures(self, seen: Seen, node: str) -> list[np.ndarray]:
        found = []
        for image in seen.outputs.get(node, {}).get("images", []):
            query = {key: image[key] for key in ("filename", "subfolder", "type")}
            async with self.session.get(f"{self.address}/view", params=query) as answer:
                found.append(np.asarray(Image.open(io.BytesIO(await answer.read())).convert("RGB")))
        return found

    async def greys(self, seen: Seen, node: str) -> list[int]:
        """The one value of each picture that a node showed."""
        pictures = await self.pictures(seen, node)
        assert all(picture.min() == picture.max() for picture in pictures)
        return [int(picture.min()) for picture in pictures]


Play = Callable[[Player], Awaitable[None]]


def play(address: str, scene: Play) -> None:
    async def whole() -> None:
        async with connected(address) as client, client.ear("me") as ear:
            player = Player(client.address, client.session)
            player.ear_ = ear
            await scene(player)

    asyncio.run(whole())


def picture(color: int, **more: Any) -> dict[str, Any]:
    return node("EmptyImage", **{**SIZE, "batch_size": 1, "color": color, **more})


BLACK, WHITE = 0, 0xFFFFFF


def mixed(share: float, **more: Any) -> Prompt:
    """A black and a white picture, mixed: `share` of the white one."""
    return {
        "black": picture(BLACK),
        "white": picture(WHITE),
        "mask": node("SolidMask", value=share, **SIZE),
        "mix": node("execution/Mix", mask=["mask", 0], first=["black", 0], second=["white", 0]),
        "save": node("SaveImage", images=["mix", 0], filename_prefix="mixed"),
        **more,
    }


# ------------------------------------------------------------------------------------------------ what is worked out


def test_what_does_not_show_is_not_worked_out(address: str) -> None:
    async def scene(client: Player) -> None:
        seen = await client.run({**mixed(0.0), "black": picture(3), "white": picture(4)})
        assert {"black", "mask", "mix"} <= seen.ran
        assert "white" not in seen.ran | seen.cached
        assert (await client.pictures(seen, "save"))[0].max() == 3

    play(address, scene)


def test_the_same_again_runs_nothing_and_shows_all(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = mixed(0.5)
        first, again = await client.run(prompt), await client.run(prompt)
        assert again.ran == set()
        assert again.cached == set(prompt)
        assert await client.greys(again, "save") == await client.greys(first, "save") == [127]

    play(address, scene)


def test_only_what_a_change_reaches_runs_again(address: str) -> None:
    async def scene(client: Player) -> None:
        await client.run(mixed(0.5))
        changed = await client.run(mixed(0.4))
        assert changed.ran == {"mask", "mix", "save"}
        assert {"black", "white"} <= changed.cached

    play(address, scene)


def test_something_outside_that_changes_runs_a_node_every_time(address: str) -> None:
    async def scene(client: Player) -> None:
        def prompt(changes: bool) -> Prompt:
            return {
                "save": node("PreviewImage", images=["watched", 0]),
                "watched": node("execution/Watched", image=["black", 0], changes=changes),
                "black": picture(BLACK),
            }

        ran = ["watched" in (await client.run(prompt(changes))).ran for changes in (False, False, True, True)]
        assert ran == [True, False, True, True]

    play(address, scene)


def test_what_was_cached_is_shown_to_those_too_who_did_not_listen(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = mixed(0.5)
        await client.run(prompt)
        id = await client.submit(prompt)
        await client.finished(id)
        job = await client.get(f"/api/jobs/{id}")
        assert job["status"] == "completed"
        assert job["outputs"]["save"]["images"]

    play(address, scene)


# ------------------------------------------------------------------------------------------------ faults


def test_a_fault_while_running_names_the_run_and_the_node(address: str) -> None:
    async def scene(client: Player) -> None:
        seen = await client.run({**mixed(0.5), "white": picture(WHITE, width=16)})
        (error,) = seen.errors
        assert (error["prompt_id"], error["node_id"], error["node_type"]) == (seen.id, "mix", "execution/Mix")

    play(address, scene)


def test_a_circle_is_refused(address: str) -> None:
    async def scene(client: Player) -> None:
        again = node("execution/Mix", mask=["mask", 0], first=["mix", 0], second=["white", 0])
        prompt = mixed(0.5, other=again)
        prompt["mix"]["inputs"]["first"] = ["other", 0]
        await client.refused(prompt)

    play(address, scene)


def test_a_circle_in_what_a_node_asks_for_is_its_fault(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            "black": picture(BLACK),
            "circle": node("execution/Circle", image=["black", 0]),
            "save": node("PreviewImage", images=["circle", 0]),
        }
        (error,) = (await client.run(prompt)).errors
        assert error["node_id"] == "circle"

    play(address, scene)


def test_an_output_at_fault_leaves_the_others_to_run(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            **mixed(0.5),
            "gone": node("execution/Mix", mask=["mask", 0], first=["black", 0], second=["removed", 0]),
            "other": node("SaveImage", images=["gone", 0], filename_prefix="other"),
        }
        seen = await client.run(prompt)
        assert (set(seen.outputs), seen.errors) == ({"save"}, [])
        whole = await client.run({**prompt, "removed": picture(WHITE)})
        assert set(whole.outputs) == {"save", "other"}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ lists


def test_a_list_runs_a_node_once_an_item_and_asks_for_what_any_item_needs(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            **mixed(0.0),
            "shares": node("execution/Three", a=["n0", 0], b=["n1", 0], c=["n2", 0]),
            **{f"n{i}": node("Float", value=value) for i, value in enumerate((0.0, 0.5, 1.0))},
        }
        prompt["mask"]["inputs"]["value"] = ["shares", 0]
        assert await client.greys(await client.run(prompt), "save") == [0, 127, 255]

    play(address, scene)


def test_of_a_list_only_the_blocked_item_is_missing(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            "black": picture(BLACK),
            "white": picture(WHITE),
            "pictures": node("execution/Three", a=["black", 0], b=["white", 0], c=["black", 0]),
            **{f"n{i}": node("Integer", value=i) for i in (1, 2, 3)},
            "numbers": node("execution/Three", a=["n1", 0], b=["n2", 0], c=["n3", 0]),
            "second": node("execution/Equal", a=["numbers", 0], b=2),
            "blocked": node("execution/BlockIf", value=["pictures", 0], block=["second", 0]),
            "save": node("PreviewImage", images=["blocked", 0]),
        }
        assert await client.greys(await client.run(prompt), "save") == [0, 0]

    play(address, scene)


def test_items_of_a_list_may_be_made_by_other_nodes(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            **{f"n{i}": node("Float", value=value) for i, value in enumerate((0.1, 0.2, 0.3))},
            "values": node("execution/Three", a=["n0", 0], b=["n1", 0], c=["n2", 0]),
            "grey": node("execution/Grey", value=["values", 0]),
            "made": node("SaveImage", images=["grey", 0], filename_prefix="made"),
            "given": node("SaveImage", images=["grey", 1], filename_prefix="given"),
        }
        seen = await client.run(prompt)
        assert seen.errors == []
        assert await client.greys(seen, "made") == [25, 51, 76]
        assert await client.greys(seen, "given") == [255, 255, 255]

    play(address, scene)


# ------------------------------------------------------------------------------------------------ loops and waiting


def test_a_loop_turns_as_often_as_it_is_told(address: str) -> None:
    async def scene(client: Player) -> None:
        for times in (0, 1, 3):
            prompt = {
                "white": picture(WHITE),
                "loop": node("execution/Halve", image=["white", 0], times=times),
                "save": node("PreviewImage", images=["loop", 0]),
            }
            assert await client.greys(await client.run(prompt), "save") == [255 >> times]

    play(address, scene)


def test_nodes_that_wait_wait_together(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt: Prompt = {"black": picture(BLACK)}
        for i, seconds in enumerate((0.9, 1.1, 1.0)):
            prompt[f"wait{i}"] = node("execution/Sleep", value=["black", 0], seconds=seconds)
            prompt[f"save{i}"] = node("PreviewImage", images=[f"wait{i}", 0])
        begin = time.monotonic()
        seen = await client.run(prompt)
        assert time.monotonic() - begin < 2.9
        assert {"wait0", "wait1", "wait2"} <= seen.ran

    play(address, scene)


def test_what_stands_for_a_node_waits_together_and_is_told_as_that_node(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            "black": picture(BLACK),
            "white": picture(WHITE),
            "wait": node("execution/SleepTogether", first=["black", 0], second=["white", 0], third=["white", 0], seconds=1.0),
            "save": node("PreviewImage", images=["wait", 0]),
        }
        begin = time.monotonic()
        seen = await client.run(prompt)
        assert time.monotonic() - begin < 2.8
        assert "wait" in seen.ran
        assert await client.greys(seen, "save") == [170]

    play(address, scene)


def test_a_wait_that_is_not_needed_is_not_waited_for(address: str) -> None:
    async def scene(client: Player) -> None:
        waits = {f"wait{i}": node("execution/Sleep", value=[name, 0], seconds=0.1 + 30 * i) for i, name in enumerate(("black", "white"))}
        prompt = {**mixed(0.0), **waits}
        prompt["mix"]["inputs"] |= {"first": ["wait0", 0], "second": ["wait1", 0]}
        seen = await client.run(prompt)
        assert "wait0" in seen.ran
        assert "wait1" not in seen.ran | seen.cached

    play(address, scene)


def test_a_fault_after_a_wait_is_told_of_the_node_and_the_next_run_works(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            "black": picture(BLACK),
            "fails": node("execution/SleepThenFail", value=["black", 0], seconds=0.05),
            "waits": node("execution/Sleep", value=["black", 0], seconds=60.0),
            "save": node("PreviewImage", images=["fails", 0]),
            "aside": node("PreviewImage", images=["waits", 0]),
        }
        begin = time.monotonic()
        (error,) = (await client.run(prompt)).errors
        assert time.monotonic() - begin < 30
        assert error["node_id"] == "fails"
        assert "it was not to be" in error["exception_message"]
        prompt["fails"]["class_type"], prompt["waits"]["inputs"]["seconds"] = "execution/Sleep", 0.0
        assert set((await client.run(prompt)).outputs) == {"save", "aside"}

    play(address, scene)


# ------------------------------------------------------------------------------------------------ parts of a graph


def test_only_the_wanted_outputs_run(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {f"in{i}": picture(40 + i) for i in range(3)}
        prompt |= {f"out{i}": node("PreviewImage", images=[f"in{i}", 0]) for i in range(3)}
        seen = await client.run(prompt, partial_execution_targets=["out0", "out2"])
        assert seen.ran == {"in0", "in2", "out0", "out2"}
        assert set(seen.outputs) == {"out0", "out2"}

    play(address, scene)


def test_an_output_runs_too_if_a_wanted_one_needs_it(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {
            "in": picture(0x101010),
            "first": node("execution/Output", image=["in", 0], value=1.5),
            "second": node("execution/Output", image=["first", 0], value=2.0),
            "aside": node("PreviewImage", images=["first", 0]),
            "wanted": node("PreviewImage", images=["second", 0]),
        }
        seen = await client.run(prompt, partial_execution_targets=["wanted"])
        assert seen.ran == {"in", "first", "second", "wanted"}
        assert await client.greys(seen, "wanted") == [48]

    play(address, scene)


def test_of_a_wanted_output_too_only_what_shows_is_worked_out(address: str) -> None:
    async def scene(client: Player) -> None:
        prompt = {**mixed(0.0), "black": picture(50), "white": picture(51), "aside": node("PreviewImage", images=["white", 0])}
        seen = await client.run(prompt, partial_execution_targets=["save"])
        assert not seen.ran & {"white", "aside"}

    play(address, scene)


def test_to_want_nothing_is_refused(address: str) -> None:
    async def scene(client: Player) -> None:
        told = await client.refused(mixed(0.5), partial_execution_targets=[])
        assert told["error"]["type"] == "prompt_no_outputs"

    play(address, scene)
