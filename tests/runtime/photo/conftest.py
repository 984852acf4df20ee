"""What the tests of decoding share."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@pytest.fixture(scope="session")
def photograph(request: pytest.FixtureRequest, fundus_photo: Callable[[int, int, int], Photo]) -> Image:
    """(480, 500, 3) uint8 RGB: the first one of CHASE_DB1 where it is, else a drawn one."""
    try:
        root: Path = request.getfixturevalue("data_root")
    except pytest.skip.Exception:
        return fundus_photo(480, 500, 0)[0]
    with Pillow.open(root / "CHASE_DB1" / "Image_01L.jpg") as file:
        return np.asarray(cv2.resize(np.asarray(file), (500, 480), interpolation=cv2.INTER_AREA), np.uint8)
