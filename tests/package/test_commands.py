"""The command line as a whole: help, versions, interruptions, words of refusal."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import CPU, REPOSITORY, Done, Run, grey, levels, save, tree
from numpy.typing import NDArray

import vesselrt
from vesselrt.cli.models import describe_model
from vesselrt.runtime.modelfile import read_manifest

# What every command has


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version") == Done(0, f"vesselrt {vesselrt.__version__}\n", "")


COMMANDS = (
    "predict", "serve", "models", "info", "evaluate", "compare", "outline", "train", "export", "convert", "compile",
    "bench", "engine", "engine info",
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


INTERRUPTED_BETWEEN_THREADS = """
import os, pathlib, signal, sys, time
from vesselrt.runtime.segmenter import Segmenter
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
whole, last = Segmenter.segment, sys.argv.pop(1)
def segment(self, photo, **named):
    if pathlib.Path(photo).stem == last:
        while len([*pathlib.Path("out").glob("*.png")]) < int(last):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        while True:  # it ends as work does that takes long: told by its token
            time.sleep(0.01)
            named["cancel"].check()
    return whole(self, photo, **named)
Segmenter.segment = segment
from vesselrt.cli import main
main()
"""


def interrupted(folder: Path, call: int, *arguments: object, script: str = INTERRUPTED) -> Done:
    """A command whose Ctrl+C comes with the photograph number `call`."""
    command = [sys.executable, "-c", script, str(call), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_interrupted_predict_keeps_what_it_wrote(mirror: Path, tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{n}.png", levels(n)) for n in range(3)]
    command = ("predict", *photos, "-o", "out", "--model", mirror, *CPU)
    done = interrupted(tmp_path, 2, *command, script=INTERRUPTED_BETWEEN_THREADS)
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
    for command in ("predict", "serve", "models", "info", "evaluate", "compare", "outline", "train", "export", "bench"):
        assert re.search(rf"\b{command}\b +\S+", done.out), command
    assert "Segments blood vessels in eye photographs." in done.out
    assert run("-h").out == done.out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "predict",
            "PHOTO... folders --out --format mask|probability|spread --threshold --colour --model",
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--device gpu", "unknown device 'gpu'. Expected one of: auto, cpu, cpu:openvino, cpu:onnxruntime, cuda, "),
        ("--precision f64", "unknown precision 'f64'. Expected one of: auto, f32, bf16, fp16, int8."),
        ("--device cpu:onnxruntime --precision bf16", "ONNX Runtime on the CPU computes in f32 or int8, not bf16."),
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


# Train and export: what is wrong with their arguments. What they do is tested where it is done.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "train nothing --data .",
            "no recipe nothing: neither a file nor a built-in one. Built-in: artery-vein,",
        ),
        ("train fundus --data . --run r", "CHASE_DB1: no such folder. Expected the data set chase_db1 there."),
        ("export -o m.onnx", "name one SOURCE, and the file to write with -o."),
        ("export -o m.onnx --network a.b:c", "a.b:c: a callable needs --manifest."),
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


def test_a_recipe_that_is_missing_is_told_before_torch_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vesselrt.training.fit.run", None)  # can't be imported
    assert "error: no recipe nothing" in run("train", "nothing", "--data", ".").err


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
