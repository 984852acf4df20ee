"""Makes docs/result.png: `python docs/result.py` (needs scikit-image, which brings the photograph)."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

import vesselrt

WIDTH = 460  # px of each panel


def main() -> None:
    """Photograph, probability and overlay side by side."""
    photograph = np.ascontiguousarray(data.retina())
    with vesselrt.load() as segmenter:
        result = segmenter.segment(photograph)
    overlay = cv2.imdecode(np.frombuffer(result.encode("overlay"), np.uint8), cv2.IMREAD_COLOR)
    panels = [photograph[:, :, ::-1], np.dstack([result.probability] * 3), overlay]
    height = WIDTH * photograph.shape[0] // photograph.shape[1]
    small = [cv2.resize(panel, (WIDTH, height), interpolation=cv2.INTER_AREA) for panel in panels]
    cv2.imwrite(str(Path(__file__).with_name("result.png")), np.hstack(small))


if __name__ == "__main__":
    main()
