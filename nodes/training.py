"""Train a small latent diffusion checkpoint from captioned pictures, each stage a node: data set, autoencoder, U-Net with text encoder.

Stages keep their state in `training/NAME` of the output folder. A stage that was cancelled, or asked for more steps, goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from nodegraph import Context, InputRefused, Number, Seed, Text, node
from nodegraph.diffusion import Image, Model, TextEncoder, TrainingSet, Vae, WeightsRef

if TYPE_CHECKING:
    from nodegraph.diffusion.training.loop import TrainStep

Name = Annotated[str, Text(multiline=False, placeholder="a folder name")]
Steps = Annotated[int, Number(1, 10_000_000)]


@node("BuildEmojiDataset", category="training", lane="cpu", cached=False)
def build_emoji_dataset(
    ctx: Context,
    packages: str = "packages",
    name: Name = "emoji",
    subjects: Literal["demo", "all"] = "demo",
    styles: str = "3d, noto, flat",
    size: Annotated[int, Number(32, 1024)] = 256,
) -> TrainingSet:
    """Make a captioned data set from emoji packages: pictures with transparency, a label, tags and a style word each.

    packages: folder in the input folder with the archives that `npm pack` fetches; `nodes/README.md` lists them
    name: the data set goes to `datasets/NAME` in the output folder; it is made again only if it is not there
    subjects: "demo" takes 30 distinct ones, "all" every animal, food, place, activity and object
    styles: drawn by whom: 3d, noto, flat, twemoji, emojione, retro; separated by commas
    """
    from nodegraph.diffusion.training.emoji import build_emoji_dataset as build
    from nodegraph.diffusion.training.emoji_subjects import DEMO_SUBJECTS

    folder = ctx.files.place("output", f"datasets/{name}")
    if not (folder / "metadata.jsonl").is_file():
        words = [word.strip() for word in styles.split(",") if word.strip()]
        chosen = DEMO_SUBJECTS if subjects == "demo" else None
        steps = build(ctx.files.place("input", packages), folder, subjects=chosen, styles=words, size=size)
        for _ in ctx.track(steps, at=lambda step: (step.done, step.total), text=lambda step: step.file):
            pass
    return TrainingSet(folder)


@node("LoadDataset", category="training", lane="cpu", cached=False)
def load_dataset(ctx: Context, folder: str) -> TrainingSet:
    """Name a folder of pictures with words: a `metadata.jsonl`, or a text file beside each picture.

    folder: in the input folder
    """
    from nodegraph.diffusion.training.dataset import read_dataset

    path = ctx.files.place("input", folder)
    read_dataset(path)
    return TrainingSet(path)


class Trained(NamedTuple):
    vae: Vae
    samples: Image
    curve: Image


@node("TrainVAE", category="training", lane="device")
def train_vae(
    ctx: Context,
    data: TrainingSet,
    name: Name = "emoji",
    steps: Steps = 2600,
    batch: Annotated[int, Number(1, 1024)] = 8,
    size: Annotated[int, Number(32, 1024, step=8)] = 128,
    lr: Annotated[float, Number(0, 1)] = 6e-4,
    early_steps: Annotated[int, Number(0, 10_000_000)] = 1000,
    sample_steps: Annotated[int, Number(0, 1_000_000)] = 200,
    seed: Seed = 0,
) -> Trained:
    """Train an autoencoder with 4 latent channels that makes pictures 8 times smaller along each side (Rombach et al. 2022).

    name: state, samples and result go to `training/NAME/vae` in the output folder
    steps: in all; raise it to train on
    batch: pictures a step
    size: edge of the pictures in pixels
    lr: highest learning rate of AdamW; it falls to a thirtieth along a cosine
    early_steps: the first steps work on crops of half the size, which is quicker
    sample_steps: how often sample pictures are made, 0 never
    samples: originals, each with its reconstruction at the right
    """
    from nodegraph.diffusion.training.batches import to_signed
    from nodegraph.diffusion.training.checkpoint import fitting_pictures
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.export import card_of, export_vae
    from nodegraph.diffusion.training.loop import LoopSettings, train
    from nodegraph.diffusion.training.vae import VaeSettings, VaeTask, standardise

    folder = ctx.files.place("output", f"training/{name}/vae")
    dataset = read_dataset(data.folder)
    task = VaeTask(dataset, VaeSettings(size=size, batch=batch, early_steps=early_steps), seed=seed)
    settings = LoopSettings(steps=steps, seed=seed, lr=lr, lr_end=lr / 30, warmup=100, sample_steps=sample_steps)
    follow(ctx, train(task, settings, folder), folder)
    samples = task.samples()
    pictures = to_signed(fitting_pictures(task))
    standardise(task.net, pictures)
    path = folder / "vae.safetensors"
    export_vae(path, task.net, pictures, card_of(dataset, f"{name} autoencoder", licence_of(dataset)))
    return Trained(Vae(WeightsRef.of(path)), sheet_of(samples, 5), curve_of(folder))


class TrainedCheckpoint(NamedTuple):
    model: Model
    clip: TextEncoder
    vae: Vae
    samples: Image
    curve: Image


@node("TrainDiffusion", category="training", lane="device")
def train_diffusion(
    ctx: Context,
    data: TrainingSet,
    vae: Vae,
    name: Name = "emoji",
    steps: Steps = 5000,
    batch: Annotated[int, Number(1, 4096)] = 32,
    lr: Annotated[float, Number(0, 1)] = 6e-4,
    variants: Annotated[int, Number(1, 10_000)] = 48,
    min_snr: Annotated[float, Number(0, 1000)] = 0.0,
    prompts: Annotated[str, Text()] = "",
    licence: str = "",
    sample_steps: Annotated[int, Number(0, 1_000_000)] = 400,
    seed: Seed = 0,
) -> TrainedCheckpoint:
    """Train a U-Net and its text encoder together on latents, and put them into one checkpoint in Stable Diffusion's layout.

    It learns to predict v (Salimans & Ho 2022); one caption in ten is left empty for guidance (Ho & Salimans 2022).

    vae: from `TrainVAE`; the pictures are encoded with it once, at the beginning
    name: state, samples and checkpoint go to `training/NAME/diffusion` in the output folder
    steps: in all; raise it to train on
    batch: latents a step
    lr: highest learning rate of AdamW; constant, then falling linearly to zero over the last part
    variants: how many scenes of each picture are encoded: backgrounds, sizes, places
    min_snr: weight steps by min(SNR, this) / (SNR + 1) (Hang et al. 2023, section 3.4). 0 weights all noise levels alike: subjects
        and colours, decided where there is most noise, are then learnt sooner in a short run
    prompts: one a line; the sample sheet shows a picture of each. Empty takes subjects and styles in turn
    licence: of the weights, written into the file beside whose pictures they come from; empty takes the licences of the pictures
    sample_steps: how often the sample sheet is made, 0 never
    """
    from nodegraph.diffusion.training.checkpoint import CheckpointJob
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.diffusion import DiffusionSettings
    from nodegraph.diffusion.training.latents import LatentSettings
    from nodegraph.diffusion.training.loop import LoopSettings

    folder = ctx.files.place("output", f"training/{name}/diffusion")
    dataset = read_dataset(data.folder)
    lines = tuple(line.strip() for line in prompts.splitlines() if line.strip())
    loop = LoopSettings(steps=steps, seed=seed, lr=lr, lr_end=0.0, schedule="trapezoid", average=0.999, sample_steps=sample_steps)
    with ctx.load(vae) as net:
        job = CheckpointJob(
            dataset,
            net.net,
            folder,
            title=name,
            licence=licence or licence_of(dataset),
            loop=loop,
            diffusion=DiffusionSettings(batch=batch, min_snr=min_snr),
            latents=LatentSettings(variants=variants),
            prompts=lines,
        )
        for _ in ctx.track(job.encode(), at=lambda step: (step.done, step.total), text=lambda step: "encoding pictures"):
            pass
        follow(ctx, job.train(), folder)
        path, samples = job.finish()
    ref = WeightsRef.of(path)
    return TrainedCheckpoint(Model(ref), TextEncoder(ref), Vae(ref), sheet_of(samples, 10), curve_of(folder))


@node("SaveCheckpoint", category="training", output=True, lane="cpu")
def save_checkpoint(ctx: Context, model: Model, name: Name = "model") -> None:
    """Copy the checkpoint a model comes from to `checkpoints` in the output folder, under a new number.

    model: without patches; the file is copied whole, with text encoder and VAE
    """
    import shutil

    if model.patches:
        raise InputRefused("the model has patches, which a copy of its file would not have", input="model", hint="connect it unpatched")
    with open(model.weights.path, "rb") as source:
        saved = ctx.files.save("output", f"checkpoints/{name}", ".safetensors", lambda stream: shutil.copyfileobj(source, stream))
    ctx.show("file", file=saved)


# ------------------------------------------------------------------------------------------------ what the stages share


def follow(ctx: Context, steps: Iterator[TrainStep], folder: Path) -> None:
    """Work through a training loop with progress, previews and sample sheets; cancelling saves the state first."""
    from nodegraph.diffusion.pictures import write_png

    def words(step: TrainStep) -> str:
        return f"loss {step.loss:.4f}, {step.left / 60:.1f} min left"

    for step in ctx.track(steps, at=lambda step: (step.step, step.total), text=words):
        if step.samples is not None:
            sheet = sheet_of(step.samples, 5 if step.samples.shape[2] > step.samples.shape[1] else 10)
            ctx.preview(lambda sheet=sheet: (sheet.data[0] * 255).astype("uint8"))  # type: ignore[misc]
            write_png(folder / "samples.png", sheet)
            write_png(folder / "curve.png", curve_of(folder))


def sheet_of(pictures: Any, columns: int) -> Image:
    """uint8 (B, H, W, 3) on one sheet."""
    import numpy as np

    from nodegraph.diffusion.sheets import sheet

    return sheet([picture.astype(np.float32) / 255 for picture in pictures], columns, 2)


def curve_of(folder: Path) -> Image:
    """The loss over all steps so far, as a picture."""
    from nodegraph.diffusion.plots import loss_curve

    try:
        losses = json.loads((folder / "curve.json").read_text())["losses"]
    except (OSError, ValueError, KeyError):
        losses = []
    return loss_curve(losses)


def licence_of(dataset: Any) -> str:
    """The licences of the pictures, each once."""
    return ", ".join(sorted({entry.licence for entry in dataset.entries if entry.licence})) or "unknown"
