"""Judges a network while it trains: on whole photographs, at their own resolution, as the evaluation does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor, nn

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.training.data.samples import read_inside, read_pair_of
from vesselrt.training.evaluation.figures import f1_by_level
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.synthetic.cameras import HELD_OUT
from vesselrt.training.synthetic.pyramid import pyramid_from_photo

HALF_LEVEL = 128
"""The lowest level of the 8-bit probability that threshold 0.5 calls vessel."""
_WINDOW_BATCH = 16
"""Windows of the sliding window that run at once."""
F1Curve = NDArray[np.float64]
"""F1 at each of the 256 levels of the 8-bit probability that could be the lowest called vessel."""


@dataclass(frozen=True)
class ValidationCase:
    """A validation photograph."""

    group: str
    image: Image
    truth: Mask
    """(H, W); of several classes (K, H, W)."""
    inside: Mask
    """(H, W): the field of view, without what does not count."""


def normalise_pixels(pixels: Tensor, recipe: Recipe) -> Tensor:
    """(N, C, h, w) uint8 → float, as the exported graph does it."""
    mean = torch.tensor(recipe.input.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(recipe.input.std, device=pixels.device)[:, None, None]
    return (pixels.float() / 255 - mean) / std


def validate_network(
    network: nn.Module, cases: list[ValidationCase], recipe: Recipe, device: torch.device
) -> dict[str, F1Curve]:
    """Group → F1 curve, of several classes group and class. Pixels inside the field of view are pooled, at the
    photographs' own resolution.
    """
    found = validate_classes(network, cases, recipe, device)
    several = len(recipe.classes) > 1
    return {
        f"{group} {name}" if several else group: curve
        for name, curves in found.items()
        for group, curve in curves.items()
    }


def validate_classes(
    network: nn.Module, cases: list[ValidationCase], recipe: Recipe, device: torch.device
) -> dict[str, dict[str, F1Curve]]:
    """Class → group → F1 curve. Of classes that exclude each other a pixel counts for the most probable one."""
    counts: dict[str, dict[str, NDArray[np.int64]]] = {name: {} for name in recipe.class_names}
    for case in cases:
        levels = to_bytes(predict_probability(network, case.image, recipe, device))
        maps, truths = (given.reshape(-1, *case.inside.shape) for given in (levels, case.truth))
        if recipe.exclusive:
            maps = np.where(maps == maps.max(axis=0), maps, 0)
        for name, single, truth in zip(counts, maps, truths, strict=True):
            told = single[case.inside], truth[case.inside]
            found = np.stack([np.bincount(told[0][told[1] == kind], minlength=256) for kind in (True, False)])
            counts[name][case.group] = counts[name].get(case.group, np.zeros_like(found)) + found
    return {name: {group: f1_by_level(*count) for group, count in groups.items()} for name, groups in counts.items()}


def summarise_curves(curves: dict[str, F1Curve]) -> dict[str, dict[str, float]]:
    """Group → F1 at threshold 0.5, and the best F1 with its threshold."""
    return {
        group: {
            "f1": float(curve[HALF_LEVEL]),
            "best_f1": float(curve.max()),
            "best_threshold": (int(curve.argmax()) - 0.5) / 255,
        }
        for group, curve in curves.items()
    }


@torch.inference_mode()
def predict_probability(
    network: nn.Module, image: Image, recipe: Recipe, device: torch.device, shift: float = 0.0
) -> NDArray[np.float32]:
    """(H, W) probability of a photograph, of several classes (K, H, W): the reference that the runtime is held to.

    `shift` is added to the logits (calibration, of one class). The photograph is not cut into tiles, unless
    the recipe's tiles are blended: then by MONAI's sliding window.
    """
    network.eval()
    prepared = prepare(image, recipe.preparation)
    height, width, _ = prepared.pixels.shape
    multiple = recipe.tile.multiple
    padded = np.pad(prepared.pixels, ((0, -height % multiple), (0, -width % multiple), (0, 0)))
    pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy()).to(device)
    inputs = normalise_pixels(pixels, recipe).contiguous(memory_format=torch.channels_last)

    def probability(window: Tensor) -> Tensor:
        logits = network(window).float()
        return torch.softmax(logits, dim=1)[:, 1:] if recipe.exclusive else torch.sigmoid(logits + shift)

    if recipe.tile.blend == "gaussian":
        sides = (recipe.tile.size, recipe.tile.size)
        whole = sliding_window_inference(inputs, sides, _WINDOW_BATCH, probability, overlap=0.5, mode="gaussian")
    else:
        whole = probability(inputs)
    maps = torch.as_tensor(whole)[0, :, :height, :width].cpu().numpy()  # (K, h, w)
    result = np.zeros((len(maps), *image.shape[:2]), np.float32)
    box = prepared.box
    for single, place in zip(maps, result, strict=True):
        box.cut(place)[:] = cv2.resize(single, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    return result if len(result) > 1 else result[0]


def read_validation_cases(recipe: Recipe, data: Path) -> Iterator[ValidationCase]:
    """The validation photographs of all data sets, and each as the held-out cameras would show it."""
    for data_set in recipe.data:
        for number, sample in enumerate(data_set.samples(data, "validation")):
            image, found = read_pair_of(sample, recipe.class_names)
            truth = found.masks if len(found.masks) > 1 else found.masks[0]
            inside = read_inside(sample, found.masks[0])
            yield ValidationCase(
                data_set.name, image, truth, inside if found.ignored is None else inside & ~found.ignored
            )
            if recipe.held_out_cameras:
                source = pyramid_from_photo(image, truth, found.ignored)
                for name, camera in HELD_OUT.items():
                    shown, painted = camera.photograph(source, number)
                    counted = np.ones(shown.shape[:2], bool)
                    if source.ignoring:
                        counted, painted = ~painted[-1], painted[:-1]
                    yield ValidationCase(name, shown, painted, counted)
