"""ONNX files that can't become a model file: each is told in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporting import tree
from foreign_graphs import MANIFEST, RNG, WEIGHTS, convolution, export_graph, network
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

from vesselrt.export.foreign import OnnxNetwork, export_onnx
from vesselrt.export.head import Head, Output
from vesselrt.export.sources.onnxfile import read_onnx
from vesselrt.runtime.errors import DataError, ExportError
from vesselrt.runtime.modelfile import read_manifest

# What it gives is not what was said


@pytest.mark.parametrize(
    ("end", "output", "channels", "message"),
    [
        (["Sigmoid"], "logits", 1, r"ends with Sigmoid: it gives a probability already\. Say --output probability\.$"),
        (["Sigmoid", "Clip"], "logits", 1, r"from 0 to 1 on every window, as after a sigmoid\. If it ends with"),
        (["Sigmoid", "Clip"], "sigmoid", 2, r"from 0 to 1 on every window, as after a sigmoid\. If it ends with"),
        (["Softmax"], "softmax", 2, r"ends with Softmax: it gives a probability already"),
        (
            ["Softmax", "Clip"],
            "softmax",
            3,
            r"the channels add up to 1 on every window, so the network ends with a soft",
        ),
        ([], "probability", 1, r"gives values from -.*, no probability\. Say --output logits\.$"),
        ([], "probability", 2, r"no probability\. Say --output softmax, or --output sigmoid"),
        ([], "sigmoid", 2, r"gives 2 channels\. Say which one is the vessel's: --vessel 0 to 1"),
    ],
)
def test_an_activation_twice_or_missing(
    tmp_path: Path, end: list[str], output: Output, channels: int, message: str
) -> None:
    nodes = convolution(channels, "made" if end else "answer")
    for place, kind in enumerate(end):
        names = ["made", "between"] if len(end) > 1 and place == 0 else ["between" if place else "made", "answer"]
        others = ["low", "high"] if kind == "Clip" else []
        axis: dict[str, Any] = {"axis": 1} if kind == "Softmax" else {}
        nodes.append(helper.make_node(kind, [names[0], *others], [names[1]], **axis))
    vessel = 1 if channels > 1 and "which one" not in message else None
    with pytest.raises(ExportError, match=message):
        export_graph(
            network(nodes, {"low": np.float32(0), "high": np.float32(1)}), tmp_path, Head(output, vessel=vessel)
        )
    assert tree(tmp_path) == {"net.onnx"}


# Files that can't be used


def external(folder: Path, location: str) -> Path:
    """A file whose weights lie elsewhere."""
    model = network()
    convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    onnx.save(model, folder / "net.onnx")
    model = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin")
    found = read_onnx(path)
    assert isinstance(found.network, OnnxNetwork)
    export_onnx(found.network, MANIFEST, tmp_path / "m.onnx", [], Head())
    assert numpy_helper.to_array(onnx.load(tmp_path / "m.onnx").graph.initializer[0]).shape == (1, 3, 3, 3)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "sub/../../w.bin", "link.bin"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    path = external(folder, location)
    (folder / "w.bin").rename(tmp_path / "w.bin")
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(
        DataError, match=r"its weight weights 1 lies in .*, outside of the file's folder, and is not re"
    ):
        read_onnx(path)


def test_weights_that_are_not_there_or_cut_short(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"its weight weights 1 can't be read from w\.bin"):
        read_onnx(path)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(DataError, match=r"its weight weights 1 can't be read from w\.bin"):
        read_onnx(path)


def half() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["picture"], ["small"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["small", "w"], ["made"]),
        helper.make_node("Cast", ["made"], ["answer"], to=TensorProto.FLOAT),
    ]
    return network(nodes, {"w": WEIGHTS[:1].astype(np.float16)})


def quantized() -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["picture", "scale", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["rounded"]),
        helper.make_node("Conv", ["rounded", "weights 1"], ["answer"]),
    ]
    return network(nodes, {"scale": np.float32(0.1), "zero": np.uint8(128)})


def custom() -> onnx.ModelProto:
    model = network([helper.make_node("FusedConv", ["picture", "weights 1"], ["answer"], domain="com.microsoft")])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def unlike(*shape: Any) -> onnx.ModelProto:
    return network([helper.make_node("Relu", ["picture"], ["answer"])], shape=shape)


def two_inputs() -> onnx.ModelProto:
    model = network([*convolution(1, "made"), helper.make_node("Add", ["made", "other"], ["answer"])])
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (half(), r"its weights are 16 bits\. Take the float32 file"),
        (quantized(), r"is quantized \(QuantizeLinear\)\. Take the float32 file"),
        (custom(), r"holds FusedConv of com\.microsoft, which is not plain ONNX"),
        (two_inputs(), r"has 2 inputs \(picture \(n, 3, h, w\), other \(1\)\)\. Expected one image"),
        (network(shape=(1, 3, 64, 32)), r"it takes 32 × 64 pixels\. Expected both to vary, or a square"),
        (network(opset=8), r"is of opset 8\. Expected 9 or later\. Export it anew"),
        (unlike("n", 4, "h", "w"), r"has 4 channels\. Expected 3 or 1"),
        (unlike("n", 3, "h"), r"its input is float \(n, 3, h\)\. Expected \(N, C, H, W\)"),
    ],
)
def test_what_can_not_become_a_model_file(tmp_path: Path, model: onnx.ModelProto, message: str) -> None:
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(DataError, match=message) as caught:
        read_onnx(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\x08\x08\x12\x00"])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(DataError, match=r"net\.onnx: (can't be read|not an ONNX file|an ONNX file without)"):
        read_onnx(tmp_path / "net.onnx")


def test_a_model_file_is_one_already(tmp_path: Path) -> None:
    path = export_graph(network(), tmp_path)
    with pytest.raises(DataError, match=r"m\.onnx is a model file of vesselrt already\. See: vesselrt info"):
        read_onnx(path)


def test_random_operations_are_named(tmp_path: Path) -> None:
    nodes = [
        *convolution(1, "made"),
        helper.make_node("Dropout", ["made", "ratio", "on"], ["answer"], "drop"),
    ]
    with pytest.raises(ExportError, match=r"gives other values each time for the same window: Dropout drop is random"):
        export_graph(network(nodes, {"ratio": np.float32(0.5), "on": np.bool_(True)}), tmp_path)


def test_a_size_that_the_tile_does_not_fit(tmp_path: Path) -> None:
    tile = MANIFEST.tile.model_copy(update={"fixed": True})
    with pytest.raises(ExportError, match=r"net\.onnx fails on a window of 64 × 64 pixels: .* correct tile\.size in"):
        export_graph(network(shape=("n", 3, 32, 32)), tmp_path, tile=tile)


def test_a_file_of_one_size_gets_a_fixed_tile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = [*convolution(1, "made"), helper.make_node("Add", ["made", "place"], ["answer"])]
    path = export_graph(network(nodes, {"place": RNG.normal(0, 1, (1, 1, 64, 64)).astype(np.float32)}), tmp_path)
    assert read_manifest(path).tile.fixed
    assert "The tile is fixed, at 64 pixels." in caplog.text
