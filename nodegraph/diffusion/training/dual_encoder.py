"""Train an image-text encoder on scenes of a data set: pictures and their captions are drawn together, all else apart.

Two losses are added. Captions: the contrastive loss of CLIP (Radford et al. 2021, figure 3), whose texts are the captions of the batch and,
for pictures, the same captions with one word exchanged. Words: for pictures that have labels, a softmax over all subjects, over all styles
and over all backgrounds, each as the phrase that captions use; that is CLIP's own way to classify, trained directly.

The second loss is also taken with a free vector for each class in place of its phrase. Phrases begin all alike, and as long as they are,
they cannot tell the image tower what to look for, nor can it tell them; measured: after 500 steps without these vectors the styles were
still one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.captioned import captioned
from nodegraph.diffusion.judging import Vocabulary
from nodegraph.diffusion.models.dual_encoder import DualEncoder
from nodegraph.diffusion.models.dual_encoder_config import DualEncoderConfig
from nodegraph.diffusion.text import whole_ids
from nodegraph.diffusion.training.batches import PictureStore, Shot, Stream, generator, indices, paint_shot, shoot
from nodegraph.diffusion.training.captions import CaptionRecipe, describe, prompt
from nodegraph.diffusion.training.dataset import Dataset, Entry
from nodegraph.diffusion.training.loop import Pictures, Task
from nodegraph.diffusion.training.scenes import COLOURS, PLAIN, Background, Pixels, Scene, SceneRecipe
from nodegraph.diffusion.training.state import as_identity

NONE = -100  # a target that is not counted
SAMPLES = 30
SHOWN = 128  # pixels


@dataclass(frozen=True)
class Weather:
    """How far pictures are spoilt before the encoder sees them, so that it judges what they show and not how cleanly they are drawn.

    clear: chance that nothing happens to a picture
    blur: chance of losing fine detail, by making the picture 0.35 to 0.8 times as large and enlarging it again
    noise: largest deviation of Gaussian noise; light: largest change of brightness; contrast, tint: of contrast, and of each colour
    """

    clear: float = 0.3
    blur: float = 0.4
    noise: float = 0.04
    light: float = 0.06
    contrast: float = 0.12
    tint: float = 0.05


@dataclass(frozen=True)
class DualEncoderSettings:
    """What the encoder is trained on.

    batch: scenes a step; size: edge in pixels at which they are painted
    smoothing: share of every target that is spread over all classes (Szegedy et al. 2016)
    """

    batch: int = 64
    size: int = 128
    smoothing: float = 0.05
    scenes: SceneRecipe = field(
        default_factory=lambda: SceneRecipe(white=0.2, plain=0.65, smallest=0.65, largest=1.0, shift=0.08, pair=0.12, small=0.06)
    )
    captions: CaptionRecipe = field(
        default_factory=lambda: CaptionRecipe(empty=0.0, drop_style=0.3, drop_background=0.3, drop_white=0.3, tags=0.05)
    )
    weather: Weather = field(default_factory=Weather)


class WithAnchors(nn.Module):
    """An image-text encoder while it is trained. anchors: a free vector for each class of each kind, (classes, width); not exported."""

    def __init__(self, config: DualEncoderConfig, classes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.encoder = DualEncoder(config)
        self.anchors = nn.ParameterDict({kind: torch.randn(len(phrases), config.width) for kind, phrases in classes.items()})


class DualEncoderTask(Task):
    """Tell scenes and texts of a data set apart. One with captions only is trained by the captions."""

    settings: DualEncoderSettings
    net: WithAnchors

    def __init__(self, dataset: Dataset, settings: DualEncoderSettings, config: DualEncoderConfig | None = None, seed: int = 0) -> None:
        config = config or DualEncoderConfig()
        self.dataset, self.settings, self.seed = dataset, settings, seed
        self.store = Thumbnails(dataset, settings.size)
        self.words = vocabulary_of(dataset)
        self.classes = _classes(self.words)
        self._ids = {kind: whole_ids(phrases) for kind, phrases in self.classes.items()}
        with torch.random.fork_rng():
            torch.manual_seed(int(generator(seed, Stream.WEIGHTS).integers(2**31)))
            self.net = WithAnchors(config, self.classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.identity = as_identity(kind="dual encoder", config=config, settings=settings, seed=seed, data=dataset.fingerprint())

    # -------------------------------------------------------------------------------- batches

    def shots(self, step: int) -> list[Shot]:
        """The scenes of a step."""
        rng = generator(self.seed, Stream.SCENE, step)
        chosen = indices(self.seed, step, self.settings.batch, len(self.dataset.entries))
        return [shoot(self.dataset, int(index), self.settings.scenes, rng) for index in chosen]

    def images(self, step: int, shots: Sequence[Shot]) -> Tensor:
        """(B, 3, size, size) in 0..1, spoilt by the weather."""
        size = (self.settings.size, self.settings.size)
        clean = to_unit(np.stack([paint_shot(self.store, shot, size) for shot in shots]))
        return spoil(clean, self.settings.weather, generator(self.seed, Stream.NOISE, step))

    def texts(self, step: int, shots: Sequence[Shot]) -> tuple[list[str], list[str]]:
        """The caption of every scene, and the same caption with its subject, style or background exchanged for another one."""
        pairs = [self._texts(shot, step, number) for number, shot in enumerate(shots)]
        return [right for right, _ in pairs], [wrong for _, wrong in pairs]

    def _texts(self, shot: Shot, step: int, number: int) -> tuple[str, str]:
        cast = [self.dataset.entries[index] for index in shot.cast]
        other, scene = self._exchanged(shot, generator(self.seed, Stream.CAPTION, step, number, 1))
        # Equal draws give captions of equal form: only what they say can tell the right one.
        right, wrong = (generator(self.seed, Stream.CAPTION, step, number) for _ in range(2))
        captions, rest = self.settings.captions, cast[1:]
        return describe(cast[0], shot.scene, captions, right, *rest), describe(other, scene, captions, wrong, *rest)

    def _exchanged(self, shot: Shot, rng: np.random.Generator) -> tuple[Entry, Scene]:
        index, scene, (part, place) = shot.cast[0], shot.scene, rng.random(2)
        entry = self.dataset.entries[index]
        if part < 1 / 3 and self.dataset.is_composable(index):
            other = self.dataset.entries[self.dataset.companion(index, place)]
            return replace(entry, label=other.label, name=other.name, tags=other.tags), scene
        if part < 2 / 3:
            return replace(entry, style=_other(entry.style, self.words.styles, place)), scene
        return entry, replace(scene, background=_other_background(scene.background, place))

    # -------------------------------------------------------------------------------- loss

    def loss(self, step: int) -> Tensor:
        shots = self.shots(step)
        seen = self.see(self.images(step, shots))  # (B, width)
        right, wrong = self.texts(step, shots)
        captions = contrastive(seen, self.read(right), self.read(wrong), right, wrong, self.net.encoder.scale())
        words = [self._word_loss(seen, kind, self._targets(shots, kind)) for kind in self.classes]
        return torch.stack([captions, *words]).sum()

    def see(self, images: Tensor) -> Tensor:
        """(B, width): pictures in 0..1 as unit vectors."""
        return self.net.encoder.pictures(images.to(self.device, memory_format=torch.channels_last))

    def read(self, texts: Sequence[str]) -> Tensor:
        """(N, width): texts as unit vectors."""
        return self.net.encoder.words(whole_ids(texts).to(self.device))

    def _word_loss(self, seen: Tensor, kind: str, targets: list[int]) -> Tensor:
        phrases, wanted = self.classes[kind], torch.tensor(targets, device=seen.device)
        if len(phrases) < 2 or all(target == NONE for target in targets):
            return seen.new_zeros(())
        ends = torch.cat(
            [self.net.encoder.words(self._ids[kind].to(self.device)), F.normalize(self.net.anchors[kind], dim=-1)]
        )  # (2 classes, width)
        logits = (self.net.encoder.scale() * seen @ ends.T).chunk(2, dim=1)
        return sum(
            (F.cross_entropy(part, wanted, ignore_index=NONE, label_smoothing=self.settings.smoothing) for part in logits),
            seen.new_zeros(()),
        )

    def _targets(self, shots: Sequence[Shot], kind: str) -> list[int]:
        """Which of the phrases of a kind is true of each scene; NONE where none is, or two are."""
        phrases = self.classes[kind]
        found = (_phrase(self.dataset.entries[shot.cast[0]], shot.scene, kind) for shot in shots)
        return [phrases.index(phrase) if phrase in phrases else NONE for phrase in found]

    # -------------------------------------------------------------------------------- samples

    def samples(self) -> Pictures:
        """Scenes that are not trained on, below each what it is judged to show: (B, height, width, 3)."""
        count = min(SAMPLES, len(self.dataset.entries))
        chosen = np.linspace(0, len(self.dataset.entries) - 1, count).astype(np.int64)
        rng = generator(self.seed, Stream.SAMPLE)
        shots = [shoot(self.dataset, int(index), SceneRecipe(pair=0.0, small=0.0), rng) for index in chosen]
        pixels = np.stack([paint_shot(self.store, shot, (SHOWN, SHOWN)) for shot in shots])
        seen = self.see(to_unit(pixels))
        kinds = [phrases for phrases in self.classes.values() if len(phrases) > 1]
        kinds = kinds or [tuple(sorted({self.dataset.entries[int(index)].caption for index in chosen}))]
        judged = [[phrases[int(i)] for i in (seen @ self.read(phrases).T).argmax(dim=1)] for phrases in kinds]
        sheets = [captioned(picture.astype(np.float32) / 255, lines) for picture, *lines in zip(pixels, *judged, strict=True)]
        return (np.stack(sheets) * 255).round().astype(np.uint8)


class Thumbnails(PictureStore):
    """Pictures no larger than scenes of `edge` pixels need, twice as quick to paint."""

    def __init__(self, dataset: Dataset, edge: int) -> None:
        super().__init__(dataset)
        self._edge, self._small = edge, dict[int, Image]()

    def __getitem__(self, index: int) -> Image:
        if index not in self._small:
            picture = self.dataset.open(index)
            self._small[index] = picture.reduce(max(1, min(picture.size) // self._edge))
        return self._small[index]


def to_unit(pixels: Pixels) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).permute(0, 3, 1, 2).contiguous()


# ------------------------------------------------------------------------------------------------ words


def vocabulary_of(dataset: Dataset) -> Vocabulary:
    """The words that a data set can teach; backgrounds only if they can be put behind its pictures."""
    cutouts = any(entry.cutout for entry in dataset.entries)
    return Vocabulary(dataset.labels, dataset.styles, tuple(COLOURS) if cutouts else ())


def _classes(words: Vocabulary) -> dict[str, tuple[str, ...]]:
    texts = words.texts()
    mixed = [f"{top} and {bottom}" for top in PLAIN for bottom in PLAIN if top != bottom] if words.colours else []
    return {"subject": texts.subjects, "style": texts.styles, "background": (*texts.colours, *(prompt("", "", both) for both in mixed))}


def _phrase(entry: Entry, scene: Scene, kind: str) -> str:
    """What a caption would say of a scene's one subject, its style or its background; empty if that is not said by one word."""
    if kind == "subject":
        return entry.label if len(scene.figures) == 1 and not entry.caption else ""
    if kind == "style":
        return prompt("", entry.style)
    top, bottom = scene.background.top, scene.background.bottom
    return prompt("", "", top if top == bottom else f"{top} and {bottom}") if entry.cutout else ""


def _other_background(background: Background, place: float) -> Background:
    """Of the same kind, with another colour at the top."""
    if background.kind != "two-tone":
        colour = _other(background.top, tuple(COLOURS), place)
        return Background(colour, colour)
    return Background(_other(background.top, [name for name in PLAIN if name != background.bottom], place), background.bottom)


def _other(word: str, words: Sequence[str], place: float) -> str:
    """Another of the words, at `place` (0..1) among them; the same if there is no other."""
    rest = [each for each in words if each != word]
    return rest[int(place * len(rest))] if rest and word else word


# ------------------------------------------------------------------------------------------------ losses and weather


def contrastive(seen: Tensor, read: Tensor, wrong: Tensor, texts: Sequence[str], others: Sequence[str], scale: Tensor) -> Tensor:
    """CLIP's loss over a batch (Radford et al. 2021, figure 3): the mean of picture to text and text to picture.

    seen, read: (B, width) unit vectors of pictures and of their texts; wrong: of `others`, texts that pictures are told from as well
    Equal texts are true of each other's pictures: they are not counted as wrong.
    """
    every = [*texts, *others]
    same = torch.tensor([[i != j and text == other for j, other in enumerate(every)] for i, text in enumerate(texts)], device=seen.device)
    logits = (scale * seen @ torch.cat([read, wrong]).T).masked_fill(same, float("-inf"))  # (B, 2 B)
    own = torch.arange(len(texts), device=seen.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, : len(texts)].T, own)) / 2


def spoil(images: Tensor, weather: Weather, rng: np.random.Generator) -> Tensor:
    """(B, 3, H, W) in 0..1 -> the same, each picture in weather of its own."""
    count, edge = len(images), images.shape[-1]
    clear, blurred = rng.random(count) < weather.clear, rng.random(count) < weather.blur
    edges = np.where(blurred, (edge * rng.uniform(0.35, 0.8, count)).round() // 8 * 8, edge).astype(int)
    out = images.clone()
    for small in sorted({int(each) for each in edges if each < edge}):
        rows = torch.from_numpy(np.flatnonzero(edges == small))
        low = F.interpolate(images[rows], (small, small), mode="area")
        out[rows] = F.interpolate(low, (edge, edge), mode="bilinear", align_corners=False)
    gain = 1 + rng.uniform(-1, 1, (count, 1, 1, 1)) * weather.contrast + rng.uniform(-1, 1, (count, 3, 1, 1)) * weather.tint
    light, deviation = (rng.uniform(low, 1, (count, 1, 1, 1)) * most for low, most in ((-1, weather.light), (0, weather.noise)))
    noise = deviation * rng.standard_normal(tuple(images.shape), np.float32)
    spoilt = ((out - 0.5) * _tensor(gain) + 0.5 + _tensor(light) + _tensor(noise)).clamp(0, 1)
    return torch.where(torch.from_numpy(clear)[:, None, None, None], images, spoilt)


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
