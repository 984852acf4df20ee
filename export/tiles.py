"""The tile of a manifest: what nobody told of it is found, and its result is measured against that of the whole image.

- `multiple`: the least step by which the network's windows may grow and be shifted.
- `margin`: as far as the network sees, where that is a quarter of a tile at most. `blend` is `exact` then.
- Else margin and blend are those, of a few, that flip the fewest pixels.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vesselrt.export.flips import flipped_share
from vesselrt.export.parity import Reference, network_answer, takes_window
from vesselrt.export.receptive import find_sight, round_up
from vesselrt.export.windows import as_fed, drawn_pixels
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest, Tile, TilingFigures
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.tiling import infer_tiles

logger = logging.getLogger(__name__)

MOST_FLIPPED_BY_TILES = 0.005
"""Share of the pixels; where tiles flip more, a warning says so."""
_FEW = 1e-4
"""Share of flipped pixels from which on a wider margin, which costs time, is not tried."""
_ROUNDING = 2 / 255
"""In probability. Exact tiles differ by a step of 8 bits where float32 rounds another way."""
_MOST_PHOTOGRAPHS = 2
_SIDE = 1024
"""Pixels of a side to which photographs are cropped, or one and a half tiles where that is more."""
_FIXED_STEP = 16


@dataclass(frozen=True)
class Draft:
    """A manifest, and the fields of its tile that nobody told: they are to be found."""

    manifest: Manifest
    untold: frozenset[str]


def settle_tile(draft: Draft, reference: Reference) -> tuple[Draft, int | None]:
    """The draft with a tile that can be run, and the network's receptive field as `TilingFigures` has it.

    What was told stays, and a warning tells of a margin that is too small.

    Raises ExportError for a size or margin that does not fit the network.
    """
    manifest, untold = draft.manifest, draft.untold
    tile = manifest.tile
    told = 0 if "margin" in untold else tile.margin
    sight = find_sight(reference, manifest, None if "multiple" in untold else tile.multiple, max(tile.size // 4, told))
    if "multiple" in untold:
        tile = _with_multiple(manifest, sight.step, reference)
    if "margin" not in untold and tile.blend == "exact":
        _warn_of_margin(tile, sight.reach)
    tile = possible_tiles(tile, untold, sight.reach)[0]
    return replace(draft, manifest=manifest.model_copy(update={"tile": tile})), sight.reach


def _with_multiple(manifest: Manifest, multiple: int | None, reference: Reference) -> Tile:
    """Raises ExportError where size or margin are none of it, or the network does not take the size at all."""
    tile, channels = manifest.tile, manifest.channel_count
    if multiple is not None:
        if tile.margin % multiple:
            raise ExportError(
                f"tile.margin is {tile.margin}, and the windows of this network go by {multiple} pixels. Leave it out, "
                f"or say {round_up(tile.margin, multiple)}."
            )
        return tile.model_copy(update={"multiple": multiple})
    fixed = _fixed(tile)
    if not takes_window(reference, channels, tile.size, tile.size):
        for step in (2**power for power in range(1, 8)):
            if takes_window(reference, channels, *[round_up(tile.size, step)] * 2):
                below, above = tile.size // step * step, round_up(tile.size, step)
                raise ExportError(
                    f"tile.size is {tile.size}, and the windows of this network go by {step} pixels. Say "
                    + (f"{below} or {above}." if below > step else f"{above}.")
                )
        window = np.zeros((1, channels, tile.size, tile.size), np.uint8)
        network_answer(reference, window, manifest.model_copy(update={"tile": fixed}))  # raises
    if not tile.fixed:
        logger.warning(
            "The network takes windows of %d × %d pixels and no smaller ones. The tile is fixed, at %d pixels.",
            *[tile.size] * 3,
        )
    return fixed


def with_fixed_tile(draft: Draft) -> Draft:
    """The same for a network whose graph takes windows of one size alone."""
    tile = draft.manifest.tile
    tile = _fixed(tile) if "multiple" in draft.untold else tile.model_copy(update={"fixed": True})
    return replace(draft, manifest=draft.manifest.model_copy(update={"tile": tile}))


def _fixed(tile: Tile) -> Tile:
    """Windows of one size, which may lie anywhere: their origins are multiples of what fits size and margin."""
    return tile.model_copy(update={"multiple": gcd(tile.size, tile.margin or tile.size, _FIXED_STEP), "fixed": True})


def _warn_of_margin(tile: Tile, reach: int | None) -> None:
    if (reach is not None and reach <= tile.margin) or tile.fixed:
        return
    if reach is None:
        seen, least = f"more than {max(tile.size // 4, tile.margin)} px", None
    else:
        seen, least = f"{reach} px", round_up(reach, tile.multiple)
    advice = "Leave it out, and it is chosen by what it changes."
    if least is not None:
        room = f"write margin: {least}" if 2 * least < tile.size else f"take a tile.size of more than {2 * least}"
        advice = f"Leave it out, or {room}."
    logger.warning(
        "tile.margin %d is less than the %s that the network sees around a pixel: tiles change pixels at their edges. "
        "%s",
        tile.margin,
        seen,
        advice,
    )


def possible_tiles(tile: Tile, untold: frozenset[str], reach: int | None) -> list[Tile]:
    """The ways to cut that fit what was told and what the network sees, the cheapest first."""
    exact = None if reach is None else round_up(reach, tile.multiple)
    if exact is not None and "margin" not in untold:
        ways = [("exact", tile.margin)]
    elif exact is not None and 2 * exact < tile.size:
        ways = [("exact", exact)]
    else:
        quarter, wide = (share * tile.size // 8 // tile.multiple * tile.multiple for share in (2, 3))
        ways = [("exact", quarter), ("gaussian", quarter), ("gaussian", wide)]
    told = {name: value for name, value in (("margin", tile.margin), ("blend", tile.blend)) if name not in untold}
    tiles = [tile.model_copy(update={"blend": blend, "margin": margin} | told) for blend, margin in ways]
    return list(dict.fromkeys(tiles))


def choose_tile(path: Path, draft: Draft, reach: int | None, photographs: list[Image]) -> Manifest:
    """The manifest with that of the possible tiles which flips the fewest pixels against the whole image, and with what
    was measured. `path` is the model file, `photographs` are (H, W, 3) uint8 RGB.
    """
    manifest = draft.manifest
    if manifest.tile.fixed:  # the whole image can't be run
        ways = possible_tiles(manifest.tile, draft.untold, reach)
        tile = next((way for way in ways if reach is not None or way.blend == "gaussian"), manifest.tile)
        manifest = manifest.model_copy(update={"tile": tile})
    if manifest.tile.fixed or not _is_cut(manifest):
        return _with_figures(manifest, TilingFigures(receptive_field=reach))
    trial = _open_trial(path, manifest, photographs)
    if trial is None:
        logger.warning("Tiles are not compared with the whole image: ONNX Runtime fails on it.")
        return _with_figures(manifest, TilingFigures(receptive_field=reach))
    tiles = possible_tiles(manifest.tile, draft.untold, reach)
    best, figures = tiles[0], trial.measure(tiles[0])
    if reach is not None and reach <= best.margin and figures.largest_difference > _ROUNDING:
        reach = None  # something further away, which noise did not show
        tiles = possible_tiles(manifest.tile, draft.untold, reach)
        best, figures = tiles[0], trial.measure(tiles[0])
    for tile in tiles[1:]:
        if figures.flipped <= _FEW:
            break
        other = trial.measure(tile)
        # A cut shows as a seam, so it is taken for few pixels alone; a wider margin costs more than twice the time.
        if tile.blend != best.blend or 2 * other.flipped < figures.flipped:
            best, figures = tile, other
    if figures.flipped > MOST_FLIPPED_BY_TILES:
        _warn_of_tiles(best, figures.flipped)
    told = TilingFigures(
        receptive_field=reach,
        flipped=figures.flipped,
        largest_difference=figures.largest_difference,
        photographs=trial.photographs,
    )
    return _with_figures(manifest.model_copy(update={"tile": best}), told)


def _open_trial(path: Path, manifest: Manifest, photographs: list[Image]) -> "_Trial | None":
    """On a large crop, or where memory has no room for that, on a small one; None: not even on that."""
    least = 3 * manifest.tile.size // 2
    for side in dict.fromkeys((max(_SIDE, least), least)):
        try:
            return _Trial(path, manifest, photographs, side)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
            logger.debug("tiles against the whole image, %d px: %s", side, error)
    return None


def _is_cut(manifest: Manifest) -> bool:
    """Whether there are photographs that don't fit into one tile."""
    preparation = manifest.preparation
    if preparation.size is not None:
        return max(preparation.size) > manifest.tile.size
    return preparation.largest is None or preparation.largest > manifest.tile.size


def _with_figures(manifest: Manifest, figures: TilingFigures) -> Manifest:
    provenance = manifest.provenance.model_copy(update={"tiling": figures})
    return manifest.model_copy(update={"provenance": provenance})


def _warn_of_tiles(tile: Tile, flipped: float) -> None:
    logger.warning(
        "Tiles of %d px flip %.1f %% of the pixels against the whole image, more than %.1f %%. A larger tile.size "
        "helps, such as %d; with one that holds a whole photograph nothing flips.",
        tile.size,
        100 * flipped,
        100 * MOST_FLIPPED_BY_TILES,
        2 * tile.size,
    )


@dataclass(frozen=True)
class _Seams:
    """How tiles differ from the whole image."""

    flipped: float
    largest_difference: float


class _Trial:
    """Whole images, which are computed once, and the same in tiles."""

    def __init__(self, path: Path, manifest: Manifest, photographs: list[Image], side: int) -> None:
        self.manifest = manifest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.pictures = _pictures(manifest, photographs, side)
        self.photographs = len(self.pictures)
        if not self.pictures:
            drawn = drawn_pixels(min(side, 2 * manifest.tile.size), manifest.colour_count)
            self.pictures = [as_fed(drawn.transpose(2, 0, 1)[None], manifest)[0].transpose(1, 2, 0)]
        self.whole = [self._levels(picture, _whole(manifest.tile, picture)) for picture in self.pictures]

    def measure(self, tile: Tile) -> _Seams:
        tiled = [self._levels(picture, tile) for picture in self.pictures]
        differences = [abs(one - other).max() for one, other in zip(tiled, self.whole, strict=True)]
        return _Seams(flipped_share(self.whole, tiled, self.manifest), float(max(differences)))

    def _levels(self, picture: Image, tile: Tile) -> NDArray[np.float32]:
        """(1, K, h, w): probability as the runtime gives it, in 255 steps."""
        levels = infer_tiles(picture, tile, self._infer, classes=len(self.manifest.classes))
        return np.float32(1 / 255) * levels[None]

    def _infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        for batch in batches:
            yield to_bytes(self.session.run(None, {"image": batch})[0])


def _whole(tile: Tile, picture: Image) -> Tile:
    """A tile that holds a whole picture (h, w, C)."""
    side = round_up(max(picture.shape), tile.multiple)
    return tile.model_copy(update={"size": side, "margin": 0, "blend": "exact"})


def _pictures(manifest: Manifest, photographs: list[Image], side: int) -> list[Image]:
    """(h, w, C) uint8: those that need several tiles, as the network sees them, cropped to `side`."""
    found = []
    for photograph in photographs:
        pixels = prepare(photograph, manifest.preparation).pixels
        if max(pixels.shape) > manifest.tile.size:
            top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
            found.append(pixels[top : top + side, left : left + side])
    return found[:_MOST_PHOTOGRAPHS]
