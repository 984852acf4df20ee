"""Overwritten bytes in files that store every pixel as it is: no decoder sees them, the rows around them do."""

import numpy as np

from vesselrt.runtime.photo.encoded import Samples

_WINDOW_PIXELS = 128  # what is overwritten on a disk or a network has 512 bytes or more: 170 px of RGB
# Grey levels from pixel to pixel: bytes of something else differ by 85, rows of a photograph hardly.
_MIN_ROUGHNESS = 40.0
_MIN_DIFFERENCE = 24.0  # grey levels between rows


def find_torn_rows(samples: Samples) -> tuple[str, ...]:
    """A warning where a part of one row of (H, W) or (H, W, C) uint8 is unlike the row above and the row below.

    It is much rougher than both; or it is of one value, they are not, and this is so in one place alone: drawings have
    more lines.
    """
    rows = samples if samples.ndim == 2 else samples[:, :, min(1, samples.shape[2] - 1)]
    if len(rows) < 3 or rows.shape[1] <= _WINDOW_PIXELS:
        return ()
    import cv2  # which decoder processes seldom need

    rows = np.ascontiguousarray(rows)
    # (H, W - 1), 0 where nothing changes
    rough = cv2.blur(cv2.absdiff(rows[:, 1:], rows[:, :-1]), (_WINDOW_PIXELS, 1))
    around = cv2.max(rough[:-2], rough[2:])
    torn = np.flatnonzero((cv2.subtract(rough[1:-1], around) > _MIN_ROUGHNESS).any(axis=1))
    if not len(torn):
        between = cv2.min(cv2.absdiff(rows[1:-1], rows[:-2]), cv2.absdiff(rows[1:-1], rows[2:]))[:, 1:]
        flat = (
            (rough[1:-1] == 0)
            & (cv2.min(rough[:-2], rough[2:]) > 0)
            & (cv2.blur(between, (_WINDOW_PIXELS, 1)) > _MIN_DIFFERENCE)
        )
        torn = np.flatnonzero(flat.any(axis=1))
        torn = torn if len(torn) == 1 else torn[:0]
    if not len(torn):
        return ()
    return (f"Row {torn[0] + 1} is torn off from those around, as where bytes of the file were overwritten.",)
