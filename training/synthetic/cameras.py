"""Simulated cameras and annotators: they make a network work on cameras that it never saw.

Two things differ between fundus data sets. The **photograph**: field angle, sensor resolution, optics,
illumination, colour, noise, compression. And the **annotation**: an annotator paints on the pixels of
that sensor, so a capillary is drawn at least a pixel or two wide however thin it is. On a coarse sensor
this makes up a large part of all vessel pixels, and a network that learned from fine sensors is
under-confident there: on cameras it never saw, the best threshold of such a network falls as their
pixels per degree do (22: 0.25, 19: 0.20, 12: 0.10). Simulating sensor and annotator together lets the network
see in the picture how wide its annotation is drawn, so that 0.5 stays the right threshold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Facts, Preparation
from vesselrt.runtime.photo.preparation import scale
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.data.samples import Sample, read_pair
from vesselrt.training.data.splits import Split
from vesselrt.training.synthetic.pyramid import PhotoPyramid, map_each, pyramid_from_photo

Float = NDArray[np.floating[Any]]
Random = np.random.Generator
Range = tuple[float, float]


def _check_in_order(bounds: Range) -> Range:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)} must begin with the smaller one")
    return bounds


_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Quality = Annotated[float, Field(ge=0, le=100)]
Amounts = Annotated[tuple[_Amount, _Amount], AfterValidator(_check_in_order)]
"""A range in a recipe: from 0 on."""
Factors = Annotated[tuple[_Factor, _Factor], AfterValidator(_check_in_order)]
"""A range of factors in a recipe: above 0."""


class CameraFamily(Facts):
    """The cameras that a recipe trains on: each range is drawn from uniformly for every crop."""

    simulated_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of crops seen through a simulated camera; the others keep the look and the truth of their own."""
    sensor: Factors = (420, 960)
    """Field-of-view diameter in pixels of a simulated sensor."""
    zoom: Factors = (0.7, 1.5)
    """Change of the field angle; beyond 1 the vessels become wider."""
    stretch: _Amount = 0.08
    """Largest relative difference between the scales of the two axes."""
    blur: Amounts = (0.0, 1.3)
    """Standard deviation of the optics' Gaussian blur, in sensor pixels."""
    noise: Amounts = (0.0, 0.03)
    """Standard deviation of sensor noise, full scale 1."""
    gamma: Factors = (0.7, 1.4)
    contrast: Factors = (0.5, 1.4)
    illumination: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Largest relative change of brightness across the field."""
    haze: Amounts = (0.0, 0.2)
    """Stray light added everywhere, full scale 1."""
    exposure: Factors = (1.0, 1.0)
    """Factor of the light that the sensor gets, stray light included, before its noise."""
    crosstalk: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Largest share of red and of blue light in the green channel."""
    jpeg: Annotated[tuple[_Quality, _Quality], AfterValidator(_check_in_order)] = (35, 95)
    """JPEG quality."""
    centred_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of crops in whose middle lies a pixel of a class, of each class equally often: for rare classes."""
    annotation_widening: Amounts = (0.2, 1.4)
    """Sensor pixels by which a simulated annotator paints a vessel wider than it is. The share of the field that
    published annotations call vessel (DRIVE 12.7 %, STARE 10.4 %; HRF, the finest, 9 %) suggests 0.6 to 0.9."""
    outline_smoothing: Factors = (0.3, 0.6)
    """Standard deviation, in sensor pixels, of the smoothing that a hand-drawn outline has."""


def draw_crop(
    source: PhotoPyramid,
    family: CameraFamily,
    preparation: Preparation,
    size: int,
    random: Random,
    simulated_share: float | None = None,
) -> tuple[Image, Float]:
    """One training crop: (size, size, C) uint8 as the runtime would prepare it, and its truth (size, size) in 0..1, of
    several classes (K, size, size).

    `simulated_share` is the chance of a simulated camera; None: the family's.
    """
    simulated = random.random() < (family.simulated_share if simulated_share is None else simulated_share)
    sensor = _draw_log_uniform(random, family.sensor) if simulated else preparation.diameter(source.native)
    diameter = preparation.diameter(sensor)
    side = max(8, round(size * sensor / diameter))
    rgb, coverage = _expose(source, family, sensor, side, random)
    picture = _photograph(rgb, family, simulated, random)
    truth = _annotate(coverage, source, sensor, family, random) if simulated else coverage
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if simulated:
        lowest, highest = map(int, family.jpeg)
        pixels = _compress(pixels, int(random.integers(lowest, max(highest, lowest + 1))))
    pixels = pixels[:, :, 1:2] if preparation.channels == "green" else pixels
    if side != size:
        pixels = scale(np.ascontiguousarray(pixels), size / side)
        truth = map_each(lambda single: cv2.resize(single, (size, size), interpolation=cv2.INTER_LINEAR), truth)
    return pixels.reshape(size, size, -1), truth


def _expose(
    source: PhotoPyramid, family: CameraFamily, sensor: float, side: int, random: Random
) -> tuple[Float, Float]:
    """The light on `side` × `side` sensor pixels at a random place, turn, zoom and stretch; and the vessels there."""
    zoom = _draw_log_uniform(random, family.zoom)
    ratios = [d / (sensor * zoom) for d in source.diameters]  # source pixels per sensor pixel
    level = max((i for i, r in enumerate(ratios) if r >= 0.71), default=0)
    image, truth, ratio = source.images[level], source.truths[level], ratios[level]
    height, width = truth.shape[-2:]
    angle = random.uniform(0, 2 * np.pi)
    radius = 0.42 * source.diameters[level] * np.sqrt(random.random())  # most of the crop lies inside the disc
    bearing = random.uniform(0, 2 * np.pi)
    centre = np.array([width / 2 + radius * np.cos(bearing), np.clip(height / 2 + radius * np.sin(bearing), 0, height)])
    if family.centred_share and random.random() < family.centred_share:
        place = source.draw_class_pixel(random)
        centre = centre if place is None else np.multiply(place, (width, height))
    stretch = np.exp(random.uniform(-family.stretch, family.stretch))
    flip = random.choice([-1.0, 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag(
        [flip * ratio * stretch, ratio / stretch]
    )
    matrix = np.column_stack([turn, centre - turn @ np.array([side / 2, side / 2])])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rgb = cv2.warpAffine(image, matrix, (side, side), flags=flags)
    coverage = map_each(lambda single: cv2.warpAffine(single, matrix, (side, side), flags=flags), truth)
    return rgb.astype(np.float32) / 255, coverage.astype(np.float32) / 255


def _photograph(rgb: Float, family: CameraFamily, simulated: bool, random: Random) -> Float:
    """What the camera makes of the light: (h, w, 3) in 0..1. A crop's own camera varies a third as much."""
    amount = 1.0 if simulated else 1 / 3
    mixing = random.uniform(0, family.crosstalk * amount, 2)
    green = (1 - mixing.sum()) * rgb[:, :, 1] + mixing[0] * rgb[:, :, 0] + mixing[1] * rgb[:, :, 2]
    picture = np.dstack([rgb[:, :, 0], green, rgb[:, :, 2]])
    picture *= _draw_illumination(random, picture.shape[:2], family.illumination * amount)[:, :, None]
    level = float(picture[:, :, 1].mean())
    picture = np.clip(level + (picture - level) * _draw_toward_one(random, family.contrast, amount), 0, 1)
    picture = picture ** _draw_toward_one(random, family.gamma, amount)
    picture = picture + random.uniform(*family.haze) * amount * (picture > 0.02)
    picture = picture * _draw_toward_one(random, family.exposure, amount)
    blur = random.uniform(*family.blur) * amount
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    noise = random.uniform(*family.noise) * amount
    grain = random.normal(0, noise, picture.shape).astype(np.float32)
    if simulated and random.random() < 0.5:  # film, and cameras that interpolate colour: correlated grain
        grain = cv2.GaussianBlur(grain, (0, 0), 0.8) * 2.2
    result: Float = (picture + grain).astype(np.float32)
    return result


def _annotate(coverage: Float, source: PhotoPyramid, sensor: float, family: CameraFamily, random: Random) -> Float:
    """What an annotator paints who sees the sensor's pixels: 0 or 1 in each."""
    smoothing = random.uniform(*family.outline_smoothing)
    widening = source.widening(random.uniform(*family.annotation_widening), sensor)
    # Across a straight edge the smoothed coverage is a normal distribution function of the distance, so this
    # level moves each edge outward by half the widening.
    level = NormalDist().cdf(-widening / 2 / smoothing)
    smooth = map_each(lambda single: cv2.GaussianBlur(single, (0, 0), smoothing), coverage)
    return (smooth > max(level, 0.04)).astype(np.float32)


def _compress(pixels: Image, quality: int) -> Image:
    _, jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), np.uint8)


def _draw_illumination(random: Random, shape: tuple[int, ...], amount: float) -> Float:
    coarse = random.uniform(1 - amount, 1 + amount, (4, 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _draw_log_uniform(random: Random, bounds: Range) -> float:
    return float(np.exp(random.uniform(*np.log(bounds))))


def _draw_toward_one(random: Random, bounds: Range, amount: float) -> float:
    return float(_draw_log_uniform(random, bounds) ** amount)


# Cameras held out of training: they judge whether 0.5 stays the right threshold. They are built from
# other operations than the family above (resampling, sharpening, tone curves, signal-dependent noise,
# painting by dilation), so that to know the family is not to know them.


@dataclass(frozen=True)
class HeldOutCamera:
    """A fixed camera and its annotator."""

    sensor: int
    """Field-of-view diameter in pixels."""
    look: Callable[[Float, Random], Float]
    """(h, w, 3) in 0..1 → the same."""
    brush: float
    """Sensor pixels by which the annotator paints every vessel wider than it is."""

    def photograph(self, source: PhotoPyramid, seed: int) -> tuple[Image, NDArray[np.bool_]]:
        """The whole field as this camera shows it, (h, w, 3) uint8, and as its annotator paints it, (h, w) bool; of
        several maps each.
        """
        random = np.random.default_rng(seed)
        factor = self.sensor / source.diameters[0]
        rgb = cv2.resize(source.images[0], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        pixels = np.clip(self.look(rgb.astype(np.float32) / 255, random), 0, 1)
        # Painted on a grid four times as fine, with a round brush, then read at pixel centres.
        width = round(4 * source.widening(self.brush, self.sensor)) | 1
        brush, size = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), (rgb.shape[1] * 4, rgb.shape[0] * 4)

        def paint(coverage: Image) -> NDArray[np.bool_]:
            fine = cv2.resize(coverage, size, interpolation=cv2.INTER_LINEAR)
            return np.asarray(cv2.dilate((fine > 127).astype(np.uint8), brush)[2::4, 2::4] > 0)

        return (pixels * 255 + 0.5).astype(np.uint8), map_each(paint, source.truths[0])


def _coarse_ccd(rgb: Float, random: Random) -> Float:
    """An old three-chip video camera: sharpened, contrasty tone curve, shot noise."""
    sharp = rgb + 0.8 * (rgb - cv2.GaussianBlur(rgb, (0, 0), 1.2))
    tone = np.clip(sharp, 0, 1) ** 2 * (3 - 2 * np.clip(sharp, 0, 1))
    shot = random.normal(0, 0.03, rgb.shape) * np.sqrt(np.clip(rgb, 0, 1))
    return np.asarray(0.5 * sharp + 0.5 * tone + shot, np.float32)


def _scanned_film(rgb: Float, random: Random) -> Float:
    """A slide scanned years later: faded, raised blacks, motion blur, coarse grain."""
    kernel = np.zeros((3, 3), np.float32)
    kernel[1] = 1 / 3
    faded = 0.12 + 0.6 * cv2.filter2D(rgb, -1, kernel)
    grain = cv2.resize(random.normal(0, 0.02, (rgb.shape[0] // 2, rgb.shape[1] // 2, 3)), (rgb.shape[1], rgb.shape[0]))
    return (faded + grain).astype(np.float32)


def _dim_portable(rgb: Float, random: Random) -> Float:
    """A hand-held camera: lit from one side, dark, median-filtered by its own noise reduction."""
    ramp = np.linspace(1.0, 0.35, rgb.shape[1], dtype=np.float32)[None, :, None]
    noisy = rgb * ramp * 0.7 + random.normal(0, 0.02, rgb.shape)
    return cv2.medianBlur((np.clip(noisy, 0, 1) * 255).astype(np.uint8), 3).astype(np.float32) / 255


HELD_OUT = {
    "coarse-ccd": HeldOutCamera(540, _coarse_ccd, 0.8),
    "scanned-film": HeldOutCamera(650, _scanned_film, 0.8),
    "dim-portable": HeldOutCamera(800, _dim_portable, 0.8),
}


def write_held_out_data_sets(samples: Iterable[Sample], folder: Path, brush: float | None = None) -> None:
    """Each photograph as every held-out camera shows it: of each camera a data set of the kind `folder`.

    `brush` takes the place of the cameras' own.
    """
    for number, sample in enumerate(samples):
        source = pyramid_from_photo(*read_pair(sample))
        for name, held_out in HELD_OUT.items():
            camera = held_out if brush is None else replace(held_out, brush=brush)
            shown, painted = camera.photograph(source, number)
            for kind, pixels in (("images", shown[:, :, ::-1]), ("masks", painted.astype(np.uint8) * 255)):
                with atomic_write(folder / name / kind / f"{sample.name}.png") as path:
                    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def main(
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    folder: Annotated[Path, typer.Argument(help="Folder to make: in it a data set of each camera.")],
    split: Annotated[Split, typer.Option(help="Which photographs.")] = "test",
    brush: Annotated[
        float | None,
        typer.Option(min=0, help="Sensor pixels by which vessels are painted wider than they are. Default: 0.8."),
    ] = None,
) -> None:
    """Write the photographs of a data set as each held-out camera shows them, and as its annotator paints them."""
    with as_command():
        write_held_out_data_sets(list_samples(resolve_kind("auto", data), data, split), folder, brush)


if __name__ == "__main__":
    typer.run(main)
