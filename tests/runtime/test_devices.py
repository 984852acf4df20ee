"""From a file to an answer: `load` on a machine that seems to have a GPU, and on one that has none."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_tensorrt import FakeTensorRt, engine_of

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.engines.enginefile import Engine
from vesselrt.runtime.errors import DeviceError, ExportError
from vesselrt.runtime.segmenter import load


def test_a_model_file_is_compiled_once_and_then_found(
    gpu_machine: FakeTensorRt,
    inversion: Path,
    compiler_calls: list[Any],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.INFO, "vesselrt")
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    for device in ("cuda", "cuda:tensorrt_rtx", "auto"):
        with load(inversion, device=device) as segmenter:
            assert str(segmenter.info) == "cuda (RTX 2080 Ti), fp16, tensorrt_rtx 1.2.3.4"
            assert segmenter.manifest.tile.fixed
            np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert compiler_calls == [(inversion, ["sm75"], "fp16", 4, "tensorrt_rtx")]
    assert caplog.messages[0] == "compiling tiny 0.1 to fp16 for sm75 by TensorRT for RTX 1.2.3.4, once"
    assert caplog.messages[1].startswith("compiled in ")
    kinds = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert kinds == ["", ".engine", ".kernels"]  # the first is the lock


def test_an_engine_file_runs(gpu_machine: FakeTensorRt, tmp_path: Path) -> None:
    engine_of().write(tmp_path / "a.engine")
    for device in ("auto", "cuda", "cuda:tensorrt_rtx"):
        with load(tmp_path / "a.engine", device=device, precision="fp16") as segmenter:
            assert segmenter.info.device == "cuda"
    assert (tmp_path / "a.kernels").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, r"a\.engine is an engine for device cuda:tensorrt_rtx, not cpu\. Name its model file"),
        ({"device": "cuda:tensorrt"}, r"is an engine for device cuda:tensorrt_rtx, not cuda:tensorrt\."),
        ({"precision": "f32"}, r"a\.engine is an engine in fp16, not f32\. Compile the model again for another\.$"),
    ],
)
def test_an_engine_file_is_what_it_is(
    gpu_machine: FakeTensorRt, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    engine_of().write(tmp_path / "a.engine")
    with pytest.raises(DeviceError, match=message):
        load(tmp_path / "a.engine", **options)  # type: ignore[arg-type]


def test_an_engine_for_another_machine_is_refused_before_it_is_loaded(
    gpu_machine: FakeTensorRt, tmp_path: Path
) -> None:
    engine_of(targets=("sm86",)).write(tmp_path / "a.engine")
    with pytest.raises(DeviceError, match=r"a\.engine does not run here: The GPU here .* is sm75, .* for sm86\. Run:"):
        load(tmp_path / "a.engine")
    assert gpu_machine.cuda.calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"device": "cuda", "precision": "bf16"},
            r"^device cuda:tensorrt_rtx computes a model file in fp16 or f32, not bf16\.",
        ),
        ({"device": "cuda:tensorrt"}, r"^TensorRT can't be imported \(.*\)\. Run: pip install tensorrt$"),
        (
            {"device": "cuda:onnxruntime", "precision": "fp16"},
            r"computes in what the graph of .* names, f32, not fp16\.",
        ),
        ({"device": "cuda:onnxruntime"}, r"^this onnxruntime .* is the one without CUDA\. Run: pip uninstall onnxr"),
        ({"device": "cuda:onnxruntime-rtx"}, r"^the plug-in of TensorRT for RTX is not installed\. Run: pip install"),
    ],
)
def test_what_cuda_lacks_is_named(
    gpu_machine: FakeTensorRt, inversion: Path, compiler_calls: list[Any], options: dict[str, str], message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        load(inversion, **options)  # type: ignore[arg-type]


def test_auto_says_why_a_gpu_is_not_used(
    gpu_machine: FakeTensorRt, inversion: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: object) -> Engine:
        raise ExportError("Det (node determinant) is not known.")

    monkeypatch.setattr("vesselrt.runtime.engines.cache.installed_compiler", lambda: refuses)
    with load(inversion, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"
    assert caplog.messages[-1] == "the RTX 2080 Ti is not used: Det (node determinant) is not known."
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with load(inversion, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"
    assert caplog.messages[-1] == (
        "the RTX 2080 Ti is not used: TensorRT is not installed. Run: pip install 'vesselrt[tensorrt]'"
    )


def test_without_a_gpu_cuda_is_an_error_and_auto_the_processor(
    inversion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesselrt.runtime.hardware._load_driver", lambda: None)
    for device in ("cuda", "cuda:tensorrt_rtx", "cuda:tensorrt", "cuda:onnxruntime", "cuda:onnxruntime-rtx"):
        with pytest.raises(DeviceError, match=r"^no NVIDIA driver here"):
            load(inversion, device=device)
    with load(inversion, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"


def test_the_compiler_that_is_installed_is_ours() -> None:
    from vesselrt.export.engine import build
    from vesselrt.runtime.engines.cache import installed_compiler

    assert installed_compiler() is build


@pytest.mark.gpu
def test_on_a_real_gpu(fundus_photo: Callable[[int, int, int], tuple[Image, Any]]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")
    photo, _ = fundus_photo(700, 720, 0)
    with load(device="cuda") as gpu, load(device="cpu:onnxruntime") as cpu:
        one, other = gpu.segment(photo).mask(), cpu.segment(photo).mask()
    assert (one != other).mean() < 0.001
