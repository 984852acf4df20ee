"""Converts samples of any depth to the 8 bits that networks see, and says what it had to assume."""

import numpy as np

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo.encoded import Encoded, Samples

_BAND_VALUES = 2**18  # values that are converted at once: in double precision, a copy would take 8 times what is wanted
_SENSOR_DEPTHS = (10, 12, 14)  # of sensors whose values are stored in 16 bits


def to_eight_bits(samples: Samples, encoded: Encoded) -> tuple[Samples, tuple[str, ...]]:
    """The samples as uint8, and warnings. 16 bits lose their lower ones; floating point 0..1 becomes 0..255.

    Of 16 bits only those that carry the picture count: as the file tells, or as its largest value shows.

    Raises ImageDecodeError for floating-point values outside 0..1.
    """
    if samples.dtype == np.uint8:
        return samples, ()
    result = np.empty(samples.shape, np.uint8)
    flat, converted = samples.reshape(-1), result.reshape(-1)
    bands = range(0, len(flat), _BAND_VALUES)
    if samples.dtype == np.uint16:
        # Where white was zero, upper bits that were not used have become ones.
        turned = encoded.from_white and samples.min() >= 2**16 - 2 ** max(_SENSOR_DEPTHS)
        bits, warnings = _find_meaningful_bits(
            2**16 - 1 - int(samples.min()) if turned else int(samples.max()), encoded
        )
        unused = 2**16 - 2**bits if turned else 0
        for start in bands:
            converted[start : start + _BAND_VALUES] = (flat[start : start + _BAND_VALUES] - unused) >> (bits - 8)
        return result, warnings
    _check_sample_range(samples)
    for start in bands:
        converted[start : start + _BAND_VALUES] = flat[start : start + _BAND_VALUES] * 255 + 0.5
    return result, ()


def _find_meaningful_bits(largest: int, encoded: Encoded) -> tuple[int, tuple[str, ...]]:
    """How many bits carry the picture, and what to say where the file does not say so."""
    told = encoded.meaningful
    if told is not None and largest < 2**told:  # else the file's writer has scaled them up to 16 bits
        return max(8, told), ()
    shown = next((bits for bits in _SENSOR_DEPTHS if largest < 2**bits), 16)
    if shown == 16:
        return 16, ()
    return shown, (
        f"The values are stored in 16 bits and end at {largest:,}: they were read as those of {shown} bits.",
    )


def _check_sample_range(samples: Samples) -> None:
    low, high = samples.min(), samples.max()  # NaN where there is one
    if not np.isfinite((low, high)).all():
        raise ImageDecodeError(
            "the image holds NaN or infinite values. Send finite values in 0..1, or an 8- or 16-bit image."
        )
    if low < 0 or high > 1:
        raise ImageDecodeError(
            f"the image holds floating-point values from {low:g} to {high:g}. "
            "Send values in 0..1, or an 8- or 16-bit image."
        )
