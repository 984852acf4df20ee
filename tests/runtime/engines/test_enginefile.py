"""Engine files, what a machine lacks to run them, and building them without a GPU."""

import hashlib
import json
import re
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from manifests import make_manifest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from vesselrt import cli
from vesselrt.cli.models import describe_model
from vesselrt.export.modelfile import write
from vesselrt.runtime import hardware
from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend
from vesselrt.runtime.engines import preflight
from vesselrt.runtime.engines.enginefile import Engine, Profile, proof_from_probability, proof_window, read_engine
from vesselrt.runtime.errors import (
    DeviceError,
    EngineError,
    ExportError,
    ManifestError,
    ModelNotFoundError,
    OptionError,
)
from vesselrt.runtime.hardware import Gpu, find_gpu
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, read_manifest, sha256

needs_tensorrt = pytest.mark.skipif(sys.platform == "darwin", reason="TensorRT for RTX has no wheel for macOS")


def manifest_of(**fields: Any) -> Manifest:
    given = {
        "name": "tiny",
        "version": "0.1",
        "description": "Ein Äuglein.",
        "input": {"mean": [0.3], "std": [0.2]},
        "tile": {"size": 64, "multiple": 4, "margin": 0},
    }
    return make_manifest(**given | fields)


def engine_of(plan: bytes = b"the plan of an engine", **known: Any) -> Engine:
    fields = {
        "flavour": "tensorrt_rtx",
        "version": "1.2.3.4",
        "targets": ("sm75", "sm86"),
        "profile": Profile(tile=64, batch=(1, 2, 4)),
        "model_sha256": "ab" * 32,
        "proof": "07" * 256,
        **known,
    }
    return Engine.of(plan, manifest_of(precision="fp16"), **fields)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    engine_of().write(tmp_path / "a.engine")
    return tmp_path / "a.engine"


def forged(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same file with another header, hashed anew: what a newer or a careless writer would make."""
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 8)[0]
    fields = json.loads(content[44 : 44 + length])
    change(fields)
    return sealed(path, json.dumps(fields).encode(), content[44 + length :])


def sealed(path: Path, header: bytes, plan: bytes) -> Path:
    prefix = b"\x89vrt\r\n\x1a\n" + struct.pack("<I", len(header)) + hashlib.sha256(header).digest()
    path.write_bytes(prefix + header + plan)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    assert read_engine(file) == engine_of()
    assert tree(file.parent) == {"a.engine"}


def test_the_bytes_are_those_of_the_format(file: Path) -> None:
    content = file.read_bytes()
    length = struct.unpack_from("<I", content, 8)[0]
    header = content[44 : 44 + length]
    assert content[:8] == bytes.fromhex("89767274 0d0a1a0a")
    assert content[12:44] == hashlib.sha256(header).digest()
    assert content[44 + length :] == b"the plan of an engine"
    fields = json.loads(header)
    assert Manifest.from_fields(fields.pop("manifest"), source="test") == manifest_of(precision="fp16")
    assert fields == {
        "format": 1,
        "flavour": "tensorrt_rtx",
        "version": "1.2.3.4",
        "targets": ["sm75", "sm86"],
        "profile": {"tile": 64, "batch": [1, 2, 4]},
        "model_sha256": "ab" * 32,
        "proof": "07" * 256,
        "plan_size": 21,
        "plan_sha256": hashlib.sha256(b"the plan of an engine").hexdigest(),
    }


def test_a_change_of_any_byte_is_found(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        with pytest.raises(EngineError, match=r"not an engine file, or damaged|header is damaged|plan is damaged"):
            read_engine(file)
        content[place] ^= 1 << place % 8


def test_a_file_that_was_cut_anywhere_is_found(file: Path) -> None:
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(EngineError, match=r"not an engine file|cut off"):
            read_engine(file)


def test_a_file_that_goes_on_after_its_plan(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(EngineError, match=r"a\.engine: the plan is too long: 22 bytes, not 21\. Copy the file again"):
        read_engine(file)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda f: f.update(format=2, news=1, manifest=None),
            EngineError,
            r"an engine file of format 2, this vesselrt reads up to 1\. Run: pip install -U vesselrt$",
        ),
        (lambda f: f.pop("format"), EngineError, r"the header is not valid: format: Field required\. Compile"),
        (lambda f: f.pop("manifest"), ManifestError, r"an engine without a manifest\. Compile the model again"),
        (lambda f: f["manifest"].update(schema_version=9), ManifestError, r"its manifest has schema 9, .* up to 1"),
        (lambda f: f["manifest"].pop("tile"), ManifestError, r"the manifest is not valid: tile: Field required"),
        (lambda f: f.update(news=1), EngineError, r"the header is not valid: news: Extra inputs"),
        (lambda f: f.update(flavour="openvino"), EngineError, r"not valid: flavour: Input should be 'tensorrt_rtx'"),
        (lambda f: f.update(targets=["gpu"]), EngineError, r"not valid: targets\.0: String should match"),
        (lambda f: f.update(targets=[]), EngineError, r"not valid: targets: Tuple should have at least 1"),
        (lambda f: f["profile"].update(batch=[1, 9, 4]), EngineError, r"profile: .*batch \(1, 9, 4\) must rise"),
        (lambda f: f.update(plan_size=20), EngineError, r"the plan is too long: 21 bytes, not 20\."),
        (lambda f: f.update(plan_size=1 << 40), EngineError, r"the plan is cut off: 21 bytes, not 1099511627776\."),
    ],
)
def test_a_header_that_is_not_as_it_should_be(
    file: Path, change: Callable[[dict[str, Any]], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=r"a\.engine: .*" + message):
        read_engine(forged(file, change))


@pytest.mark.parametrize("header", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_header_that_is_no_json(file: Path, header: bytes) -> None:
    with pytest.raises(EngineError, match=r"a\.engine: the header is not JSON"):
        read_engine(sealed(file, header, b"plan"))


@pytest.mark.parametrize("header", [b"[]", b"1", b"null"])
def test_a_header_that_is_no_object(file: Path, header: bytes) -> None:
    with pytest.raises(ManifestError, match=r"a\.engine: an engine without a manifest"):
        read_engine(sealed(file, header, b"plan"))


def test_a_header_longer_than_any_is_not_read(file: Path) -> None:
    with pytest.raises(EngineError, match="header is damaged"):
        read_engine(sealed(file, b" " * (1 << 20) + b"{}", b"plan"))


@pytest.mark.parametrize("name", ["nowhere.engine", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no engine file .* Make one with: vesselrt compile$"):
        read_engine(tmp_path / name)


def test_a_model_file_is_no_engine() -> None:
    with pytest.raises(EngineError, match=r"fundus\.onnx: not an engine file, or damaged\. Make engine files with"):
        read_engine(find_model_file("fundus"))


def test_a_write_that_breaks_off_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        engine_of(b"another plan").write(file)
    assert file.read_bytes() == before
    assert tree(file.parent) == {"a.engine"}


# The machine


class Driver:
    """libcuda as far as it is asked."""

    def __init__(
        self, start: int = 0, name: bytes = b"GeForce RTX 2080 Ti", capability: tuple[int, int] = (7, 5)
    ) -> None:
        self.start, self.name, self.capability = start, name, dict(zip((75, 76), capability, strict=True))

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's names
        assert flags == 0
        return self.start

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = 7 + index
        return 0

    def cuDeviceGetName(self, buffer: Any, size: int, device: Any) -> int:  # noqa: N802
        assert (size, device.value) == (256, 7)
        buffer.value = self.name
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        assert device.value == 7
        value._obj.value = self.capability[attribute]
        return 0


def test_the_gpu_is_what_the_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_load_driver", Driver)
    assert find_gpu() == Gpu("GeForce RTX 2080 Ti", "sm75")
    monkeypatch.setattr(hardware, "_load_driver", lambda: Driver(name=b"RTX 5090", capability=(12, 0)))
    assert find_gpu() == Gpu("RTX 5090", "sm120")


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (None, r"^no NVIDIA driver here \(.+ is missing\)\. Install it; give a container its GPU with: --gpus all$"),
        (Driver(start=100), r"^the NVIDIA driver finds no GPU here\. See nvidia-smi and CUDA_VISIBLE_DEVICES\.$"),
        (Driver(start=803), r"^the NVIDIA driver does not start \(CUDA error 803\)\. See nvidia-smi"),
    ],
)
def test_no_gpu_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch, driver: Any, message: str) -> None:
    monkeypatch.setattr(hardware, "_load_driver", lambda: driver)
    with pytest.raises(DeviceError, match=message):
        find_gpu()


def fake_library(verdict: tuple[int, int] = (0, 0), version: str = "1.2.3.4", seen: list[bytes] | None = None) -> Any:
    """TensorRT for RTX as far as it is asked; `verdict` is what it says of every plan."""

    class Runtime:
        engine_header_size = 8

        def __init__(self, logger: object) -> None:
            assert logger == "quiet"

        def get_engine_validity(self, head: bytes) -> tuple[int, int]:
            seen.append(head) if seen is not None else None
            return verdict

    class Logger:
        INTERNAL_ERROR = 0

        def __new__(cls, severity: int) -> Any:
            return "quiet"

    flags = {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2, "OLD_CUDA_DRIVER": 4, "MALFORMED_ENGINE": 32}
    return SimpleNamespace(
        __version__=version,
        ComputeCapability=SimpleNamespace(SM75=0, SM80=1, SM86=2),
        EngineValidity=SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2),
        EngineInvalidityDiagnostics=SimpleNamespace(__members__=flags),
        Logger=Logger,
        Runtime=Runtime,
    )


def obstacles_here(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, library: Any) -> list[str]:
    monkeypatch.setattr(hardware, "_load_driver", lambda: driver)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library)
    return preflight.find_obstacles(engine_of())


@pytest.mark.parametrize("validity", [0, 1])
def test_nothing_is_in_the_way(monkeypatch: pytest.MonkeyPatch, validity: int) -> None:
    seen: list[bytes] = []
    assert obstacles_here(monkeypatch, Driver(), fake_library((validity, 0), seen=seen)) == []
    assert seen == [b"the plan"]


def test_everything_that_is_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = obstacles_here(monkeypatch, Driver(name=b"H200", capability=(9, 0)), None)
    assert found == [
        "The GPU here (H200) is sm90, the engine is for sm75, sm86. Run: vesselrt compile --target sm90",
        "TensorRT for RTX is not installed. Run: pip install 'tensorrt-rtx-cu13==1.2.3.4'",
    ]


def test_whether_an_engine_runs_on_another_gpu_is_tensorrts_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    hopper = Driver(name=b"H100", capability=(9, 0))
    assert obstacles_here(monkeypatch, hopper, fake_library((1, 0))) == []
    assert obstacles_here(monkeypatch, hopper, fake_library((2, 2))) == [
        (
            "The GPU here (H100) is sm90, the engine is for sm75, sm86. TensorRT for RTX builds none for sm90. "
            "Run there: vesselrt compile --builder tensorrt"
        ),
        "TensorRT for RTX refuses it: it was made for other GPUs.",
    ]
    ampere = Driver(name=b"A100", capability=(8, 0))
    assert obstacles_here(monkeypatch, ampere, fake_library((2, 2))) == [
        "The GPU here (A100) is sm80, the engine is for sm75, sm86. Run: vesselrt compile --target sm80",
        "TensorRT for RTX refuses it: it was made for other GPUs.",
    ]


def test_no_driver_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    (found,) = obstacles_here(monkeypatch, None, fake_library((2, 0), seen=seen))
    assert found.startswith("no NVIDIA driver here")
    assert seen == []


def test_another_release_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = obstacles_here(monkeypatch, Driver(), fake_library(version="1.2.3.5"))
    assert found == (
        "TensorRT for RTX here is 1.2.3.5, the engine needs exactly 1.2.3.4. Compile the model again, or run: "
        "pip install 'tensorrt-rtx-cu13==1.2.3.4'"
    )


@pytest.mark.parametrize(
    ("diagnostics", "reasons"),
    [
        (4, "the NVIDIA driver is too old: install a newer one"),
        (1 | 32, "it was made by another release; the plan is malformed"),
        (0, "no reason given"),
    ],
)
def test_what_tensorrt_refuses(monkeypatch: pytest.MonkeyPatch, diagnostics: int, reasons: str) -> None:
    found = obstacles_here(monkeypatch, Driver(), fake_library((2, diagnostics)))
    assert found == [f"TensorRT for RTX refuses it: {reasons}."]


@needs_tensorrt
def test_the_diagnostics_have_the_names_of_the_installed_release() -> None:
    import tensorrt_rtx

    assert set(preflight._REASONS) == set(tensorrt_rtx.EngineInvalidityDiagnostics.__members__)


# Building: everything below runs without a GPU


def model_of(
    nodes: list[onnx.NodeProto], path: Path, constants: dict[str, Any], manifest: Manifest | None = None
) -> Path:
    """A model file whose nodes lead from `value` (n, 1, h, w), the image in FP32, to `probability`."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["value"], to=TensorProto.FLOAT), *nodes],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    write(model, manifest or manifest_of(), path)
    return path


def convolution(path: Path, manifest: Manifest | None = None, weight: float = 0.01) -> Path:
    nodes = [
        helper.make_node("Conv", ["value", "weight"], ["logits"], "conv"),
        helper.make_node("Sigmoid", ["logits"], ["probability"], "sigmoid"),
    ]
    return model_of(nodes, path, {"weight": np.full((1, 1, 1, 1), weight, np.float32)}, manifest)


def layers(model: onnx.ModelProto, tile: int) -> Counter[tuple[str, str]]:
    """How many layers of each kind and type TensorRT makes of a graph."""
    import tensorrt_rtx as trt

    from vesselrt.export.engine import _EngineBuilder, deployed
    from vesselrt.runtime.backends.tensorrt import make_logger

    log = make_logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _EngineBuilder("tensorrt_rtx")._parse(network, deployed(model, tile), log, "test")
    made = map(network.get_layer, range(network.num_layers))
    return Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in made)


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
    assert np.abs(again.header.proven.astype(int) - proof_from_probability(answer[0, 0])).max() <= 3  # FP16 against f32
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
    from vesselrt.export.graph import Deployed, onnx_from_module

    torch.manual_seed(0)
    manifest = manifest_of(tile={"size": 32, "multiple": 4, "margin": 0, "fixed": True})
    network: nn.Module = UNet(2, 1, 1, (4, 8, 8), (2, 2), num_res_units=1, norm=norm)
    model = onnx_from_module(Deployed(network, manifest).eval(), manifest)
    write(model, manifest, tmp_path / "unet.onnx")
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


@needs_tensorrt
@pytest.mark.usefixtures("_one_thread")
def test_an_efficientnet_unet(tmp_path: Path) -> None:
    from monai.networks.nets import FlexibleUNet

    from vesselrt.export.engine import build
    from vesselrt.export.fp16 import fp16_from_f32
    from vesselrt.export.graph import Deployed, onnx_from_module

    torch.manual_seed(0)
    manifest = manifest_of(tile={"size": 64, "multiple": 32, "margin": 0, "fixed": True})
    network: nn.Module = FlexibleUNet(1, 1, "efficientnet-b0", spatial_dims=2, decoder_channels=(32, 16, 8, 8, 4))
    model = onnx_from_module(Deployed(network, manifest).eval(), manifest)
    write(model, manifest, tmp_path / "b0.onnx")
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
    with pytest.raises(ExportError, match=r"^two: of each window it gives \(2, 64, 64\)\. Expected \(1, 64, 64\), one"):
        _EngineBuilder("tensorrt_rtx").plan(model, manifest_of(), ["sm75"], profile, "two")


# The command line


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
            "h.onnx: its graph is fp16, f32 can't be had from it. Name another.\n",
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
    assert "f1_difference 0\n" in done.out
