"""The arrays that pass between the parts, by the names that signatures use."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, C) uint8, RGB where C is 3."""

Mask = NDArray[np.bool_]
"""(H, W) bool, true is vessel, or inside the field of view."""
