"""Judge pictures by their words: an image-text encoder trained here, the CLIP score, and reports over many prompts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from nodegraph import Blocked, Context, Each, InputRefused, ModelFile, Number, Seed, Text, node
from nodegraph.diffusion import Image, ImageTextEncoder, TrainingSet, WeightsRef


class TrainedEncoder(NamedTuple):
    encoder: ImageTextEncoder
    samples: Image
    curve: Image


@node("TrainImageTextEncoder", category="training", lane="device")
def train_image_text_encoder(
    ctx: Context,
    data: TrainingSet,
    name: Annotated[str, Text(multiline=False, placeholder="a folder name")] = "emoji",
    steps: Annotated[int, Number(1, 10_000_000)] = 1600,
    batch: Annotated[int, Number(2, 4096)] = 64,
    lr: Annotated[float, Number(0, 1)] = 2e-3,
    optimiser: Literal["muon", "adamw"] = "muon",
    licence: str = "",
    sample_steps: Annotated[int, Number(0, 1_000_000)] = 200,
    save_minutes: Annotated[float, Number(0.1, 1440)] = 2.0,
    seed: Seed = 0,
) -> TrainedEncoder:
    """Train a small image-text encoder (CLIP, Radford et al. 2021) on scenes of a data set; `CLIPScore` and `JudgePictures` ask it.

    It sees the real pictures only, spoilt by blur, noise and light, and learns their captions and, where the data set says so, which
    subject, style and background each one shows.

    name: state, samples and result go to `training/NAME/judge` in the output folder
    steps: in all; raise it to train on
    batch: scenes a step; each is told from the captions of the others
    lr: highest learning rate, reached after a short warm-up; over the second half it falls to zero
    optimiser: Muon changes matrices by orthogonal steps (Jordan et al. 2024), and everything else as AdamW does
    licence: of the weights, written into the file beside whose pictures they come from; empty takes the licences of the pictures
    sample_steps: how often sample pictures are judged, 0 never
    save_minutes: how often the state is saved, besides every 500 steps and when cancelled
    samples: scenes with what they are judged to show below: subject, style, background
    """
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.dual_encoder import DualEncoderSettings
    from nodegraph.diffusion.training.dual_job import DualEncoderJob, loop_settings
    from nodegraph.diffusion.training.memory import check_memory
    from nodegraph.diffusion.training.report import curve_of, follow, licence_of, sheet_of, tell_memory

    folder = ctx.files.place("output", f"training/{name}/judge")
    dataset = read_dataset(data.folder)
    loop = loop_settings(steps, lr, optimiser, sample_steps=sample_steps, save_seconds=60 * save_minutes, seed=seed)
    settings, title = DualEncoderSettings(batch=batch), f"{name} judge"
    job = DualEncoderJob(dataset, folder, title, licence or licence_of(dataset), loop, settings, device=ctx.device)
    tell_memory(ctx, check_memory(job.task, loop), batch)
    follow(ctx, job.train(), folder)
    path, samples = job.finish()
    return TrainedEncoder(ImageTextEncoder(WeightsRef.of(path)), sheet_of(samples), curve_of(folder))


@node("SaveImageTextEncoder", category="training", output=True, lane="cpu")
def save_image_text_encoder(
    ctx: Context, encoder: ImageTextEncoder, name: Annotated[str, Text(multiline=False, placeholder="a file name")] = "judge"
) -> None:
    """Copy an image-text encoder to `clip_score` in the output folder, under a new number."""
    import shutil

    with open(encoder.weights.path, "rb") as source:
        saved = ctx.files.save("output", f"clip_score/{name}", ".safetensors", lambda stream: shutil.copyfileobj(source, stream))
    ctx.show("file", file=saved)


@node("LoadImageTextEncoder", category="loaders", lane="cpu")
def load_image_text_encoder(
    ctx: Context, file: Annotated[str, ModelFile("clip_score")] = "tiny-emoji-judge.safetensors"
) -> ImageTextEncoder:
    """Name an image-text encoder, for `CLIPScore` and `JudgePictures`.

    file: a .safetensors file in `models/clip_score`, made by `TrainImageTextEncoder`
    """
    from nodegraph.diffusion.identify import identify_dual_encoder
    from nodegraph.diffusion.weights import open_weights

    path = ctx.files.find_model("clip_score", file)
    weights = open_weights(path)
    identify_dual_encoder(weights.shapes, weights.metadata)
    return ImageTextEncoder(WeightsRef.of(path))


@node("CLIPScore", category="metrics")
def clip_score(ctx: Context, encoder: ImageTextEncoder, image: Each[Image], text: Each[str]) -> float:
    """How well a picture and a text go together: the cosine of their vectors (Radford et al. 2021), from -1 to 1.

    A score says little alone: compare scores of one encoder for one picture with several texts, or for one text with several pictures.
    Wrong words score lower; how high a right text scores depends on how much of the picture it names.

    image: of a batch, the mean score of its pictures
    text: plain words, as in captions; brackets have no meaning here
    """
    with ctx.load(encoder) as net:
        score = float((net.see([image]) @ net.read([text])[0]).mean())
    ctx.show("text", text=f"{score:6.3f}  {text}")
    return score


class Prompts(NamedTuple):
    texts: list[str]
    subjects: list[str]
    styles: list[str]
    colours: list[str]
    seeds: list[int]


@node("JudgePrompts", category="metrics", lane="cpu")
def judge_prompts(encoder: ImageTextEncoder, count: Annotated[int, Number(1, 100_000)] = 200, seed: Seed = 0) -> Prompts:
    """A fixed list of prompts that an encoder can judge, for a fair comparison of models and settings.

    Every subject comes once, in an order of its own, before any comes again; styles and background colours take turns.

    count: how many prompts
    seed: another one gives another order
    texts: for `CLIPEncode`: subject, style and background
    subjects: for `JudgePictures` and `RealPictures`, as are styles and colours
    seeds: one for each prompt, for `KSampler`
    """
    from nodegraph.diffusion.judging import Vocabulary, draw_prompts
    from nodegraph.diffusion.weights import open_weights

    wanted = draw_prompts(Vocabulary.of(open_weights(encoder.weights.path).metadata), count, seed)
    subjects, styles, colours = ([getattr(each, part) for each in wanted] for part in ("subject", "style", "colour"))
    return Prompts([each.text for each in wanted], subjects, styles, colours, [(seed + i) % 2**64 for i in range(count)])


class Judgement(NamedTuple):
    top1: float
    top5: float
    style: float
    background: float
    score: float
    report: str
    failures: Image


@node("JudgePictures", category="metrics")
def judge_pictures(
    ctx: Context,
    encoder: ImageTextEncoder,
    images: list[Image],
    subjects: list[str],
    styles: list[str],
    colours: list[str],
    shown: Annotated[int, Number(1, 1000)] = 60,
) -> Judgement:
    """Say how often pictures show what was asked for: subject among all that the encoder knows, style, background, and the CLIP score.

    Beside the numbers of real pictures (`RealPictures`), for no judge is perfect, these are the numbers of a model.

    images: one for each prompt, in the same order
    subjects: the words of each prompt, from `JudgePrompts`, as are styles and colours; an empty style or colour is not judged
    shown: how many failures are put on the sheet at most
    top1: share of pictures, 0 to 1, whose subject is the nearest of all; top5: that is among the five nearest
    style: share whose style is right; background: whose colour is; nothing comes out if none was asked for
    score: mean CLIP score with the whole prompts, -1 to 1
    report: the numbers as a table, and what was taken for what
    failures: pictures in which something was not found, the worst first, with what was wanted (+) and judged (-); nothing if all is right
    """
    from nodegraph.diffusion.judging import Report, Vocabulary, judge, wanted_of
    from nodegraph.diffusion.weights import open_weights

    wanted = wanted_of(subjects, styles, colours)
    if not images:
        raise InputRefused("there are no pictures to judge", input="images", hint="connect one picture of each prompt")
    words = Vocabulary.of(open_weights(encoder.weights.path).metadata)
    with ctx.load(encoder) as net:
        report = Report(tuple(judge(net.see(images, ctx.track), wanted, words, net.read)))
    ctx.show("text", text=report.table())
    style, background = _told(report.style), _told(report.background)
    return Judgement(report.top1, report.top5, style, background, report.score, report.table(), _failures(images, report, shown))


def _told(share: float | None) -> Any:
    return Blocked("it was not asked for") if share is None else share


def _failures(images: list[Image], report: Any, shown: int) -> Any:
    """A sheet of the worst pictures, each above what was wanted and what was judged."""
    from nodegraph.diffusion.captioned import captioned
    from nodegraph.diffusion.resize import resize_image
    from nodegraph.diffusion.sheets import sheet

    if not report.failures:
        return Blocked("every picture was judged to show what was asked for")
    pictures = [Image(row[None]) for image in images for row in image.data]
    cells = [
        captioned(resize_image(pictures[i], "area", 128, 128, "center").data[0], report.verdicts[i].lines())
        for i in report.failures[:shown]
    ]
    return sheet(cells, min(10, len(cells)), 4)


@node("RealPictures", category="metrics", lane="cpu", cached=False)
def real_pictures(
    ctx: Context,
    data: TrainingSet,
    subjects: list[str],
    styles: list[str],
    colours: list[str],
    size: Annotated[int, Number(16, 2048)] = 128,
) -> list[Image]:
    """The pictures of a data set that prompts ask for, on the backgrounds they ask for: what a perfect model would draw.

    subjects: the words of each prompt, from `JudgePrompts`, as are styles and colours
    size: edge in pixels
    """
    from nodegraph.diffusion.judging import wanted_of
    from nodegraph.diffusion.training.dataset import read_dataset
    from nodegraph.diffusion.training.real_pictures import real_pictures as paint

    wanted = wanted_of(subjects, styles, colours)
    return list(ctx.track(paint(read_dataset(data.folder), wanted, size), len(wanted)))
