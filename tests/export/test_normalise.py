"""Networks whose photographs are normalised by their own values: the graph reads the numbers that the host gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import pytest
import torch
from exporting import manifest_of, thin
from onnx import TensorProto, helper
from serving import png, post, running
from torch import Tensor, nn

import vesselrt
from vesselrt.export.foreign import export_onnx
from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.precision import convert_model
from vesselrt.export.sources.onnxfile import read_onnx
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest


def normalising(**tile: Any) -> Manifest:
    fields = manifest_of("rgb", **{"multiple": 8, "margin": 8, **tile}).model_dump(exclude={"schema_version"})
    fields |= {"preparation": {"channels": "rgb", "normalise": "zscore"}, "input": {"mean": [0] * 3, "std": [1] * 3}}
    return Manifest.from_fields(fields, source="test")


class Thin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = thin()

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = 3 * self.look(image)
        return answer


class Exported(NamedTuple):
    network: nn.Module
    path: Path
    pixels: Image


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A photograph that needs several tiles, and the file that was proven on it."""
    network, path = Thin(), tmp_path_factory.mktemp("normalise") / "m.onnx"
    pixels: Image = np.random.default_rng(0).integers(1, 256, (150, 100, 3), dtype=np.uint8)
    pixels[:70] //= 3
    written = export_model(network, normalising(), path, [pixels])
    assert written.provenance.parity["f32"]["largest_difference"] < 1e-5
    return Exported(network, path, pixels)


@pytest.mark.parametrize("device", ["cpu:onnxruntime", "cpu:openvino"])
def test_a_tiled_photograph_is_what_the_network_gives_to_the_whole(exported: Exported, device: Any) -> None:
    values = exported.pixels.astype(np.float32)
    values = (values - values.mean((0, 1), dtype=np.float64)) / values.std((0, 1), dtype=np.float64)
    with torch.inference_mode():
        answer = exported.network(torch.from_numpy(values.transpose(2, 0, 1)[None]).float())
    with vesselrt.load(exported.path, device=device, precision="f32") as segmenter:
        found = segmenter.segment(exported.pixels).probability
    assert abs(found - 255 * answer.sigmoid()[0, 0].numpy()).max() < 0.51


def test_it_holds_in_half_precision(exported: Exported, tmp_path: Path) -> None:
    written = convert_model(exported.path, tmp_path / "half.onnx", "fp16", [exported.pixels])
    assert (written.preparation.normalise, written.channel_count) == ("zscore", 9)
    assert written.provenance.parity["fp16"]["largest_difference"] < 2e-3


def test_it_holds_on_a_server_and_with_flips(exported: Exported) -> None:
    options: Any = {"device": "cpu:onnxruntime", "precision": "f32"}
    ways = [(down, right) for down in (1, -1) for right in (1, -1)]
    with vesselrt.load(exported.path, **options) as segmenter:
        maps = [segmenter.segment(exported.pixels[::d, ::r]).probability[::d, ::r] for d, r in ways]
        with running(segmenter) as client:
            answer = post(client, "multipart", png(exported.pixels), format="probability")
    served = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(served, maps[0])
    with vesselrt.load(exported.path, tta="flips", **options) as segmenter:
        assert abs(segmenter.segment(exported.pixels).probability - np.mean(maps, axis=0)).max() <= 0.5


def test_an_onnx_file_may_ask_for_it_but_not_one_that_takes_bytes(
    tmp_path: Path, image_graph: Callable[..., onnx.ModelProto]
) -> None:
    onnx.save(image_graph(TensorProto.FLOAT), tmp_path / "float.onnx")
    network = read_onnx(tmp_path / "float.onnx").network
    written = export_onnx(network, normalising(), tmp_path / "m.onnx", [], Head("logits"))
    assert written.preparation.normalise == "zscore"
    onnx.save(image_graph(TensorProto.UINT8), tmp_path / "bytes.onnx")
    network = read_onnx(tmp_path / "bytes.onnx").network
    with pytest.raises(ExportError, match=r"takes bytes, and no numbers of preparation.normalise zscore"):
        export_onnx(network, normalising(), tmp_path / "n.onnx", [], Head("logits"))


@pytest.fixture
def image_graph() -> Callable[..., onnx.ModelProto]:
    """A network of three channels, of which the mean is the logit."""

    def make(kind: int) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["values", "axes"], ["logit"], keepdims=1),
        ]
        ends = [
            helper.make_tensor_value_info(name, of, ["n", channels, "h", "w"])
            for name, of, channels in (("image", kind, 3), ("logit", TensorProto.FLOAT, 1))
        ]
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [axes])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    return make
