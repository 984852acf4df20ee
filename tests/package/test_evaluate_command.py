"""`vesselrt evaluate` and `vesselrt compare`."""

import json
import re
from pathlib import Path
from typing import get_args

import onnx
import pytest
from commands import CPU, Run, tree

from vesselrt.cli.models import describe_model
from vesselrt.runtime.manifest import METADATA_KEY, DataSource, Provenance
from vesselrt.runtime.modelfile import read_manifest, sha256
from vesselrt.training.data.finding import Kind
from vesselrt.training.data.samples import hash_photograph

KINDS = ", ".join(get_args(Kind))


def test_evaluate_writes_what_can_be_counted_by_hand(run: Run, mirror: Path, measured: Path, tmp_path: Path) -> None:
    before = sha256(mirror)
    done = run("evaluate", mirror, measured, "--json", "figures/all.json", *CPU)
    assert done.code == 0, done.err
    assert done.out.startswith("mirror 1.2.3 on eyes test, 2 photographs, threshold 0.4\n")
    assert re.search(r"^mirror +0\.7500 ", done.out, re.MULTILINE)
    record = json.loads((tmp_path / "figures" / "all.json").read_text())
    assert record["pooled"]["f1"] == record["pooled"]["precision"] == record["pooled"]["recall"] == 6 / 8
    assert record["pooled"]["accuracy"] == 136 / 140
    assert set(record["images"]) == {"a", "b"}
    assert record["info"]["backend"] == "onnxruntime"
    assert record["model_sha256"] == before == sha256(mirror)
    assert tree(tmp_path / "figures") == {"all.json"}


def test_evaluate_writes_a_report(run: Run, mirror: Path, measured: Path, tmp_path: Path) -> None:
    done = run("evaluate", mirror, measured, "--report", "out/report", *CPU)
    assert done.code == 0, done.err
    assert "report: out/report/report.html" in done.err
    files = {"report.html", "images.csv", "figures.json", "overlays/a.jpg", "overlays/b.jpg"}
    assert tree(tmp_path / "out" / "report") == files
    record = json.loads((tmp_path / "out" / "report" / "figures.json").read_text())
    assert (record["pooled"]["f1"], record["model_sha256"]) == (6 / 8, sha256(mirror))
    assert "0.7500" in (tmp_path / "out" / "report" / "report.html").read_text("utf-8")


def test_evaluate_at_another_threshold_and_split(run: Run, mirror: Path, measured: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", mirror, measured, "--json", "all.json", *CPU)
    assert run(*arguments, "--threshold", 0.5, "--kind", "folder", "--split", "train").code == 0
    record = json.loads((tmp_path / "all.json").read_text())
    assert (record["threshold"], record["split"], record["pooled"]["precision"]) == (0.5, "train", 1)
    done = run(*arguments, "--threshold", 1.5)
    assert (done.code, done.err) == (1, "error: threshold 1.5 is not within 0 to 1.\n")


def test_recorded_figures_are_in_the_copy_and_its_graph_is_the_same(
    run: Run, mirror: Path, measured: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(mirror.read_bytes())
    assert run("evaluate", copy, measured, "--record", *CPU).code == 0
    old, new = read_manifest(mirror), read_manifest(copy)
    metrics = dict(new.provenance.metrics)
    recorded = metrics.pop("eyes test")
    assert metrics == old.provenance.metrics == {"elsewhere test": {"f1": 0.5}}
    assert (recorded["f1"], recorded["accuracy"], recorded["threshold"]) == (6 / 8, 136 / 140, 0.4)
    assert new.content_sha256
    assert new.model_copy(update={"provenance": old.provenance, "content_sha256": None}) == old
    assert onnx.load(copy).graph == onnx.load(mirror).graph
    assert "eyes test: " in describe_model(new)
    assert tree(tmp_path) - {f"eyes/{p}" for p in tree(measured)} == {"copy.onnx"}


def test_the_hash_in_a_report_is_of_the_file_with_its_figures(
    run: Run, mirror: Path, measured: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(mirror.read_bytes())
    done = run("evaluate", copy, measured, "--record", "--json", "all.json", "--report", "report", *CPU)
    assert done.code == 0, done.err
    assert sha256(copy) != sha256(mirror)
    assert json.loads((tmp_path / "all.json").read_text())["model_sha256"] == sha256(copy)
    assert sha256(copy) in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_figures_on_training_photographs_are_not_recorded_as_a_test(
    run: Run, mirror: Path, measured: Path, tmp_path: Path
) -> None:
    model, path = onnx.load(mirror), tmp_path / "taught.onnx"
    digests = tuple(hash_photograph(measured / "images" / f"{name}.png") for name in "ab")
    source = DataSource(name="eyes", split="train", terms="CC0-1.0", photographs=digests)
    manifest = read_manifest(mirror).model_copy(update={"provenance": Provenance(data=(source,))})
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
    before = sha256(path)
    done = run("evaluate", path, measured, "--record", "--json", "all.json", *CPU)
    assert (done.code, done.out, sha256(path)) == (1, "", before)
    assert done.err.startswith("error: mirror was trained on 2 of these photographs, a, b. --record would keep")
    assert not (tmp_path / "all.json").exists()
    done = run("evaluate", path, measured, "--json", "all.json", *CPU)
    assert "not a test: mirror was trained on 2 of these photographs, a, b\n" in done.err
    assert json.loads((tmp_path / "all.json").read_text())["trained_on"] == ["a", "b"]
    assert run("evaluate", path, measured, "--record", "--split", "train", "--kind", "folder", *CPU).code == 0
    assert set(read_manifest(path).provenance.metrics) == {"eyes train"}


def test_the_mean_of_several_maps_is_measured_and_not_recorded(
    run: Run, mirror: Path, measured: Path, tmp_path: Path
) -> None:
    before = sha256(mirror)
    done = run("evaluate", mirror, measured, "-m", mirror, "--tta", "flips", "--json", "all.json", *CPU)
    assert done.code == 0, done.err
    assert done.out.startswith("mirror-and-mirror 1.2.3 and 1.2.3 on eyes test, 2 photographs, threshold 0.4\n")
    assert ", mean of 8 maps, median " in done.out
    record = json.loads((tmp_path / "all.json").read_text())
    assert (record["info"]["members"], record["model_sha256"], record["pooled"]["f1"]) == (8, None, 6 / 8)
    for option in (("--tta", "d4"), ("-m", mirror)):
        done = run("evaluate", mirror, measured, "--record", *option, *CPU)
        assert (done.code, done.out, sha256(mirror)) == (1, "", before)
        said = "error: --record is for one model that sees each photograph once. Leave out --model and --tta.\n"
        assert done.err.endswith(said)


def test_evaluate_in_the_folder_itself_has_a_name(
    run: Run, mirror: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(measured)
    assert run("evaluate", mirror, ".", *CPU).out.startswith("mirror 1.2.3 on eyes test, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("eyes --kind retina", f"unknown kind 'retina' of data set. Expected one of: auto, {KINDS}."),
        ("nowhere --kind hrf", "nowhere: no such folder."),
        ("eyes --kind drive", "eyes: no photographs of the test split of drive."),
        (
            "eyes/images",
            f"eyes/images: no data set of a known layout ({KINDS}). Name a folder that holds one.",
        ),
        ("eyes --json eyes/images/a.png/all.json", "eyes/images/a.png/all.json can't be written: Not a directory."),
        ("eyes --json eyes", "eyes can't be written: Is a directory."),
        ("eyes --report eyes/images/a.png", "eyes/images/a.png can't be written: Not a directory."),
    ],
)
def test_evaluate_says_what_is_wrong(run: Run, mirror: Path, measured: Path, arguments: str, message: str) -> None:
    done = run("evaluate", mirror, *arguments.split(), *CPU)
    assert done.code == 1
    assert done.err.startswith(f"error: {message}")


def test_a_mask_that_is_missing_is_named(run: Run, mirror: Path, measured: Path) -> None:
    (measured / "masks" / "b.png").unlink()
    done = run("evaluate", mirror, "eyes", *CPU)
    assert (done.code, done.err) == (1, "error: eyes: 1 mask(s) are missing: eyes/masks/b.*\n")


def test_compare_prints_a_table_and_writes_the_record(run: Run, mirror: Path, measured: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(mirror.read_bytes())
    where = ("--device", "cpu:onnxruntime", "--device", "cuda", "--precision", "f32")
    done = run("compare", mirror, "copy.onnx", measured, *where, "--runs", 1, "--json", "all.json")
    assert done.code == 0, done.err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.out.splitlines()[2:6]]
    assert [row[:4] for row in rows] == [
        [str(mirror), "cpu:onnxruntime", "f32", "0.7500"],
        [str(mirror), "cuda", "f32", "–"],
        ["copy.onnx", "cpu:onnxruntime", "f32", "0.7500"],
        ["copy.onnx", "cuda", "f32", "–"],
    ]
    assert rows[2][6] == "0.000%"
    assert rows[3][9].startswith("no NVIDIA ")
    record = json.loads((tmp_path / "all.json").read_text())
    assert [row["metrics"] and row["metrics"]["f1"] for row in record["rows"]] == [0.75, None, 0.75, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("gone.onnx eyes", "no model gone.onnx: neither a file nor a built-in model."),
        ("fundus nowhere --kind hrf", "nowhere: no such folder."),
        ("fundus eyes --device gpu", "gpu: not known. Expected of: auto, cpu, cpu:openvino, cpu:onnxruntime, cuda, "),
        ("fundus eyes --device cuda", "nothing to compare: no row can run here. no NVIDIA "),
    ],
)
def test_compare_says_what_is_wrong(run: Run, measured: Path, arguments: str, message: str) -> None:
    done = run("compare", *arguments.split())
    assert done.code == 1
    assert done.err.startswith(f"error: {message}")


def test_a_model_of_several_classes_is_refused(run: Run, colours: Path, measured: Path) -> None:
    done = run("evaluate", colours, measured, *CPU)
    assert done.code == 1
    assert "a.png: which pixels are artery and vein is not said." in done.err
