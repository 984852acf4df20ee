"""Training crops: from annotated photographs to the batches of a stage."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.hardware import usable_cores
from vesselrt.training.data.samples import Sample, read_pair_of
from vesselrt.training.fit.distillation import Teacher
from vesselrt.training.fit.patches import PreparedPhoto
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.stages import Stage
from vesselrt.training.fit.validation import normalise_pixels
from vesselrt.training.synthetic.cameras import draw_crop
from vesselrt.training.synthetic.pyramid import pyramid_from_photo

Crop = tuple[Image, NDArray[np.float32]]
DrawCrop = Callable[[np.random.Generator], Crop]
"""A photograph to train on: gives a random crop (h, w, C) uint8, and its truth (h, w) in 0..1; of several classes
(K, h, w). Where some photograph has pixels that don't count, their share is a further map, the last."""


class Crops(Dataset[Crop]):
    """The crops of a stage that are left. Number i is a function of the seed and i alone, so that a resumed run draws
    what the first would have.
    """

    def __init__(self, stage: Stage, sources: list[list[DrawCrop]], start: int, teacher: Teacher | None = None) -> None:
        """`sources`: the photographs of each data set; `start`: crops that were drawn before."""
        self.stage, self.sources, self.start = stage, sources, start
        self.teacher = teacher if stage.teacher_share else None

    def __len__(self) -> int:
        return self.stage.schedule.steps * self.stage.schedule.batch - self.start

    def __getitem__(self, index: int) -> Crop:
        """(C, h, w) uint8, and the truth (K, h, w) in 0..1, of which the teacher has its share."""
        pixels, truth = self.draw(index + self.start)
        maps = truth.reshape(-1, *truth.shape[-2:])
        if self.teacher is not None:
            random = np.random.default_rng((self.stage.seed, index + self.start, 1))
            share, answer = self.stage.teacher_share, self.teacher.answer(pixels, random)  # (K, h, w)
            taught = (1 - share) * maps[: len(answer)] + share * answer
            maps = np.concatenate([taught, maps[len(answer) :]])
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), maps

    def draw(self, number: int) -> Crop:
        """Crop (h, w, C) and its truth (h, w) or (K, h, w), as annotated."""
        random = np.random.default_rng((self.stage.seed, number))
        data_set = self.sources[number % len(self.sources)]  # every set equally often, whatever its size
        return data_set[random.integers(len(data_set))](random)


def read_sources(recipe: Recipe, stage: Stage, data: Path) -> list[list[DrawCrop]]:
    """The photographs of each data set that a stage trains on, read. Raises DataError."""
    found = [[s for split in stage.splits for s in data_set.samples(data, split)] for data_set in recipe.data]
    ignoring = any(sample.ignores(recipe.class_names) for samples in found for sample in samples)
    return [read_photographs(samples, recipe, stage, ignoring=ignoring) for samples in found]


def read_photographs(
    samples: Iterable[Sample], recipe: Recipe, stage: Stage, *, ignoring: bool = False
) -> list[DrawCrop]:
    """What crops of each photograph are drawn by; a share of them may have the second observer's truth.

    `ignoring`: some photograph has pixels that don't count, so that all of them say which.
    """
    draws = []
    for sample in samples:
        draw = _read_photograph(sample, recipe, stage, ignoring)
        if stage.second_observer and sample.second is not None:
            other = replace(sample, truth=sample.second, annotation=None)
            second = _read_photograph(other, recipe, stage, ignoring)
            draw = partial(_draw_either, draw, second, stage.second_observer)
        draws.append(draw)
    return draws


def _read_photograph(sample: Sample, recipe: Recipe, stage: Stage, ignoring: bool) -> DrawCrop:
    (image, found), side = read_pair_of(sample, recipe.class_names), stage.schedule.crop
    truth = found.masks if len(found.masks) > 1 else found.masks[0]
    ignored = None
    if ignoring:
        ignored = np.zeros(image.shape[:2], bool) if found.ignored is None else found.ignored
    if recipe.patches is not None:
        maps = truth if ignored is None else np.concatenate([found.masks, ignored[None]])
        return partial(PreparedPhoto.build(image, maps, recipe.preparation, recipe.patches).patch, side)
    pyramid, share = pyramid_from_photo(image, truth, ignored), stage.simulated_share
    return partial(draw_crop, pyramid, recipe.cameras, recipe.preparation, side, simulated_share=share)


def _draw_either(first: DrawCrop, second: DrawCrop, share: float, random: np.random.Generator) -> Crop:
    return (second if random.random() < share else first)(random)


def load_batches(crops: Crops, device: torch.device) -> DataLoader[Crop]:
    """(N, C, h, w) uint8 and (N, K, h, w) float truth, drawn by processes beside the one that trains."""
    cores = usable_cores()
    return DataLoader(
        crops,
        crops.stage.schedule.batch,
        num_workers=max(1, cores - 1) if device.type == "cuda" else min(2, cores),
        worker_init_fn=_use_one_thread,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # workers' seeds must not come from the generator that the network draws from
    )


def draw_windows(recipe: Recipe, crops: Crops, count: int) -> Tensor:
    """(count, C, h, w) float: the first crops, as the network takes them."""
    pixels = np.stack([crops.draw(number)[0] for number in range(count)])  # (N, h, w, C)
    return normalise_pixels(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), recipe)


def _use_one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
