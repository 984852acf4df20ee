"""What the tests of benchmarks share."""

from typing import Any

import cv2
import numpy as np
from manifests import make_manifest
from numpy.typing import NDArray

BRIGHT = make_manifest()  # its stand-in takes brightness for a probability


def png(green: Any) -> bytes:
    """A photograph whose green channel is the array (H, W); the others are 0."""
    pixels = np.zeros((*np.shape(green), 3), np.uint8)
    pixels[:, :, 1] = green
    return cv2.imencode(".png", pixels)[1].tobytes()


def pixels(mask: bytes) -> NDArray[np.uint8]:
    """A PNG as it is stored: (H, W) for a grey one."""
    decoded = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return decoded.astype(np.uint8)
