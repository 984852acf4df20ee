"""`vesselrt engine info`, `convert` and `compile`, on a machine without a GPU."""

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from engines import Driver, convolution, engine_of, fake_library, manifest_of, needs_tensorrt, tree

from vesselrt import cli
from vesselrt.cli.models import describe_model
from vesselrt.runtime import hardware
from vesselrt.runtime.engines.enginefile import read_engine
from vesselrt.runtime.modelfile import read_manifest, sha256


@pytest.fixture
def file(tmp_path: Path) -> Path:
    engine_of().write(tmp_path / "a.engine")
    return tmp_path / "a.engine"


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Done]:
    """Runs `vesselrt ARGUMENTS` in an empty folder, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(hardware, "_load_driver", lambda: None)

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["vesselrt", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        return Done(code, *(re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capsys.readouterr()))

    return call


def test_info_of_an_engine(run: Callable[..., Done], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    done = run("engine", "info", "a.engine")
    assert (done.code, done.err) == (0, "")
    *model, engine, profile, origin, plan, here = done.out.splitlines()
    assert model == describe_model(manifest_of(precision="fp16")).splitlines()
    assert "  precision  fp16" in model
    assert engine == "  engine     TensorRT for RTX 1.2.3.4 for sm75, sm86 in fp16"
    assert profile == "  profile    tiles of 64 px, batch 1 to 4, tuned for 2"
    assert origin == "  made from  model file with sha256 abababababababab"
    assert plan == f"  plan       0.0 MB, sha256 {hashlib.sha256(b'the plan of an engine').hexdigest()[:16]}"
    assert here.startswith("  here       does not run: no NVIDIA driver here")
    assert here.endswith("TensorRT for RTX is not installed. Run: pip install 'tensorrt-rtx-cu13==1.2.3.4'")
    monkeypatch.setattr(hardware, "_load_driver", Driver)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_library())
    assert run("engine", "info", "a.engine").out.splitlines()[-1] == "  here       runs"


def test_info_of_a_damaged_engine(run: Callable[..., Done], file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    done = run("engine", "info", "a.engine")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: a.engine: the plan is cut off: 20 bytes, not 21. Copy the file again, or compile the model again.\n"
    )


@needs_tensorrt
def test_convert_compile_info(run: Callable[..., Done], tmp_path: Path) -> None:
    convolution(tmp_path / "f32.onnx")
    done = run("convert", "f32.onnx", "--precision", "fp16", "-o", "fp16.onnx")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^  parity     fp16: largest_difference \S+, flipped 0, images 3, ", done.out, re.MULTILINE)
    done = run("compile", "fp16.onnx", "--target", "sm86", "--target", "rtx2080ti", "--max-batch", 2)
    assert (done.code, done.err) == (0, "")
    name = "tiny-0.1-fp16-sm75-sm86.engine"
    assert done.out.startswith(f"{name}\ntiny 0.1 (CC0-1.0)\n")
    assert tree(tmp_path) == {"f32.onnx", "fp16.onnx", name}
    assert read_engine(tmp_path / name).header.model_sha256 == sha256(tmp_path / "fp16.onnx")
    done = run("engine", "info", name)
    assert "  profile    tiles of 64 px, batch 1 to 2, tuned for 1\n" in done.out
    assert run("compile", "fp16.onnx", "--target", "sm75", "-o", "new/a.engine").code == 0
    assert read_engine(tmp_path / "new" / "a.engine").header.targets == ("sm75",)


@needs_tensorrt
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("c.onnx --target gtx1080", "target 'gtx1080' is none that TensorRT for RTX "),
        ("c.onnx --target sm90", "target 'sm90' is none that TensorRT for RTX "),
        ("c.onnx --target current", "no NVIDIA driver here"),
        ("c.onnx --target sm75 --max-batch 0", "a batch of 0. Expected 1 to 256.\n"),
        ("c.onnx --target sm75 --max-batch 257", "a batch of 257. Expected 1 to 256.\n"),
        (
            "h.onnx --target sm75 --precision f32",
            "h.onnx: its graph is fp16, and f32 was asked for. Say --precision fp16, or name the f32 model file.",
        ),
        ("h.onnx --target sm75", "h.onnx: fp16 was asked for, and CONVOLUTION conv would compute in FLOAT."),
        ("c.onnx --target sm75 -o ./c.onnx", "c.onnx would be written over itself. Name another file with -o.\n"),
        ("none.onnx --target sm75", "no model none.onnx: neither a file nor a built-in model."),
        (
            "c.onnx --target sm75 -o c.onnx/a.engine",
            "c.onnx/a.engine can't be written: Not a directory. Name another place.\n",
        ),
    ],
)
def test_compile_says_what_is_wrong(run: Callable[..., Done], tmp_path: Path, arguments: str, message: str) -> None:
    convolution(tmp_path / "c.onnx")
    convolution(tmp_path / "h.onnx", manifest_of(precision="fp16"))
    done = run("compile", *arguments.split())
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert tree(tmp_path) == {"c.onnx", "h.onnx"}


def test_without_tensorrt_the_line_that_installs_it(run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.delitem(sys.modules, "vesselrt.export.engine", raising=False)
    done = run("compile", "fundus", "--target", "sm75")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: TensorRT for RTX can't be imported (import of tensorrt_rtx halted; None in sys.modules). "
        "Run: pip install 'vesselrt[tensorrt]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("f32.onnx -o f32.onnx", "f32.onnx would be written over itself."),
        ("half.onnx -o new.onnx", "half.onnx: its graph is fp16 already. Name the f32 model file."),
        ("f32.onnx -o new.onnx --photos nothing.jpg", "nothing.jpg: "),
        ("f32.onnx -o new.onnx --data nowhere", "nowhere: "),
        ("steep.onnx -o new.onnx", "fp16: Conv conv overflows (FP16 ends at 65504)."),
    ],
)
def test_convert_says_what_is_wrong(run: Callable[..., Done], tmp_path: Path, arguments: str, message: str) -> None:
    convolution(tmp_path / "f32.onnx")
    convolution(tmp_path / "half.onnx", manifest_of(precision="fp16"))
    convolution(tmp_path / "steep.onnx", weight=1e4)
    done = run("convert", *arguments.split())
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert tree(tmp_path) == {"f32.onnx", "half.onnx", "steep.onnx"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("convert", "MODEL --out --precision fp16 --photos --data"),
        ("compile", "MODEL --target rtx2080ti sm75 current --precision f32|fp16 --max-batch --out"),
        ("engine info", "FILE"),
    ],
)
def test_help(run: Callable[..., Done], command: str, words: str) -> None:
    done = run(*command.split(), "--help")
    assert done.code == 0
    assert [word for word in words.lower().split() if word not in done.out.lower()] == []


def test_convert_measures_f1_on_a_data_set(run: Callable[..., Done], tmp_path: Path) -> None:
    import cv2

    convolution(tmp_path / "f32.onnx")
    vessel = np.zeros((16, 16), np.uint8)
    vessel[4:6] = 255
    for folder, pixels in (("images", np.full((16, 16, 3), 200, np.uint8)), ("masks", vessel)):
        (tmp_path / "eyes" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "eyes" / folder / "a.png"), pixels)
    done = run("convert", "f32.onnx", "-o", "fp16.onnx", "--data", "eyes")
    assert (done.code, done.err) == (0, "")
    assert read_manifest(tmp_path / "fp16.onnx").provenance.parity["fp16"]["f1_difference"] == 0
    assert "f1_difference 0, " in done.out
