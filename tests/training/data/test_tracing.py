"""From a mask to its outlines and back: no pixel changes."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from geojson_files import (
    EMPTY,
    MASKS,
    UNHURRIED,
    drawn,
    iou,
    mask_of,
    shape_of,
)
from hypothesis import given
from hypothesis import strategies as st

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask
from vesselrt.training.data.masks import read_mask


@UNHURRIED
@given(MASKS)
def test_what_the_runtime_writes_gives_the_mask_back(tmp_path: Path, mask: Mask) -> None:
    content = geojson_from_mask(mask, 0.5)
    np.testing.assert_array_equal(mask_of(tmp_path, content, *shape_of(mask), rules=EMPTY), mask)


@UNHURRIED
@given(MASKS, st.sampled_from([0.01, 0.2, MAX_LOSSLESS_SIMPLIFY]))
def test_a_little_simplified_it_gives_the_mask_back(tmp_path: Path, mask: Mask, simplify: float) -> None:
    np.testing.assert_array_equal(
        mask_of(tmp_path, geojson_from_mask(mask, simplify=simplify), *shape_of(mask), rules=EMPTY), mask
    )


@UNHURRIED
@given(MASKS, st.sampled_from([0.5, 1, 2, 50]))
def test_much_simplified_it_is_still_valid(mask: Mask, simplify: float) -> None:
    geometry = json.loads(geojson_from_mask(mask, simplify=simplify))["features"][0]["geometry"]
    assert shapely.is_valid(shapely.from_geojson(json.dumps(geometry)))


def test_simplified_outlines_by_hand() -> None:
    # A bar of 1 × 3 pixels: through the middles of its ten edges, less those that lie between others.
    content = json.loads(geojson_from_mask(drawn("... ### ..."), 0.25, 0.1))
    ((ring,),) = content["features"][0]["geometry"]["coordinates"]
    assert sorted(map(tuple, ring[:-1])) == [(0, 1.5), (0.5, 1), (0.5, 2), (2.5, 1), (2.5, 2), (3, 1.5)]
    assert ring[0] == ring[-1]
    assert content["features"][0]["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "vessel", "color": [0, 255, 102]},
        "threshold": 0.25,
    }


@pytest.mark.parametrize("simplify", [-1, float("nan"), float("inf")])
def test_a_distance_that_is_none_is_refused(simplify: float) -> None:
    with pytest.raises(OptionError, match=rf"simplify is {simplify}\. Expected a distance in pixels, 0 or more"):
        geojson_from_mask(drawn("##"), simplify=simplify)


@pytest.mark.parametrize(
    ("name", "least"),
    [("CHASE_DB1/Image_11L_1stHO.png", (0.98, 0.92, 0.84)), ("HRF/manual1/06_h.tif", (0.98, 0.95, 0.91))],
)
def test_a_real_annotation_survives(name: str, least: tuple[float, ...], data_root: Path, tmp_path: Path) -> None:
    """Simplified by default it loses no pixel; simplified more it loses few, and how few is its own measure."""
    mask = read_mask(data_root / name)[:1000, :1000]
    exact, default = geojson_from_mask(mask), geojson_from_mask(mask, simplify=MAX_LOSSLESS_SIMPLIFY)
    for content in (exact, default):
        np.testing.assert_array_equal(mask_of(tmp_path, content, *shape_of(mask)), mask)
    assert len(default) < 0.65 * len(exact)
    for simplify, bound in zip((0.5, 1, 2), least, strict=True):
        assert iou(mask_of(tmp_path, geojson_from_mask(mask, simplify=simplify), *shape_of(mask)), mask) > bound
