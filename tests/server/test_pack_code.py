"""Packs whose code moves on: followed while it is written (`--dev`), and told of where a workflow was saved before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from comfy_client import PATIENCE, Client, connected
from comfy_prompts import node

from tests.server.conftest import Process

PACK = """
from nodegraph import node

@node("moving/Word", category="moving", version={version}, upgrade=lambda version, inputs: {{"text": inputs["word"]}})
def word(text: str = "{default}") -> str:
    '''A word.'''
    return text + "{ending}"
"""

Start = Callable[..., Process]


def serve_pack(tmp_path: Path, started: Start, *arguments: str) -> tuple[Path, str]:
    """(the code of a pack that is served, the address)."""
    code = tmp_path / "moving" / "nodes.py"
    code.parent.mkdir()
    code.write_text(PACK.format(version=2, default="old", ending="!"))
    environ = {"NODEGRAPH_CACHE": str(tmp_path / "cache")}
    process = started("--packs", str(code.parent), "--device", "cpu", *arguments, environ=environ)
    return code, process.address()


async def said(client: Client) -> str:
    """What the pack's node says now, in a run."""
    id = await client.submit({"1": node("moving/Word"), "2": node("PreviewAny", source=["1", 0])})
    (text,) = (await client.finished(id))["outputs"]["2"]["text"]
    return str(text)


def test_while_it_is_written_the_code_of_a_pack_is_followed(tmp_path: Path, started: Start) -> None:
    code, address = serve_pack(tmp_path, started, "--dev")

    async def default(client: Client) -> str:
        described = await client.get("/object_info/moving%2FWord")
        return str(described["moving/Word"]["input"]["required"]["text"][1]["default"])

    async def scene() -> None:
        async with connected(address) as client, asyncio.timeout(PATIENCE):
            assert (await default(client), await said(client)) == ("old", "old!")
            code.write_text(PACK.format(version=2, default="new", ending="?"))
            while await default(client) != "new":
                await asyncio.sleep(0.05)
            assert await said(client) == "new?"

    asyncio.run(scene())


def test_a_workflow_that_was_saved_with_an_older_node_is_carried_over_and_that_is_told(tmp_path: Path, started: Start) -> None:
    _, address = serve_pack(tmp_path, started)
    old = {"type": "moving/Word", "version": 1, "inputs": {"word": "kept"}}
    show = {"type": "ShowText", "inputs": {"value": {"link": ["1", "str"]}}}
    workflow = {"nodegraph": 1, "nodes": {"1": old, "2": show}}

    async def scene() -> None:
        async with connected(address) as client:
            status, checked = await client.post("/api/v1/check", {"workflow": workflow})
            told = "node 1 (moving/Word) was saved with version 1 of its type, now 2; its inputs were brought up to date"
            assert (status, checked["warnings"]) == (200, [told])
            status, accepted = await client.post("/api/v1/runs", {"workflow": workflow})
            assert (status, accepted["warnings"]) == (201, [told])
            entry = await client.finished(accepted["id"])
            assert entry["outputs"] == {"2": {"text": ["kept!"]}}
            ran = await client.get(f"/api/v1/runs/{accepted['id']}/workflow")
            assert ran["workflow"]["nodes"]["1"] == {"type": "moving/Word", "version": 2, "inputs": {"text": "kept"}}
            _, today = await client.post("/api/v1/check", {"workflow": ran["workflow"]})
            assert today["warnings"] == []

    asyncio.run(scene())
