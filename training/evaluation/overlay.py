"""Pictures of a judgement: what was found, what was missed, what is wrong; and their JPEG."""

import base64

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto

RIGHT, WRONG, MISSED = (255, 255, 255), (255, 138, 31), (56, 176, 255)
"""RGB of the overlay: vessel found, not vessel but painted, vessel missed. The colour-blind tell them apart too."""


def draw_errors(seen: EvaluatedPhoto) -> Image:
    """(H, W, 3) uint8 RGB: the photograph in dim grey, and on it the vessels found, missed, and wrongly painted."""
    inside, vessel, painted = seen.truth.inside, seen.truth.vessel, seen.painted
    grey = cv2.cvtColor(seen.image, cv2.COLOR_RGB2GRAY)
    drawn = np.dstack([(grey * np.where(inside, np.float32(0.55), np.float32(0.2))).astype(np.uint8)] * 3)
    drawn[inside & vessel & painted] = RIGHT
    drawn[inside & ~vessel & painted] = WRONG
    drawn[inside & vessel & ~painted] = MISSED
    return drawn


def jpeg_data_url(picture: Image, side: int) -> str:
    """A JPEG of at most `side` pixels, as an address that holds it."""
    factor = min(1.0, side / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return "data:image/jpeg;base64," + base64.b64encode(encode_full_colour_jpeg(small)).decode("ascii")


def encode_full_colour_jpeg(picture: Image) -> bytes:
    """Of (H, W, 3) uint8 RGB, at quality 88."""
    # Colour at full resolution: the usual half of it would smear vessels of one pixel.
    settings = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], settings)
    return encoded.tobytes()
