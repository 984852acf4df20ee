"""The photographs that are measured: real ones brought to a size, files as they are, or synthetic ones."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.photo.decoding import Limits, read_photo
from vesselrt.training.data.finding import Kind, list_unchecked_samples
from vesselrt.training.data.samples import Sample

JPEG_QUALITY = 95
SIZES = ("512x512", "565x584", "999x960", "3504x2336")
"""Width x height: a tile, DRIVE, CHASE_DB1, HRF."""

_SETS: dict[str, Kind] = {"CHASE_DB1": "chase_db1", "HRF": "hrf"}
_LARGE_SIDE = 2000  # px: from this longest side on, a size is made from the larger photographs of HRF


@dataclass(frozen=True)
class Photo:
    """One photograph as a user would send it."""

    name: str
    source: str
    """Where its pixels come from: a file's name, or `synthetic`."""
    data: bytes
    width: int
    height: int


def choose_photos(
    sizes: list[str] | None, files: list[Path] | None, data: Path | None, default: Iterable[str]
) -> list[Photo]:
    """The photographs that a command names: files, or sizes; `default` sizes where it names neither.

    Raises OptionError for both, and what `from_file` and `from_size` raise.
    """
    if sizes and files:
        raise OptionError("--size and --photo exclude each other: a photograph has its own size.")
    return [from_file(path) for path in files] if files else [from_size(size, data) for size in sizes or default]


def from_file(path: Path) -> Photo:
    """The file's bytes as they are. Raises ImageError when it is not a usable photograph."""
    height, width = read_photo(path).pixels.shape[:2]
    return Photo(path.name, path.name, path.read_bytes(), width, height)


def from_size(size: str, data: Path | None) -> Photo:
    """A JPEG of the size, "WxH" in pixels: a real photograph letterboxed when `data` is given, else a synthetic one.

    Raises OptionError for another notation, DataError when `data` holds neither CHASE_DB1 nor HRF.
    """
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", size)
    if found is None:
        raise OptionError(f"size {size!r}. Expected width x height in pixels, like 565x584.")
    width, height, most = int(found[1]), int(found[2]), Limits().pixels
    if width * height > most:  # before it is made: the runtime would refuse it afterwards
        raise OptionError(f"size {size} has {width * height:,} pixels, the limit is {most:,}. Name a smaller one.")
    if data is None:
        return Photo(size, "synthetic", encode_jpeg(synthetic(width, height)[0]), width, height)
    sets = held_out(data)
    name = "HRF" if "HRF" in sets and (max(width, height) >= _LARGE_SIDE or len(sets) == 1) else "CHASE_DB1"
    path = sets[name][0].image
    return Photo(
        size, f"{name} {path.name}", encode_jpeg(letterbox(read_photo(path).pixels, width, height)), width, height
    )


def held_out(data: Path) -> dict[str, list[Sample]]:
    """Data set → the photographs of its test split, in name order, with where their truth is.

    Raises DataError when `data` holds neither.
    """
    found = {
        name: list_unchecked_samples(kind, data / name, "test")
        for name, kind in _SETS.items()
        if (data / name).is_dir()
    }
    found = {name: samples for name, samples in found.items() if samples}
    if not found:
        raise DataError(f"{data}: no test photographs. Expected the folder CHASE_DB1 or HRF in it, as published.")
    return found


def encode_jpeg(image: Image) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG of quality 95, as cameras write it."""
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def letterbox(image: Image, width: int, height: int) -> Image:
    """Scales (H, W, 3) uint8 into `width` × `height` at its own aspect ratio, centred on black."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    result = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    result[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=method)
    return result


def synthetic(width: int, height: int, seed: int = 0) -> tuple[Image, Mask]:
    """A photograph as a fundus camera would make it, (H, W, 3) uint8 RGB, and its vessels, (H, W) bool.

    An orange disc with uneven light and sensor noise on black, an optic disc, and vessels that branch from it.
    The same seed and size give the same pixels.
    """
    random = np.random.default_rng(seed)
    radius = 0.48 * min(width, height)
    nerve = (width / 2 + 0.45 * radius, height / 2)
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)
    distance = np.hypot(columns - np.float32(width / 2), rows - np.float32(height / 2)) / np.float32(radius)  # (H, W)
    inside = distance < 1
    vessels = _draw_tree(random, nerve, radius, (height, width)) * inside
    # A lens shows no vessel's edge sharp.
    shade = cv2.GaussianBlur(vessels.astype(np.float32), (0, 0), max(0.6, radius / 600))
    light = (1 - 0.35 * distance**2) * inside
    glow = np.exp(-((np.hypot(columns - np.float32(nerve[0]), rows - np.float32(nerve[1])) / (0.14 * radius)) ** 2))
    grain = random.standard_normal((height, width), np.float32) * np.float32(2.5)
    channels = [
        (level + bright * glow) * light * (1 - dark * shade) + grain
        for level, bright, dark in ((190, 50, 0.25), (95, 100, 0.5), (45, 70, 0.3))
    ]
    return np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8), vessels


def _draw_tree(random: np.random.Generator, start: tuple[float, float], radius: float, shape: tuple[int, int]) -> Mask:
    """Lines that branch from `start` (x, y in pixels), (H, W) bool; each branch is thinner than what it leaves."""
    canvas = np.zeros(shape, np.uint8)
    branches = [(*start, angle + random.uniform(-0.3, 0.3), radius / 30) for angle in np.arange(8) * math.tau / 8]
    while branches:
        x, y, angle, breadth = branches.pop()
        for _ in range(int(random.integers(12, 20))):
            angle += random.normal(0, 0.18)
            end = (x + 0.06 * radius * math.cos(angle), y + 0.06 * radius * math.sin(angle))
            cv2.line(canvas, (round(x), round(y)), (round(end[0]), round(end[1])), 1, max(1, round(breadth)))
            x, y = end
        if breadth > radius / 150:
            branches += [(x, y, angle + turn * random.uniform(0.3, 0.8), 0.6 * breadth) for turn in (-1, 1)]
    return canvas.astype(bool)
