"""Masks and probabilities as a DICOM Segmentation (PS3.3, A.51): a segment for each class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from vesselrt.runtime.output.classes import ClassLayer, ClassLayers
from vesselrt.runtime.output.dicom_objects import check_origin, code_of, device, file_of, frame_of, new_uid, source_of
from vesselrt.runtime.photo.origin import Origin

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom.dataset import Dataset

Kind = Literal["BINARY", "FRACTIONAL"]


def segmentation_from_layers(layers: ClassLayers, origin: Origin | None, model: str, kind: Kind) -> bytes:
    """A DICOM file. BINARY: the mask of each class, one bit a pixel. FRACTIONAL: its probability, 0..255 for 0..1.

    A segment without a pixel has its frame too. One that a person has corrected is SEMIAUTOMATIC. `model`: name and
    version. Raises OptionError for a photograph that did not come as DICOM, MissingExtraError.
    """
    form = "dicom-seg" if kind == "BINARY" else "dicom-probability"
    origin = check_origin(origin, form)
    from highdicom.seg import Segmentation

    if kind == "BINARY":
        planes = [mask.astype(np.uint8) for _, mask in layers.masks()]
    else:
        planes = [layers.probability[layer.number - 1] / np.float32(255) for layer in layers.shown]
    maker = device()
    made = Segmentation(
        [source_of(origin, layers.shape)],
        np.stack(planes, axis=-1)[None],  # (1, H, W, C): one frame of the photograph
        kind,
        _describe_segments(layers.shown, model, "SEMIAUTOMATIC" if layers.corrected else "AUTOMATIC"),
        series_instance_uid=new_uid(),
        series_number=1,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=maker.manufacturer,
        manufacturer_model_name=maker.name,
        software_versions=maker.version,
        device_serial_number=maker.serial,
        content_label="VESSELS",
        series_description="Vessels of the retina" if kind == "BINARY" else "Vessels of the retina, probability",
        omit_empty_frames=False,
    )
    _complete(made, origin)
    return file_of(made)


def _describe_segments(
    layers: Sequence[ClassLayer], model: str, made_by: Literal["AUTOMATIC", "SEMIAUTOMATIC"]
) -> "list[SegmentDescription]":
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    name, _, version = model.rpartition(" ")
    algorithm = AlgorithmIdentificationSequence(name or "vesselrt", codes.DCM.ArtificialIntelligence, version or "0")
    return [
        SegmentDescription(
            number,
            layer.name,
            codes.SCT.AnatomicalStructure,
            code_of(layer.name),
            made_by,
            algorithm,
            anatomic_regions=[codes.SCT.Retina],
            display_color=CIELabColor.from_rgb(*bytes.fromhex(layer.colour[1:])),
        )
        for number, layer in enumerate(layers, 1)
    ]


def _complete(made: "Dataset", origin: Origin) -> None:
    """What highdicom leaves open for a photograph: it knows frames in space alone."""
    made.PatientOrientation = None  # a photograph says nothing of it, and the attribute must be there
    for groups in (*made.SharedFunctionalGroupsSequence, *made.PerFrameFunctionalGroupsSequence):
        # Readers take the size of a pixel from the photograph. It can not stand here without the thickness of a slice.
        if "PixelMeasuresSequence" in groups:
            del groups.PixelMeasuresSequence
    frame = frame_of(origin)
    derived = [item for groups in made.PerFrameFunctionalGroupsSequence for item in groups.DerivationImageSequence]
    for source in (image for item in derived for image in item.SourceImageSequence):
        if frame is not None:
            source.ReferencedFrameNumber = frame
