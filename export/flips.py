"""How many pixels two answers put into different classes."""

from collections.abc import Sequence

import numpy as np

from vesselrt.export.head import Answers
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.classes import ClassLayers, layers_of

_ROOM_OF_CLASS = 10
"""Vessels cover a tenth of a photograph, and the limits are meant for them."""
_LEAST_CLASS = 0.001
"""Share of the pixels: of a class that is smaller, a few pixels are no measure."""


def flipped_share(expected: Sequence[Answers], obtained: Sequence[Answers], manifest: Manifest) -> float:
    """The largest of `flipped_shares`."""
    return max(flipped_shares(expected, obtained, manifest).values())


def flipped_shares(expected: Sequence[Answers], obtained: Sequence[Answers], manifest: Manifest) -> dict[str, float]:
    """Of each class, the share of all pixels of maps (N, K, h, w) that belong to it in one of the two alone.

    Of several classes, a small one's share is of `_ROOM_OF_CLASS` times its own pixels: among all, it could vanish.
    """
    every = layers_of(manifest.classes, manifest.threshold)
    exclusive = manifest.exclusive and len(every) > 1
    flipped, own, pixels = dict.fromkeys(manifest.class_names, 0), dict.fromkeys(manifest.class_names, 0), 0
    for answers in zip(expected, obtained, strict=True):
        for maps in zip(*map(to_bytes, answers), strict=True):
            one, other = (ClassLayers(levels, every, every, exclusive) for levels in maps)
            pixels += maps[0][0].size
            for layer in every:
                mask = one.mask(layer)
                own[layer.name] += int(np.count_nonzero(mask))
                flipped[layer.name] += int(np.count_nonzero(mask != other.mask(layer)))
    if len(every) == 1:
        return {name: count / pixels for name, count in flipped.items()}
    least = max(1, round(_LEAST_CLASS * pixels))
    rooms = {name: min(pixels, _ROOM_OF_CLASS * max(count, least)) for name, count in own.items()}
    return {name: min(1.0, count / rooms[name]) for name, count in flipped.items()}
