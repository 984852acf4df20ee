"""`vesselrt predict`: from files and folders to files, each whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from commands import CPU, Done, Run, grey, levels, save, tree

import vesselrt
from vesselrt.runtime.modelfile import sha256
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.output.outlines import geojson_from_mask

# Predict


def test_one_photo_to_a_named_file(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "eye.png", levels(1))
    done = run("predict", photo, "-o", "masks/eye.png", "--model", mirror, *CPU)
    assert done == Done(0, "", done.err)
    assert "mirror 1.2.3 on cpu (" in done.err
    assert "f32, onnxruntime" in done.err
    assert "1 of 1 written" in done.err
    assert np.array_equal(grey(tmp_path / "masks" / "eye.png"), (levels(1) >= 0.4 * 255) * 255)  # the model's threshold
    assert tree(tmp_path) == {"eye.png", "masks/eye.png"}


def test_many_photos_to_a_folder_and_to_this_one(run: Run, mirror: Path, tmp_path: Path) -> None:
    photos = [save(tmp_path / "in" / f"{i}.png", levels(i)) for i in range(3)]
    assert run("predict", *photos, "-o", "out", "--model", mirror, *CPU).code == 0
    assert tree(tmp_path / "out") == {"0-mask.png", "1-mask.png", "2-mask.png"}
    for i in range(3):
        assert np.array_equal(grey(tmp_path / "out" / f"{i}-mask.png"), (levels(i) >= 102) * 255)
    assert run("predict", *photos, "--model", mirror, *CPU).code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"in", "out", "0-mask.png", "1-mask.png", "2-mask.png"}


def test_a_folder_can_be_run_again_with_its_masks_in_it(run: Run, mirror: Path, tmp_path: Path) -> None:
    for name in ("eye.png", "my-mask.png"):  # a photograph may have such a name of its own
        save(tmp_path / name, levels(0))
    for _ in range(2):
        assert run("predict", ".", "--model", mirror, *CPU).code == 0
        assert tree(tmp_path) == {"eye.png", "my-mask.png", "eye-mask.png", "my-mask-mask.png"}


def test_folders_and_globs(run: Run, mirror: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.TIF", "deep/c.png", "deep/er/d.png", "e[1].png"):
        save(tmp_path / "in" / name, levels(0))
    (tmp_path / "in" / "notes.txt").write_text("no photograph")
    (tmp_path / "in" / "folder.png").mkdir()

    def written(out: str, *photos: str) -> set[str]:
        assert run("predict", *photos, "-o", out, "--model", mirror, *CPU).code == 0
        return {name.removesuffix("-mask.png") for name in tree(tmp_path / out)}

    assert written("1", "in") == {"a", "b", "e[1]"}
    assert written("2", "in/*.png", "in/deep") == {"a", "c", "e[1]"}
    assert written("3", "in/**/*.png") == {"a", "c", "d", "e[1]"}
    assert written("4", "in/e[1].png") == {"e[1]"}  # a file that is there is no glob
    assert written("5", "in/[ab].*") == {"a", "b"}
    assert written("6", "in/a.png", "in", "./in/a.png") == {"a", "b", "e[1]"}  # named twice, done once


@pytest.mark.parametrize("form", ["mask", "probability", "overlay", "svg", "geojson"])
def test_every_format_is_the_librarys(run: Run, mirror: Path, tmp_path: Path, form: OutputFormat) -> None:
    photo = save(tmp_path / "eye.png", levels(3))
    paint = ["--colour", "#33ccff", "--opacity", 0.8]
    assert run("predict", photo, "--format", form, "--threshold", 0.7, *paint, "--model", mirror, *CPU).code == 0
    (written,) = tree(tmp_path) - {"eye.png"}
    suffix = {"svg": "svg", "geojson": "geojson"}.get(form, "png")
    assert written == f"eye-{form}.{suffix}"
    content = (tmp_path / written).read_bytes()
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        assert content == segmenter.segment(photo).encode(form, 0.7, "#33ccff", 0.8)
    if form == "probability":
        assert np.array_equal(grey(tmp_path / written), levels(3))
    if form == "svg":
        assert ET.fromstring(content).get("viewBox") == "0 0 91 37"
    if form == "geojson":
        assert json.loads(content)["features"][0]["properties"]["threshold"] == 0.7


def test_classes_are_named(run: Run, colours: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "eye.png", levels(3))
    with vesselrt.load(colours, device="cpu:onnxruntime") as segmenter:
        result = segmenter.segment(photo)
    assert run("predict", photo, "-o", "all.png", "--model", colours, *CPU).code == 0
    assert np.array_equal(grey(tmp_path / "all.png"), result.labels())
    ask = ("--classes", "vein", "--threshold", "vein:0.7", "--colour", "vein:#123456")
    assert run("predict", photo, "-o", "vein.svg", *ask, "--model", colours, *CPU).code == 0
    expected = result.encode("svg", {"vein": 0.7}, {"vein": "#123456"}, classes="vein")
    assert (tmp_path / "vein.svg").read_bytes() == expected
    for option, value, message in (
        ("--classes", "veins", "classes names 'veins'. This model has: artery, vein."),
        ("--threshold", "x:0.5", "threshold names 'x'. This model has: artery, vein."),
        ("--threshold", "vein:2", "threshold 2.0 is not within 0 to 1."),
        ("--colour", "vein:red", "colour is 'red'. Expected red, green and blue, such as #00ff66."),
    ):
        done = run("predict", photo, "-o", "no.png", option, value, "--model", colours, *CPU)
        assert (done.code, done.err.removeprefix("error: ").startswith(message)) == (1, True), done.err
    for value in ("vein:much", "vein:0.5,vein:0.6", ":0.5"):
        done = run("predict", photo, "-o", "no.png", "--threshold", value, "--model", colours, *CPU)
        assert done.code == 2
        assert f"Invalid value for --threshold: '{value}'. Expected " in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "no.png").exists()


def test_flips_and_several_models_are_averaged(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo, copy = save(tmp_path / "eye.png", levels(3)), tmp_path / "copy.onnx"
    copy.write_bytes(mirror.read_bytes())
    done = run("predict", photo, "-o", "p.png", "--format", "probability", "-m", mirror, "--tta", "d4", *CPU)
    assert (done.code, np.array_equal(grey(tmp_path / "p.png"), levels(3))) == (0, True), done.err
    assert ", mean of 8 maps\n" in done.err
    named = f"{copy}#sha256={sha256(copy)}"
    done = run("predict", photo, "-o", "s.png", "--format", "spread", "-m", mirror, "--model", named, *CPU)
    assert (done.code, int(grey(tmp_path / "s.png").max())) == (0, 0), done.err
    assert "mirror-and-mirror 1.2.3 and 1.2.3 on cpu (" in done.err
    done = run("predict", photo, "-o", "no.png", "--format", "spread", "-m", mirror, *CPU)
    assert (done.code, "error: this model makes one map of a photograph" in done.err) == (1, True), done.err
    done = run("predict", photo, "-o", "no.png", "-m", f"{copy}#sha256={'0' * 64}", *CPU)
    assert (done.code, "0000 was expected. It is not used." in done.err) == (1, True), done.err
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize(("simplify", "threshold"), [(0, None), (0.35, 0.7), (2.0, 0.2)])
def test_outlines_are_simplified_as_the_library_does(
    run: Run, mirror: Path, tmp_path: Path, simplify: float, threshold: float | None
) -> None:
    photo = save(tmp_path / "eye.png", levels(3))
    rule = () if threshold is None else ("--threshold", threshold)
    done = run("predict", photo, "--format", "geojson", "--simplify", simplify, *rule, "--model", mirror, *CPU)
    assert done.code == 0
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        result = segmenter.segment(photo)
    expected = geojson_from_mask(result.mask(threshold), result.threshold if threshold is None else threshold, simplify)
    assert (tmp_path / "eye-geojson.geojson").read_bytes() == expected
    if simplify == 0:
        assert expected == result.encode("geojson", threshold)


@pytest.mark.parametrize("threshold", ["0", "0.25", "0.5", "0.50196078", "1", "1e-9"])
def test_the_threshold_is_exact(run: Run, mirror: Path, tmp_path: Path, threshold: str) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photo = save(tmp_path / "eye.png", every)
    assert run("predict", photo, "-o", "m.png", "--threshold", threshold, "--model", mirror, *CPU).code == 0
    expected = every >= float(threshold) * 255
    assert np.array_equal(grey(tmp_path / "m.png") > 0, expected)
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        assert np.array_equal(segmenter.segment(photo).mask(float(threshold)), expected)


def test_a_failing_photo_stops_no_other(run: Run, mirror: Path, tmp_path: Path) -> None:
    good = [save(tmp_path / "in" / name, levels(i)) for i, name in enumerate(("1.png", "3.png"))]
    bad = tmp_path / "in" / "2[old].jpg"
    bad.write_text("text named .jpg")
    cut = tmp_path / "in" / "4.png"
    cut.write_bytes(good[0].read_bytes()[:-200])
    done = run("predict", "in", "in/gone.png", "-o", "out", "--model", mirror, *CPU)
    assert done.code == 1
    assert done.out == ""
    assert "failed: in/2[old].jpg: not an image: it begins with b'text nam'. Send a JPEG" in done.err
    assert "failed: in/4.png: the PNG is truncated or damaged." in done.err
    assert "failed: in/gone.png: can't be read (No such file or directory)." in done.err
    assert "2 of 5 written" in done.err
    assert done.err.endswith("error: 3 of 5 photographs failed\n")
    assert tree(tmp_path / "out") == {"1-mask.png", "3-mask.png"}
    assert np.array_equal(grey(tmp_path / "out" / "3-mask.png"), (levels(1) >= 102) * 255)


def test_a_target_that_cannot_be_written_leaves_nothing_half_done(run: Run, mirror: Path, tmp_path: Path) -> None:
    photos = [save(tmp_path / "in" / name, levels(0)) for name in ("a.png", "b.png")]
    (tmp_path / "out" / "a-mask.png").mkdir(parents=True)
    done = run("predict", *photos, "-o", "out", "--model", mirror, *CPU)
    assert done.code == 1
    assert f"failed: {photos[0]}: " in done.err
    assert "a-mask.png" in done.err
    assert tree(tmp_path / "out") == {"b-mask.png"}


def test_a_write_that_breaks_off_leaves_the_old_file(
    run: Run, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = save(tmp_path / "eye.png", levels(0))
    (tmp_path / "m.png").write_text("old")

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    done = run("predict", photo, "-o", "m.png", "--model", mirror, *CPU)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert (tmp_path / "m.png").read_text() == "old"
    assert tree(tmp_path) == {"eye.png", "m.png"}


@pytest.mark.parametrize(
    ("name", "form"), [("x.svg", "svg"), ("x.GEOJSON", "geojson"), ("x.json", "json"), ("x.png", "mask")]
)
def test_the_name_of_the_file_says_its_format(
    run: Run, mirror: Path, tmp_path: Path, name: str, form: OutputFormat
) -> None:
    photo = save(tmp_path / "eye.png", levels(3))
    assert run("predict", photo, "-o", name, "--model", mirror, *CPU).code == 0
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        assert (tmp_path / name).read_bytes() == segmenter.segment(photo).encode(form)


def test_a_dash_is_the_standard_output(mirror: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "eye.png", levels(3))
    command = [sys.executable, "-m", "vesselrt.cli", "predict", str(photo), "-o", "-", "--model", str(mirror), *CPU]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=True)
    with vesselrt.load(mirror, device="cpu:onnxruntime") as segmenter:
        assert done.stdout == segmenter.segment(photo).encode()
    assert tree(tmp_path) == {"eye.png"}


def test_folders_keep_their_tree(run: Run, mirror: Path, tmp_path: Path) -> None:
    for name in ("left/1.png", "right/1.png", "right/deep/2.png", "0.png"):
        save(tmp_path / "in" / name, levels(0))
    done = run("predict", "in", "--recursive", "-o", "out", "--model", mirror, *CPU)
    assert done.code == 0, done.err
    assert tree(tmp_path / "out") == {"0-mask.png", "left/1-mask.png", "right/1-mask.png", "right/deep/2-mask.png"}
    before = tree(tmp_path)
    for _ in range(2):  # what the first run wrote beside its photographs is no photograph
        assert run("predict", "in", "-r", "-o", "in", "--model", mirror, *CPU).code == 0
    assert len(tree(tmp_path)) == len(before) + 4


# These are found before anything is loaded: the model does not exist.
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("a/eye.png b/eye.jpg -o out", "b/eye.jpg and a/eye.png would both be written to out/eye-mask.png"),
        ("a/eye.png b/eye.jpg", "b/eye.jpg and a/eye.png would both be written to eye-mask.png"),
        ("a/eye.png b/eye.jpg -o out.png", "out.png is one file, and there are 2 photographs. Name a folder with -o."),
        (
            "a/eye.png -o x.xyz",
            "x.xyz names no format. Expected one of .dcm, .geojson, .json, .png, .svg",
        ),
        ("a/eye.png -o x.png --format svg", "x.png is to be .png, and the format is svg (.svg). Leave out --format."),
        ("a/eye.png b/eye.jpg -o -", "- is one file, and there are 2 photographs."),
        ("a/eye.png -o a/eye.png", "a/eye.png would be written over a photograph"),
        ("a/eye.png a/eye-mask.png -o a", "a/eye-mask.png would be written over a photograph"),
        ("empty", "empty: the folder holds no image (.avif, .bmp, .dcm, .gif, .jfif, .jpe, .jpeg, .jpg, "),
        ("b/*.bmp", "b/*.bmp: no file matches."),
        ("a/eye.png --threshold 1.5", "threshold 1.5 is not within 0 to 1."),
        ("a/eye.png --threshold -0.1", "threshold -0.1 is not within 0 to 1."),
        ("a/eye.png --threshold nan", "threshold nan is not within 0 to 1."),
        ("a/eye.png --simplify 1", "--simplify is for --format svg and geojson, and the format is mask."),
        ("a/eye.png --format geojson --simplify -1", "simplify is -1.0. Expected a distance in pixels, 0 or more."),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(
    run: Run, tmp_path: Path, arguments: str, message: str
) -> None:
    for name in ("a/eye.png", "b/eye.jpg", "a/eye-mask.png"):
        save(tmp_path / name, levels(0))
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    done = run("predict", *arguments.split(), "--model", "nowhere.onnx")
    assert done == Done(1, "", done.err)
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert tree(tmp_path) == before
