"""The classes of a result: which are shown, in which colours, and which pixels belong to each.

A pixel belongs to a class where probability ≥ threshold × 255. Where classes exclude each other, or where one map is to
show them all, it gets the most probable of the classes for which that holds, of equals the first.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import ClassFacts
from vesselrt.runtime.output.pictures import COLOUR
from vesselrt.runtime.output.statistics import lowest_vessel_level, threshold_mask

T = TypeVar("T")
Thresholds = float | Mapping[str, float]
"""0..1: one of all classes, or by the names of some."""
Colours = str | Mapping[str, str]
"""As "#rrggbb": one of all classes, or by the names of some."""
Names = str | Sequence[str]
"""Of one class, or of several."""

_USUAL = {"artery": "#ff2e63", "vein": "#4db2ff"}
_PALETTE = (*_USUAL.values(), "#f5e663", "#ffffff", "#00b37a", "#9a5cff")
"""Told apart by the three kinds of colour-blind people too: at least 15 apart in CIELAB as Machado et al. (2009) model
their sight."""
_BAND_PIXELS = 2**20  # labelled at once


@dataclass(frozen=True)
class ClassLayer:
    """A class as a file shows it."""

    number: int
    """Its place in the manifest, from 1."""
    name: str
    colour: str
    """The model's, as "#rrggbb"."""
    threshold: float
    """0..1."""


@dataclass(frozen=True, eq=False)
class ClassLayers:
    """The probability of every class, and those that are shown."""

    probability: Image
    """(C, H, W) uint8, 255 × the probability, of every class of the model."""
    every: tuple[ClassLayer, ...]
    """C of them."""
    shown: tuple[ClassLayer, ...]
    """Some of these, in the same order."""
    exclusive: bool
    """Whether a pixel belongs to one class at most."""
    corrected: bool = False
    """Whether a person has changed pixels; every file says so."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width = self.probability.shape
        return height, width

    @cached_property
    def labels(self) -> Image:
        """(H, W) uint8: the number of the shown class that a pixel belongs to, 0: none. Raises OptionError."""
        if not self.exclusive:
            return _label(self.probability, self.shown)
        kept = np.zeros(256, np.uint8)
        for layer in self.shown:
            kept[layer.number] = layer.number
        return kept[_label(self.probability, self.every)]

    def mask(self, layer: ClassLayer) -> Mask:
        """(H, W) bool: the pixels of a shown class. Raises OptionError."""
        if self.exclusive:
            return np.asarray(self.labels == layer.number)
        return threshold_mask(self.probability[layer.number - 1], layer.threshold)

    def masks(self) -> Iterator[tuple[ClassLayer, Mask]]:
        """Each shown class with its mask, one after the other: all at once would take their memory."""
        for layer in self.shown:
            yield layer, self.mask(layer)


def say_thresholds(layers: Sequence[ClassLayer], *, named: bool) -> str:
    """As options take them: 0.5, or where classes are `named` artery:0.4,vein:0.6."""
    return ",".join(f"{layer.name}:{layer.threshold:g}" if named else f"{layer.threshold:g}" for layer in layers)


def layers_of(
    classes: Sequence[ClassFacts], default: float, thresholds: Thresholds | None = None
) -> tuple[ClassLayer, ...]:
    """The classes of a model with what they don't say filled in. `default`: the model's threshold, 0..1.

    Raises OptionError for thresholds of other names.
    """
    given = {} if thresholds is None else thresholds
    names = [facts.name for facts in classes]
    if isinstance(given, Mapping):
        check_names("threshold", given, names)
    layers = []
    for number, (facts, colour) in enumerate(zip(classes, _default_colours(names), strict=True), 1):
        own = default if facts.threshold is None else facts.threshold
        threshold = given.get(facts.name, own) if isinstance(given, Mapping) else given
        layers.append(ClassLayer(number, facts.name, facts.colour or colour, threshold))
    return tuple(layers)


def choose_layers(every: Sequence[ClassLayer], names: Names | None) -> tuple[ClassLayer, ...]:
    """Those of these names, in the model's order; None: every one. Raises OptionError where there is no such class."""
    if names is None:
        return tuple(every)
    wanted = (names,) if isinstance(names, str) else tuple(names)
    check_names("classes", wanted, [layer.name for layer in every])
    return tuple(layer for layer in every if layer.name in wanted)


def check_names(option: str, given: Sequence[str] | Mapping[str, object], known: Sequence[str]) -> None:
    """Raises OptionError where an option names no class, or one that the model lacks."""
    other = next((name for name in given if name not in known), None)
    if other is not None or (not given and option == "classes"):
        said = "nothing" if other is None else repr(other[:40])
        raise OptionError(f"{option} names {said}. This model has: {', '.join(known)}.")


def check_options(known: Sequence[str], **options: object) -> None:
    """Raises OptionError where one of these options names a class that is not `known`. Others are left alone."""
    for option, given in options.items():
        if isinstance(given, tuple | Mapping):
            check_names(option, given, known)


def by_class(text: str, convert: Callable[[str], T]) -> T | dict[str, T]:
    """What is said of all classes at once, as in "0.4", or of some by name, as in "artery:0.4,vein:0.6".

    Raises what `convert` raises, ValueError for a part without a name, or a name that is there twice.
    """
    if ":" not in text:
        return convert(text)
    found: dict[str, T] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if not name or name in found:
            raise ValueError("each class once, such as artery:0.4,vein:0.6")
        found[name] = convert(value)
    return found


def names_from_text(text: str) -> tuple[str, ...]:
    """The names in "artery,vein"."""
    return tuple(name.strip() for name in text.split(","))


def _default_colours(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [COLOUR]
    taken = {_USUAL.get(name) for name in names}
    free = itertools.cycle([colour for colour in _PALETTE if colour not in taken])
    return [_USUAL.get(name) or next(free) for name in names]


def _label(probability: Image, layers: Sequence[ClassLayer]) -> Image:
    """(C, H, W) uint8 → (H, W) uint8: by the rule above, the number of one of these classes. Raises OptionError."""
    _, height, width = probability.shape
    labels = np.zeros((height, width), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = labels[top : top + rows]
        highest = np.zeros_like(band)
        for layer in layers:
            levels = probability[layer.number - 1, top : top + rows]
            wins = (levels >= lowest_vessel_level(layer.threshold)) & ((levels > highest) | (band == 0))
            np.copyto(band, layer.number, where=wins)
            np.copyto(highest, levels, where=wins)
    return labels
