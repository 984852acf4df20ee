"""A model of several classes whose answers are known: red is artery, green vein, blue disc."""

from typing import Any

import numpy as np
from manifests import make_manifest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter

CLASSES = ["artery", {"name": "vein", "threshold": 0.4}, {"name": "disc", "colour": "#ffffff"}]


def colours(pixels: Image) -> NDArray[np.float32]:
    """(N, 3, h, w) uint8 → as many probabilities."""
    return np.asarray(pixels, np.float32) / np.float32(255)


def colour_manifest(**fields: Any) -> Manifest:
    """`fields` of the manifest, as in JSON."""
    rgb = {"preparation": {"channels": "rgb"}, "input": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
    return make_manifest(**{"classes": CLASSES, **rgb, **fields})


def colour_segmenter(**fields: Any) -> Segmenter:
    return Segmenter(colour_manifest(**fields), FakeBackend(colours))
