"""From the arrays and images that people hold in memory to (H, W, 3) uint8 RGB."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Limits

if TYPE_CHECKING:
    from PIL import Image as Pillow

_EXPECTED = "Expected (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, of uint8, uint16, or floats in 0..1"
_ADVICE = {
    "b": "Convert it: array.astype(np.uint8) * 255.",
    "i": "Of values in 0..255 convert it: array.astype(np.uint8).",
    "u": "Of values in 0..255 convert it: array.astype(np.uint8).",
}
_BAND_PIXELS = 2**18  # pixels that are converted at once: a copy in floats would take 8 times what is wanted


def rgb_from_pillow(image: "Pillow.Image", limits: Limits) -> Image:
    """Turned upright as its EXIF says. Raises ImageError when it is over the limit, or its file is damaged."""
    if image.width * image.height > limits.pixels:  # before the pixels are decoded, which Pillow does when asked
        raise ImageTooLargeError(
            f"the image has {image.width:,} × {image.height:,} pixels, the limit is {limits.pixels:,} in all. "
            "Send a smaller image."
        )
    from PIL import ImageOps  # which takes long to import, and a caller with an image of Pillow has done so

    try:
        upright = ImageOps.exif_transpose(image)
        deep = upright.mode == "F" or upright.mode.startswith("I")
        return rgb_from_array(np.asarray(upright if deep else upright.convert("RGB")))
    except (OSError, SyntaxError) as error:
        raise ImageDecodeError(f"the image is truncated or damaged ({error}). Open a whole file.") from None


def array_from(given: Any) -> NDArray[Any]:
    """What the object's own `__array__` gives, which torch, JAX and others have. Raises ImageDecodeError."""
    try:
        return np.asarray(given)
    except Exception as error:  # noqa: BLE001 - code of others: a tensor on a GPU, or one with gradients
        raise ImageDecodeError(
            f"a {type(given).__name__} that gives no array: {error} Convert it: tensor.detach().cpu().numpy()."
        ) from None


def rgb_from_array(pixels: NDArray[Any], *, bgr: bool = False) -> Image:
    """Grey is taken for all three colours, alpha is dropped, and of 16 bits the upper 8 are used, as of files.

    `bgr`: the colours come as OpenCV gives them. Raises ImageDecodeError for another shape, kind or range.
    """
    found = f"{pixels.dtype} {pixels.shape}"
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] not in (1, 3, 4):
        raise ImageDecodeError(
            f"got {found}: the channels come first. {_EXPECTED}. "
            "Move them: array.transpose(1, 2, 0), or tensor.permute(1, 2, 0)."
        )
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        raise ImageDecodeError(f"got {found}: a batch. {_EXPECTED}. Take the photograph out of it: array[0].")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ImageDecodeError(f"got {found}. {_EXPECTED}.")
    if pixels.size == 0:
        raise ImageDecodeError(f"the array is empty: {found}. {_EXPECTED}, with H and W of at least 1.")
    if pixels.dtype not in (np.uint8, np.uint16) and pixels.dtype.kind != "f":
        raise ImageDecodeError(f"got {found}. {_EXPECTED}. {_ADVICE.get(pixels.dtype.kind, '')}".rstrip())
    if pixels.dtype.kind == "f":
        _check_array_range(pixels)
    colours = pixels[:, :, :3]
    if bgr:
        colours = colours[:, :, ::-1]
    if colours.dtype == np.uint8 and colours.shape[2] == 3:
        return colours
    return _eight_bit_rgb(colours)


def _eight_bit_rgb(colours: NDArray[Any]) -> Image:
    """(H, W, 3) of (H, W, 1) or (H, W, 3)."""
    result = np.empty((*colours.shape[:2], 3), np.uint8)
    rows = max(1, _BAND_PIXELS // colours.shape[1])
    for top in range(0, len(colours), rows):
        band = colours[top : top + rows]
        if band.dtype.kind == "f":
            band = band * 255 + 0.5
        elif band.dtype == np.uint16:
            band = band >> 8
        result[top : top + rows] = band
    return result


def _check_array_range(pixels: NDArray[Any]) -> None:
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageDecodeError("the array holds NaN or infinite values. Send finite values in 0..1.")
    if low < 0 or high > 1:
        raise ImageDecodeError(
            f"the array holds floating-point values from {low:g} to {high:g}. Send values in 0..1, or uint8: of values "
            "in 0..255 convert it: array.astype(np.uint8)."
        )
