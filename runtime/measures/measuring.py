"""From the masks of a photograph to its measurements."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.measures.centrelines import Centrelines, trace_centrelines
from vesselrt.runtime.measures.figures import NO_SCALE, VESSEL_FIGURES, CalibreEquivalents, Measurements, VesselMeasures
from vesselrt.runtime.measures.fractals import measure_dimensions
from vesselrt.runtime.measures.shapes import (
    Run,
    branching_angles,
    distance_tortuosity,
    mean_curvature,
    runs_within,
    weighted_percentiles,
)
from vesselrt.runtime.measures.working import WorkingMask, working_mask
from vesselrt.runtime.measures.zones import DISC_MICROMETRES, ZONE_RADII, Disc, Ring, ZoneName, combine_calibres
from vesselrt.runtime.photo.origin import Origin
from vesselrt.runtime.photo.views import Scale

MICROMETRES_A_DEGREE = 288.0
"""Of the retina of a mean eye, near its middle: Drasdo and Fowler, Br J Ophthalmol 1974;58:709."""
_LARGEST_ANGLE = 100.0  # degrees: beyond, a photograph is no map of the retina
_SIX = 6  # vessels in the formulas of Knudtson et al.
_SHORTEST_IN_ZONE = 0.25  # disc diameters, half of zone B: what a vessel in it must show
_ARTERY_FACTOR, _VEIN_FACTOR = 0.88, 0.95
_PERCENTILES = (5, 25, 50, 75, 95)

Figures = dict[str, float | str]
"""Name → its value, or why it can't be had."""


@dataclass(frozen=True)
class Ruler:
    """What is known of a photograph beside its pixels."""

    um_per_px: float | None = None
    """Micrometres of the retina in a pixel."""
    field_angle: float | None = None
    """Degrees that the diameter of the field of view shows, as the camera's maker says."""
    disc: Disc | None = None

    @classmethod
    def told(
        cls, origin: Origin | None, um_per_px: float | None, field_angle: float | None, disc: Disc | None
    ) -> "Ruler":
        """With what a DICOM file tells of the scale, where the caller tells nothing. Raises OptionError."""
        if origin is not None and um_per_px is None and field_angle is None:
            um_per_px = origin.um_per_px
            if um_per_px is None and origin.field_angle is not None and origin.field_angle <= _LARGEST_ANGLE:
                field_angle = origin.field_angle
        return cls(um_per_px, field_angle, disc)

    def __post_init__(self) -> None:
        if self.um_per_px is not None and self.field_angle is not None:
            raise OptionError("um_per_px and field_angle both give the scale. Give one of them.")
        if self.um_per_px is not None and not 0 < self.um_per_px < math.inf:
            raise OptionError(f"um_per_px is {self.um_per_px}. Expected micrometres in a pixel, such as 7.5.")
        if self.field_angle is not None and not 0 < self.field_angle <= _LARGEST_ANGLE:
            raise OptionError(
                f"field_angle is {self.field_angle}. Expected the degrees of the field of view, such as 45, and "
                f"{_LARGEST_ANGLE:.0f} at most."
            )

    def scale_of(self, field: Scale) -> float:
        """Micrometres in a pixel of a photograph with this field of view; NaN where they are not known."""
        if self.um_per_px is not None:
            return self.um_per_px
        if self.field_angle is None or field.source == "guessed":
            return math.nan
        return self.field_angle * MICROMETRES_A_DEGREE / field.diameter


def measure_masks(
    masks: Iterable[tuple[str, Mask]], inside: Mask, scales: tuple[Scale, ...], ruler: Ruler | None = None
) -> Measurements:
    """The measurements of a photograph.

    `masks`: the name of each class with its pixels (H, W) bool; `inside`: the field of view (H, W) bool; `scales`: its
    discs, the largest first. Raises MissingExtraError where the extra `measure` is not installed.
    """
    ruler = ruler or Ruler()
    um_per_px = ruler.scale_of(scales[0])
    disc = None if ruler.disc is None else _with_diameter(ruler.disc, um_per_px)
    found: list[VesselMeasures] = []
    widths: dict[str, list[float] | str] = {}
    for name, mask in masks:
        measured = _Measured.of(mask & inside, scales)
        found.append(measured.measures(name, "field", Ring(), inside))
        if isinstance(disc, Disc):
            for zone in ZONE_RADII:
                found.append(measured.measures(name, zone, _ring_of(disc, zone), inside))  # noqa: PERF401
            widths[name] = measured.widths_in(_ring_of(disc, "zone_b"), disc)
        else:
            widths[name] = "the disc is not told" if disc is None else disc
            if disc is not None:
                found += [_unmeasured(name, zone, disc) for zone in ZONE_RADII]
    order = ["field", *ZONE_RADII]
    found.sort(key=lambda measures: order.index(measures.zone))
    return Measurements(tuple(found), _equivalents(widths), um_per_px)


def figure_names(classes: Sequence[str], *, zones: bool) -> tuple[str, ...]:
    """The names of the figures that `Measurements.figures` has of a model with these classes."""
    wanted: list[ZoneName] = ["field", *(ZONE_RADII if zones else ())]
    nothing = tuple(_unmeasured(name, zone, "") for zone in wanted for name in classes)
    return tuple(Measurements(nothing, _equivalents(dict.fromkeys(classes, "")), math.nan).figures())


@dataclass(frozen=True, eq=False)
class _Measured:
    """One class: its mask, and what is made of it once for all zones."""

    mask: Mask  # (H, W) of the photograph, within the field of view
    working: WorkingMask
    lines: Centrelines | str  # or why there are none

    @classmethod
    def of(cls, mask: Mask, scales: tuple[Scale, ...]) -> "_Measured":
        working = working_mask(mask, scales)
        return cls(mask, working, trace_centrelines(working))

    def measures(self, name: str, zone: ZoneName, ring: Ring, inside: Mask) -> VesselMeasures:
        """The figures of one zone, `ring` in pixels of the photograph."""
        area = ring.cut(inside)
        pixels = int(np.count_nonzero(area))
        if not pixels:
            return _unmeasured(name, zone, "the zone lies outside of the field of view")
        mask = self.mask & area
        figures: Figures = {
            "coverage": 1.0 if ring.is_whole else min(1.0, pixels / (math.pi * (ring.outer**2 - ring.inner**2))),
            "density": int(np.count_nonzero(mask)) / pixels,
            "parts": float(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1),
            **self._fractal(ring),
            **self._lines(self._working_ring(ring)),
        }
        numbers = {key: math.nan if isinstance(value, str) else value for key, value in figures.items()}
        reasons = {key: value for key, value in figures.items() if isinstance(value, str)}
        return VesselMeasures(class_name=name, zone=zone, **numbers, reasons=reasons)

    def widths_in(self, ring: Ring, disc: Disc) -> list[float] | str:
        """The width of each vessel that shows enough of itself in the ring, px of the photograph; or why not."""
        assert disc.diameter is not None  # noqa: S101 - `_with_diameter` saw to it
        if isinstance(self.lines, str):
            return self.lines
        within, factor = self._working_ring(ring), self.working.factor
        _, labels = cv2.connectedComponents(within.cut(self.working.mask).view(np.uint8), connectivity=8)
        longest: dict[int, Run] = {}
        for run in runs_within(self.lines, within):
            column, row = np.rint(run.points[len(run.points) // 2]).astype(int)
            vessel = int(labels[row, column])
            if vessel not in longest or run.length > longest[vessel].length:
                longest[vessel] = run
        enough = _SHORTEST_IN_ZONE * disc.diameter * factor
        shown = [run for run in longest.values() if run.length >= enough and run.clear.any()]
        return [float(np.average(run.calibre[run.clear], weights=run.steps[run.clear])) / factor for run in shown]

    def _working_ring(self, ring: Ring) -> Ring:
        if ring.is_whole:
            return ring
        x, y = self.working.to_working(ring.x, ring.y)
        return Ring(x, y, ring.inner * self.working.factor, ring.outer * self.working.factor)

    def _fractal(self, ring: Ring) -> Figures:
        names = ("fractal_d0", "fractal_d1", "fractal_d2")
        if not ring.is_whole:
            return dict.fromkeys(names, "box counting needs the whole field: a ring has a shape of its own")
        found = measure_dimensions(self.working.mask)
        if found is None:
            return dict.fromkeys(names, _NO_VESSEL)
        return dict(zip(names, (found.capacity, found.information, found.correlation), strict=True))

    def _lines(self, ring: Ring) -> Figures:
        """What centrelines tell within a ring of the working scale."""
        if isinstance(self.lines, str):
            return dict.fromkeys(_OF_LINES, self.lines)
        runs, factor = runs_within(self.lines, ring), self.working.factor
        degrees = self.lines.degrees[ring.holds(self.lines.nodes)]
        tortuosity, curvature = distance_tortuosity(runs), mean_curvature(runs)
        too_short = "no vessel is as long as 1/40 of the field's diameter"
        return {
            "length_px": sum(run.length for run in runs) / factor,
            **_calibres(runs, factor),
            "tortuosity": too_short if tortuosity is None else tortuosity,
            "curvature_per_px": too_short if curvature is None else curvature * factor,
            "branching_points": float(np.count_nonzero(degrees == 3)),
            "crossings": float(np.count_nonzero(degrees > 3)),
            "end_points": float(np.count_nonzero(degrees == 1)),
            **_angles(branching_angles(self.lines, ring)),
        }


_NO_VESSEL = "there is no vessel"
_OF_AREAS = ("coverage", "density", "parts", "fractal_d0", "fractal_d1", "fractal_d2")
_OF_LINES = tuple(name for name in VESSEL_FIGURES if name not in _OF_AREAS)


def _calibres(runs: Sequence[Run], factor: float) -> Figures:
    names = ("calibre_mean_px", "calibre_sd_px", *(f"calibre_p{share}_px" for share in _PERCENTILES))
    widths = np.concatenate([run.calibre[run.clear] for run in runs] or [np.empty(0)]) / factor
    weights = np.concatenate([run.steps[run.clear] for run in runs] or [np.empty(0)])
    if not weights.sum():
        return dict.fromkeys(names, "no vessel is longer than its branching points are wide" if runs else _NO_VESSEL)
    mean = float(np.average(widths, weights=weights))
    spread = math.sqrt(float(np.average((widths - mean) ** 2, weights=weights)))
    percentiles = weighted_percentiles(widths, weights, tuple(share / 100 for share in _PERCENTILES))
    return dict(zip(names, (mean, spread, *percentiles), strict=True))


def _angles(angles: NDArray[np.float64]) -> Figures:
    mean: float | str = "no branching point has three vessels long enough to tell their directions"
    spread: float | str = "there are fewer than two branching points with clear directions"
    if len(angles):
        mean = float(angles.mean())
    if len(angles) > 1:
        spread = float(angles.std(ddof=1))
    return {"branching_angle_mean": mean, "branching_angle_sd": spread}


def _unmeasured(name: str, zone: ZoneName, reason: str) -> VesselMeasures:
    return VesselMeasures(
        class_name=name,
        zone=zone,
        **dict.fromkeys(VESSEL_FIGURES, math.nan),
        reasons=dict.fromkeys(VESSEL_FIGURES, reason),
    )


def _with_diameter(disc: Disc, um_per_px: float) -> Disc | str:
    """The disc with its diameter, or why it has none."""
    if disc.diameter is not None:
        return disc
    if math.isnan(um_per_px):
        return f"the disc's diameter is not told, and {NO_SCALE}"
    return replace(disc, diameter=DISC_MICROMETRES / um_per_px)


def _ring_of(disc: Disc, zone: ZoneName) -> Ring:
    assert disc.diameter is not None  # noqa: S101 - `_with_diameter` saw to it
    inner, outer = ZONE_RADII[zone]
    return Ring(disc.x, disc.y, inner * disc.diameter, outer * disc.diameter)


def _equivalents(widths: dict[str, list[float] | str]) -> CalibreEquivalents | None:
    """`widths`: of each class those of its vessels in zone B, or why there are none."""
    if not {"artery", "vein"} <= widths.keys():
        return None
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for figure, name, factor in (("crae_px", "artery", _ARTERY_FACTOR), ("crve_px", "vein", _VEIN_FACTOR)):
        found = widths[name]
        values[figure] = math.nan
        if isinstance(found, str):
            reasons[figure] = found
        elif len(found) < _SIX:
            reasons[figure] = f"zone B shows {len(found)} vessels of class {name}, and the formula takes the six widest"
        else:
            values[figure] = combine_calibres(sorted(found)[-_SIX:], factor)
    avr = values["crae_px"] / values["crve_px"]
    if math.isnan(avr):
        reasons["avr"] = next(reasons[figure] for figure in ("crae_px", "crve_px") if figure in reasons)
    return CalibreEquivalents(values["crae_px"], values["crve_px"], avr, reasons)
