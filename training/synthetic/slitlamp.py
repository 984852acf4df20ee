"""Slit-lamp photographs that were never taken, with the truth of each pixel: for tests, and to try a recipe on.

No public set of annotated slit-lamp photographs could be had. What is drawn here has what makes real ones hard: a
sclera that is not white, the edge of the iris, lids, glints of the lamp, and thin winding vessels in and out of focus,
above blurred ones that lie deeper and are no part of the truth. A network trained on it is trained on drawings.

    python -m vesselrt.training.synthetic.slitlamp FOLDER 60   # 60 photographs and annotations, kind `geojson`
"""

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
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask

Float = NDArray[np.float32]
Random = np.random.Generator

_SUPERSAMPLING = 4  # vessels are drawn on a grid this many times as fine
_HEIGHT = 960  # px: the height at which sizes below are meant
_SCLERA = np.array([0.86, 0.77, 0.71], np.float32)  # RGB, lit
_ABSORBED = np.array([0.32, 1.35, 1.25], np.float32)  # optical depth of a full vessel in red, green, blue: blood
_IRISES = np.array([[0.35, 0.21, 0.12], [0.30, 0.38, 0.45], [0.33, 0.34, 0.22]], np.float32)  # brown, blue, green
_SKIN = np.array([0.80, 0.55, 0.47], np.float32)


def draw_slit_lamp_photo(height: int, width: int, seed: int) -> tuple[Image, Mask]:
    """The same arguments give the same photograph (height, width, 3) uint8 RGB and its truth (height, width) bool.

    A pixel is vessel where at least half of it is covered by one that lies on the sclera, in focus or not.
    """
    random = np.random.default_rng((seed, height, width))
    eye = _Eye.draw(height, width, random)
    truth, depth = _vessels(eye, random)
    picture = _sclera(eye, random) * np.exp(-depth[:, :, None] * _ABSORBED)
    picture = _blend(picture, _iris(eye, random), eye.iris_share)
    picture = _blend(picture, _lids(eye, random), eye.lid_share)
    picture = _defocus(picture * _light(eye, random)[:, :, None], eye, random)
    picture = _glints(picture, eye, random)
    grain = cv2.GaussianBlur(random.normal(0, 1, picture.shape).astype(np.float32), (0, 0), 0.6)
    noisy = picture + grain * random.uniform(0.006, 0.02) * np.sqrt(np.clip(picture, 0.02, 1))
    return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8), truth & (eye.open_share > 0.5)


def write_slit_lamp_data_set(folder: Path, count: int, seed: int = 0, height: int = _HEIGHT, width: int = 1280) -> None:
    """A data set of the kind `geojson`: 1.png and 1.geojson to `count`, made one by one from `seed` on.

    Raises OptionError for a count or a size that there can't be.
    """
    if count < 1:
        raise OptionError(f"{count} photographs can't be drawn. Expected 1 or more.")
    for number in range(1, count + 1):
        image, truth = draw_slit_lamp_photo(height, width, seed + number)
        done, png = cv2.imencode(".png", image[:, :, ::-1])
        if not done:
            raise OptionError(f"a photograph of {width} × {height} pixels can't be written as PNG.")
        for suffix, content in (
            (".png", png.tobytes()),
            (".geojson", geojson_from_mask(truth, simplify=MAX_LOSSLESS_SIMPLIFY)),
        ):
            with atomic_write(folder / f"{number}{suffix}") as name:
                name.write_bytes(content)


@dataclass(frozen=True, eq=False)
class _Eye:
    """Where things are. Shares are (H, W) float, 0 to 1, soft at the edges."""

    unit: float
    """Pixels in what is one at a height of _HEIGHT."""
    x: Float
    y: Float
    """Pixel centres."""
    side: int
    """1: the iris is at the right, -1: at the left."""
    centre: tuple[float, float]
    radius: float
    """Of the iris."""
    iris_share: Float
    lid_share: Float
    lid_distance: Float
    """(H, W) pixels from the nearer lid's edge into the open eye; negative in a lid."""

    @property
    def open_share(self) -> Float:
        """What shows sclera."""
        return (1 - self.iris_share) * (1 - self.lid_share)

    @classmethod
    def draw(cls, height: int, width: int, random: Random) -> "_Eye":
        unit, side = height / _HEIGHT, int(random.choice([-1, 1]))
        y, x = (np.mgrid[:height, :width] + 0.5).astype(np.float32)
        centre = (width * (0.5 + side * random.uniform(0.38, 0.58)), height * random.uniform(0.42, 0.58))
        radius = height * random.uniform(0.40, 0.52)
        distance = np.hypot(x - centre[0], (y - centre[1]) * random.uniform(0.95, 1.0))
        iris = _smooth_step(radius - distance, unit * random.uniform(9, 18))
        # Lids come together toward the corner of the eye, which is opposite to the iris and mostly out of the picture.
        away = np.clip(side * (centre[0] - x) / width, -0.5, 1.5)
        upper = height * (random.uniform(-0.02, 0.09) + random.uniform(0.04, 0.2) * away**2)
        lower = height * (random.uniform(0.92, 1.03) - random.uniform(0.04, 0.2) * away**2)
        wave = _draw_noise(random, (1, width), 6)[0] * 6 * unit
        inward = np.minimum(y - upper - wave, lower - wave - y).astype(np.float32)
        return cls(unit, x, y, side, centre, radius, iris, _smooth_step(-inward, 3 * unit), inward)


@dataclass
class _Tip:
    """The growing end of a vessel."""

    x: float
    y: float
    angle: float
    width: float
    depth: float
    curl: float
    """Standard deviation of the change of direction."""
    steps: int


def _vessels(eye: _Eye, random: Random) -> tuple[Mask, Float]:
    """The truth (H, W), and the optical depth of all vessels there, 1 in the middle of a full one."""
    height, width = eye.x.shape
    fine = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    shade = np.zeros_like(fine)
    for strokes, value, thickness in sorted(_grow_vessels(eye, random), key=lambda v: v[2]):
        points = np.round(np.array(strokes) * _SUPERSAMPLING * 16).astype(np.int32)
        cv2.polylines(fine, [points], False, 255, max(1, round(thickness * _SUPERSAMPLING)), cv2.LINE_8, 4)
        cv2.polylines(
            shade, [points], False, round(value * 255), max(1, round(thickness * _SUPERSAMPLING)), cv2.LINE_8, 4
        )
    size = (width, height)
    truth = cv2.resize(fine, size, interpolation=cv2.INTER_AREA) >= 128
    sharp = cv2.resize(shade, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    # A vessel is round: deeper in the middle than at its edges.
    rounded = 0.55 * sharp + 0.45 * cv2.GaussianBlur(sharp, (0, 0), 1.3 * eye.unit + 0.3)
    deep = np.zeros((height, width), np.uint8)
    for strokes, _, thickness in _grow_vessels(eye, random):
        points = np.round(np.array(strokes) * 16).astype(np.int32)
        cv2.polylines(deep, [points], False, 255, max(1, round(1.6 * thickness)), cv2.LINE_AA, 4)
    below = cv2.GaussianBlur(deep.astype(np.float32) / 255, (0, 0), 5 * eye.unit + 0.5)
    return truth, rounded + random.uniform(0.1, 0.28) * below


def _grow_vessels(eye: _Eye, random: Random) -> Iterator[tuple[list[tuple[float, float]], float, float]]:
    """Vessels piece by piece: their points, optical depth and width. They come from the corner and the folds of the eye
    and run toward the iris, fork, and end before it or on its edge.
    """
    height, width = eye.x.shape
    tips = list(_draw_roots(eye, random))
    step = 5 * eye.unit
    while tips:
        tip = tips.pop()
        strokes = [(tip.x, tip.y)]
        bend = 0.0
        for _ in range(tip.steps):
            toward = math.atan2(eye.centre[1] - tip.y, eye.centre[0] - tip.x)
            bend = 0.75 * bend + random.normal(0, tip.curl)
            tip.angle += bend + 0.05 * math.sin(toward - tip.angle)
            tip.x += step * math.cos(tip.angle)
            tip.y += step * math.sin(tip.angle)
            strokes.append((tip.x, tip.y))
            out = not (-step < tip.x < width + step and -step < tip.y < height + step)
            if out or math.hypot(tip.x - eye.centre[0], tip.y - eye.centre[1]) < eye.radius * 0.99:
                break
            if random.random() < 0.012 and tip.width > 1.4 * min(1.0, eye.unit):
                turn = random.choice([-1, 1]) * random.uniform(0.35, 1.0)
                tips.append(
                    _Tip(
                        tip.x,
                        tip.y,
                        tip.angle + turn,
                        tip.width * random.uniform(0.5, 0.8),
                        tip.depth * 0.9,
                        tip.curl * 1.15,
                        int(tip.steps * random.uniform(0.2, 0.5)),
                    )
                )
            if len(strokes) > 8:
                yield strokes, tip.depth, tip.width
                tip.width, strokes = max(1.0, tip.width * random.uniform(0.93, 1.01)), strokes[-1:]
        if len(strokes) > 1:
            yield strokes, tip.depth, tip.width


def _draw_roots(eye: _Eye, random: Random) -> Iterator[_Tip]:
    """Where vessels start: wide ones far from the iris, capillaries anywhere on the sclera."""
    height, width = eye.x.shape
    far = 0.0 if eye.side > 0 else float(width)
    for _ in range(random.integers(6, 12)):
        if random.random() < 0.55:
            x, y, angle = far, height * random.uniform(0.08, 0.92), 0.0 if eye.side > 0 else math.pi
        else:
            x = far + eye.side * width * random.uniform(0, 0.6)
            y, angle = random.choice([(0.0, math.pi / 2), (float(height), -math.pi / 2)])
            angle += eye.side * (-0.7 if y == 0 else 0.7)
        thickness = max(
            1.0, eye.unit * random.choice([7.5, 5, 3.5, 2.5], p=[0.12, 0.25, 0.33, 0.3]) * random.uniform(0.8, 1.1)
        )
        yield _Tip(
            x, y, angle + random.normal(0, 0.3), thickness, random.uniform(0.45, 1), random.uniform(0.02, 0.06), 240
        )
    for _ in range(random.integers(6, 20)):
        x, y = random.uniform(0, width), random.uniform(0, height)
        if math.hypot(x - eye.centre[0], y - eye.centre[1]) > eye.radius * 1.05:
            thickness = max(1.0, eye.unit * random.uniform(1, 1.8))
            yield _Tip(
                x,
                y,
                random.uniform(0, math.tau),
                thickness,
                random.uniform(0.25, 0.6),
                0.08,
                int(random.integers(15, 60)),
            )


def _sclera(eye: _Eye, random: Random) -> Float:
    """(H, W, 3): white that is yellow, blue and pink in places, and pinker toward the lids."""
    shape = eye.x.shape
    tint = _SCLERA * random.uniform(0.96, 1.06, 3).astype(np.float32)
    pink = 0.05 + 0.10 * np.exp(-np.clip(eye.lid_distance, 0, None) / (70 * eye.unit))
    pink = pink + 0.035 * _draw_noise(random, shape, 5) + 0.02 * _draw_noise(random, shape, 18)
    redder = np.array([0.25, 1.6, 1.3], np.float32) * random.uniform(0.7, 1.6)
    result: Float = tint * (1 - pink[:, :, None] * redder) + 0.012 * _draw_noise(random, shape, 60)[:, :, None]
    return result.astype(np.float32)


def _iris(eye: _Eye, random: Random) -> Float:
    """(H, W, 3): fibres from the pupil outward, a dark rim."""
    dx, dy = eye.x - eye.centre[0], eye.y - eye.centre[1]
    distance, angle = np.hypot(dx, dy) / eye.radius, np.arctan2(dy, dx)
    rays = _draw_noise(random, (24, 720), 260)
    fibres = cv2.remap(
        rays.astype(np.float32),
        ((angle / math.tau + 0.5) * 719 + 1.5 * np.sin(distance * 9)).astype(np.float32),
        (distance * 23).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    colour = _IRISES[random.integers(len(_IRISES))]
    tone = (
        (1 + 0.2 * fibres) * (1.1 - 0.55 * _smooth_step(distance - 0.86, 0.09)) * (1.15 - 0.3 * np.abs(distance - 0.5))
    )
    pupil = _smooth_step(random.uniform(0.26, 0.4) - distance, 0.015)
    result: Float = (colour * tone[:, :, None] * (1 - 0.93 * pupil[:, :, None])).astype(np.float32)
    return result


def _lids(eye: _Eye, random: Random) -> Float:
    """(H, W, 3): skin with its pores, a wet red margin toward the eye."""
    shape = eye.x.shape
    tint = _SKIN * random.uniform(0.75, 1.1)
    texture = 1 + 0.06 * _draw_noise(random, shape, 9) + 0.025 * _draw_noise(random, shape, 240)
    margin = np.exp(-np.clip(-eye.lid_distance, 0, None) / (16 * eye.unit))
    result: Float = tint * texture[:, :, None] * (1 - margin[:, :, None] * np.array([0.05, 0.28, 0.24], np.float32))
    return result.astype(np.float32)


def _light(eye: _Eye, random: Random) -> Float:
    """(H, W): a lamp from one side, the eyeball's curve, the shadow under a lid."""
    height, width = eye.x.shape
    px, py = width * random.uniform(0.3, 0.7), height * random.uniform(0.35, 0.65)
    falloff = np.hypot((eye.x - px) / width, (eye.y - py) / height)
    shadow = 0.35 * np.exp(-np.clip(eye.lid_distance, 0, None) / (26 * eye.unit)) * (1 - eye.lid_share)
    light: Float = (random.uniform(0.92, 1.12) - random.uniform(0.35, 0.8) * falloff**2) * (1 - shadow)
    return light.astype(np.float32)


def _defocus(picture: Float, eye: _Eye, random: Random) -> Float:
    """Sharp in a band that the lamp was focused on, softer away from it: the eyeball is curved."""
    height, width = eye.x.shape
    slope = random.uniform(-0.3, 0.3)
    off = np.abs(eye.x / width - random.uniform(0.35, 0.65) + slope * (eye.y / height - 0.5))
    radius = eye.unit * (random.uniform(0.5, 1.1) + random.uniform(2, 7) * np.clip(off - 0.15, 0, None) ** 1.5 * 2)
    radius = np.minimum(radius, 4 * eye.unit)
    levels = [0.0, *(eye.unit * s for s in (1.0, 2.0, 4.0))]
    result = np.zeros_like(picture)
    for below, level, above in zip([-1.0, *levels], levels, [*levels[1:], levels[-1] + 1], strict=False):
        weight = np.clip(np.minimum((radius - below) / (level - below), (above - radius) / (above - level)), 0, 1)
        blurred = cv2.GaussianBlur(picture, (0, 0), level) if level > 0.2 else picture
        result += weight[:, :, None].astype(np.float32) * blurred
    return result


def _glints(picture: Float, eye: _Eye, random: Random) -> Float:
    """The lamp on the cornea, and what the film of tears throws back: small, along the lids and on the white."""
    height, width = eye.x.shape
    light = np.zeros((height, width), np.float32)
    x, y = (
        eye.centre[0] - eye.side * eye.radius * random.uniform(0.3, 0.75),
        eye.centre[1] - eye.radius * random.uniform(0, 0.4),
    )
    long, wide = eye.radius * random.uniform(0.12, 0.35), eye.radius * random.uniform(0.04, 0.09)
    box = cv2.boxPoints(((x, y), (wide, long), random.uniform(-12, 12)))
    cv2.fillPoly(light, [np.round(box * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    for _ in range(random.integers(6, 22)):
        place = (random.uniform(0, width), random.uniform(0, height))
        size = (eye.unit * random.uniform(1.5, 9), eye.unit * random.uniform(1, 4))
        cv2.ellipse(light, (place, size, random.uniform(0, 180)), random.uniform(0.4, 1), -1, cv2.LINE_AA)
    wet = (np.abs(eye.lid_distance - 5 * eye.unit) < 2 * eye.unit) & (_draw_noise(random, light.shape, 30) > 1.8)
    light = np.maximum(light, 0.7 * wet.astype(np.float32))
    bright = cv2.GaussianBlur(light, (0, 0), 0.9 * eye.unit + 0.3) + 0.35 * cv2.GaussianBlur(
        light, (0, 0), 7 * eye.unit + 0.5
    )
    bright *= 1 - 0.8 * eye.lid_share * (eye.lid_distance < -6 * eye.unit)
    return _blend(picture, np.array([1.05, 1.05, 1.02], np.float32), np.clip(bright, 0, 1))


def _blend(below: Float, above: Any, share: Float) -> Float:
    result: Float = below + share[:, :, None] * (above - below)
    return result.astype(np.float32)


def _smooth_step(value: NDArray[np.floating[Any]], softness: float) -> Float:
    """From 0 to 1 where `value` passes 0, over about ± `softness`."""
    return np.asarray(1 / (1 + np.exp(-np.clip(3 * value / softness, -30, 30))), np.float32)


def _draw_noise(random: Random, shape: tuple[int, ...], cells: int) -> Float:
    """(H, W) smooth noise of mean 0 and standard deviation about 1, with `cells` bumps along the longer side."""
    height, width = shape
    scale = cells / max(shape)
    coarse = random.normal(0, 1.4, (max(2, round(height * scale)), max(2, round(width * scale)))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    count: Annotated[int, typer.Argument(help="Number of photographs.")],
) -> None:
    """Write drawn slit-lamp photographs and their annotations, a data set of the kind geojson."""
    with as_command():
        write_slit_lamp_data_set(folder, count)


if __name__ == "__main__":
    typer.run(main)
