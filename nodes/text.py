"""Nodes for prompts and other text."""

from __future__ import annotations

from typing import Annotated, Literal

from nodegraph import Context, Each, Slider, Text, node
from nodegraph.diffusion import Conditioning, TextEncoder


@node("CLIPEncode", category="text")
def clip_encode(
    ctx: Context,
    clip: TextEncoder,
    text: Each[Annotated[str, Text(prompt=True)]] = "",
    syntax: Literal["extended", "comfyui"] = "extended",
) -> Conditioning:
    """Encode a prompt for the denoiser (CLIP, Radford et al. 2021).

    clip: from the same checkpoint as the model
    text: `(word:1.2)` strengthens, `(word)` is 1.1, `[word]` weakens, `\\(` is a plain parenthesis, BREAK starts a new chunk of 75
        tokens; longer prompts are split into chunks by themselves
    syntax: "comfyui" reads brackets and BREAK as plain text, as ComfyUI does; imported workflows use it
    """
    if "embedding:" in text:
        ctx.log("embeddings in prompts are not read yet; `embedding:...` is encoded as plain text", "warning")
    with ctx.load(clip) as net:
        result: Conditioning = net.encode(text, syntax)
    return result


@node("BlendConditioning", category="text")
def blend_conditioning(
    base: Each[Conditioning],
    overlay: Each[Conditioning],
    keep: Each[Annotated[float, Slider(0, 1, step=0.01)]] = 0.5,
    lengths: Literal["repeat", "base"] = "repeat",
) -> Conditioning:
    """Mix two encoded prompts, number by number: base * keep + overlay * (1 - keep). What comes out lies between the two pictures.

    base: its regions and times are kept
    overlay: of several entries the first is used, if `base` has another number of them
    keep: how much of the base stays
    lengths: of prompts of more than one chunk: "repeat" brings both to a common length, "base" cuts the overlay or fills it with zeros,
        as ComfyUI does; imported workflows use it
    """
    from nodegraph.diffusion.conditionings import blend

    return blend(base, overlay, keep, lengths)


@node("JoinText", category="text")
def join_text(a: Each[str] = "", b: Each[str] = "", separator: str = ", ") -> str:
    """Put two texts together; the separator is left out if one is empty.

    separator: what comes between, for instance a comma and a space
    """
    return separator.join(part for part in (a, b) if part)


@node("ReplaceText", category="text")
def replace_text(text: Each[Annotated[str, Text()]], find: str, replace: Each[str] = "") -> str:
    """Replace every occurrence of a word in a text. With a list of replacements it gives a list of texts.

    find: taken literally, not as a pattern
    """
    return text.replace(find, replace) if find else text


@node("Lines", category="text")
def lines(text: Annotated[str, Text()]) -> list[str]:
    """One text a line: a list of prompts from a text field. Empty lines and lines that begin with # are left out."""
    found = (line.strip() for line in text.splitlines())
    return [line for line in found if line and not line.startswith("#")]


@node("ShowText", category="text", output=True)
def show_text(ctx: Context, value: Each[str | int | float | bool]) -> str:
    """Show a text or number on the node, and pass it on as text."""
    ctx.show("text", text=str(value))
    return str(value)
