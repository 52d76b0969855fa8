"""Prompts as ComfyUI's clients post them."""

from __future__ import annotations

from typing import Any

Prompt = dict[str, Any]


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    return {**entry, "_meta": {"title": title}} if title else entry


def text_to_image(checkpoint: str = "tiny-emoji.safetensors", steps: int = 2, size: int = 32, seed: int = 7) -> Prompt:
    """The workflow that every client's example begins with, small."""
    sampler = node(
        "KSampler",
        "KSampler",
        model=["4", 0],
        seed=seed,
        steps=steps,
        cfg=2.0,
        sampler_name="euler",
        scheduler="normal",
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
        denoise=1.0,
    )
    return {
        "3": sampler,
        "4": node("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name=checkpoint),
        "5": node("EmptyLatentImage", "Empty Latent Image", width=size, height=size, batch_size=1),
        "6": node("CLIPTextEncode", "Prompt", text="a fox", clip=["4", 1]),
        "7": node("CLIPTextEncode", "Negative", text="", clip=["4", 1]),
        "8": node("VAEDecode", "VAE Decode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", "Save Image", images=["8", 0], filename_prefix="fox"),
    }


def text(value: str = "hello", id: str = "1") -> Prompt:
    """A prompt that needs no model: it shows a text."""
    return {id: node("PreviewAny", source=[f"{id}s", 0]), f"{id}s": node("PrimitiveString", value=value)}
