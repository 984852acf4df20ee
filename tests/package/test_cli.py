"""The command line, through its entry point. The model is a mirror, so every mask is known to the pixel."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import vesselrt
from vesselrt import cli
from vesselrt.cli.models import describe_model
from vesselrt.runtime.manifest import METADATA_KEY, DataSource, Input, Manifest, Preparation, Provenance, Tile
from vesselrt.runtime.modelfile import read_manifest, sha256
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.output.outlines import geojson_from_mask
from vesselrt.training.data.finding import Kind
from vesselrt.training.data.samples import hash_photograph

KINDS = ", ".join(get_args(Kind))
REPOSITORY = Path(__file__).resolve().parents[2]
CPU = ("--device", "cpu:onnxruntime")  # f32: the mirror is exact


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `vesselrt ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["vesselrt", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        captured = capsys.readouterr()
        return Done(code, *(re.sub(r"\x1b\[[0-9;]*m", "", text) for text in captured))

    return call


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose probability is the photograph's green channel / 255."""
    path = tmp_path_factory.mktemp("model") / "mirror.onnx"
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["value"], to=kind.FLOAT),
            helper.make_node("Div", ["value", "full"], ["probability"]),
        ],
        "mirror",
        [helper.make_tensor_value_info("image", kind.UINT8, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", kind.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor("full", kind.FLOAT, [], [255.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    manifest = Manifest(
        name="mirror",
        version="1.2.3",
        licence="CC0-1.0",
        description="Gives back what it sees.",
        preparation=Preparation(channels="green"),
        input=Input(mean=(0.0,), std=(1.0,)),
        tile=Tile(size=64, multiple=1, margin=0),
        threshold=0.4,
        provenance=Provenance(metrics={"elsewhere test": {"f1": 0.5}}),
    )
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
    return path


def save(path: Path, green: NDArray[Any]) -> Path:
    """A photograph of which the mirror's probability is `green` / 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blue, red = np.zeros_like(green), np.full_like(green, 90)
    assert cv2.imwrite(str(path), np.dstack([blue, green, red]).astype(np.uint8))
    return path


def levels(seed: int, shape: tuple[int, int] = (37, 91)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def grey(path: Path) -> NDArray[Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# What every command has


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version") == Done(0, f"vesselrt {vesselrt.__version__}\n", "")


COMMANDS = (
    "predict", "serve", "models", "evaluate", "compare", "outline", "train", "export", "convert", "compile", "bench",
    "engine", "engine info",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_under_both_names(run: Run, command: str) -> None:
    short, long = run(*command.split(), "-h"), run(*command.split(), "--help")
    assert short == long
    assert (short.code, short.err) == (0, "")
    assert f"Usage: vesselrt {command}" in short.out
    if command not in {"bench", "engine"}:
        assert [word for word in ("--quiet", "-q", "--verbose", "-v") if word not in short.out] == []


def test_quiet_says_nothing_but_errors(run: Run, mirror: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "eye.png", levels(1))
    assert run("predict", photo, "-q", "--model", mirror, *CPU) == Done(0, "", "")
    assert run("predict", "gone.png", "-q", "--model", mirror, *CPU).err == "error: 1 of 1 photographs failed\n"
    assert "1 of 1 written" in run("predict", photo, "-v", "--model", mirror, *CPU).err
    assert run("predict", photo, "-q", "-v").err == "error: -q and -v exclude each other.\n"


INTERRUPTED = """
import os, signal, sys
from vesselrt.runtime.segmenter import Segmenter
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
whole, left = Segmenter.segment, [int(sys.argv.pop(1))]
def segment(*given, **named):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGINT)
    return whole(*given, **named)
Segmenter.segment = segment
from vesselrt.cli import main
main()
"""


def interrupted(folder: Path, call: int, *arguments: object) -> Done:
    """A command whose Ctrl+C comes with the photograph number `call`."""
    command = [sys.executable, "-c", INTERRUPTED, str(call), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_interrupted_predict_keeps_what_it_wrote(mirror: Path, tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{n}.png", levels(n)) for n in range(3)]
    done = interrupted(tmp_path, 3, "predict", *photos, "-o", "out", "--model", mirror, *CPU)
    assert done.code == 130, done.err
    assert "interrupted: 2 of 3 written" in done.err
    assert "Traceback" not in done.err
    assert tree(tmp_path / "out") == {"0-mask.png", "1-mask.png"}


def test_interrupted_bench_keeps_what_it_measured(mirror: Path, tmp_path: Path) -> None:
    options = ("--size", "96x80", "--size", "80x96", "--runs", 3, "--starts", 0, "--json", "all.json")
    done = interrupted(tmp_path, 12, "bench", *options, "--model", mirror, *CPU)
    assert done.code == 130, done.err
    assert "interrupted: 1 of 2 photographs were measured" in done.err
    assert "96x80 (synthetic" in done.out
    assert [photo["photo"] for photo in json.loads((tmp_path / "all.json").read_text())["photos"]] == ["96x80"]
    done = interrupted(tmp_path, 2, "bench", *options, "--model", mirror, *CPU)
    assert (done.code, done.out) == (130, "")


def test_quiet_bench_says_its_table_alone(run: Run, mirror: Path) -> None:
    done = run("bench", "-q", "--size", "96x80", "--runs", 3, "--starts", 0, "--model", mirror, *CPU)
    assert (done.code, done.err) == (0, "")
    assert "96x80 (synthetic" in done.out


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [("evaluate", 1, 2), ("compare", 2, 12)],  # compare warms up first; three runs of a photograph are six calls
)
def test_interrupted_measurements_keep_what_they_measured(
    mirror: Path, measured: Path, tmp_path: Path, command: str, first: int, second: int
) -> None:
    options = [mirror, measured, "--json", "all.json", "--device", "cpu:openvino", "--precision", "f32"]
    done = interrupted(tmp_path, second, command, *options)
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    assert "interrupted: 1 of 2 photographs were measured" in done.err
    assert "PARTIAL, interrupted: 1 of 2 photographs, " in done.out
    record = json.loads((tmp_path / "all.json").read_text())
    (left_out,) = record["left_out"]
    assert [*record["images" if command == "evaluate" else "photographs"], left_out] == sorted(
        path.stem for path in (measured / "images").iterdir()
    )
    (tmp_path / "all.json").unlink()
    done = interrupted(tmp_path, first, command, *options)
    assert (done.code, done.out) == (130, "")
    assert not (tmp_path / "all.json").exists()


def test_an_enormous_size_is_refused_before_it_is_made(run: Run) -> None:
    done = run("bench", "--size", "50000x50000")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: size 50000x50000 has 2,500,000,000 pixels, the limit is 150,000,000. Name a")


@pytest.mark.parametrize(
    "arguments",
    [
        "bench --json full/all.json --size 96x80",
        "predict eye.png -o full/eye.png",
        "predict eye.png -o full",
        "export json:gone -o full/m.onnx",
        "convert fundus -o full/m.onnx",
        "compile fundus -o full/m.engine --target sm75",
        "compare fundus eyes --json full/all.json",
        "outline eyes full",
    ],
)
def test_outputs_are_tried_before_the_work(run: Run, tmp_path: Path, arguments: str) -> None:
    save(tmp_path / "eye.png", levels(0))
    (tmp_path / "full").write_text("a file where a folder should be")
    done = run(*arguments.replace("full/", "full/deep/").split())
    if arguments == "predict eye.png -o full":
        assert "Not a directory" in done.err
        return
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: full"), done.err
    assert done.err.endswith("can't be written: Not a directory. Name another place.\n")
    assert tree(tmp_path) == {"eye.png", "full"}


# Help


def test_help_lists_every_command(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for command in ("predict", "serve", "models", "evaluate", "compare", "outline", "train", "export", "bench"):
        assert re.search(rf"\b{command}\b +\S+", done.out), command
    assert "Segments blood vessels in eye photographs." in done.out
    assert run("-h").out == done.out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "predict",
            "PHOTO... files folders --out --format mask|probability|overlay|svg|geojson --threshold --colour --model",
        ),
        ("serve", "--host --port 127.0.0.1 8000 --model --device --precision --threads /predict /health"),
        ("models", "built-in manifests"),
        (
            "evaluate",
            "MODEL DATA --kind drive chase_db1 hrf geojson --split train validation test --threshold --report --record",
        ),
        ("compare", "MODEL... DATA --device --precision --kind --split --threshold --threads --runs --json Markdown"),
        ("train", "RECIPE --data --run interrupted fundus"),
        (
            "export",
            "SOURCE --out --data package.module:factory --weights --manifest --output --photos --precision",
        ),
        ("bench", "--compare --device --precision"),
    ],
)
def test_help_of_each_command(run: Run, command: str, words: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    assert [word for word in words.lower().split() if word not in done.out.lower()] == []


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
        ("a/eye.png -o x.xyz", "x.xyz names no format. Expected one of .geojson, .json, .png, .svg, or --format."),
        ("a/eye.png -o x.png --format svg", "x.png is to be .png, and the format is svg (.svg). Leave out --format."),
        ("a/eye.png b/eye.jpg -o -", "- is one file, and there are 2 photographs."),
        ("a/eye.png -o a/eye.png", "a/eye.png would be written over a photograph"),
        ("a/eye.png a/eye-mask.png -o a", "a/eye-mask.png would be written over a photograph"),
        ("empty", "empty: the folder holds no image (.avif, .bmp, .gif, .jfif, .jpe, .jpeg, .jpg, "),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--device gpu", "unknown device 'gpu'. Expected one of: auto, cpu, cpu:openvino, cpu:onnxruntime, cuda, "),
        ("--precision f64", "unknown precision 'f64'. Expected one of: auto, f32, bf16, fp16."),
        ("--device cpu:onnxruntime --precision bf16", "ONNX Runtime on the CPU computes in f32, not bf16."),
        ("--threads 0", "threads is 0. Expected a whole number from 1 to "),
        ("--model nowhere", "no model nowhere: neither a file nor a built-in model. Built-in: fundus"),
        ("--model eye.png", "eye.png: not a usable ONNX model, or damaged"),
    ],
)
def test_a_model_or_device_that_is_not_to_be_had(
    run: Run, mirror: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    save(tmp_path / "eye.png", levels(0))
    model = () if "--model" in arguments else ("--model", mirror)
    done = run("predict", "eye.png", *model, *arguments.split())
    assert done.code == 1
    assert done.err.startswith(f"error: {message}")
    assert tree(tmp_path) == {"eye.png"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("predict", "PHOTO"),
        ("predict eye.png --threshold abc", "--threshold"),
        ("predict eye.png --format jpeg", "jpeg"),
        ("predict eye.png --paint", "--paint"),
        ("paint", "paint"),
    ],
)
def test_a_command_line_that_makes_no_sense(run: Run, tmp_path: Path, arguments: str, named: str) -> None:
    save(tmp_path / "eye.png", levels(0))
    done = run(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert "Usage: vesselrt" in done.err
    assert named in done.err.partition("Error")[2]
    assert tree(tmp_path) == {"eye.png"}


def test_the_built_in_model_is_the_default(
    run: Run, tmp_path: Path, fundus_photo: Callable[[int, int, int], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
) -> None:
    image, _ = fundus_photo(120, 110, 0)
    cv2.imwrite(str(tmp_path / "eye.png"), image[:, :, ::-1])
    assert run("predict", "eye.png", "--format", "probability", "--threads", 1).code == 0
    with vesselrt.load(threads=1) as segmenter:
        assert np.array_equal(grey(tmp_path / "eye-probability.png"), segmenter.segment(image).probability)


# Models


def test_models_says_what_the_manifests_say(run: Run) -> None:
    done = run("models")
    assert (done.code, done.err) == (0, "")
    assert "fundus" in vesselrt.models()
    for manifest in vesselrt.models().values():
        assert f"{manifest.name} {manifest.version} ({manifest.licence})\n  {manifest.description}\n" in done.out
        assert f"threshold  {manifest.threshold}" in done.out
        assert manifest.provenance.weights_sha256[:16] in done.out
        for source in manifest.provenance.data:
            assert f"data       {source.name} ({source.split}): {source.terms}" in done.out


def test_a_manifest_for_people(mirror: Path) -> None:
    manifest = read_manifest(mirror)
    assert describe_model(manifest).splitlines() == [
        "mirror 1.2.3 (CC0-1.0)",
        "  Gives back what it sees.",
        "  input      green, native resolution; tiles of 64 px, margin 0",
        "  threshold  0.4",
        "  measured   elsewhere test: f1 0.5000",
        "  weights    sha256 , commit unknown",
    ]


# Evaluate


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A data set of two photographs, of which the mirror paints 6 of 8 vessel pixels and 2 beside them."""
    root = tmp_path / "eyes"
    for name in ("a", "b"):
        found, truth = np.zeros((8, 10)), np.zeros((8, 10))
        truth[2, 0:4] = 255
        found[2, 0:3] = 200
        found[5, 5] = 102
        found[7, 9] = 255  # outside the field of view
        inside = np.full((8, 10), 255)
        inside[7] = 0
        save(root / "images" / f"{name}.png", found.astype(np.uint8))
        for kind, mask in (("masks", truth), ("fov", inside)):
            (root / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(root / kind / f"{name}.png"), mask.astype(np.uint8))
    return root


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


# Train and export: what is wrong with their arguments. What they do is tested where it is done.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train nothing --data .", "no recipe nothing: neither a file nor a built-in one. Built-in: efficientnet,"),
        ("train fundus --data . --run r", "CHASE_DB1: no such folder. Expected the data set chase_db1 there."),
        ("export -o m.onnx", "name one SOURCE, and the file to write with -o."),
        ("export -o m.onnx --network a.b:c", "a.b:c: a callable needs --weights and --manifest."),
        ("export -o m.onnx --run gone", "gone: nothing that can be exported. Expected a training run (recipe.json)"),
        (
            "export -o m.onnx --network nix:a --weights w.pth --manifest m.yaml",
            "network nix:a can't be built: No module",
        ),
        ("export -o m.onnx json:gone --weights w --manifest m", "network json:gone can't be built: "),
        (
            "export -o m.onnx --network builtins:dict --weights w --manifest m",
            "network builtins:dict gives a dict. Expected a torch.nn.Module.",
        ),
    ],
)
def test_train_and_export_say_what_is_wrong(run: Run, tmp_path: Path, arguments: str, message: str) -> None:
    done = run(*arguments.split())
    assert done.code == 1
    assert f"error: {message}" in done.err
    assert "m.onnx" not in tree(tmp_path)


# What isn't installed


BLOCKED = """
import sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv = ["vesselrt", *{arguments!r}]
from vesselrt.cli import main
main()
"""


@pytest.mark.parametrize(
    ("names", "arguments", "doing", "extra"),
    [
        (["torch", "monai"], "train fundus --data .", "train", "train"),
        (["monai"], "train fundus --data .", "train", "train"),
        (["torch"], "export -o m.onnx --run .", "export", "export"),
        (["onnx"], "export -o m.onnx --run .", "export", "export"),
        (["skimage"], "evaluate fundus .", "evaluate", "evaluate"),
        (["skimage"], "compare fundus .", "compare", "evaluate"),
        (["torch", "onnx"], "convert fundus -o m.onnx", "convert", "engines"),
    ],
)
def test_a_missing_extra_is_one_line_that_installs_it(
    tmp_path: Path, names: list[str], arguments: str, doing: str, extra: str
) -> None:
    code = BLOCKED.format(names=names, arguments=arguments.split())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: vesselrt {doing} needs packages that are not installed. Run: pip install 'vesselrt[{extra}]'\n"
    )


def test_figures_are_recorded_without_torch(mirror: Path, measured: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(mirror), str(measured), "--record", *CPU]
    code = BLOCKED.format(names=["torch"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "eyes test" in read_manifest(mirror).provenance.metrics
    code = BLOCKED.format(names=["torch", "onnx"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("packages that are not installed. Run: pip install 'vesselrt[engines]'\n")


def test_simplified_outlines_need_an_extra(mirror: Path, tmp_path: Path) -> None:
    save(tmp_path / "eye.png", levels(0))
    arguments = ["predict", "eye.png", "--format", "geojson", "--simplify", "1", "--model", str(mirror), *CPU]
    code = BLOCKED.format(names=["shapely"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: simplifying outlines needs packages that are not installed. Run: pip install 'vesselrt[outlines]'\n"
    )


def test_every_extra_that_is_named_exists() -> None:
    source = "".join(file.read_text("utf-8") for file in Path(cli.__file__).parent.glob("*.py"))
    named = set(re.findall(r'needs_extra\("[^"]+", "(\w+)"\)', source))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert named
    assert named <= set(project["optional-dependencies"])


def test_predict_needs_no_extra(mirror: Path, tmp_path: Path) -> None:
    save(tmp_path / "eye.png", levels(0))
    names = ["torch", "monai", "onnx", "skimage", "scipy", "matplotlib", "yaml", "safetensors", "shapely", "fastapi"]
    arguments = ["predict", "eye.png", "--model", str(mirror), *CPU]
    code = BLOCKED.format(names=names, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eye-mask.png").is_file()


# The process


def test_a_reader_that_left_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vesselrt.cli", "models"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_command_is_installed() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"vesselrt": "vesselrt.cli:main"}
