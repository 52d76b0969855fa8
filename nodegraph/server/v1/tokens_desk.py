"""How a prompt is cut into tokens: `/tokens`. Without torch, and without a worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from nodegraph.server.v1 import shapes
from nodegraph.server.v1.operation import operation

if TYPE_CHECKING:
    from nodegraph.server.v1.requests import TokensRequest


class TokensDesk:
    tag = "Nodes"

    @operation("POST", "/tokens")
    async def tokens(self, request: web.Request, body: TokensRequest) -> shapes.Tokens:
        """How many tokens CLIP makes of a prompt, by chunk. A chunk holds 75 of a text's, and is padded."""
        return {"chunks": await asyncio.to_thread(count, body.text, body.syntax), "size": _size()}


def count(text: str, syntax: str) -> list[int]:
    """Tokens of each chunk of a prompt, begin, end and padding left out."""
    from nodegraph.diffusion.prompt import chunk_prompt
    from nodegraph.diffusion.tokenizer import EOS

    ids = [[token.id for token in chunk] for chunk in chunk_prompt(text, "comfyui" if syntax == "comfyui" else "extended")]
    return [chunk.index(EOS) - 1 if EOS in chunk else len(chunk) - 2 for chunk in ids]


def _size() -> int:
    from nodegraph.diffusion.prompt import CHUNK

    return CHUNK - 2
