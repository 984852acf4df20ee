"""Engines are built without a GPU, and what can't be built says why."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from engines import Driver, convolution, layers, manifest_of, model_of, needs_tensorrt
from onnx import TensorProto, helper
from torch import nn

from vesselrt.export.modelfile import write_model_file
from vesselrt.runtime import hardware
from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend
from vesselrt.runtime.engines.enginefile import Profile, proof_from_probability, proof_window, read_engine
from vesselrt.runtime.errors import (
    DeviceError,
    ExportError,
    OptionError,
)
from vesselrt.runtime.modelfile import find_model_file, read_manifest, sha256


@needs_tensorrt
def test_the_built_in_model_for_the_2080_ti(tmp_path: Path) -> None:
    import tensorrt_rtx

    from vesselrt.export.engine import build
    from vesselrt.export.fp16 import fp16_from_f32

    path = find_model_file("fundus")
    engine = build(path, ["rtx2080ti"])
    engine.write(tmp_path / "fundus.engine")
    again = read_engine(tmp_path / "fundus.engine")
    assert again == engine
    assert again.header.targets == ("sm75",)
    assert (again.header.flavour, again.header.version) == ("tensorrt_rtx", tensorrt_rtx.__version__)
    assert again.header.model_sha256 == sha256(path)
    given = read_manifest(path)
    assert again.header.profile == Profile(tile=given.tile.size, batch=(1, 1, 4))
    assert again.manifest.precision == "fp16"
    assert again.manifest.provenance.parity["fp16"]["largest_difference"] < 0.05
    assert again.manifest.tile.fixed
    assert again.manifest.content_sha256 is None  # that of the model file is not the engine's
    same = {"precision": "f32", "provenance": given.provenance, "tile": given.tile}
    assert again.manifest.model_copy(update=same) == given.model_copy(update={"content_sha256": None})
    window = proof_window(1, given.tile.size)
    (answer,) = OnnxRuntimeBackend(path, "f32", 2).infer([window[None]])
    assert np.abs(again.header.proven.astype(int) - proof_from_probability(answer[0])).max() <= 3  # FP16 against f32
    assert again.header.proven.min() < 10  # a window that says something
    assert again.header.proven.max() > 245

    model = onnx.load(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    found = layers(fp16_from_f32(model), given.tile.size)
    assert found["CONVOLUTION", "HALF"] == kinds["Conv"]
    assert found["DECONVOLUTION", "HALF"] == kinds["ConvTranspose"]
    assert found["ACTIVATION", "HALF"] == kinds["Relu"]
    assert found["ACTIVATION", "FLOAT"] == kinds["Sigmoid"] == 1
    assert found["CONVOLUTION", "FLOAT"] == found["DECONVOLUTION", "FLOAT"] == 0
    assert found["CAST", "HALF"] == 1


@pytest.fixture
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@needs_tensorrt
@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_monai_unet(tmp_path: Path, norm: str) -> None:
    from monai.networks.nets import UNet

    from vesselrt.export.engine import build
    from vesselrt.export.fp16 import fp16_from_f32
    from vesselrt.export.graph import model_from_network

    torch.manual_seed(0)
    manifest = manifest_of(tile={"size": 32, "multiple": 4, "margin": 0, "fixed": True})
    network: nn.Module = UNet(2, 1, 1, (4, 8, 8), (2, 2), num_res_units=1, norm=norm)
    model = model_from_network(network, manifest)
    write_model_file(model, manifest, tmp_path / "unet.onnx")
    engine = build(tmp_path / "unet.onnx", ["sm75"], max_batch=8)
    assert engine.header.profile.batch == (1, 1, 8)
    assert engine.manifest.provenance.parity["fp16"]["largest_difference"] < 5e-3

    kinds = Counter(node.op_type for node in model.graph.node)
    found = layers(fp16_from_f32(model), 32)
    assert found["CONVOLUTION", "HALF"] == kinds["Conv"] > 0
    assert found["DECONVOLUTION", "HALF"] == kinds["ConvTranspose"] > 0
    assert found["NORMALIZATION", "FLOAT"] == kinds["InstanceNormalization"]
    assert (kinds["InstanceNormalization"] > 0) == (norm == "instance")
    assert found["NORMALIZATION", "HALF"] == found["CONVOLUTION", "FLOAT"] == 0


@pytest.mark.slow
@needs_tensorrt
@pytest.mark.usefixtures("_one_thread")
def test_an_efficientnet_unet(tmp_path: Path) -> None:
    from monai.networks.nets import FlexibleUNet

    from vesselrt.export.engine import build
    from vesselrt.export.fp16 import fp16_from_f32
    from vesselrt.export.graph import model_from_network

    torch.manual_seed(0)
    manifest = manifest_of(tile={"size": 64, "multiple": 32, "margin": 0, "fixed": True})
    network: nn.Module = FlexibleUNet(1, 1, "efficientnet-b0", spatial_dims=2, decoder_channels=(32, 16, 8, 8, 4))
    model = model_from_network(network, manifest)
    write_model_file(model, manifest, tmp_path / "b0.onnx")
    assert build(tmp_path / "b0.onnx", ["sm75"]).manifest.provenance.parity["fp16"]["largest_difference"] < 5e-3

    kinds = Counter(node.op_type for node in model.graph.node)
    found = layers(fp16_from_f32(model), 64)
    assert found["CONVOLUTION", "HALF"] == kinds["Conv"] > 80
    assert found["REDUCE", "FLOAT"] == kinds["ReduceMean"] == 16  # squeeze and excitation
    assert found["RESIZE", "HALF"] == kinds["Resize"] == 5
    assert found["CONVOLUTION", "FLOAT"] == found["REDUCE", "HALF"] == 0


@needs_tensorrt
def test_several_targets_make_one_engine(tmp_path: Path) -> None:
    from vesselrt.export.engine import build

    engine = build(convolution(tmp_path / "c.onnx"), ["sm120", "sm75", "rtx2080ti"], "f32")
    assert engine.header.targets == ("sm75", "sm120")
    assert engine.manifest.precision == "f32"


@needs_tensorrt
def test_current_is_the_gpu_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselrt.export.engine import _EngineBuilder

    targets = _EngineBuilder("tensorrt_rtx").targets
    monkeypatch.setattr(hardware, "_load_driver", lambda: Driver(capability=(8, 9)))
    assert targets(["current"]) == ("sm89",)
    monkeypatch.setattr(hardware, "_load_driver", lambda: Driver(capability=(9, 0)))
    with pytest.raises(OptionError, match=r"^target 'current' \(sm90\) is none that TensorRT for RTX .* builds for"):
        targets(["current"])
    monkeypatch.setattr(hardware, "_load_driver", lambda: None)
    with pytest.raises(DeviceError, match="no NVIDIA driver here"):
        targets(["current"])


@needs_tensorrt
def test_an_unsupported_operation_is_named_with_its_node(tmp_path: Path) -> None:
    from vesselrt.export.engine import build

    nodes = [
        helper.make_node("Conv", ["value", "weight"], ["c"]),
        helper.make_node("Det", ["c"], ["d"], "determinant"),
        helper.make_node("Reshape", ["d", "flat"], ["e"]),
        helper.make_node("Mul", ["c", "e"], ["probability"]),
    ]
    constants = {"weight": np.full((1, 1, 1, 1), 1e-3, np.float32), "flat": np.array([-1, 1, 1, 1])}
    path = model_of(nodes, tmp_path / "det.onnx", constants)
    with pytest.raises(ExportError, match=r"det\.onnx: TensorRT for RTX \S+ can't take Det \(node determinant\)"):
        build(path, ["sm75"], "f32")


@needs_tensorrt
def test_a_file_that_only_says_fp16_is_not_believed(tmp_path: Path) -> None:
    from vesselrt.export.engine import build

    path = convolution(tmp_path / "c.onnx", manifest_of(precision="fp16"))
    with pytest.raises(ExportError, match="fp16 was asked for, and CONVOLUTION conv would compute in FLOAT"):
        build(path, ["sm75"])


@needs_tensorrt
def test_a_fragile_layer_in_fp16_is_refused(tmp_path: Path) -> None:
    from vesselrt.export.engine import build

    nodes = [
        helper.make_node("Cast", ["value"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("Softmax", ["a"], ["b"], "soft", axis=3),
        helper.make_node("Cast", ["b"], ["probability"], to=TensorProto.FLOAT),
    ]
    path = model_of(nodes, tmp_path / "s.onnx", {}, manifest_of(precision="fp16"))
    with pytest.raises(ExportError, match="fp16 was asked for, and SOFTMAX soft would compute in HALF"):
        build(path, ["sm75"])


@needs_tensorrt
def test_a_network_that_can_not_be_built_says_why(tmp_path: Path) -> None:
    from vesselrt.export.engine import _EngineBuilder

    nodes = [
        helper.make_node("Conv", ["value", "weight"], ["c"]),
        helper.make_node("Reshape", ["c", "three"], ["probability"]),  # whatever the batch
    ]
    constants = {"weight": np.ones((1, 1, 1, 1), np.float32), "three": np.array([3, 1, 64, 64])}
    path = model_of(nodes, tmp_path / "c.onnx", constants)
    profile = Profile(tile=64, batch=(1, 1, 4))
    with pytest.raises(ExportError, match=r"c\.onnx: TensorRT for RTX \S+ can't build it for sm75: \S+"):
        _EngineBuilder("tensorrt_rtx").plan(onnx.load(path), read_manifest(path), ["sm75"], profile, str(path))


@needs_tensorrt
def test_a_network_of_two_output_channels_is_refused(tmp_path: Path) -> None:
    from vesselrt.export.engine import _EngineBuilder

    nodes = [helper.make_node("Concat", ["value", "value"], ["probability"], axis=1)]
    model = onnx.load(model_of(nodes, tmp_path / "two.onnx", {}))
    profile = Profile(tile=64, batch=(1, 1, 4))
    with pytest.raises(ExportError, match=r"^two: of each window it gives \(2, 64, 64\)\. Expected \(1, 64, 64\), a p"):
        _EngineBuilder("tensorrt_rtx").plan(model, manifest_of(), ["sm75"], profile, "two")


@needs_tensorrt
@pytest.mark.parametrize(("kind", "how"), [("MatMul", {}), ("Einsum", {"equation": "nchw,ncwd->nchd"})])
def test_matrix_products_on_turing_are_fp16(tmp_path: Path, kind: str, how: dict[str, Any]) -> None:
    from vesselrt.export.engine import build

    nodes = [
        helper.make_node("Conv", ["value", "weight"], ["c"]),
        helper.make_node(kind, ["c", "c"], ["probability"], "product", **how),
    ]
    fixed = manifest_of(tile={"size": 64, "multiple": 32, "margin": 0, "fixed": True})
    path = model_of(nodes, tmp_path / "p.onnx", {"weight": np.full((1, 1, 1, 1), 1e-3, np.float32)}, fixed)
    assert build(path, ["sm75"]).manifest.precision == "fp16"
    with pytest.raises(
        ExportError, match=r"On sm75 it has no matrix product in FP32, as product is: compile it with --"
    ):
        build(path, ["sm75"], "f32")


@needs_tensorrt
def test_a_convolution_that_overflows_stays_in_f32_in_the_engine(tmp_path: Path) -> None:
    from vesselrt.export.engine import build

    nodes = [
        helper.make_node("Conv", ["value", "weight"], ["c"], "before"),
        helper.make_node("Conv", ["c", "large"], ["d"], "steep"),
        helper.make_node("Conv", ["d", "small"], ["e"], "back"),
        helper.make_node("Conv", ["e", "weight"], ["f"], "after"),
        helper.make_node("Sigmoid", ["f"], ["probability"]),
    ]
    constants = {k: np.full((1, 1, 1, 1), v, np.float32) for k, v in (("weight", 1), ("large", 1e4), ("small", 1e-4))}
    engine = build(model_of(nodes, tmp_path / "m.onnx", constants), ["sm75"])
    assert engine.manifest.provenance.float_operations == ("steep", "back")
