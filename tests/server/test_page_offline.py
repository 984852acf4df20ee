"""The page without a server prepares photographs in TypeScript: what it is tested against is what the runtime gives.

python tests/server/test_page_offline.py   writes server/web/tests/preparation.json anew
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.preparation import prepare_views, resize

ROOT = Path(__file__).parents[2]
EXPECTED = ROOT / "server/web/tests/preparation.json"
SCALE = (512, 640)
"""px: smaller than `fundus` has it, so that photographs may be small."""

# Name, width, height, colour of the page, dark frames (left, top, right, bottom) on it, discs (x, y, radius).
PHOTOGRAPHS: tuple[tuple[str, int, int, tuple[int, int, int], list[list[int]], list[list[int]]], ...] = (
    ("whole", 420, 400, (2, 1, 3), [], [[210, 200, 190]]),
    ("cut above and below", 500, 340, (0, 0, 0), [], [[250, 170, 240]]),
    ("cut inside", 300, 260, (0, 0, 0), [], [[150, 130, 400]]),
    ("two", 760, 360, (0, 0, 0), [], [[180, 180, 170], [570, 190, 150]]),
    ("touching", 640, 330, (0, 0, 0), [], [[160, 165, 160], [479, 165, 160]]),
    ("on a page", 600, 420, (240, 238, 241), [[40, 30, 380, 370]], [[210, 200, 160]]),
    ("large", 1000, 1000, (0, 0, 0), [], [[500, 500, 480]]),
    ("larger", 1403, 1391, (0, 0, 0), [], [[700, 695, 680]]),
)
# Width and height, and those that it is resized to: linear, by a finer copy, by area.
RESIZED = ((37, 53, 64, 91), (300, 200, 171, 119), (301, 203, 99, 67), (400, 400, 100, 100), (128, 96, 64, 48))


def draw(size: tuple[int, int], page: Any, frames: Any, discs: Any) -> NDArray[np.uint8]:
    """(H, W, 3): whole numbers alone, so that TypeScript draws the same: tests/preparation.test.ts."""
    y, x = np.mgrid[: size[1], : size[0]]
    picture = np.empty((size[1], size[0], 3), np.int64)
    picture[:] = page
    for left, top, right, bottom in frames:
        picture[top:bottom, left:right] = 0
    grain = ((x * x + 3 * y * y + x * y) >> 6) % 32
    for across, down, radius in discs:
        inside = (x - across) ** 2 + (y - down) ** 2 <= radius**2
        picture[inside] = (grain[..., None] + np.array([160, 90, 40]))[inside]
    return picture.astype(np.uint8)


def digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def describe_views(photograph: NDArray[np.uint8]) -> dict[str, Any]:
    """What is doubtful about the fields of view, and each of them."""
    views = prepare_views(photograph, Preparation(channels="green", field_of_view=SCALE), quality=False)
    described = [
        {
            "box": [scale.box.top, scale.box.left, scale.box.bottom, scale.box.right],
            "diameter": scale.diameter,
            "seen": scale.source == "found",
            "width": view.pixels.shape[1],
            "height": view.pixels.shape[0],
            "sha256": digest(view.pixels),
        }
        for view, scale in zip(views.prepared, views.scales, strict=True)
    ]
    return {"warnings": list(views.warnings), "views": described}


def describe_all() -> dict[str, Any]:
    photographs = [
        {
            "name": name, "width": width, "height": height, "page": page, "frames": frames, "discs": discs,
            **describe_views(draw((width, height), page, frames, discs)),
        }
        for name, width, height, page, frames, discs in PHOTOGRAPHS
    ]  # fmt: skip
    resized = []
    for width, height, across, down in RESIZED:
        noise = draw((width, height), (0, 0, 0), [], [[0, 0, 9999]])[:, :, :1]
        resized.append({"from": [width, height], "to": [across, down], "sha256": digest(resize(noise, down, across))})
    return {"scale": SCALE, "photographs": photographs, "resized": resized}


def as_text(described: dict[str, Any]) -> str:
    return json.dumps(described, indent=2) + "\n"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return json.loads(json.dumps(describe_all()))  # type: ignore[no-any-return]


@pytest.mark.parametrize("number", range(len(PHOTOGRAPHS)), ids=[one[0] for one in PHOTOGRAPHS])
def test_page_is_compared_with_what_runtime_gives(described: dict[str, Any], number: int) -> None:
    found, expected = described["photographs"][number], json.loads(EXPECTED.read_text())["photographs"][number]
    for one in (*found["views"], *expected["views"]):
        one["diameter"] = pytest.approx(one["diameter"])
    assert str(found) == str(expected)


def test_page_is_compared_with_how_runtime_resizes(described: dict[str, Any]) -> None:
    assert json.loads(EXPECTED.read_text())["resized"] == described["resized"]


if __name__ == "__main__":
    EXPECTED.write_text(as_text(describe_all()))
