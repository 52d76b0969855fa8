"""The pictures of a data set that prompts ask for, painted as a perfect model would draw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nodegraph.diffusion.judging import Wanted
from nodegraph.diffusion.training.batches import PictureStore, Shot, paint_shot
from nodegraph.diffusion.training.dataset import Dataset
from nodegraph.diffusion.training.scenes import COLOURS, Background, Scene
from nodegraph.diffusion.values import Image
from nodegraph.errors import InputRefused, did_you_mean, shorten


def real_pictures(dataset: Dataset, wanted: Sequence[Wanted], size: int) -> Iterator[Image]:
    """One picture for each prompt, its subject large and in the middle; white where no colour is asked for, any style where none is.

    size: edge in pixels. Raises InputRefused for a subject, style or colour that the data set does not have.
    """
    found = {(entry.label, style): index for index, entry in reversed([*enumerate(dataset.entries)]) for style in ("", entry.style)}
    store = PictureStore(dataset)
    for each in wanted:
        index, colour = found.get((each.subject, each.style)), each.colour or "white"
        if index is None:
            known = dataset.styles if each.subject in dataset.labels else dataset.labels
            missing = each.style if each.subject in dataset.labels else each.subject
            raise InputRefused(f"the data set has no picture of {shorten(each.text)!r}", hint=did_you_mean(missing, known))
        if colour not in COLOURS:
            raise InputRefused(f"there is no background {shorten(colour)!r}", input="colours", hint=f"there are: {', '.join(COLOURS)}")
        pixels = paint_shot(store, Shot(Scene(Background(colour, colour)), (index,)), (size, size))
        yield Image(pixels[None].astype(np.float32) / np.float32(255))
