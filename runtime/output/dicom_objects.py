"""What every result that is DICOM has in common: the photograph that it refers to, and the codes of what is seen."""

import io
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.photo.origin import Origin

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

_EMPTY_WHERE_UNKNOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName",
    "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
_WITHOUT_FRAMES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1.4")
"""Secondary Capture and VL Photographic images."""
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class Device(NamedTuple):
    """Who made a result."""

    manufacturer: str
    name: str
    version: str
    serial: str


def device() -> Device:
    """vesselrt, in this release."""
    return Device("vesselrt", "vesselrt", version("vesselrt"), "none")


def check_origin(origin: Origin | None, form: str) -> Origin:
    """The same. Raises OptionError where a photograph did not come as DICOM, or does not say which instance it is, and
    MissingExtraError.
    """
    if origin is None:
        raise OptionError(
            f"{form} refers to a DICOM photograph and repeats its patient, and this photograph is no DICOM file. Send "
            "one, or ask for another format."
        )
    if any(name not in origin.identity for name in _NEEDED):
        raise OptionError(
            f"{form} refers to a DICOM photograph, and this one lacks the UIDs of its instance, series or study. Ask "
            "for another format."
        )
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise MissingExtraError.of(f"the format {form}", "dicom") from None
    return origin


def source_of(origin: Origin, shape: tuple[int, int]) -> "Dataset":
    """The photograph, as far as a result repeats it; `shape`: its height and width."""
    from highdicom import PixelMeasuresSequence
    from pydicom.dataset import Dataset

    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _EMPTY_WHERE_UNKNOWN:
        setattr(source, keyword, None)
    for keyword, text in origin.identity.items():
        setattr(source, keyword, text)
    if "FrameOfReferenceUID" in source:  # no place in it is known
        del source.FrameOfReferenceUID
    source.Rows, source.Columns = shape
    # highdicom asks kinds of several frames for these, and Ophthalmic Photography has none.
    source.NumberOfFrames, groups = 1, Dataset()
    groups.PixelMeasuresSequence = PixelMeasuresSequence((1, 1), slice_thickness=None)
    source.SharedFunctionalGroupsSequence = [groups]
    return source


def frame_of(origin: Origin) -> int | None:
    """What a reference to the photograph says; None: its kind has no frames."""
    return None if origin.identity["SOPClassUID"] in _WITHOUT_FRAMES else origin.frame


def new_uid() -> str:
    """A UID that nothing else has (PS3.5, B.2)."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def code_of(class_name: str) -> "Code":
    """What a class is in SNOMED CT; the retina for a class whose name says nothing."""
    from pydicom.sr.codedict import codes

    known = {
        "vessel": codes.SCT.BloodVessel,
        "artery": codes.SCT.Artery,
        "vein": codes.SCT.Vein,
        "disc": codes.SCT.OpticNerveHead,
    }
    found: Code = known.get(class_name, codes.SCT.Retina)
    return found


def file_of(dataset: "Dataset") -> bytes:
    """The content of a DICOM file."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
