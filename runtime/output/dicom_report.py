"""Measurements as a DICOM Structured Report by the template TID 1500 (PS3.16)."""

import math
from typing import TYPE_CHECKING

from vesselrt.runtime.measures.figures import Measurements
from vesselrt.runtime.output.dicom_objects import check_origin, code_of, device, file_of, frame_of, new_uid, source_of
from vesselrt.runtime.photo.origin import Origin

if TYPE_CHECKING:
    from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations
    from pydicom.sr.coding import Code

SCHEME = "99VESSELRT"
"""Of the names of figures: no terminology has them. They are those of `Measurements.figures`."""
_UNITS = (
    ("_per_px", "rad/{pixel}", "radians per pixel"), ("_per_mm", "rad/mm", "radians per millimetre"),
    ("_px", "{pixel}", "pixels"), ("_um", "um", "micrometres"), ("angle_mean", "deg", "degrees"),
    ("angle_sd", "deg", "degrees"), ("points", "{count}", "count"), ("crossings", "{count}", "count"),
    ("parts", "{count}", "count"),
)  # fmt: skip
"""End of a figure's name, unit in UCUM, its meaning; of the others the unit is 1."""
_SHORT = {"branching_angle_mean": "angle_mean", "branching_angle_sd": "angle_sd"}
"""Figure → code, which may have 16 characters."""


def report_from_measurements(found: Measurements, origin: Origin | None, shape: tuple[int, int], model: str) -> bytes:
    """A DICOM file of the figures that could be had, a group for each class and zone.

    `shape`: height and width of the photograph; `model`: name and version. Raises OptionError for a photograph that did
    not come as DICOM, MissingExtraError.
    """
    origin = check_origin(origin, "dicom-sr")
    from highdicom import sr
    from pydicom.sr.codedict import codes

    maker, source = device(), source_of(origin, shape)
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=new_uid(), name=maker.name, manufacturer_name=maker.manufacturer, model_name=maker.name
    )
    report = sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, observer)),
        procedure_reported=codes.SCT.PhotographyOfPatient,
        imaging_measurements=_groups(found, origin, model),
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = sr.ComprehensiveSR(
        [source],
        report,
        series_instance_uid=new_uid(),
        series_number=1,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=maker.manufacturer,
        is_complete=True,
        series_description="Measurements of the retina's vessels",
    )
    return file_of(made)


def _groups(found: Measurements, origin: Origin, model: str) -> "list[MeasurementsAndQualitativeEvaluations]":
    """Of each class in each zone, and of the calibre of the central vessels."""
    parts = [
        (f"{vessels.class_name}, {vessels.zone}", vessels.class_name, Measurements((vessels,), None, found.um_per_px))
        for vessels in found.vessels
    ]
    if found.equivalents is not None:
        parts.append(("calibre equivalents", "vessel", Measurements((), found.equivalents, found.um_per_px)))
    return [_group(label, code_of(name), part, origin, model) for label, name, part in parts]


def _group(
    label: str, finding: "Code", part: Measurements, origin: Origin, model: str
) -> "MeasurementsAndQualitativeEvaluations":
    from highdicom import sr
    from pydicom.sr.codedict import codes

    sides = {"R": codes.SCT.Right, "L": codes.SCT.Left}
    name, _, version = model.rpartition(" ")
    frame, identity = frame_of(origin), origin.identity
    image = sr.SourceImageForMeasurementGroup(
        identity["SOPClassUID"], identity["SOPInstanceUID"], None if frame is None else [frame]
    )
    return sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(uid=new_uid(), identifier=label),
        finding_type=finding,
        finding_sites=[sr.FindingSite(codes.SCT.Retina, laterality=sides.get(origin.laterality or ""))],
        algorithm_id=sr.AlgorithmIdentification(name or "vesselrt", version or "0"),
        source_images=[image],
        measurements=[_measurement(key, value) for key, value in part.figures().items() if not math.isnan(value)],
    )


def _measurement(name: str, value: float) -> "Measurement":
    from highdicom.sr import CodedConcept, Measurement

    unit, meaning = next(((unit, said) for end, unit, said in _UNITS if name.endswith(end)), ("1", "no units"))
    zone = next((zone for zone in ("zone_b_", "zone_c_") if name.startswith(zone)), "")
    own = name.removeprefix(zone)  # the group says the zone
    concept = CodedConcept(_SHORT.get(own, own), SCHEME, own.replace("_", " "))
    return Measurement(concept, value, CodedConcept(unit, "UCUM", meaning))
