"""Every layout of a data set, built in a folder."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask
from vesselrt.training.data.finding import Kind
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import Split

SHAPE = (12, 10)
VESSEL = np.zeros(SHAPE, bool)
VESSEL[5] = True
OTHER = np.zeros(SHAPE, bool)
"""What a second observer sees."""
OTHER[6] = True
PHOTOGRAPH = np.full((*SHAPE, 3), (200, 20, 10), np.uint8)
IN_COLOURS = np.zeros((*SHAPE, 3), np.uint8)
"""Arteries red, veins blue, crossings green, white where it is not sure; BGR."""
IN_COLOURS[5] = [(0, 0, 255)] * 4 + [(255, 0, 0)] * 3 + [(0, 255, 0)] * 2 + [(255, 255, 255)]


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


def photograph(path: Path) -> None:
    save(path, PHOTOGRAPH[:, :, ::-1])


def palette_gif(path: Path, mask: NDArray[np.bool_], dark: int = 0, light: int = 255) -> None:
    """Two colours by index, as DRIVE's masks are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Pillow.frombytes("P", (mask.shape[1], mask.shape[0]), mask.astype(np.uint8).tobytes())
    file.putpalette([dark] * 3 + [light] * 3)
    file.save(path)


def drive(root: Path) -> Path:
    for number in range(1, 41):
        folder, suffix = ("test", "test") if number <= 20 else ("training", "training")
        here = root / folder
        photograph(here / "images" / f"{number:02}_{suffix}.tif")
        palette_gif(here / "1st_manual" / f"{number:02}_manual1.gif", VESSEL)
        palette_gif(here / "mask" / f"{number:02}_{suffix}_mask.gif", np.ones(SHAPE, bool))
        if folder == "test":
            palette_gif(here / "2nd_manual" / f"{number:02}_manual2.gif", OTHER, 3, 253)
    return root


def chase_db1(root: Path, fov: bool = True) -> Path:
    for eye in (f"Image_{subject:02}{side}" for subject in range(1, 15) for side in "LR"):
        photograph(root / f"{eye}.jpg")
        save(root / f"{eye}_1stHO.png", VESSEL * 255)
        save(root / f"{eye}_2ndHO.png", OTHER * 255)
        if fov:
            palette_gif(root / "fov_masks" / f"{eye}.gif", np.ones(SHAPE, bool))
    return root


def hrf(root: Path) -> Path:
    for eye in (f"{number:02}_{group}" for number in range(1, 16) for group in ("h", "dr", "g")):
        photograph(root / "images" / f"{eye}.{'JPG' if eye.endswith('dr') else 'jpg'}")
        save(root / "manual1" / f"{eye}.tif", VESSEL * 255)
        save(root / "mask" / f"{eye}_mask.tif", np.full((*SHAPE, 3), 255))
    return root


def folder(root: Path, count: int = 11, fov: bool = False) -> Path:
    for number in range(count):
        photograph(root / "images" / f"eye {number:02}.webp")
        save(root / "masks" / f"eye {number:02}.png", VESSEL * 255)
        if fov:
            save(root / "fov" / f"eye {number:02}.bmp", np.full(SHAPE, 255))
    return root


def geojson(root: Path, count: int = 30, where: str = "") -> Path:
    """As the annotation tool leaves them: 1.png and 1.geojson side by side, or in the folders of `where`."""
    pictures, annotations = (root / name for name in (where.split() or ["", ""]))
    annotations.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        photograph(pictures / f"{number}.png")
        (annotations / f"{number}.geojson").write_bytes(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY))
    return root


def stare(root: Path, packed: bool = True) -> Path:
    """As the site has it: packed PPM, in the folders of its archives."""
    for number in range(1, 21):
        name = f"im{number:04}"
        for place, mask, pixels in (
            ("stare-images", "", PHOTOGRAPH),
            ("labels-ah", ".ah", VESSEL * np.uint8(255)),
            ("labels-vk", ".vk", OTHER * np.uint8(255)),
        ):
            content = io.BytesIO()
            Pillow.fromarray(pixels).save(content, "PPM")
            path = root / place / f"{name}{mask}.ppm{'.gz' if packed else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content.getvalue()) if packed else content.getvalue())
    return root


def fives(root: Path) -> Path:
    """In the two folders that its archive puts around it."""
    title = "FIVES A Fundus Image Dataset for AI-based Vessel Segmentation"
    for part, count in (("train", 60), ("test", 20)):
        for number in range(1, count + 1):
            name = f"{number}_{'ADGN'[number % 4]}.png"
            photograph(root / title / title / part / "Original" / name)
            save(root / title / title / part / "Ground truth" / name, np.dstack([VESSEL * 255] * 3))
        (root / title / title / part / "Ground truth" / "Thumbs.db").write_bytes(b"")
    return root


def les_av(root: Path, colours: bool = False) -> Path:
    """Its folder `masks` holds fields of view."""
    for number in range(1, 23):
        photograph(root / "images" / f"{number}.png")
        palette_gif(root / "masks" / f"{number}_mask.gif", np.ones(SHAPE, bool))
        if not colours:
            save(root / "vessel-segmentations" / f"{number}.png", VESSEL * 255)
        save(root / "arteries-and-veins" / f"{number}.png", IN_COLOURS)
    return root


def iostar(root: Path) -> Path:
    for number in range(1, 31):
        name = f"STAR {number:02}_OSC"
        photograph(root / "image" / f"{name}.jpg")
        save(root / "GT" / f"{name}_GT.tif", VESSEL * 255)
        save(root / "mask" / f"{name}_Mask.tif", np.full(SHAPE, 255))
    return root


def dr_hagis(root: Path) -> Path:
    """As its archive leaves it on a Mac."""
    for place in (root / "DRHAGIS", root / "__MACOSX" / "DRHAGIS"):
        hidden = "._" if "__MACOSX" in place.parts else ""
        for number in range(1, 41):
            photograph(place / "Fundus_Images" / f"{hidden}{number}.jpg")
            save(place / "Manual_Segmentations" / f"{hidden}{number}_manual_orig.png", VESSEL * 255)
            save(place / "Mask_images" / f"{hidden}{number}_mask_orig.png", np.full(SHAPE, 255))
    return root


def rite(root: Path, colours: bool = False) -> Path:
    for number in range(1, 41):
        name = f"{number:02}_{'test' if number <= 20 else 'training'}"
        here = root / name[3:]
        photograph(here / "images" / f"{name}.tif")
        save(here / "av" / f"{name}.png", IN_COLOURS)
        if not colours:
            save(here / "vessel" / f"{name}.png", VESSEL * 255)
    return root


BUILD: dict[Kind, Callable[[Path], Path]] = {
    "drive": drive,
    "chase_db1": chase_db1,
    "hrf": hrf,
    "stare": stare,
    "fives": fives,
    "les_av": les_av,
    "iostar": iostar,
    "dr_hagis": dr_hagis,
    "rite": rite,
    "folder": folder,
    "geojson": geojson,
}
ALL_KINDS: list[Kind] = list(get_args(Kind))
SPLITS: list[Split] = list(get_args(Split))


def names(samples: list[Sample]) -> list[str]:
    return [s.name for s in samples]


def write_settings(root: Path, **fields: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(fields))
