"""The arithmetic of benchmarks/floor.py, on networks that are small enough to be counted by hand."""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from manifests import make_manifest
from typer.testing import CliRunner

from vesselrt.benchmarks import floor
from vesselrt.benchmarks.floor import RTX_2080_TI, Card, Floor, ImageWork, Layer
from vesselrt.runtime.errors import MissingExtraError, ModelError
from vesselrt.runtime.modelfile import find_model_file, read_manifest

CARD = Card("abacus", {"FP16": 1000.0, "FP32": 500.0}, bandwidth=100.0, link=10.0)


def write_graph(path: Path, nodes: list[tuple[Any, ...]], weights: dict[str, tuple[int, ...]], channels: int) -> Path:
    """`nodes`: kind, inputs, output, attributes. In: `image` (N, channels, H, W) uint8; out: `probability` float32."""
    onnx = pytest.importorskip("onnx", reason="the floor needs the extra bench")
    helper, types = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **given) for kind, inputs, output, given in nodes],
        "small",
        [helper.make_tensor_value_info("image", types.UINT8, ["n", channels, "h", "w"])],
        [helper.make_tensor_value_info("probability", types.FLOAT, ["n", 1, "h", "w"])],
        [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


CAST = ("Cast", ["image"], "x", {"to": 1})


def test_convolutions_are_counted_exactly(tmp_path: Path) -> None:
    nodes = [
        CAST,
        ("Conv", ["x", "w", "b"], "y", {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("ConvTranspose", ["y", "v"], "probability", {"strides": [2, 2]}),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": (4, 3, 3, 3), "b": (4,), "v": (4, 1, 2, 2)}, channels=3)
    work = floor.count_work(path, (2, 3, 8, 10))  # x (2, 3, 8, 10), y (2, 4, 4, 5), probability (2, 1, 8, 10)
    assert work == ImageWork(
        windows=(2, 3, 8, 10),
        layers=[
            Layer("x", "Cast", 0, 0, 480 * 1 + 480 * 2),
            Layer("y", "Conv", 2 * 160 * 27, (108 + 4) * 2, 480 * 2 + 160 * 2),
            Layer("probability", "ConvTranspose", 2 * 160 * 4, 16 * 2, 160 * 2 + 160 * 1),
        ],
        weights=(108 + 4 + 16) * 2,
        ends=480 + 160,
    )
    assert work.operations == 8640 + 1280


def test_groups_share_the_channels_and_constants_count_once(tmp_path: Path) -> None:
    nodes = [
        CAST,
        ("Conv", ["x", "w"], "y", {"group": 2, "pads": [1, 1, 1, 1]}),
        ("Add", ["y", "one"], "z", {}),
        ("Mul", ["z", "one"], "a", {}),
        ("ConvTranspose", ["a", "v"], "probability", {"group": 1}),
    ]
    shapes = {"w": (6, 2, 3, 3), "one": (1,), "v": (6, 1, 1, 1)}
    work = floor.count_work(write_graph(tmp_path / "m.onnx", nodes, shapes, channels=4), (1, 4, 5, 5))
    assert [layer.operations for layer in work.layers] == [0, 2 * (6 * 25) * (2 * 9), 0, 0, 2 * (6 * 25)]
    assert [layer.weights for layer in work.layers] == [0, 216, 2, 2, 12]
    assert work.weights == 216 + 2 + 12


def test_a_layer_takes_the_longer_of_computing_and_moving() -> None:
    computes, moves = Layer("a", "Conv", 4000, 50, 150), Layer("b", "Add", 0, 0, 600)
    assert computes.seconds(1000, 100) == 4.0  # 4000 / 1000 > 200 / 100
    assert moves.seconds(1000, 100) == 6.0
    work = ImageWork((1, 1, 1, 1), [computes, moves], weights=50, ends=350)
    assert Floor.of(work, 1000, 100) == Floor(layer_by_layer=10_000, fused=4000)
    assert Floor.of(work, 2000, 100) == Floor(layer_by_layer=8000, fused=4000)  # 400 bytes / 100


def test_the_count_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="the network needs the extra train")
    pytest.importorskip("onnx", reason="the floor needs the extra bench")
    from torch.utils.flop_counter import FlopCounterMode

    from vesselrt.training.fit.recipe import BUILT_IN, Recipe
    from vesselrt.training.networks import fold_branches

    network = fold_branches(Recipe.read(BUILT_IN / "fundus.yaml").network.build(fresh=False)).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty((2, 1, 128, 192), device="meta"))
    work = floor.count_work(find_model_file("fundus"), (2, 1, 128, 192))
    assert work.operations == counter.get_total_flops() > 1e8
    parameters = sum(p.numel() for name, p in network.named_parameters() if ".1." not in name)  # without batch norms
    assert work.weights > 2 * parameters  # their biases, in the convolutions


def test_the_card_is_what_its_parts_give() -> None:
    assert RTX_2080_TI.rates["FP16"] == pytest.approx(68 * 8 * 64 * 2 * 1635e6, rel=1e-3)
    assert RTX_2080_TI.rates["FP32"] == RTX_2080_TI.rates["FP16"] / 2
    assert RTX_2080_TI.link == pytest.approx(15.754e9, rel=1e-4)


def test_report_of_a_tile() -> None:
    report = floor.FloorReport.of(find_model_file(None), None, CARD)
    manifest = read_manifest(find_model_file(None))
    side = manifest.tile.size
    assert report.work.windows == (1, manifest.channel_count, side, side)
    assert report.copies == 1e3 * (2 * side * side) / 10  # one byte in and one out for each pixel
    assert set(report.floors) == {"FP16", "FP32"}
    for found in report.floors.values():
        assert 0 < found.fused < found.layer_by_layer


def test_windows_are_those_that_a_photograph_is_cut_into(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "eye.png"), np.full((70, 90, 3), 90, np.uint8))
    manifest = make_manifest()
    assert floor.count_windows(tmp_path / "eye.png", manifest) == (4, 1, 64, 64)


def test_operations_that_are_not_counted_are_named(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "m.onnx", [CAST, ("MatMul", ["x", "w"], "probability", {})], {"w": (8, 8)}, 1)
    with pytest.raises(ModelError, match="the operations of MatMul are not counted here, only convolutions"):
        floor.count_work(path, (1, 1, 8, 8))


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vesselrt\[engines\]'"):
        floor.count_work(find_model_file(None), (1, 1, 64, 64))


def test_command_writes_table_and_json(fundus_jpeg: bytes, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the floor needs the extra bench")
    photo, target = tmp_path / "photo.jpg", tmp_path / "floor.json"
    photo.write_bytes(fundus_jpeg)
    done = CliRunner().invoke(floor.app, [str(photo), "--json", str(target)])
    assert done.exit_code == 0, done.output
    report = json.loads(target.read_text("utf-8"))
    assert list(report) == ["schema", "model", "card", "image", "work", "floors", "copies", "target"]
    assert (report["image"], report["target"], report["card"]["bandwidth"]) == ("photo.jpg", 150, 616e9)
    assert {layer["kind"] for layer in report["work"]["layers"]} >= {"Conv", "ConvTranspose", "Relu"}
    for word in ("nothing was run", "ConvTranspose", "layer by layer", "fused", "copies", "of 150 ms"):
        assert word in done.output
