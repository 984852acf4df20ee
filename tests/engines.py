"""Engine files and model files of known content, and a driver and a TensorRT that are not there."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from manifests import make_manifest
from onnx import TensorProto, helper, numpy_helper

from vesselrt.export.modelfile import write_model_file
from vesselrt.runtime.engines.enginefile import Engine, Profile
from vesselrt.runtime.manifest import Manifest

needs_tensorrt = pytest.mark.skipif(sys.platform == "darwin", reason="TensorRT for RTX has no wheel for macOS")


def manifest_of(**fields: Any) -> Manifest:
    given = {
        "name": "tiny",
        "version": "0.1",
        "licence": "CC0-1.0",
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
    write_model_file(model, manifest or manifest_of(), path)
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


def tree(folder: Path) -> set[str]:
    """Names of everything below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}
