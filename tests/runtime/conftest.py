"""What tests of backends and devices share: a machine that seems to have a GPU, and a model to run on it."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import CARD, FakeTensorRt, engine_of, manifest_of
from onnx import TensorProto, helper

from vesselrt.export.modelfile import write_model_file
from vesselrt.runtime import devices
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.engines import preflight
from vesselrt.runtime.engines.enginefile import Engine, Flavour
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, read_manifest, sha256


@pytest.fixture
def trt() -> FakeTensorRt:
    return FakeTensorRt(FakeCuda())


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trt: FakeTensorRt) -> FakeTensorRt:
    """With a 2080 Ti, TensorRT for RTX and an empty cache."""
    trt.EngineValidity = SimpleNamespace(INVALID=2)  # type: ignore[attr-defined]
    for module in (devices, preflight):
        monkeypatch.setattr(module, "find_gpu", lambda: CARD)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    # In its place, and cuda-bindings is not loaded: see test_cuda.py.
    monkeypatch.setitem(sys.modules, "vesselrt.runtime.engines.cuda", SimpleNamespace(Cuda=lambda: trt.cuda))
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "cache"))
    find_spec = importlib.util.find_spec
    known = {"tensorrt_rtx": ModuleSpec("tensorrt_rtx", None), "tensorrt": None}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: known[name] if name in known else find_spec(name))
    return trt


@pytest.fixture
def inversion(tmp_path: Path) -> Path:
    """A model file: 1 - image / 255."""
    axes: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["real", "most"], ["share"]),
            helper.make_node("Sub", ["one", "share"], ["probability"]),
        ],
        "inversion",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, axes)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, axes)],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("most", 255.0), ("one", 1.0))],
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    write_model_file(made, manifest_of("f32"), tmp_path / "inversion.onnx")
    return tmp_path / "inversion.onnx"


@pytest.fixture
def compiler_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the compiler was asked for."""
    asked: list[tuple[Any, ...]] = []

    def compiler(path: Path, targets: list[str], precision: str, max_batch: int, flavour: Flavour) -> Engine:
        asked.append((path, targets, precision, max_batch, flavour))
        return engine_of(max_batch, flavour, model_sha256=sha256(path))

    monkeypatch.setattr("vesselrt.runtime.engines.cache.installed_compiler", lambda: compiler)
    return asked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.onnx"


# The built-in model. Its weights may change; what must hold for any weights is tested here.


@pytest.fixture(scope="module")
def retina() -> Image:
    """A real photograph, CC0."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")
    return np.ascontiguousarray(data.retina()[:, :, :3])


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(find_model_file(None))
