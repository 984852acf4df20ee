"""Serves a model of two classes that has no weights, for the tests of the page: python two_classes.py PORT EXCLUSIVE.

With the name of a built-in model behind that, this one is served first, and the other is called "two".

A vessel is what is darker than its surroundings; of an artery red tells it, of a vein the lack of it.
"""

import sys
from typing import Any

import cv2
import numpy as np
import uvicorn
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import ServerSettings, create_app, serve
from vesselrt.server.work.models import ServedModel, models_from_settings

FIELDS: dict[str, Any] = {
    "name": "two",
    "version": "1",
    "licence": "CC0-1.0",
    "description": "Dark lines, by their red.",
    "preparation": {"channels": "rgb"},
    "input": {"mean": [0, 0, 0], "std": [1, 1, 1]},
    "tile": {"size": 512, "multiple": 16, "margin": 32},
    "classes": ["artery", {"name": "vein", "threshold": 0.4}],
}


def probabilities(pixels: Image) -> NDArray[np.float32]:
    """(N, 3, h, w) uint8 → (N, 2, h, w) float32."""
    return np.stack([_of_one(image.transpose(1, 2, 0)) for image in pixels])


def _of_one(image: Image) -> NDArray[np.float32]:
    around = cv2.GaussianBlur(image, (0, 0), 12).astype(np.float32)
    difference = around - cv2.GaussianBlur(image, (0, 0), 1.5)
    vessel = np.clip(difference[..., 1] / 14, 0, 1)
    red = np.clip(0.5 - difference[..., 0] / 24, 0.05, 0.95)
    return np.stack([vessel * red * 1.4, vessel * (1.4 - red)]).clip(0, 1).astype(np.float32)


if __name__ == "__main__":
    manifest = Manifest.from_fields(FIELDS | {"exclusive": sys.argv[2] == "exclusive"}, source="two classes")
    settings, two = ServerSettings(port=int(sys.argv[1])), Segmenter(manifest, FakeBackend(probabilities))
    if sys.argv[3:]:
        models = [*models_from_settings(ServerSettings(models=(sys.argv[3],))), ServedModel("two", two)]
        uvicorn.run(create_app(models, settings), port=settings.port, log_config=None)
    else:
        serve(settings, two)
