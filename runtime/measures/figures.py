"""What is measured: every figure with its definition, unit and source."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vesselrt.runtime.measures.zones import ZoneName

NO_SCALE = "the scale is not known: give um_per_px or field_angle"


@dataclass(frozen=True)
class VesselMeasures:
    """The figures of one class of vessels in one zone. NaN: it can't be had, and `reasons` says why.

    >>> figures = vesselrt.load().segment("photo.jpg").measure().vessels[0]
    >>> figures.density > 0.02, figures.length_px > 100, 1 <= figures.tortuosity < 1.5
    (True, True, True)
    >>> 1 < figures.fractal_d0 < 2
    True

    Lengths are in pixels of the photograph (px).
    """

    class_name: str
    zone: ZoneName
    """`field`: the whole field of view; `zone_b`, `zone_c`: rings around the disc, see `Disc`."""
    coverage: float
    """Share of the zone that lies within the field of view, 0..1."""
    density: float
    """Share of the zone's pixels within the field of view that are vessel, 0..1. Of the whole field it is
    `Segmentation.density`. Reif et al., Int J Biomed Imaging 2012:409786."""
    parts: float
    """Number of connected pieces of the mask, by edges or corners."""
    length_px: float
    """Length of all centrelines. Reif et al. (2012) divide it by the area."""
    calibre_mean_px: float
    """Width of the vessels: twice the distance of a centreline from the background, the mean over the length of all
    centrelines but within the vessel's width of a branching point."""
    calibre_sd_px: float
    """Its standard deviation."""
    calibre_p5_px: float
    """The width below which 5 % of the length lies."""
    calibre_p25_px: float
    """25 %."""
    calibre_p50_px: float
    """50 %: the median."""
    calibre_p75_px: float
    """75 %."""
    calibre_p95_px: float
    """95 %."""
    tortuosity: float
    """Length of a vessel between two nodes by the straight distance of its ends, 1 or more; the mean weighted by
    length. Lotmar et al., Graefes Arch 1979;211:49; Hart et al., Int J Med Inform 1999;53:239 (their τ1 + 1)."""
    curvature_per_px: float
    """All turns of the vessels, in radians, by their length: radians per px. Hart et al. (1999), their τ4. Turns that
    are sharper than 1/200 of the field's diameter are evened out."""
    fractal_d0: float
    """Capacity dimension by box counting, of the mask. Mainster, Eye 1990;4:235. Boxes of 1/40 to 1/4 of the field's
    diameter, none smaller than a vessel is wide; each size on that of 16 positions of the grid where fewest boxes are
    needed."""
    fractal_d1: float
    """Information dimension, of the shares of the mask in the same boxes. Stošić and Stošić, IEEE Trans Med Imaging
    2006;25:1101."""
    fractal_d2: float
    """Correlation dimension, likewise."""
    branching_points: float
    """Number of points where three vessels meet."""
    crossings: float
    """Number of points where four or more meet within the vessels' width: most often one crosses another."""
    end_points: float
    """Number of free ends."""
    branching_angle_mean: float
    """Degrees between the two branches of a branching point: the smallest of the three angles there. Zamir, J Gen
    Physiol 1976;67:213."""
    branching_angle_sd: float
    """Its standard deviation over the branching points."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Figure → why it is NaN."""


@dataclass(frozen=True)
class CalibreEquivalents:
    """The calibre of the central retinal artery and vein, as the six widest of their branches in zone B tell it.

    By the revised formulas of Knudtson et al., Curr Eye Res 2003;27:143. A vessel's width is the mean of its longest
    stretch in the zone; vessels of one class that touch there count as one.

    >>> vesselrt.CalibreEquivalents(crae_px=12.5, crve_px=20.0, avr=0.625).reasons
    {}
    """

    crae_px: float
    """Central retinal arteriolar equivalent."""
    crve_px: float
    """Central retinal venular equivalent."""
    avr: float
    """The first by the second."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Figure → why it is NaN."""


@dataclass(frozen=True)
class Measurements:
    """Everything that was measured of one photograph.

    >>> found = vesselrt.load().segment("photo.jpg").measure(field_angle=45)
    >>> figures = found.figures()
    >>> figures["length_um"] == figures["length_px"] * found.um_per_px
    True
    """

    vessels: tuple[VesselMeasures, ...]
    """Each class in each zone, the whole field first."""
    equivalents: CalibreEquivalents | None
    """None of a model that doesn't tell artery and vein apart."""
    um_per_px: float
    """Micrometres of the retina in a pixel; NaN where the scale is not known."""

    def figures(self) -> dict[str, float]:
        """Name → value, NaN where it can't be had.

        Lengths are there in px and µm, curvature per px and per mm. A zone stands before the name (`zone_b_density`),
        and so does the class where there are several (`artery_zone_b_density`).
        """
        found: dict[str, float] = {}
        for prefix, _, name, value in self._all():
            found[prefix + name] = value
            if name.endswith("_per_px"):
                found[prefix + name.removesuffix("px") + "mm"] = value / self.um_per_px * 1000
            elif name.endswith("_px"):
                found[prefix + name.removesuffix("px") + "um"] = value * self.um_per_px
        return found

    def reasons(self) -> dict[str, str]:
        """Name → why it is NaN, for each NaN of `figures`."""
        why = {prefix + name: reasons[name] for prefix, reasons, name, _ in self._all() if name in reasons}
        names = (name for name, value in self.figures().items() if math.isnan(value))
        return {name: why.get(name, why.get(_in_pixels(name), NO_SCALE)) for name in names}

    def document(self) -> dict[str, Any]:
        """For JSON: null where a figure can't be had."""
        figures = {name: None if math.isnan(value) else value for name, value in self.figures().items()}
        scale = None if math.isnan(self.um_per_px) else self.um_per_px
        return {"um_per_px": scale, "figures": figures, "reasons": self.reasons()}

    def _all(self) -> Iterator[tuple[str, Mapping[str, str], str, float]]:
        """What stands before the name, the reasons, the name and the value of each figure."""
        several = len({measures.class_name for measures in self.vessels}) > 1
        for measures in self.vessels:
            class_ = f"{measures.class_name}_" if several else ""
            zone = "" if measures.zone == "field" else f"{measures.zone}_"
            for name in VESSEL_FIGURES:
                yield class_ + zone, measures.reasons, name, getattr(measures, name)
        if self.equivalents is not None:
            for name in ("crae_px", "crve_px", "avr"):
                yield "", self.equivalents.reasons, name, getattr(self.equivalents, name)


VESSEL_FIGURES = tuple(f.name for f in fields(VesselMeasures) if f.type in ("float", float))
"""The names of the figures of one class in one zone."""


def _in_pixels(name: str) -> str:
    """The figure that one in µm or mm is made of."""
    return name.removesuffix("mm") + "px" if name.endswith("_per_mm") else name.removesuffix("um") + "px"
