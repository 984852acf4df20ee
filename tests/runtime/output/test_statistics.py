"""The threshold rule and the figures of a mask, against plain arithmetic."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results import black, write_as

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.output.statistics import count_levels, density, describe_mask, threshold_mask

RAMP: Image = np.arange(256, dtype=np.uint8).reshape(16, 16)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other work may share the cores


def test_a_probability_equal_to_the_threshold_is_vessel() -> None:
    for k in range(256):
        assert RAMP[threshold_mask(RAMP, k / 255)].tolist() == [*range(k, 256)]


@UNHURRIED
@given(st.floats(0, 1))
def test_the_threshold_rule_in_plain_arithmetic(threshold: float) -> None:
    assert threshold_mask(RAMP, threshold).ravel().tolist() == [p >= threshold * 255 for p in range(256)]


@pytest.mark.parametrize(
    ("threshold", "least"), [(0, 0), (1, 255), (0.5, 128), (np.nextafter(0, 1), 1), (127.5 / 255, 128)]
)
def test_the_least_value_that_passes(threshold: float, least: int) -> None:
    assert RAMP[threshold_mask(RAMP, threshold)].min() == least


def test_levels_are_counted_inside_and_give_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.output.statistics._BAND_PIXELS", 40)
    random = np.random.default_rng(4)
    probability, inside = random.integers(0, 256, (23, 17), np.uint8), random.random((23, 17)) < 0.4
    levels = count_levels(probability, inside)
    np.testing.assert_array_equal(levels, np.bincount(probability[inside], minlength=256))
    for threshold in (0.0, 0.1, 0.5, 128 / 255, 1.0):
        assert density(levels, threshold) == np.mean(threshold_mask(probability, threshold)[inside])
    assert density(count_levels(probability, np.zeros_like(inside)), 0.5) == 0


@pytest.mark.parametrize(("form", "most"), [("mask", 2), ("overlay", 4), ("document", 5)])
def test_bytes_a_pixel(form: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A mask has 1, an overlay 3, the labels of parts 4.
    monkeypatch.setattr("vesselrt.runtime.output.statistics._BAND_PIXELS", 10_000)
    monkeypatch.setattr("vesselrt.runtime.output.pictures._BAND_PIXELS", 10_000)
    probability = np.zeros((2000, 3000), np.uint8)
    image, mask = black(probability.shape), probability == 0
    tracemalloc.start()
    try:
        if form == "document":
            describe_mask(mask, count_levels(probability, mask), 0)
        else:
            write_as(form, probability, 0, image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / probability.size < most + 0.5
