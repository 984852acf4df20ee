"""What measurements say of scale, zones, classes, and of what they can't know."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from drawn_vessels import SIDE, field, measured, measured_all, vessel

import vesselrt
from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.measures.measuring import Ruler, measure_masks
from vesselrt.runtime.measures.zones import combine_calibres

MIDDLE = SIDE / 2
SPOKES = 8


def spokes(widths: list[float]) -> Mask:
    """Vessels that leave the middle in all directions."""
    mask = np.zeros((SIDE, SIDE), bool)
    for number, width in enumerate(widths):
        angle = 2 * math.pi * (number + 0.3) / len(widths)
        ends = [(MIDDLE + r * math.cos(angle), MIDDLE + r * math.sin(angle)) for r in (40, 330)]
        mask |= vessel(ends, width)
    return mask


DISC = vesselrt.Disc(MIDDLE, MIDDLE, 100)


def test_without_a_vessel_nothing_is_0_that_is_not_known() -> None:
    found = measured_all(np.zeros((90, 90), bool))
    (figures,) = found.vessels
    assert (figures.density, figures.parts, figures.length_px, figures.branching_points) == (0, 0, 0, 0)
    known = {"coverage", "density", "parts", "length_px", "branching_points", "crossings", "end_points"}
    unknown = {name for name, value in found.figures().items() if math.isnan(value)}
    assert {name for name in found.figures() if not name.endswith(("_um", "_mm"))} - unknown == known
    assert found.reasons().keys() == unknown
    assert all(found.reasons().values())
    assert found.reasons()["calibre_mean_um"] == "there is no vessel"
    assert found.reasons()["length_um"] == "the scale is not known: give um_per_px or field_angle"


def test_the_smallest_masks() -> None:
    assert measured(np.ones((1, 1), bool)).density == 1
    dot = np.zeros((60, 60), bool)
    dot[30, 30] = True
    assert (measured(dot).parts, measured(dot).length_px) == (1, 0)


@pytest.mark.parametrize("ruler", [Ruler(um_per_px=8.0), Ruler(field_angle=8.0 * SIDE / 288)])
def test_lengths_are_in_micrometres_where_the_scale_is_known(ruler: Ruler) -> None:
    found = measured_all(vessel([(100, MIDDLE), (700, MIDDLE)], 7), ruler)
    figures = found.figures()
    assert found.um_per_px == pytest.approx(8)
    assert figures["length_um"] == pytest.approx(8 * figures["length_px"])
    assert figures["calibre_p95_um"] == pytest.approx(8 * figures["calibre_p95_px"])
    assert figures["curvature_per_mm"] == pytest.approx(figures["curvature_per_px"] / 0.008)
    assert found.document()["figures"]["length_um"] == figures["length_um"]


def test_a_field_whose_edge_was_not_seen_has_no_angle() -> None:
    mask = vessel([(100, MIDDLE), (700, MIDDLE)], 7)
    guessed = tuple(replace(scale, source="guessed") for scale in field(mask))
    found = measure_masks([("vessel", mask)], np.ones_like(mask), guessed, Ruler(field_angle=45))
    assert math.isnan(found.um_per_px)
    assert found.document()["um_per_px"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"um_per_px": 8.0, "field_angle": 45.0}, "um_per_px and field_angle both give the scale"),
        ({"um_per_px": 0.0}, "um_per_px is 0.0. Expected micrometres"),
        ({"um_per_px": math.nan}, "um_per_px is nan"),
        ({"field_angle": 200.0}, "field_angle is 200.0. Expected the degrees"),
    ],
)
def test_a_ruler_that_can_not_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Ruler(**options)  # type: ignore[arg-type]


def test_a_disc_that_can_not_be() -> None:
    with pytest.raises(OptionError, match="centre is nan, 3"):
        vesselrt.Disc(math.nan, 3)
    with pytest.raises(OptionError, match="diameter is -1"):
        vesselrt.Disc(2, 3, -1)


def test_zones_hold_what_lies_in_their_rings() -> None:
    found = measured_all(spokes([8.0] * SPOKES), Ruler(disc=DISC))
    figures = found.figures()
    assert [measures.zone for measures in found.vessels] == ["field", "zone_b", "zone_c"]
    for zone, inner, outer in (("zone_b", 100, 150), ("zone_c", 100, 250)):
        area = math.pi * (outer**2 - inner**2)
        assert figures[f"{zone}_coverage"] == pytest.approx(1, abs=0.01)
        assert figures[f"{zone}_length_px"] == pytest.approx(SPOKES * (outer - inner), rel=0.02)
        assert figures[f"{zone}_density"] == pytest.approx(SPOKES * 8 * (outer - inner) / area, rel=0.04)
        assert figures[f"{zone}_parts"] == SPOKES
        assert figures[f"{zone}_calibre_mean_px"] == pytest.approx(8, rel=0.03)
        assert (figures[f"{zone}_end_points"], figures[f"{zone}_branching_points"]) == (0, 0)
        assert math.isnan(figures[f"{zone}_fractal_d0"])
        assert found.reasons()[f"{zone}_fractal_d0"].startswith("box counting needs the whole field")


def test_a_zone_beside_the_photograph_is_not_known() -> None:
    found = measured_all(spokes([8.0] * SPOKES), Ruler(disc=vesselrt.Disc(-2000, MIDDLE, 100)))
    assert math.isnan(found.figures()["zone_b_density"])
    assert found.reasons()["zone_b_density"] == "the zone lies outside of the field of view"


def test_the_disc_is_1800_micrometres_where_only_the_scale_is_known() -> None:
    mask, place = spokes([8.0] * SPOKES), vesselrt.Disc(MIDDLE, MIDDLE)
    known = measured_all(mask, Ruler(um_per_px=18.0, disc=place))
    assert known.figures()["zone_b_length_px"] == pytest.approx(SPOKES * 50, rel=0.02)
    unknown = measured_all(mask, Ruler(disc=place))
    assert math.isnan(unknown.figures()["zone_b_length_px"])
    assert unknown.reasons()["zone_b_length_px"].startswith("the disc's diameter is not told")


def test_the_formulas_of_knudtson_and_others() -> None:
    # By hand: 20 with 10, 16 with 12, then the two results, of which the first is the greater.
    first, second = 0.88 * math.hypot(20, 10), 0.88 * math.hypot(16, 12)
    assert combine_calibres([16, 10, 20, 12], 0.88) == pytest.approx(0.88 * math.hypot(first, second))
    # Of three, the middle one waits.
    assert combine_calibres([3, 4, 5], 0.95) == pytest.approx(0.95 * math.hypot(0.95 * math.hypot(3, 5), 4))
    assert combine_calibres([7], 0.95) == 7


def arteries_and_veins(
    arteries: list[float], veins: list[float], disc: vesselrt.Disc | None = DISC
) -> vesselrt.Measurements:
    masks = [("artery", spokes(arteries)), ("vein", np.rot90(spokes(veins), 2))]
    return measure_masks(masks, np.ones((SIDE, SIDE), bool), field(masks[0][1]), Ruler(disc=disc))


def test_artery_and_vein_have_equivalents() -> None:
    widths = [11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0]  # the seventh doesn't count
    found = arteries_and_veins(widths, [width + 3 for width in widths])
    assert found.equivalents is not None
    assert found.equivalents.crae_px == pytest.approx(combine_calibres(widths[:6], 0.88), rel=0.03)
    assert found.equivalents.crve_px == pytest.approx(combine_calibres([w + 3 for w in widths[:6]], 0.95), rel=0.03)
    assert found.equivalents.avr == found.equivalents.crae_px / found.equivalents.crve_px
    assert found.figures()["artery_zone_b_parts"] == 7
    assert math.isnan(found.figures()["crae_um"])


def test_equivalents_need_six_vessels_and_the_disc() -> None:
    few = arteries_and_veins([9.0] * 5, [9.0] * 6)
    assert few.equivalents is not None
    assert math.isnan(few.equivalents.crae_px)
    assert not math.isnan(few.equivalents.crve_px)
    why = "zone B shows 5 vessels of class artery, and the formula takes the six widest"
    assert (few.reasons()["crae_px"], few.reasons()["avr"], few.reasons()["crae_um"]) == (why, why, why)
    assert "crve_px" not in few.reasons()
    assert arteries_and_veins([9.0] * 6, [9.0] * 6, None).reasons()["avr"] == "the disc is not told"
    assert measured_all(spokes([9.0])).equivalents is None


def test_turning_and_resizing_a_drawn_fundus_changes_little(
    fundus_photo: Callable[[int, int, int], tuple[Image, Mask]],
) -> None:
    _, truth = fundus_photo(600, 600, 3)

    def figures(mask: Mask) -> dict[str, float]:
        found = measured_all(mask)
        return {name: value for name, value in found.figures().items() if not name.endswith(("_um", "_mm"))}

    def enlarged(factor: int) -> Mask:
        return np.repeat(np.repeat(truth, factor, axis=0), factor, axis=1)

    first, turned, larger = figures(enlarged(2)), figures(np.rot90(enlarged(2))), figures(enlarged(3))
    errors = {"density": 0.001, "length_px": 0.01, "calibre_mean_px": 0.01, "tortuosity": 0.01, "fractal_d0": 0.002}
    for name, error in errors.items():
        times = 1.5 if name.endswith("_px") else 1
        assert turned[name] == pytest.approx(first[name], rel=error), name
        assert larger[name] == pytest.approx(times * first[name], rel=2 * error), name
    assert larger["curvature_per_px"] == pytest.approx(first["curvature_per_px"] / 1.5, rel=0.05)


def test_a_segmentation_measures_its_mask(fundus_jpeg: bytes) -> None:
    with vesselrt.load(device="cpu:onnxruntime", precision="f32") as segmenter:
        result = segmenter.segment(fundus_jpeg)
    found = result.measure(field_angle=45)
    (figures,) = found.vessels
    assert figures.class_name == "vessel"
    assert figures.density == result.density()
    assert figures.parts == result.document()["statistics"]["vessel_parts"]
    assert found.um_per_px == pytest.approx(45 * 288 / result.scale.diameter)
    assert result.measure(threshold=1.0).vessels[0].density < figures.density
    with pytest.raises(OptionError, match="threshold 2 is not within"):
        result.measure(threshold=2)


def test_a_mask_that_is_no_vessels_costs_no_time() -> None:
    """At a low threshold noise is a mask: to follow its lines would take a server minutes."""
    full = measured(np.ones((400, 400), bool))
    assert (full.density, full.parts, math.isnan(full.length_px)) == (1, 1, True)
    assert full.reasons["calibre_mean_px"] == "more than half of the picture is vessel: the threshold is too low"
    rows, columns = np.mgrid[:1200, :1200]
    lattice = (rows % 12 < 3) | (columns % 12 < 3)
    lines = measured(lattice)
    assert math.isnan(lines.branching_points)
    assert lines.fractal_d0 == pytest.approx(2, abs=0.02)
    assert lines.reasons["tortuosity"] == ("the centrelines are longer than those of any eye: the threshold is too low")
    found = measured_all(lattice, Ruler(disc=vesselrt.Disc(600, 600, 200)))
    assert "threshold is too low" in found.reasons()["zone_b_length_px"]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(MissingExtraError, match=r"^measuring vessels needs .* pip install 'vesselrt\[measure\]'$"):
        measured(np.ones((5, 5), bool))
