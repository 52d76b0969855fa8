"""Train a small latent diffusion checkpoint from captioned pictures, each stage a node: data set, autoencoder, U-Net with text encoder.

Stages keep their state in `training/NAME` of the output folder. A stage that was cancelled, or asked for more steps, goes on where it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from nodegraph import Context, InputRefused, Number, Seed, Text, node
from nodegraph.diffusion import Image, Model, TextEncoder, TrainingSet, Vae, WeightsRef

if TYPE_CHECKING:
    from nodegraph.diffusion.training.diffusion import TextToLatent

Name = Annotated[str, Text(multiline=False, placeholder="a folder name")]
Steps = Annotated[int, Number(1, 10_000_000)]
Optimiser = Literal["muon", "adamw"]
Precision = Literal["bf16", "float32"]
Parts = Annotated[int, Number(1, 1024)]
Schedule = Literal["trapezoid", "cosine", "constant"]
Minutes = Annotated[float, Number(0.1, 1440)]


@node("BuildEmojiDataset", category="training", lane="cpu", cached=False)
def build_emoji_dataset(
    ctx: Context,
    packages: str = "packages",
    name: Name = "emoji",
    subjects: Literal["demo", "all"] = "demo",
    styles: str = "3d, noto, flat, twemoji",
    size: Annotated[int, Number(32, 1024)] = 256,
) -> TrainingSet:
    """Make a captioned data set from emoji packages: pictures with transparency, a label, tags and a style word each.

    packages: folder in the input folder with the archives that `npm pack` fetches; `nodes/README.md` lists them
    name: the data set goes to `datasets/NAME` in the output folder; it is made again only if it is not there
    subjects: "demo" takes 281 everyday ones, "all" every animal, food, place, activity and object
    styles: drawn by whom: 3d, noto, flat, twemoji, emojione, retro; separated by commas
    """
    from nodegraph.diffusion.training.emoji import build_emoji_dataset as build
    from nodegraph.diffusion.training.emoji_subjects import DEMO_SUBJECTS

    folder = ctx.files.place("output", f"datasets/{name}")
    if not (folder / "metadata.jsonl").is_file():
        chosen = DEMO_SUBJECTS if subjects == "demo" else None
        steps = build(ctx.files.place("input", packages), folder, subjects=chosen, styles=named(styles), size=size)
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


class Scenes(NamedTuple):
    images: list[Image]
    captions: list[str]


@node("SampleDataset", category="training", lane="cpu", cached=False)
def sample_dataset(
    ctx: Context,
    data: TrainingSet,
    count: Annotated[int, Number(1, 1000)] = 40,
    size: Annotated[int, Number(32, 1024, step=8)] = 128,
    seed: Seed = 0,
) -> Scenes:
    """Look at what the networks will be shown: pictures of a data set in random scenes, with the words for each.

    count: how many scenes; size: their edge in pixels
    captions: empty for those that are trained without words
    """
    import numpy as np

    from nodegraph.diffusion.training.batches import PictureStore, Stream, generator, paint_shot, shoot
    from nodegraph.diffusion.training.captions import CaptionRecipe, describe
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.scenes import SceneRecipe

    dataset = read_dataset(data.folder)
    store, rng = PictureStore(dataset), generator(seed, Stream.SAMPLE)
    chosen = (rng.permutation(count) * len(dataset.entries)) // count
    shots = [shoot(dataset, int(index), SceneRecipe(), rng) for index in ctx.track(chosen)]
    images = [Image(paint_shot(store, shot, (size, size))[None].astype(np.float32) / np.float32(255)) for shot in shots]
    entries = [[dataset.entries[index] for index in shot.cast] for shot in shots]
    words = [describe(cast[0], shot.scene, CaptionRecipe(), rng, *cast[1:]) for cast, shot in zip(entries, shots, strict=True)]
    ctx.show("text", text="\n".join(word or "(no words)" for word in words))
    return Scenes(images, words)


class Trained(NamedTuple):
    vae: Vae
    samples: Image
    curve: Image


@node("TrainVAE", category="training", lane="device")
def train_vae(
    ctx: Context,
    data: TrainingSet,
    name: Name = "emoji",
    steps: Steps = 3400,
    batch: Annotated[int, Number(1, 1024)] = 8,
    size: Annotated[int, Number(32, 1024, step=8)] = 128,
    lr: Annotated[float, Number(0, 1)] = 5e-4,
    schedule: Schedule = "cosine",
    optimiser: Optimiser = "muon",
    accumulate: Parts = 1,
    precision: Precision = "bf16",
    early_steps: Annotated[int, Number(0, 10_000_000)] = 1000,
    sample_steps: Annotated[int, Number(0, 1_000_000)] = 200,
    save_minutes: Minutes = 2.0,
    seed: Seed = 0,
) -> Trained:
    """Train an autoencoder with 4 latent channels that makes pictures 8 times smaller along each side (Rombach et al. 2022).

    name: state, samples and result go to `training/NAME/vae` in the output folder
    steps: in all; raise it to train on
    batch: pictures a step
    size: edge of the pictures in pixels
    lr: highest learning rate, reached after a short warm-up
    schedule: it then falls to a thirtieth along a cosine, or linearly over the last part (trapezoid), or stays
    optimiser: Muon changes matrices by orthogonal steps (Jordan et al. 2024), and everything else as AdamW does
    accumulate: this many batches make one step: as good as a larger batch where memory is short
    precision: of the arithmetic; weights stay float32
    early_steps: the first steps work on crops of half the size, which is quicker
    sample_steps: how often sample pictures are made, 0 never
    save_minutes: how often the state is saved, besides every 500 steps and when cancelled
    samples: originals, each with its reconstruction at the right
    """
    import torch

    from nodegraph.diffusion.training.batches import to_signed
    from nodegraph.diffusion.training.checkpoint import fitting_pictures
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.export import card_of, export_vae
    from nodegraph.diffusion.training.loop import LoopSettings, train
    from nodegraph.diffusion.training.memory import check_memory
    from nodegraph.diffusion.training.optimiser import OptimiserSettings
    from nodegraph.diffusion.training.report import curve_of, follow, licence_of, sheet_of, tell_memory
    from nodegraph.diffusion.training.vae import VaeSettings, VaeTask, standardise

    folder = ctx.files.place("output", f"training/{name}/vae")
    dataset = read_dataset(data.folder)
    task = VaeTask(dataset, VaeSettings(size=size, batch=batch, early_steps=early_steps), seed=seed)
    rates = LoopSettings(steps=steps, seed=seed, lr=lr, lr_end=lr / 30, warmup=100, schedule=schedule, accumulate=accumulate)
    saving = replace(rates, sample_steps=sample_steps, save_seconds=60 * save_minutes)
    settings = replace(saving, optimiser=OptimiserSettings(optimiser), bf16=precision == "bf16")
    task.to(ctx.device)
    tell_memory(ctx, check_memory(task, settings), batch)
    follow(ctx, train(task, settings, folder), folder)
    samples = task.samples()
    task.to(torch.device("cpu"))
    pictures = to_signed(fitting_pictures(task))
    standardise(task.net, pictures)
    path = folder / "vae.safetensors"
    export_vae(path, task.net, pictures, card_of(dataset, f"{name} autoencoder", licence_of(dataset)))
    return Trained(Vae(WeightsRef.of(path)), sheet_of(samples), curve_of(folder))


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
    start: Model | None = None,
    name: Name = "emoji",
    steps: Steps = 7000,
    batch: Annotated[int, Number(1, 4096)] = 48,
    lr: Annotated[float, Number(0, 1)] = 6e-4,
    schedule: Schedule = "trapezoid",
    optimiser: Optimiser = "muon",
    accumulate: Parts = 1,
    precision: Precision = "bf16",
    size: Annotated[int, Number(32, 1024, step=32)] = 128,
    aspect: Annotated[float, Number(1, 4)] = 2.0,
    variants: Annotated[int, Number(1, 10_000)] = 16,
    min_snr: Annotated[float, Number(0, 1000)] = 0.0,
    wordless: Annotated[str, Text(multiline=False, placeholder="subjects, separated by commas")] = "",
    negative: Annotated[str, Text(multiline=False, placeholder="words, separated by commas")] = "",
    prompts: Annotated[str, Text()] = "",
    licence: str = "",
    sample_steps: Annotated[int, Number(0, 1_000_000)] = 400,
    save_minutes: Minutes = 2.0,
    seed: Seed = 0,
) -> TrainedCheckpoint:
    """Train a U-Net and its text encoder together on latents, and put them into one checkpoint in Stable Diffusion's layout.

    It learns to predict v (Salimans & Ho 2022); one caption in ten is left empty for guidance (Ho & Salimans 2022).

    vae: from `TrainVAE`, or that of `start`; the pictures are encoded with it once, at the beginning
    start: a checkpoint to train on from, with the text encoder in its file; it must predict v. Without one, training begins at nothing
    name: state, samples and checkpoint go to `training/NAME/diffusion` in the output folder
    steps: in all; raise it to train on
    batch: latents a step
    lr: highest learning rate, reached after a short warm-up
    schedule: it then stays and falls linearly to zero over the last part (trapezoid), or falls along a cosine, or stays
    optimiser: Muon changes matrices by orthogonal steps (Jordan et al. 2024), and everything else as AdamW does; measured: it needs two
        thirds of the steps that AdamW needs
    accumulate: this many batches make one step: as good as a larger batch where memory is short
    precision: of the arithmetic; weights stay float32
    size: edge of the pictures in pixels
    aspect: photos keep their shape up to this ratio of their sides, with about as many pixels; 1 crops them to squares
    variants: how many scenes of each picture are encoded: backgrounds, sizes, places
    min_snr: weight steps by min(SNR, this) / (SNR + 1) (Hang et al. 2023, section 3.4). 0 weights all noise levels alike: subjects
        and colours, decided where there is most noise, are then learnt sooner in a short run
    wordless: subjects that an empty prompt draws, and a prompt of words the data set never uses; a quarter of the pictures then shows
        them without words. Empty: a tenth of the captions is left out whatever they tell, and such prompts give nothing in particular
    negative: words of negative prompts, such as "blurry, ugly": a caption that is left out says one to four of these (without `wordless`
        only every second one), and a negative prompt of such words then leads best. `wordless` needs this, or guidance gets weak: the
        empty prompt stands for its subjects, no longer for all pictures
    prompts: one a line; the sample sheet shows a picture of each. Empty takes subjects and styles in turn
    licence: of the weights, written into the file beside whose pictures they come from; empty takes the licences of the pictures
    sample_steps: how often the sample sheet is made, 0 never
    save_minutes: how often the state is saved, besides every 500 steps and when cancelled
    """
    from nodegraph.diffusion.training.captions import CaptionRecipe
    from nodegraph.diffusion.training.checkpoint import CheckpointJob
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.diffusion import DiffusionSettings
    from nodegraph.diffusion.training.latents import LatentSettings
    from nodegraph.diffusion.training.loop import LoopSettings
    from nodegraph.diffusion.training.memory import check_memory
    from nodegraph.diffusion.training.optimiser import OptimiserSettings
    from nodegraph.diffusion.training.report import curve_of, follow, licence_of, sheet_of, tell_memory
    from nodegraph.diffusion.training.wordless import WordlessRecipe

    folder = ctx.files.place("output", f"training/{name}/diffusion")
    dataset = read_dataset(data.folder)
    lines = tuple(line.strip() for line in prompts.splitlines() if line.strip())
    rates = LoopSettings(steps=steps, seed=seed, lr=lr, lr_end=0.0, schedule=schedule, average=0.999, accumulate=accumulate)
    saving = replace(rates, sample_steps=sample_steps, save_seconds=60 * save_minutes)
    loop = replace(saving, optimiser=OptimiserSettings(optimiser), bf16=precision == "bf16")
    begun = None if start is None else start_of(ctx, start)
    captions, few = CaptionRecipe(negative=named(negative)), WordlessRecipe(named(wordless))
    with ctx.load(vae) as net:
        job = CheckpointJob(
            dataset,
            net.net,
            folder,
            title=name,
            licence=licence or licence_of(dataset),
            loop=loop,
            diffusion=DiffusionSettings(batch=batch, captions=captions, min_snr=min_snr, wordless=few),
            latents=LatentSettings(size=size, variants=variants, aspect=aspect),
            prompts=lines,
            start=begun,
            device=ctx.device,
        )
        for _ in ctx.track(job.encode(), at=lambda step: (step.done, step.total), text=lambda step: "encoding pictures"):
            pass
        tell_memory(ctx, check_memory(job.task, loop), batch)
        follow(ctx, job.train(), folder)
        path, samples = job.finish()
    ref = WeightsRef.of(path)
    return TrainedCheckpoint(Model(ref), TextEncoder(ref), Vae(ref), sheet_of(samples), curve_of(folder))


def named(words: str) -> tuple[str, ...]:
    """What a line names, separated by commas."""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def start_of(ctx: Context, start: Model) -> TextToLatent:
    """Trainable copies of a checkpoint's networks. Raises InputRefused if training here could not go on from them."""
    from nodegraph.diffusion.training.diffusion import TextToLatent

    if start.patches:
        raise InputRefused("the model has patches, which training would not see", input="start", hint="connect it unpatched")
    with ctx.load(start) as model, ctx.load(TextEncoder(start.weights)) as text:
        if model.info.prediction != "v" or len(text.nets) != 1:
            raise InputRefused(
                f"{start.weights.name} predicts {model.info.prediction} and has {len(text.nets)} text encoders; "
                "training goes on from models that predict v and have one",
                input="start",
                hint="start from a checkpoint that `TrainDiffusion` made, or from nothing",
            )
        return TextToLatent.of(model.net, text.nets[0])


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
