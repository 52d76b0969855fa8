"""Workflows to open: as data, and as files that are dropped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

File = tuple[str, bytes]
"""name and content"""
Nodes = Mapping[str, Mapping[str, Any]]


def link(node: str, output: str) -> dict[str, Any]:
    return {"link": [node, output]}


def node(type_: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": type_, "inputs": dict(inputs or {}), **more}


def workflow(nodes: Nodes, title: str = "", columns: int = 4, **more: Any) -> dict[str, Any]:
    """Laid out on a grid."""
    layout = {id: {"pos": [i % columns * 320, i // columns * 420]} for i, id in enumerate(nodes)}
    return {"nodegraph": 1, "nodes": dict(nodes), "layout": layout, "meta": {"title": title} if title else {}, **more}


def json_file(data: Any, name: str = "workflow.json") -> File:
    return (name, json.dumps(data).encode())


def held(file: str) -> dict[str, Any]:
    """Runs until a file is there, and then shows a number."""
    wait = node("gate/Wait", {"file": file, "value": 7})
    return workflow({"wait": wait, "show": node("gate/Show", {"value": link("wait", "int")})}, "Held")


def grid(count: int = 1000, columns: int = 25) -> dict[str, Any]:
    """So many nodes and half as many links again: prompts, samplers, decoders and combinations of them."""
    nodes: dict[str, Any] = {"checkpoint": node("LoadCheckpoint", {}), "latent": node("EmptyLatent", {})}
    kinds = (_prompt, _sampler, _decoder)
    for i in range(count - len(nodes)):
        nodes[f"n{i}"] = kinds[i % 3](i)
    return workflow(nodes, f"{count} nodes", columns)


def _prompt(i: int) -> dict[str, Any]:
    return node("CLIPEncode", {"clip": link("checkpoint", "clip"), "text": f"a fox, number {i}, (sharp:1.2)"})


def _sampler(i: int) -> dict[str, Any]:
    inputs = {"positive": link(f"n{i - 1}", "conditioning"), "latent": link("latent", "latent") if i < 3 else link(f"n{i - 3}", "latent")}
    model = {} if i % 2 else {"model": link("checkpoint", "model")}
    return node("KSampler", {**model, **inputs, "seed": i})


def _decoder(i: int) -> dict[str, Any]:
    return node("VAEDecode", {"latent": link(f"n{i - 1}", "latent")})


def count_links(data: Mapping[str, Any]) -> int:
    return sum(isinstance(value, dict) and "link" in value for one in data["nodes"].values() for value in one["inputs"].values())
