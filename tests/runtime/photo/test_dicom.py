"""Photographs in DICOM: each kind is read as the picture that was written, or refused in a sentence."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_files import (
    OP_16_BIT,
    SECONDARY,
    SECRETS,
    coded_dicom,
    dataset,
    dicom_file,
    raw_dicom,
    series_dicom,
    ybr_from,
)
from numpy.typing import NDArray
from photo_files import PIXELS, RANDOM, SMOOTH, pillow, saved
from pydicom import uid
from pydicom.encaps import encapsulate

from vesselrt.runtime.errors import ImageDecodeError, ImageError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Limits, decode_photo
from vesselrt.runtime.photo.photograph import Photograph, list_frames
from vesselrt.runtime.photo.processes import DecoderPool

EVEN = np.ascontiguousarray(PIXELS[:12, :16])
GREY, DEEP = EVEN[:, :, 1], RANDOM.integers(0, 2**12, (12, 16), np.uint16)
DEEP[0, 0] = 2**12 - 1
LARGE = np.asarray(cv2.resize(SMOOTH, (80, 70)), np.uint8)  # what OpenJPEG writes
WIDE = np.ascontiguousarray(LARGE[:, :, 0].astype(np.uint16) * 16 + 15)


def upper(deep: NDArray[Any], bits: int = 12) -> NDArray[Any]:
    return np.dstack([(deep >> (bits - 8)).astype(np.uint8)] * 3)


def rle(pixels: NDArray[Any]) -> bytes:
    from rle.utils import encode_pixel_data

    rows, columns, samples = (*pixels.shape, 1)[:3]
    bits = pixels.dtype.itemsize * 8
    return bytes(
        encode_pixel_data(
            pixels.tobytes(), rows=rows, columns=columns, samples_per_pixel=samples, bits_allocated=bits,
            number_of_frames=1, byteorder="<",
        )
    )  # fmt: skip


def jpeg_ls(pixels: NDArray[Any], mode: int = 0) -> bytes:
    library = pytest.importorskip("jpeg_ls", reason="there is no wheel of pyjpegls for this Python")
    return bytes(library.encode_array(pixels, lossy_error=0, interleave_mode=mode))


def jpeg_2000(pixels: NDArray[Any], bits: int = 8, mct: bool = True) -> bytes:
    from openjpeg.utils import encode_array

    colours = 1 if pixels.ndim == 3 else 2
    return bytes(encode_array(pixels, bits_stored=bits, photometric_interpretation=colours, use_mct=mct))


def in_422(pixels: NDArray[Any]) -> bytes:
    ybr = ybr_from(np.repeat(pixels[:, ::2], 2, axis=1))
    return np.dstack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]]).tobytes()


LUT = RANDOM.integers(0, 256, (3, 256), np.uint8)
PALETTE: dict[str, Any] = {
    f"{name}PaletteColorLookupTableData": (LUT[n].astype(np.uint16) * 257).tobytes()
    for n, name in enumerate(("Red", "Green", "Blue"))
} | {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
BITS_12: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}

EXACT: dict[str, tuple[Callable[[], bytes], NDArray[Any]]] = {
    "RGB": (lambda: raw_dicom(PIXELS), PIXELS),
    "RGB, implicit VR": (lambda: raw_dicom(PIXELS, syntax=uid.ImplicitVRLittleEndian), PIXELS),
    "RGB in planes": (
        lambda: dicom_file(dataset(PIXELS, "RGB", PlanarConfiguration=1), PIXELS.transpose(2, 0, 1).tobytes()), PIXELS
    ),
    "Secondary Capture": (lambda: raw_dicom(PIXELS, SOPClassUID=SECONDARY), PIXELS),
    "MONOCHROME2": (lambda: raw_dicom(GREY, "MONOCHROME2"), np.dstack([GREY] * 3)),
    "MONOCHROME1": (lambda: raw_dicom(GREY, "MONOCHROME1"), 255 - np.dstack([GREY] * 3)),
    "12 of 16 bits": (lambda: raw_dicom(DEEP, "MONOCHROME2", **BITS_12), upper(DEEP)),
    "12 of 16 bits, drawn over": (lambda: raw_dicom(DEEP | np.uint16(2**14), "MONOCHROME2", **BITS_12), upper(DEEP)),
    "12 of 16 bits, inverted": (lambda: raw_dicom(DEEP, "MONOCHROME1", **BITS_12), upper(2**12 - 1 - DEEP)),
    "16 bits RGB": (lambda: raw_dicom(np.dstack([DEEP * 16] * 3), SOPClassUID=OP_16_BIT), upper(DEEP)),
    "palette": (lambda: raw_dicom(GREY, "PALETTE COLOR", **PALETTE), LUT[:, GREY].transpose(1, 2, 0)),
    "RLE": (lambda: coded_dicom([rle(PIXELS)], PIXELS, "RGB", uid.RLELossless), PIXELS),
    "RLE, 16 bits": (lambda: coded_dicom([rle(DEEP)], DEEP, "MONOCHROME2", uid.RLELossless, **BITS_12), upper(DEEP)),
    "JPEG-LS": (lambda: coded_dicom([jpeg_ls(PIXELS, 2)], PIXELS, "RGB", uid.JPEGLSLossless), PIXELS),
    "JPEG-LS, grey": (
        lambda: coded_dicom([jpeg_ls(DEEP)], DEEP, "MONOCHROME2", uid.JPEGLSLossless, **BITS_12), upper(DEEP)
    ),
    "JPEG 2000": (lambda: coded_dicom([jpeg_2000(LARGE)], LARGE, "YBR_RCT", uid.JPEG2000Lossless), LARGE),
    "JPEG 2000, grey": (
        lambda: coded_dicom([jpeg_2000(WIDE, 12)], WIDE, "MONOCHROME2", uid.JPEG2000Lossless, **BITS_12), upper(WIDE)
    ),
}  # fmt: skip
LOSSY: dict[str, tuple[Callable[[], bytes], NDArray[Any]]] = {
    "YBR_FULL": (lambda: raw_dicom(ybr_from(SMOOTH), "YBR_FULL"), SMOOTH),
    "YBR_FULL_422": (lambda: dicom_file(dataset(EVEN, "YBR_FULL_422"), in_422(EVEN)), EVEN[:, ::2].repeat(2, axis=1)),
    "RLE of YBR_FULL": (lambda: coded_dicom([rle(ybr_from(SMOOTH))], SMOOTH, "YBR_FULL", uid.RLELossless), SMOOTH),
    "JPEG": (lambda: coded_dicom([jpeg(SMOOTH)], SMOOTH, "YBR_FULL_422", uid.JPEGBaseline8Bit), SMOOTH),
    "JPEG of grey": (
        lambda: coded_dicom([jpeg(SMOOTH[:, :, 0], "L")], SMOOTH[:, :, 0], "MONOCHROME1", uid.JPEGBaseline8Bit),
        255 - np.dstack([SMOOTH[:, :, 0]] * 3),
    ),
    "JPEG of RGB": (lambda: coded_dicom([jpeg_of_rgb(SMOOTH)], SMOOTH, "RGB", uid.JPEGBaseline8Bit), SMOOTH),
    "JPEG 2000 of YBR_FULL": (
        lambda: coded_dicom([jpeg_2000(ybr_from(LARGE), mct=False)], LARGE, "YBR_FULL", uid.JPEG2000Lossless), LARGE
    ),
}  # fmt: skip


def jpeg(pixels: NDArray[Any], mode: str = "RGB") -> bytes:
    return saved(pillow(pixels, mode), "JPEG", quality=98)


def jpeg_of_rgb(pixels: NDArray[Any]) -> bytes:
    """Its components are red, green and blue, and it does not say so."""
    data = saved(pillow(pixels), "JPEG", quality=98, keep_rgb=True, subsampling=0)
    for kind in (b"\x11\0", b"\0"):  # in the frame's header, in the scan's
        data = data.replace(b"R%bG%bB%b" % ((kind,) * 3), b"\1%b\2%b\3%b" % ((kind,) * 3), 1)
    return data[:2] + data[data.index(b"\xff\xdb") :]


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_kinds_are_read_exactly(kind: str) -> None:
    write, expected = EXACT[kind]
    assert np.array_equal(decode_photo(write()).pixels, expected)


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_kinds_are_read_closely(kind: str) -> None:
    write, expected = LOSSY[kind]
    difference = np.abs(decode_photo(write()).pixels.astype(int) - expected)
    assert difference.mean() < 4
    assert difference.max() <= (4 if "YBR" in kind else 40)


def test_swapped_bytes_are_read() -> None:
    big = uid.ExplicitVRBigEndian
    assert np.array_equal(decode_photo(raw_dicom(PIXELS, syntax=big)).pixels, PIXELS)
    deep = dicom_file(dataset(DEEP, "MONOCHROME2", **BITS_12), DEEP.byteswap().tobytes(), big)
    assert np.array_equal(decode_photo(deep).pixels, upper(DEEP))


def test_each_frame_is_a_photograph() -> None:
    frames = [PIXELS, PIXELS[::-1].copy(), PIXELS[:, ::-1].copy()]
    for data in (
        series_dicom(frames),
        coded_dicom([rle(frame) for frame in frames], PIXELS, "RGB", uid.RLELossless),
        coded_dicom([rle(frame) for frame in frames], PIXELS, "RGB", uid.RLELossless, has_bot=False),
        dicom_file(
            dataset(PIXELS, "RGB", NumberOfFrames=3),
            encapsulate([rle(frame) for frame in frames], fragments_per_frame=2),
            uid.RLELossless,
        ),
    ):
        assert [frame.number for frame in list_frames(data)] == [1, 2, 3]
        for number, frame in enumerate(frames, 1):
            read = decode_photo(data, frame=number)
            assert np.array_equal(read.pixels, frame)
            assert read.origin is not None
            assert (read.origin.frame, read.origin.frames) == (number, 3)
        with pytest.raises(ImageDecodeError) as caught:
            decode_photo(data)
        assert str(caught.value) == "the DICOM has 3 photographs. Name one of them: frame 1 to 3."
        with pytest.raises(ImageDecodeError, match=r"^the DICOM has 3 photographs, and frame 4 was asked for\.$"):
            decode_photo(data, frame=4)


def test_other_files_have_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "eye.png"
    path.write_bytes(saved(pillow(PIXELS), "PNG"))
    (frame,) = list_frames(path)
    assert np.array_equal(Photograph(frame, Limits()).pixels, PIXELS)
    with pytest.raises(ImageDecodeError, match=r"frame 2 was asked for, and the file is PNG\. Leave out the frame\.$"):
        decode_photo(path.read_bytes(), frame=2)


def test_no_more_frames_are_listed_than_there_are() -> None:
    with pytest.raises(ImageDecodeError, match=r"^the DICOM is truncated or damaged\. Send a whole file\.$"):
        list_frames(raw_dicom(PIXELS, NumberOfFrames=10**9))
    first, _ = list_frames(io.BytesIO(series_dicom([PIXELS, PIXELS])))
    assert np.array_equal(Photograph(first, Limits()).pixels, PIXELS)


def test_what_the_header_tells_comes_with_the_pixels() -> None:
    origin = decode_photo(raw_dicom(PIXELS)).origin
    assert origin is not None
    assert origin.describe() == {"frame": 1, "frames": 1, "laterality": "R", "um_per_px": 7.5, "field_angle": 45.0}
    assert origin.identity["PatientName"] == "Doe^Jane"
    assert not any(secret in f"{origin!r} {origin}" for secret in SECRETS)


@pytest.mark.parametrize(
    ("spacing", "um_per_px"), [([0.01, 0.02], None), ([0.0, 0.0], None), ([0.01, 0.01], 10.0), ([3, 3], None)]
)
def test_a_spacing_that_is_none_of_an_eye_is_not_believed(spacing: list[float], um_per_px: float | None) -> None:
    origin = decode_photo(raw_dicom(PIXELS, PixelSpacing=spacing, ImageLaterality="", HorizontalFieldOfView=0.0)).origin
    assert origin is not None
    assert (origin.um_per_px, origin.laterality, origin.field_angle) == (um_per_px, None, None)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "signed": (lambda: raw_dicom(PIXELS, PixelRepresentation=1), "the DICOM has signed samples: that is not supported"),
    "colours": (lambda: raw_dicom(PIXELS, "HSV"), "the DICOM has 3 samples a pixel and the colours of another kind: "),
    "a volume": (
        lambda: raw_dicom(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.5.4"), "the DICOM is not a photograph. "
    ),
    "lossless JPEG": (
        lambda: coded_dicom([b"\xff\xd8"], PIXELS, "RGB", uid.JPEGLosslessSV1), "the DICOM has pixels coded as lossless"
    ),
    "no pixels": (lambda: raw_dicom(PIXELS)[:680], "the DICOM is truncated or damaged. Send a whole file."),
    "half of the pixels": (lambda: raw_dicom(PIXELS)[:-200], "the DICOM is truncated or damaged. Send a whole file."),
    "more frames than there are": (
        lambda: raw_dicom(PIXELS, NumberOfFrames=10**6), "the DICOM is truncated or damaged. Send a whole file."
    ),
    "a header alone": (lambda: bytes(128) + b"DICM" + bytes(100), "the DICOM's header is damaged. Send a whole file."),
    "half a header": (lambda: raw_dicom(PIXELS)[:400], "the DICOM's header is damaged. Send a whole file."),
    "a JPEG of another size": (
        lambda: coded_dicom([saved(pillow(PIXELS), "JPEG")], SMOOTH, "YBR_FULL", uid.JPEGBaseline8Bit),
        "the DICOM is truncated or damaged. Send a whole file.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_in_a_sentence(kind: str) -> None:
    write, message = REFUSED[kind]
    with pytest.raises(ImageDecodeError) as caught:
        decode_photo(write())
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("kind", [kind for kind in EXACT if "RLE" in kind or "JPEG" in kind])
def test_a_coded_frame_that_is_cut_or_declares_another_size_is_refused(kind: str) -> None:
    data = EXACT[kind][0]()
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    shorter = data[: end - 40] + bytes(40) + data[end:]
    rows = struct.pack("<HHI", 0x0028, 0x0010, 0)[:4] + b"US\2\0"
    place = data.index(rows) + len(rows)
    larger = data[:place] + struct.pack("<H", 600) + data[place + 2 :]
    # OpenJPEG can't tell zeros from pixels: that a frame is cut, it can.
    for broken in (larger,) if "2000" in kind else (shorter, larger):
        with pytest.raises(ImageDecodeError, match=r"^the DICOM is truncated or damaged\. Send a whole file\.$"):
            decode_photo(broken)


def test_a_cut_frame_of_jpeg_2000_is_refused() -> None:
    data = coded_dicom([jpeg_2000(LARGE)[:-60]], LARGE, "YBR_RCT", uid.JPEG2000Lossless)
    with pytest.raises(ImageDecodeError, match=r"^the DICOM is truncated or damaged\. Send a whole file\.$"):
        decode_photo(data)


def test_a_size_over_the_limit_is_refused_by_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = coded_dicom([rle(PIXELS)], PIXELS, "RGB", uid.RLELossless, Rows=60_000, Columns=60_000)
    for data in (bomb, raw_dicom(np.zeros((300, 300), np.uint8), "MONOCHROME2")):
        monkeypatch.setattr("vesselrt.runtime.photo.decoding.decode_opened", lambda *_: pytest.fail("decoded"))
        with pytest.raises(ImageTooLargeError):
            decode_photo(data, Limits(pixels=50_000))


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = raw_dicom(PIXELS)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ImageDecodeError) as caught:
        decode_photo(data)
    assert str(caught.value) == (
        "the file is DICOM, which needs packages that are not installed. Run: pip install 'vesselrt[dicom]'"
    )


def test_a_decoder_process_reads_the_same() -> None:
    pool = DecoderPool(1)
    try:
        data = series_dicom([PIXELS, PIXELS[::-1].copy()])
        read = pool.decode(data, Limits(), None, frame=2)
        assert np.array_equal(read.pixels, PIXELS[::-1])
        assert read.origin == decode_photo(data, frame=2).origin
        large = np.asarray(cv2.resize(SMOOTH, (1200, 1000)), np.uint8)  # 3.6 MB
        for frame, syntax in ((jpeg_2000(large), uid.JPEG2000Lossless), (rle(large), uid.RLELossless)):
            data = coded_dicom([frame], large, "RGB", syntax)
            assert np.array_equal(pool.decode(data, Limits(), None).pixels, large)
    finally:
        pool.close()


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_an_error_of_ours_and_names_nobody(seed: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(raw_dicom(EVEN) if seed % 2 else coded_dicom([rle(EVEN)], EVEN, "RGB", uid.RLELossless))
    for place in random.integers(132, 900, 6):
        data[place] = random.integers(0, 256)
    try:
        decode_photo(bytes(data))
    except ImageError as error:
        assert not any(secret in str(error) for secret in SECRETS)  # noqa: PT017 - most files are read in spite of it
