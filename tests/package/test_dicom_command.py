"""`vesselrt predict` and `measure` of DICOM files, whose patients are named nowhere."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import CPU, Run, grey, levels, save, tree
from dicom_files import SECRETS, raw_dicom, series_dicom
from numpy.typing import NDArray


def eye(seed: int) -> NDArray[Any]:
    """A photograph of which the mirror's probability is `levels(seed)` / 255."""
    green = levels(seed)
    return np.dstack([np.full_like(green, 90), green, np.zeros_like(green)])


def test_each_frame_has_its_file(run: Run, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "series.dcm").write_bytes(series_dicom([eye(1), eye(2)]))
    (tmp_path / "one.dcm").write_bytes(raw_dicom(eye(3)))
    for _ in range(2):
        done = run("predict", ".", "--format", "probability", "--model", mirror, *CPU)
        assert done.code == 0, done.err
        assert "3 of 3 written" in done.err
        written = {"series-frame-1-probability.png", "series-frame-2-probability.png", "one-probability.png"}
        assert tree(tmp_path) == {"series.dcm", "one.dcm", *written}
    for name, seed in (("series-frame-1", 1), ("series-frame-2", 2), ("one", 3)):
        assert np.array_equal(grey(tmp_path / f"{name}-probability.png"), levels(seed))
    done = run("predict", "series.dcm", "-o", "mask.png", "--model", mirror, *CPU)
    assert "mask.png is one file, and there are 2 photographs" in done.err


def test_results_in_dicom(run: Run, mirror: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom has no release for this Python")
    (tmp_path / "series.dcm").write_bytes(series_dicom([eye(1), eye(2)]))
    for _ in range(2):  # what was written is no photograph
        assert run("predict", ".", "--format", "dicom-seg", "--model", mirror, *CPU).code == 0
        assert tree(tmp_path) == {"series.dcm", "series-frame-1-dicom-seg.dcm", "series-frame-2-dicom-seg.dcm"}
    read = highdicom.seg.segread(tmp_path / "series-frame-2-dicom-seg.dcm")
    assert np.array_equal(read.get_pixels_by_source_frame("1.2.3.4", [2])[0, :, :, 0], levels(2) >= 102)
    (tmp_path / "one.dcm").write_bytes(raw_dicom(eye(3)))
    assert run("predict", "one.dcm", "-o", "out.dcm", "--model", mirror, *CPU).code == 0
    assert highdicom.seg.segread(tmp_path / "out.dcm").SegmentationType == "BINARY"
    save(tmp_path / "eye.png", levels(1))
    done = run("predict", "eye.png", "--format", "dicom-sr", "--model", mirror, *CPU)
    assert "dicom-sr refers to a DICOM photograph" in " ".join(done.err.split())
    assert not (tmp_path / "eye-dicom-sr.dcm").exists()


@pytest.mark.parametrize("damage", [False, True])
def test_the_patient_is_named_nowhere(run: Run, mirror: Path, tmp_path: Path, damage: bool) -> None:
    data = series_dicom([eye(1), eye(2)])
    (tmp_path / "eye.dcm").write_bytes(data[: len(data) // 2] if damage else data)
    for form in ("mask", "json", "dicom-seg"):
        done = run("predict", "eye.dcm", "--format", form, "-o", "out", "--model", mirror, *CPU)
        assert done.code == damage, done.err
        said = done.out + done.err
        said += " ".join(tree(tmp_path)) + " ".join(p.read_text() for p in tmp_path.rglob("*.json"))
        assert not [secret for secret in SECRETS if secret.lower() in said.lower()]
        told = "eye.dcm: the DICOM is truncated or damaged. Send a whole file." in " ".join(done.err.split())
        assert told is damage


def test_the_scale_and_the_side_are_measured_with(run: Run, mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="needs the extra measure")
    (tmp_path / "eye.dcm").write_bytes(series_dicom([eye(1), eye(2)]))
    done = run("measure", "eye.dcm", "-o", "results.csv", "--model", mirror, *CPU)
    assert done.code == 0, done.err
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == ["eye.dcm, frame 1", "eye.dcm, frame 2"]
    assert [(float(row["um_per_px"]), row["laterality"]) for row in rows] == [(7.5, "R")] * 2
    assert rows[0]["sha256"] == rows[1]["sha256"]
    assert not [secret for secret in SECRETS if secret in (tmp_path / "results.csv").read_text()]
    assert (
        "2 were measured before"
        in run("measure", "eye.dcm", "-o", "results.csv", "--resume", "--model", mirror, *CPU).err
    )
