"""Depths, pages, kinds that need not be read, and files of many writers: right pixels, or the right refusal."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from vesselrt.benchmarks.corpus.case import PhotoCase
from vesselrt.benchmarks.corpus.depth import depths
from vesselrt.benchmarks.corpus.judge import decode
from vesselrt.benchmarks.corpus.kinds import kinds
from vesselrt.benchmarks.corpus.pages import pages
from vesselrt.benchmarks.corpus.undamaged import undamaged

UNDAMAGED = [*undamaged()]


def name_of(case: PhotoCase) -> str:
    return f"{case.kind}: {case.name}"


@pytest.mark.parametrize("case", [*depths(), *pages(), *kinds()], ids=name_of)
def test_a_file_is_read_right_or_refused_by_name(case: PhotoCase) -> None:
    answer = decode(case.data)
    assert case.judge(answer) in {"right", "refused"}, answer.refusal or answer.warnings


@pytest.mark.parametrize("case", UNDAMAGED, ids=name_of)
def test_an_undamaged_file_is_read_without_a_warning(case: PhotoCase) -> None:
    answer = decode(case.data)
    assert case.judge(answer) == "right", answer.refusal or answer.warnings


def test_there_are_200_different_undamaged_files() -> None:
    assert len({case.data for case in UNDAMAGED}) >= 200


def test_a_case_tells_wrong_pixels_from_right_ones() -> None:
    case = next(case for case in UNDAMAGED if case.kind == "PNG")
    answer = decode(case.data)
    assert answer.pixels is not None
    pixels = answer.pixels.copy()
    pixels[3, 4, 1] ^= 1
    assert case.judge(type(answer)(pixels)) == "wrong"
    assert case.judge(type(answer)(answer.pixels, ("dark",))) == "warned"
    assert case.judge(type(answer)(None, refusal="the PNG is of no use")) == "wrong"


def test_real_photographs_are_read_without_a_warning(data_root: Path) -> None:
    paths = sorted(path for path in data_root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    assert len(paths) > 20
    for path in paths[::4]:  # the others are like these
        answer = decode(path.read_bytes())
        with Pillow.open(path) as file:
            expected = np.asarray(ImageOps.exif_transpose(file))
        assert answer.pixels is not None, path.name
        assert answer.warnings == (), path.name
        assert cv2.absdiff(answer.pixels, expected).max() <= 4, path.name
