"""Fundus photographs that were never taken, with the arteries and veins of each: for tests, and to try a recipe on.

Public sets of arteries and veins (RITE, LES-AV, HRF-AV) may not be copied, or not be used for a product. What is drawn
here has what tells the two apart: veins are darker and wider, arteries have a bright reflex along their middle, both
leave the optic disc side by side, and they cross. A network trained on it is trained on drawings.

    python -m vesselrt.training.synthetic.fundus FOLDER 20   # 20 photographs, kind `folder`, masks in RITE's colours
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import OptionError, as_command
from vesselrt.runtime.files import atomic_write
from vesselrt.training.data.classes import ARTERY_VEIN

Float = NDArray[np.float32]
Random = np.random.Generator
Strokes = list[tuple[NDArray[np.float64], float]]
"""Pieces of vessels: points (K, 2) x, y in pixels, and the width in pixels."""

_RETINA = np.array([0.80, 0.38, 0.16], np.float32)
_DISC = np.array([0.98, 0.80, 0.52], np.float32)
_ABSORBED = {  # optical depth in red, green and blue: venous blood is darker, in red too
    "artery": np.array([0.10, 0.55, 0.40], np.float32),
    "vein": np.array([0.38, 0.95, 0.60], np.float32),
}
_WIDTH = {"artery": 0.0085, "vein": 0.0120}  # of the largest, as shares of the side
_SUPERSAMPLING = 4
_THINNEST = 1.3  # px


def draw_fundus_photo(side: int, seed: int) -> tuple[Image, dict[str, Mask], Mask]:
    """The same arguments give the same photograph (side, side, 3) uint8 RGB, the masks (side, side) bool of `artery`
    and `vein`, which overlap where the two cross, and the field of view.
    """
    random = np.random.default_rng((seed, side))
    y, x = (np.mgrid[:side, :side] + 0.5).astype(np.float32) / side
    inside = np.asarray(np.hypot(x - 0.5, y - 0.5) < 0.48)
    turn = int(random.choice([-1, 1]))  # the disc is left or right of the middle
    disc = 0.5 + turn * random.uniform(0.26, 0.32), 0.5 + random.uniform(-0.04, 0.04)
    cover = {name: _cover(_grow_tree(disc, turn, name, side, random), side) for name in _ABSORBED}
    picture = _paint_retina(x, y, disc, random)
    for name, absorbed in _ABSORBED.items():
        depth = 0.6 * cover[name] + 0.4 * cv2.GaussianBlur(cover[name], (0, 0), 0.0016 * side + 0.3)
        reflex = cv2.erode(cover[name], np.ones((3, 3))) * (0.30 if name == "artery" else 0.05)
        picture = picture * np.exp(-(depth - reflex)[:, :, None] * absorbed)
    light = 1 - 0.9 * (np.hypot(x - 0.5, y - 0.5) ** 2)
    picture = cv2.GaussianBlur(picture * light[:, :, None], (0, 0), random.uniform(0.3, 0.8))
    picture = (picture + random.normal(0, 0.012, picture.shape)) * inside[:, :, None]
    masks = {name: np.asarray((covered >= 0.5) & inside) for name, covered in cover.items()}
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), masks, inside


def write_fundus_data_set(folder: Path, count: int, seed: int = 0, side: int = 512) -> None:
    """A data set of the kind `folder`: 1 to `count`, made one by one from `seed` on, with masks in the colours of RITE.

    Raises OptionError for a count or a size that there can't be.
    """
    if count < 1 or side < 64:
        raise OptionError(f"{count} photographs of {side} pixels can't be drawn. Expected 1 or more, of 64 or more.")
    for number in range(1, count + 1):
        image, masks, inside = draw_fundus_photo(side, seed + number)
        coloured = np.zeros((*inside.shape, 3), np.uint8)
        artery, vein = masks["artery"], masks["vein"]
        for mask, colour in ((artery, (255, 0, 0)), (vein, (0, 0, 255)), (artery & vein, (0, 255, 0))):
            coloured[mask] = colour
        fov = inside.astype(np.uint8) * 255
        for kind, pixels in (("images", image[:, :, ::-1]), ("masks", coloured[:, :, ::-1]), ("fov", fov)):
            with atomic_write(folder / kind / f"{number}.png") as name:
                name.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    with atomic_write(folder / "dataset.json") as name:
        name.write_text(json.dumps(ARTERY_VEIN.model_dump(mode="json", exclude_defaults=True), indent=1), "utf-8")


def _paint_retina(x: Float, y: Float, disc: tuple[float, float], random: Random) -> Float:
    """(H, W, 3): the retina, its darker macula, and the bright disc with its cup."""
    noise = cv2.resize(random.normal(0, 1, (12, 12)).astype(np.float32), x.shape, interpolation=cv2.INTER_CUBIC)
    tone = 1 + 0.05 * noise - 0.30 * np.exp(-((np.hypot(x - 0.5, y - 0.5) / 0.09) ** 2))
    picture = _RETINA * random.uniform(0.85, 1.1, 3).astype(np.float32) * tone[:, :, None]
    distance = np.hypot(x - disc[0], (y - disc[1]) * 0.93)
    rim, cup = (0.5 + 0.5 * np.tanh((radius - distance) / 0.008) for radius in (0.075, 0.035))
    picture = picture * (1 - rim[:, :, None]) + _DISC * rim[:, :, None]
    result: Float = np.asarray(picture + 0.06 * cup[:, :, None], np.float32)
    return result


@dataclass
class _Tip:
    """The growing end of a vessel; lengths are shares of the side."""

    x: float
    y: float
    angle: float
    width: float
    bend: float
    steps: int


def _grow_tree(disc: tuple[float, float], turn: int, name: str, side: int, random: Random) -> Strokes:
    """All vessels of one kind: two arcades around the macula, two toward the nose, and what branches from them."""
    offset = 0.012 if name == "vein" else -0.012  # they leave the disc side by side
    tips = []
    for up in (-1, 1):
        toward_macula = math.pi if turn > 0 else 0.0
        steep = toward_macula + turn * up * random.uniform(1.15, 1.45)
        tips.append(_Tip(disc[0], disc[1] + up * offset, steep, _WIDTH[name], -turn * up * 0.045, 60))
        away = toward_macula + math.pi - turn * up * random.uniform(0.5, 1.0)
        tips.append(_Tip(disc[0], disc[1] - up * offset, away, 0.7 * _WIDTH[name], turn * up * 0.02, 24))
    return [(points * side, max(_THINNEST, width * side)) for points, width in _grow_strokes(tips, random)]


def _grow_strokes(tips: list[_Tip], random: Random) -> Iterator[tuple[NDArray[np.float64], float]]:
    while tips:
        tip = tips.pop()
        line, wobble = [(tip.x, tip.y)], 0.0
        for step in range(tip.steps):
            wobble = 0.7 * wobble + random.normal(0, 0.05)
            tip.angle += tip.bend + wobble
            tip.x += 0.014 * math.cos(tip.angle)
            tip.y += 0.014 * math.sin(tip.angle)
            line.append((tip.x, tip.y))
            if step % 5 == 4:
                yield np.array(line), tip.width
                line, tip.width = line[-1:], tip.width * 0.95
                if tip.width > 0.0028 and random.random() < 0.75:
                    aside = random.choice([-1, 1]) * random.uniform(0.5, 1.1)
                    length = int(tip.steps * random.uniform(0.3, 0.6))
                    tips.append(_Tip(tip.x, tip.y, tip.angle + aside, 0.6 * tip.width, -0.03 * aside, length))
        if len(line) > 1:
            yield np.array(line), tip.width


def _cover(strokes: Strokes, side: int) -> Float:
    """(side, side): the share of each pixel that they cover."""
    fine = np.zeros((side * _SUPERSAMPLING, side * _SUPERSAMPLING), np.uint8)
    for points, width in strokes:
        fixed: Any = np.round(points * _SUPERSAMPLING * 16).astype(np.int32)
        cv2.polylines(fine, [fixed], False, 255, max(1, round(width * _SUPERSAMPLING)), cv2.LINE_8, 4)
    return np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    count: Annotated[int, typer.Argument(help="How many photographs.")] = 20,
    seed: Annotated[int, typer.Option(help="The same one gives the same photographs.")] = 0,
    side: Annotated[int, typer.Option(help="Pixels.")] = 512,
) -> None:
    """Draw fundus photographs with their arteries and veins."""
    with as_command():
        write_fundus_data_set(folder, count, seed, side)


if __name__ == "__main__":
    typer.run(main)
