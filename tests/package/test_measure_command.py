"""`vesselrt measure`: a row for each photograph, of which none is lost."""

import csv
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import CPU, Run, save
from drawn_vessels import vessel

import vesselrt
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.measures import table
from vesselrt.runtime.measures.rows import Columns, NamePattern, laterality_from
from vesselrt.runtime.segmentation import Segmentation

SIDE = 160


def photo(path: Path, width: float = 7.0) -> Path:
    """Of which the mirror sees one vessel."""
    return save(path, np.where(vessel([(10, 50), (150, 110)], width, SIDE), 200, 40))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_has_what_a_study_needs(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo(tmp_path / "eyes" / "P017_OD.png")
    photo(tmp_path / "eyes" / "P018_left.png", 12)
    save(tmp_path / "eyes" / "other.png", np.full((SIDE, SIDE), 40))
    options = ["--pattern", "{patient}_{eye}", "--um-per-px", 8, "--threshold", 0.6, "--model", mirror, *CPU]
    done = run("measure", "eyes", "-o", "results.csv", *options)
    assert done.code == 0, done.err
    assert "3 of 3 measured" in done.err
    first, second, other = rows(tmp_path / "results.csv")
    file = Path("eyes/P017_OD.png")
    assert (first["file"], first["patient"], first["eye"], first["laterality"]) == (str(file), "P017", "OD", "R")
    assert first["sha256"] == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert (second["patient"], second["laterality"]) == ("P018", "L")
    assert [first[name] for name in ("width", "height", "um_per_px")] == ["160", "160", "8"]
    alike = ("model", "model_version", "device", "precision", "threshold")
    assert [first[name] for name in alike] == ["mirror", "1.2.3", "cpu", "f32", "0.6"]
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        result = segmenter.segment(tmp_path / file)
    figures = result.measure(0.6, um_per_px=8).figures()
    assert {name: first[name] for name in figures} == {name: table._text(value) for name, value in figures.items()}
    assert first["scale"] == result.scale.source
    assert (result.quality, first["quality"]) == (None, ""), "this model has no scale at which it could be judged"
    judged = replace(result, quality=vesselrt.Quality("usable", ("dark", "blurred")))
    row = Columns(()).row_of(tmp_path / file, judged, result.measure())
    assert (row["quality"], row["quality_reasons"]) == ("usable", "dark blurred")
    assert float(first["calibre_mean_px"]) == pytest.approx(7, rel=0.05)
    assert float(second["calibre_mean_um"]) == pytest.approx(12 * 8, rel=0.05)
    assert (first["error"], first["reasons"].count("branching_angle_mean")) == ("", 1)
    # A photograph without vessels and of another name has its row too, and no 0 for what is not known.
    assert (other["patient"], other["density"], other["calibre_mean_px"]) == ("", "0", "")
    assert "calibre_sd_px" in other["reasons"]
    assert "The file's name is not of the pattern {patient}_{eye}." in other["warnings"]


def test_a_photograph_that_fails_is_a_row_with_its_error(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no\nphotograph")
    photo(tmp_path / "c.png")
    done = run("measure", ".", "absent.png", "-o", "results.csv", "--model", mirror, *CPU)
    assert done.code == 1
    assert done.err.splitlines()[-1] == "error: 2 of 4 photographs failed; their rows have the column error"
    found = {row["file"]: row for row in rows(tmp_path / "results.csv")}
    assert list(found) == ["a.png", "b.png", "c.png", "absent.png"]
    assert found["b.png"]["error"].startswith("b.png: not an image")
    assert found["b.png"]["sha256"] == hashlib.sha256(b"no\nphotograph").hexdigest()
    assert (found["b.png"]["density"], found["absent.png"]["sha256"]) == ("", "")
    assert found["absent.png"]["error"].startswith("absent.png: can't be read")
    assert found["c.png"]["density"] == found["a.png"]["density"] != ""
    assert (tmp_path / "results.csv").read_text("utf-8").count("\n") == 5  # a line for each, whatever an error says


def test_a_run_that_was_killed_goes_on(run: Run, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        photo(tmp_path / f"{name}.png")
    command = ["measure", ".", "-o", "results.csv", "--model", mirror, *CPU]
    assert run(*command).code == 0
    whole = (tmp_path / "results.csv").read_bytes()
    assert run(*command).err.splitlines()[-1] == (
        "error: results.csv is there already. Go on with --resume, or name another file."
    )
    lines = whole.splitlines(keepends=True)
    measured: list[str] = []
    measure = Segmentation.measure

    def count(result: Segmentation, *given: Any, **named: Any) -> vesselrt.Measurements:
        measured.append("one")
        return measure(result, *given, **named)

    monkeypatch.setattr(Segmentation, "measure", count)
    for end in (b"", lines[3][: len(lines[3]) // 2]):  # a kill between two rows, or within one
        (tmp_path / "results.csv").write_bytes(b"".join(lines[:3]) + end)
        measured.clear()
        done = run(*command, "--resume")
        assert done.code == 0, done.err
        assert "2 were measured before" in done.err
        assert len(measured) == 2
        assert (tmp_path / "results.csv").read_bytes() == whole
    assert run(*command, "--resume").code == 0
    assert (tmp_path / "results.csv").read_bytes() == whole


def test_rows_of_two_models_or_of_other_columns_are_not_mixed(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    command = ["measure", "a.png", "-o", "results.csv", "--model", mirror, *CPU]
    assert run(*command).code == 0
    before = (tmp_path / "results.csv").read_bytes()
    other = run(*command, "--resume", "--threshold", 0.5).err
    assert "results.csv has rows with threshold 0.4, and this run has 0.5." in other
    assert "results.csv has other columns" in run(*command, "--resume", "--pattern", "{patient}").err
    assert (tmp_path / "results.csv").read_bytes() == before
    (tmp_path / "results.csv").write_text("a,b\n1\n")
    assert "results.csv has rows of different lengths" in run(*command, "--resume").err
    (tmp_path / "results.csv").write_text("")
    assert "results.csv is no table of measurements" in run(*command, "--resume").err


def test_discs_give_zones(run: Run, mirror: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        photo(tmp_path / f"{name}.png")
    (tmp_path / "discs.csv").write_text("file,x,y,diameter\nsomewhere/a.png,80,80,40\n")
    command = ["measure", "a.png", "b.png", "--model", mirror, *CPU]
    assert run(*command, "-o", "results.csv", "--discs", "discs.csv").code == 0
    first, second = rows(tmp_path / "results.csv")
    assert float(first["zone_b_length_px"]) == pytest.approx(40, rel=0.05)
    assert second["zone_b_length_px"] == ""
    assert "zone_b_density" in second["reasons"]
    assert second["reasons"].endswith(": the disc is not told")
    for content, message in (
        ("name,x\n", "discs.csv lacks the columns file, y. Expected file,x,y,diameter."),
        ("file,x,y\na.png,one,2\n", "discs.csv, line 2: could not convert"),
        ("file,x,y\na.png,1,2\na.png,1,2\n", "discs.csv, line 3: a.png is there twice."),
        ("file,x,y,diameter\na.png,1,2,-3\n", "discs.csv, line 2: the disc's diameter is -3.0."),
    ):
        (tmp_path / "discs.csv").write_text(content)
        done = run(*command, "-o", "other.csv", "--discs", "discs.csv")
        assert done.code == 1
        assert message in done.err.splitlines()[-1]
    assert not (tmp_path / "other.csv").exists()


def test_classes_have_columns_of_their_own(run: Run, colours: Path, tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    done = run("measure", "a.png", "-o", "r.csv", "--model", colours, "--threshold", "artery:0.2,vein:0.6", *CPU)
    assert done.code == 0, done.err
    (row,) = rows(tmp_path / "r.csv")
    assert row["threshold"] == "artery:0.2,vein:0.6"
    assert (row["artery_density"], row["avr"]) == ("1", "")  # red is 90 of 255 everywhere
    assert 0 < float(row["vein_density"]) < 0.2


def test_parquet_holds_the_same_rows(run: Run, mirror: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    command = ["measure", ".", "--model", mirror, *CPU]
    for name in ("results.csv", "results.parquet"):
        assert run(*command, "-o", name).code == 1
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "b.png", "results.csv", "results.parquet"}
    found = parquet.read_table(tmp_path / "results.parquet")
    for row, same in zip(found.to_pylist(), rows(tmp_path / "results.csv"), strict=True):
        assert {name: "" if value is None else table._text(value) for name, value in row.items()} == same
    assert {str(found.schema.field(name).type) for name in ("width", "density", "error")} == {
        "int64",
        "double",
        "string",
    }
    photo(tmp_path / "c.png")
    assert run(*command, "-o", "results.parquet", "--resume").code == 0
    assert parquet.read_table(tmp_path / "results.parquet")["file"].to_pylist() == ["a.png", "b.png", "c.png"]


def test_what_can_not_be_is_told_before_the_model_is_loaded(run: Run, tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    for options, message in (
        (["-o", "results.txt"], "results.txt names no table. Expected .csv or .parquet."),
        (["-o", "r.csv", "--pattern", "{a}_{a}"], "the pattern is '{a}_{a}'. Expected names in braces, once each"),
        (["-o", "r.csv", "--pattern", "{model}"], "the pattern names model, which is a column of its own."),
        (["-o", "r.csv", "--um-per-px", 0], "um_per_px is 0.0."),
        (["-o", "r.csv", "--field-angle", 45, "--um-per-px", 8], "um_per_px and field_angle both give the scale."),
    ):
        done = run("measure", "a.png", "--model", "absent", *options)
        assert (done.code, message in done.err) == (1, True), done.err


def test_patterns_of_names() -> None:
    assert NamePattern("{patient}_{eye}").read(Path("in/P_1_OS.jpg")) == {"patient": "P", "eye": "1_OS"}
    assert NamePattern("{patient}-{visit}.{laterality}").read(Path("7-2.R.png")) == {
        "patient": "7", "visit": "2", "laterality": "R",
    }  # fmt: skip
    assert NamePattern("eye{n}").read(Path("other.png")) is None
    for name, patient, eye in (("Image_01L", "01", "L"), ("Image_P17od", "P17", "od"), ("Image_9left", "9", "left")):
        assert NamePattern("Image_{patient}{eye}").read(Path(f"{name}.jpg")) == {"patient": patient, "eye": eye}
    assert NamePattern("Image_{patient}{eye}").read(Path("Image_01.jpg")) is None
    assert NamePattern("{laterality}{n}").read(Path("R12.png")) == {"laterality": "R", "n": "12"}
    with pytest.raises(OptionError, match=r"^nothing stands between {patient} and {visit}, so nobody knows"):
        NamePattern("{patient}{visit}_{eye}")
    assert [laterality_from({"eye": eye}) for eye in ("OD", "left", "R", "x", "")] == ["R", "L", "R", "", ""]
    with pytest.raises(OptionError, match="once each"):
        NamePattern("no names")
