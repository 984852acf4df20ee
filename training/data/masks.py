"""Masks as files: which pixels are vessel, or in the field of view. What could mean something else is refused.

A mask is white on black. Grey at the edges of vessels (smoothed or resampled masks, JPEG) is decided at half; grey
areas, colours, and alpha that says something else than the colours are not guessed at. What a data set means by its
colours it says itself: `vessel_colours` of its dataset.json. A mask is taken as it is stored: never turned.
"""

import gzip
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import Field

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError

Colour = Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
"""#rrggbb, in small letters."""
Vessels = tuple[str, ...] | Literal["any colour"] | None
"""Which pixels of a mask are vessel: those of these exact `Colour`s, all that are not black; None: the white ones."""

MAX_VESSEL_SHARE: Final = 0.4
"""Share of the field of view: no annotation of vessels covers more. CHASE_DB1 and HRF have 4 to 13 %."""

_ORIENTATION = 0x0112  # EXIF
_MIDDLE = (32, 223)  # levels that are neither black nor white
_FLAT_RANGE = 16  # levels by which the pixels of a grey area differ at most; across an edge it is more
_MAX_GREY_SHARE = 0.03
"""Share of 2 × 2 squares of one middle level. CHASE_DB1 and HRF, resampled by .125 to 3.7, smoothed, or as JPEG of
quality 10 to 95, have 0 to .012; of two grey classes .35 and more; with the thin vessels alone grey .04 and more."""
_MAX_COLOURED_SHARE = 0.001  # share of what is not black
_COLOUR_RANGE = 64  # levels between the channels: JPEG alone makes less of grey
_MAX_COLOURS = 64  # of classes; smoothing or JPEG make hundreds


def read_mask(path: Path, vessels: Vessels = None) -> Mask:
    """A mask file as (H, W) bool.

    White is above 127: second-observer files of DRIVE decode to 3 and 253. Raises DataError for a file that can't be
    read, and for one whose pixels could mean something else: each message says what is there and what to do.
    """
    pixels = _read_pixels(path)
    if vessels is None:
        return _mask_from_white(path, pixels)
    if vessels == "any colour":
        return _mask_from_grey(path, pixels if pixels.ndim == 2 else pixels.max(axis=2))
    return _mask_from_colours(path, pixels, vessels)


def read_values(path: Path, *, labels: bool) -> NDArray[np.uint32]:
    """(H, W): 0xrrggbb of each pixel of a mask; of one of `labels` the number that is stored, of a palette the index.

    Raises DataError for a file that can't be read, and for labels in colours.
    """
    pixels = _read_pixels(path, raw=labels)
    if not labels:
        return _pack_colours(pixels)
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            raise DataError(f"{path}: a mask in colours, {_describe_colours(pixels)}. Name colours in place of labels.")
        pixels = pixels[:, :, 0]
    return pixels.astype(np.uint32)


def check_vessel_share(path: Path, vessel: Mask, inside: Mask, most: float = MAX_VESSEL_SHARE) -> None:
    """Raises DataError when more than the share `most` of the field of view `inside` is vessel; both (H, W)."""
    share = np.count_nonzero(vessel & inside) / (np.count_nonzero(inside) or 1)
    if share <= most:
        return
    border = np.concatenate([vessel[0], vessel[-1], vessel[:, 0], vessel[:, -1]])
    guess = (
        "It looks inverted, vessels black on white: invert it."
        if 0.5 < share < 1 and border.mean() > 0.5
        else "Is it the mask of the field of view, or inverted? Put the mask of the vessels in its place."
    )
    raise DataError(
        f"{path}: {share:.0%} of the field of view is vessel. Expected at most {most:.0%}. {guess} "
        'If it is right, set "most_vessel" in dataset.json.'
    )


_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Pillow.DecompressionBombError)
"""What Pillow raises for damaged files of all kinds."""


@contextmanager
def _open_mask(path: Path) -> Iterator[Pillow.Image]:
    """A picture whose pixels are not read yet; `.gz` is taken off. A data set's own files may be large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        with Pillow.open(io.BytesIO(read_unpacked(path))) as file:
            yield file


def read_unpacked(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in .gz, as STARE is published. Raises OSError."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix.lower() == ".gz" else data


def _read_pixels(path: Path, *, raw: bool = False) -> NDArray[Any]:
    """(H, W) uint8 of a grey file, (H, W, 3) of one that may have colours; `raw`: the numbers of a palette or of 16
    bits as they are stored.
    """
    try:
        with _open_mask(path) as file:
            if (pages := getattr(file, "n_frames", 1)) > 1:
                raise DataError(f"{path}: a mask of {pages} pages. Expected one: save the right one by itself.")
            if (orientation := file.getexif().get(_ORIENTATION, 1)) != 1:
                raise DataError(
                    f"{path}: a mask that is stored turned (EXIF orientation {orientation}). Save it upright."
                )
            if raw and (file.mode in ("P", "L", "1") or file.mode.startswith("I")):
                return np.clip(np.asarray(file, np.int64), 0, 2**16 - 1).astype(np.uint16)
            if file.mode.startswith("I"):
                return _eight_bits_from_sixteen(np.asarray(file))
            if file.mode == "F":
                raise DataError(f"{path}: a mask of floating-point numbers. Expected 8 bits, 0 and 255: convert it.")
            if file.has_transparency_data:
                return _without_alpha(path, np.asarray(file.convert("RGBA")))
            return np.asarray(file.convert("L" if file.mode in ("1", "L") else "RGB"))
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a readable mask ({error})") from None


def _eight_bits_from_sixteen(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit samples by their upper 8 bits, unless they are 8-bit values in a larger cell."""
    shift = 8 if pixels.max() > 255 else 0
    levels: NDArray[np.uint8] = np.clip(pixels >> shift, 0, 255).astype(np.uint8)
    return levels


def _without_alpha(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) as (H, W, 3), where alpha says nothing, or the same as the colours do."""
    colours, alpha = pixels[:, :, :3], pixels[:, :, 3]
    opaque = alpha > 127
    if alpha.min() != alpha.max() and not np.array_equal(opaque, colours.max(axis=2) > 127):
        raise DataError(
            f"{path}: its alpha varies, {opaque.mean():.1%} is opaque, and says something else than its colours. "
            "Expected white vessels on black: save the mask without alpha."
        )
    return colours


def _mask_from_white(path: Path, pixels: NDArray[np.uint8]) -> Mask:
    if pixels.ndim == 2:
        return _mask_from_grey(path, pixels)
    bright = pixels.max(axis=2)
    coloured = np.count_nonzero(bright - pixels.min(axis=2) > _COLOUR_RANGE)
    lit = np.count_nonzero(bright > _MIDDLE[0])
    if coloured > _MAX_COLOURED_SHARE * lit:
        raise DataError(
            f"{path}: a mask in colours, {_describe_colours(pixels)}. Expected white vessels on black. "
            f"{_advise_vessel_colours('colours mean vessel')}"
        )
    return _mask_from_grey(path, np.asarray(Pillow.fromarray(pixels).convert("L")))


def _mask_from_grey(path: Path, grey: NDArray[np.uint8]) -> Mask:
    """(H, W) levels at half; refused where levels between black and white are more than edges."""
    mask: Mask = grey > 127
    if grey.any() and not mask.any():
        raise DataError(
            f"{path}: its brightest value is {grey.max()}. Expected a mask of 0 and 255. "
            f"{_advise_vessel_colours('values mean vessel')}"
        )
    if not mask.any() or not ((grey >= _MIDDLE[0]) & (grey <= _MIDDLE[1])).any():  # nearly all masks there are
        return mask
    if np.count_nonzero(_flat_squares(grey)) > _MAX_GREY_SHARE * np.count_nonzero(grey >= _MIDDLE[0]):
        raise DataError(
            f"{path}: a mask with grey areas, {_describe_colours(grey)}. Expected 0 and 255, grey at edges alone. If "
            "these are probabilities, save those above one half. If they are classes: "
            f"{_advise_vessel_colours('values mean vessel')}"
        )
    return mask


def _flat_squares(levels: NDArray[np.uint8]) -> Mask:
    """(H - 1, W - 1): which squares of 2 × 2 pixels are of one middle level, nearly."""
    low, high = levels, levels
    for near, far in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        low, high = np.minimum(low[near], low[far]), np.maximum(high[near], high[far])
    return np.asarray((low >= _MIDDLE[0]) & (high <= _MIDDLE[1]) & (high - low <= _FLAT_RANGE))


def _mask_from_colours(path: Path, pixels: NDArray[np.uint8], vessels: tuple[str, ...]) -> Mask:
    """The pixels that have exactly one of these colours."""
    packed = _pack_colours(pixels)
    there = np.zeros(2**24, bool)
    there[packed] = True
    if (count := np.count_nonzero(there)) > _MAX_COLOURS:
        raise DataError(
            f"{path}: {count:,} different colours, so it was smoothed or saved as JPEG. Expected a colour for each "
            "class: save it without loss and without smoothing."
        )
    wanted = np.array([int(colour[1:], 16) for colour in vessels], np.uint32)
    if packed.any() and not there[wanted].any():
        raise DataError(
            f"{path}: it has none of the vessel_colours {', '.join(vessels)}, but {_describe_colours(pixels)}. Mend "
            "vessel_colours in dataset.json."
        )
    chosen = np.zeros(2**24, bool)
    chosen[wanted] = True
    mask: Mask = chosen[packed]
    return mask


def _pack_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(H, W) or (H, W, 3) as (H, W) numbers 0xrrggbb."""
    if pixels.ndim == 2:
        return pixels.astype(np.uint32) * np.uint32(0x010101)
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    return np.asarray((pixels * weights).sum(axis=2, dtype=np.uint32), np.uint32)


def _describe_colours(pixels: NDArray[np.uint8]) -> str:
    """What is there besides black, for a message."""
    colours, counts = np.unique(_pack_colours(pixels), return_counts=True)
    colours, counts = colours[colours > 0], counts[colours > 0]
    order = np.argsort(-counts, kind="stable")[:4]
    return "mostly " + ", ".join(f"#{colours[i]:06x} ({counts[i] / max(1, counts.sum()):.1%})" for i in order)


def _advise_vessel_colours(what: str) -> str:
    return f'Say in dataset.json which {what}, such as "vessel_colours": ["#ff0000", "#0000ff"].'
