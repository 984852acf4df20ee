"""What the tests of decoding share."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image

SAMPLE = Path(__file__).parents[3] / "server" / "web" / "assets" / "sample.jpg"


@pytest.fixture(scope="session")
def photograph() -> Image:
    """(480, 500, 3) uint8 RGB: a real one, that of the page. In a drawn one damage is hard to tell."""
    with Pillow.open(SAMPLE) as file:
        return np.asarray(cv2.resize(np.asarray(file), (500, 480), interpolation=cv2.INTER_AREA), np.uint8)
