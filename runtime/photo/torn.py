"""Overwritten bytes in files that store every pixel as it is: no decoder sees them, the rows around them do."""

import numpy as np

from vesselrt.runtime.photo.encoded import Samples

_LENGTH = 128  # bytes: a disk's or a network's piece has 512 or more; lettering breaks off sooner
_STEP = 4  # every so many bytes are looked at
_BREAK = 24.0  # grey levels: noise and edges of photographs stay below when a run is averaged (docs/decoding.md)


def warn_of_torn_rows(samples: Samples) -> tuple[str, ...]:
    """A warning where a part of a row (H, W) or (H, W, C) uint8 breaks off from the row above and from that below."""
    rows = samples.reshape(len(samples), -1)[:, ::_STEP]
    import cv2  # which decoder processes seldom need

    if len(rows) < 3 or rows.shape[1] < _LENGTH // _STEP:
        return ()
    broken = cv2.min(cv2.absdiff(rows[1:-1], rows[:-2]), cv2.absdiff(rows[1:-1], rows[2:]))
    average = cv2.blur(broken, (_LENGTH // _STEP, 1))
    torn = int(np.count_nonzero(average.max(axis=1) > _BREAK))
    if not torn:
        return ()
    rows_word = "row breaks" if torn == 1 else "rows break"
    return (f"{torn} {rows_word} off from those around, as where bytes of the file were overwritten.",)
