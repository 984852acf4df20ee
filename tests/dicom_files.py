"""Photographs as DICOM files, written by pydicom; the patient in them is to be found nowhere else."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
from pydicom import uid  # noqa: E402 - after it is known to be there
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402

SECRETS = ("Doe^Jane", "Doe", "Jane", "PID-77123", "19610203", "ACC-5512", "Referring^Robin", "Robin")
"""What a file of `dicom_file` says of its patient."""
OP_8_BIT, OP_16_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.77.1.5.2"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"


def dataset(pixels: NDArray[Any], colours: str, **more: Any) -> Dataset:
    """The header of a photograph (H, W) or (H, W, 3)."""
    ds = Dataset()
    ds.SOPClassUID = OP_8_BIT if pixels.dtype == np.uint8 else OP_16_BIT
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3.5", "1.2.3.6"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Doe^Jane", "PID-77123", "19610203", "F"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "ACC-5512", "Referring^Robin", "1"
    ds.StudyDate, ds.StudyTime, ds.Modality = "20260102", "101112", "OP"
    ds.ImageLaterality, ds.PixelSpacing, ds.HorizontalFieldOfView = "R", [0.0075, 0.0075], 45.0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (*pixels.shape, 1)[2], colours
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit, ds.PixelRepresentation, ds.NumberOfFrames = ds.BitsStored - 1, 0, 1
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def dicom_file(ds: Dataset, content: bytes, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    """A file of this header and of pixels that are coded already."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.PixelData = content + bytes(len(content) % 2)
    ds["PixelData"].VR = "OB" if ds.file_meta.TransferSyntaxUID.is_encapsulated or ds.BitsAllocated == 8 else "OW"
    ds["PixelData"].is_undefined_length = ds.file_meta.TransferSyntaxUID.is_encapsulated
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def raw_dicom(
    pixels: NDArray[Any], colours: str = "RGB", syntax: str = uid.ExplicitVRLittleEndian, **more: Any
) -> bytes:
    """A file without compression."""
    return dicom_file(dataset(pixels, colours, **more), pixels.tobytes(), syntax)


def coded_dicom(frames: list[bytes], pixels: NDArray[Any], colours: str, syntax: str, **more: Any) -> bytes:
    """A file of coded frames, `pixels` being one of them."""
    ds = dataset(pixels, colours, NumberOfFrames=len(frames), **more)
    return dicom_file(ds, encapsulate(frames, has_bot=more.pop("has_bot", True)), syntax)


def ybr_from(rgb: Image) -> Image:
    return np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]], np.uint8)


def series_dicom(frames: list[Image]) -> bytes:
    """A file of several photographs (H, W, 3)."""
    return dicom_file(dataset(frames[0], "RGB", NumberOfFrames=len(frames)), b"".join(f.tobytes() for f in frames))
