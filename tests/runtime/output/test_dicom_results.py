"""Results in DICOM: what highdicom reads out of them is the mask, the probability, the figures, and the photograph."""

import io
import math
from typing import Any

import numpy as np
import pytest
from dicom_files import SECONDARY, dataset, dicom_file, pydicom, raw_dicom, series_dicom
from drawn_vessels import vessel
from photo_files import pillow, saved
from results import drawn, probability_of
from serving import picture, segmenter

from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.manifest import ClassFacts
from vesselrt.runtime.output.classes import ClassLayers, layers_of
from vesselrt.runtime.output.dicom_seg import segmentation_from_layers
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.photograph import Frame
from vesselrt.runtime.segmentation import Segmentation

highdicom = pytest.importorskip("highdicom", reason="highdicom has no release for this Python")
EYE = picture()
SERIES = series_dicom([EYE, picture(seed=8)])
RESULTS: list[OutputFormat] = ["dicom-seg", "dicom-probability", "dicom-sr"]


@pytest.fixture(scope="module")
def result() -> Segmentation:
    """Of the second photograph of a file."""
    return segmenter().segment(Frame(SERIES, 2))


def planes(data: bytes, frame: int | None = 2, **options: Any) -> Any:
    """(H, W, C): the segments on the pixels of the photograph."""
    read = highdicom.seg.segread(io.BytesIO(data))
    if frame is None:
        return read.get_pixels_by_source_instance(["1.2.3.4"], **options)[0]
    return read.get_pixels_by_source_frame("1.2.3.4", [frame], **options)[0]


def test_a_binary_segment_is_the_mask(result: Segmentation) -> None:
    read = planes(result.encode("dicom-seg", 0.6))
    assert np.array_equal(read[:, :, 0], result.mask(0.6))


def test_a_fractional_segment_is_the_probability(result: Segmentation) -> None:
    data = result.encode("dicom-probability")
    read = highdicom.seg.segread(io.BytesIO(data))
    assert (read.SegmentationFractionalType, read.MaximumFractionalValue) == ("PROBABILITY", 255)
    assert np.array_equal(planes(data, rescale_fractional=False)[:, :, 0], result.probability)


def test_the_photograph_and_its_patient_are_repeated(result: Segmentation) -> None:
    for form in RESULTS:
        read = pydicom.dcmread(io.BytesIO(result.encode(form)))
        assert (read.PatientName, read.PatientID, read.StudyInstanceUID) == ("Doe^Jane", "PID-77123", "1.2.3.5")
        assert (read.StudyDate, read.AccessionNumber) == ("20260102", "ACC-5512")
        assert read.SeriesInstanceUID != "1.2.3.6"
        assert read.Manufacturer == "vesselrt"


def test_a_segment_says_what_it_is_and_who_made_it(result: Segmentation) -> None:
    described = highdicom.seg.segread(io.BytesIO(result.encode("dicom-seg"))).get_segment_description(1)
    assert described.segment_label == "vessel"
    assert described.segmented_property_category.value == "91723000"  # anatomical structure
    assert described.segmented_property_type.value == "59820001"  # blood vessel
    assert described.anatomic_regions[0].value == "5665001"  # retina
    (algorithm,) = described.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("test", "1.2.3")


@pytest.mark.parametrize("sop_class", [None, SECONDARY])
def test_each_class_has_a_segment_and_an_empty_one_its_frame(sop_class: str | None) -> None:
    artery, vein = drawn("..##.... ..##...."), drawn("........ ........")
    facts = (ClassFacts(name="artery"), ClassFacts(name="vein"))
    every = layers_of(facts, 0.5)
    layers = ClassLayers(np.stack([probability_of(artery), probability_of(vein)]), every, every, exclusive=False)
    ds = dataset(np.zeros((2, 8, 3), np.uint8), "RGB", **({"SOPClassUID": sop_class} if sop_class else {}))
    origin = decode_photo(dicom_file(ds, bytes(48))).origin
    data = segmentation_from_layers(layers, origin, "av 1.0.0", "BINARY")
    read = highdicom.seg.segread(io.BytesIO(data))
    assert read.NumberOfFrames == 2
    assert [read.get_segment_description(n).segmented_property_type.value for n in (1, 2)] == ["51114001", "29092000"]
    found = planes(data, 1 if sop_class is None else None)
    assert np.array_equal(found[:, :, 0], artery)
    assert not found[:, :, 1].any()


def test_a_report_holds_the_figures_that_there_are() -> None:
    pytest.importorskip("skimage", reason="needs the extra measure")
    drawn = np.where(vessel([(10, 20), (80, 70)], 5, 96), 200, 40).astype(np.uint8)
    result = segmenter().segment(Frame(series_dicom([np.dstack([drawn] * 3)] * 2), 2))
    read = highdicom.sr.srread(io.BytesIO(result.encode("dicom-sr")))
    (group,) = read.content.get_image_measurement_groups()
    assert group.finding_type.value == "59820001"
    assert group.finding_sites[0].laterality.meaning == "Right"
    (image,) = group.source_images
    assert (image.referenced_sop_instance_uid, image.referenced_frame_numbers) == ("1.2.3.4", [2])
    figures = {name: value for name, value in result.measure().figures().items() if not math.isnan(value)}
    told = {measured.name.meaning.replace(" ", "_"): measured for measured in group.get_measurements()}
    assert told.keys() == figures.keys()
    assert all(told[name].value == pytest.approx(value) for name, value in figures.items())
    assert (told["length_um"].unit.value, told["curvature_per_mm"].unit.value) == ("um", "rad/mm")
    assert all(len(measured.name.value) <= 16 for measured in told.values())


@pytest.mark.parametrize("form", RESULTS)
def test_a_photograph_that_is_no_dicom_is_refused(form: OutputFormat) -> None:
    with pytest.raises(OptionError) as caught:
        segmenter().segment(EYE).encode(form)
    assert str(caught.value) == (
        f"{form} refers to a DICOM photograph and repeats its patient, and this photograph is no DICOM file. Send one, "
        "or ask for another format."
    )
    with pytest.raises(OptionError, match="is no DICOM file"):
        segmenter().segment(saved(pillow(EYE), "PNG")).encode(form)
    without = raw_dicom(EYE)
    nameless = without.replace(b"1.2.3.6\0", b"Doe^Jane")
    with pytest.raises(OptionError, match="lacks the UIDs of its instance, series or study") as caught:
        segmenter().segment(nameless).encode(form)
    assert "Doe" not in str(caught.value)


def test_without_the_extra_its_name_is_told(result: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match=r"^the format dicom-seg needs .* pip install 'vesselrt\[dicom\]'$"):
        result.encode("dicom-seg")


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "Kovač^Žana=山田^太郎"), ("ISO_IR 144", "Люкс^Анна")],
)
def test_names_keep_their_letters(charset: str, name: str) -> None:
    data = raw_dicom(EYE, SpecificCharacterSet=charset, PatientName=name)
    read = highdicom.seg.segread(io.BytesIO(segmenter().segment(data).encode("dicom-seg")))
    assert str(read.PatientName) == name


def test_what_can_not_be_a_value_is_left_empty() -> None:
    data = raw_dicom(EYE).replace(b"19610203", b"born '61").replace(b"PID-77123", b"PID\n77123")
    read = highdicom.seg.segread(io.BytesIO(segmenter().segment(data).encode("dicom-seg")))
    assert not read.PatientBirthDate
    assert not read.PatientID
    assert read.PatientName == "Doe^Jane"
