"""An ONNX file of another program becomes a model file, proven against that file in ONNX Runtime."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from exporting import tree
from foreign_graphs import MANIFEST, PIXELS, convolution, export_graph, network, normalised, run_graph, sigmoid
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sources import FIELDS, noise

import vesselrt
from vesselrt.export.head import Head, Output
from vesselrt.export.sources.finding import find_source
from vesselrt.export.sources.onnxfile import read_onnx
from vesselrt.runtime.errors import ExportError, ManifestError
from vesselrt.runtime.modelfile import read_manifest

Vesselrt = Callable[[str], tuple[int, str, str]]


# The command line


def test_one_command_and_it_predicts(vesselrt: Vesselrt, tmp_path: Path, fundus_jpeg: bytes) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    code, _, err = vesselrt("vesselrt export net.onnx -m network.yaml --photos eye.jpg -o model.onnx")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "model.onnx")
    assert manifest.provenance.recipe == "ONNX file net.onnx"
    assert manifest.provenance.parity["f32"]["images"] == 4
    assert vesselrt("vesselrt predict eye.jpg --model model.onnx -o eye.png")[0] == 0


NO_TORCH = """
import sys
for name in ("torch", "monai", "onnxscript", "safetensors"):
    sys.modules[name] = None
sys.argv = ["vesselrt", *sys.argv[1:]]
from vesselrt.cli import main
main()
"""


def test_it_needs_no_torch(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    (tmp_path / "network.yaml").write_text(yaml.safe_dump(FIELDS))
    for words in ("export net.onnx -m network.yaml --precision fp16 -o m.onnx", "info m.onnx", "info net.onnx"):
        command = [sys.executable, "-c", NO_TORCH, *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert read_manifest(tmp_path / "m.onnx").precision == "fp16"
    command = [sys.executable, "-c", NO_TORCH, "export", "net.pt2", "-m", "network.yaml", "-o", "n.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "pip install 'vesselrt[export]'" in done.stderr


def test_what_the_file_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    onnx.save(network(shape=(1, 3, 64, 64)), tmp_path / "net.onnx")
    with pytest.raises(ManifestError, match=r"does not say: name, version, licence, description, input\.mean"):
        find_source(str(tmp_path / "net.onnx"))
    fields = {**FIELDS, "tile": {"multiple": 32, "margin": 0}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(fields))
    tile = find_source(str(tmp_path / "net.onnx"), manifest=tmp_path / "m.yaml").manifest.tile
    assert (tile.size, tile.fixed) == (64, True)


# What the graph is like


def test_the_file_is_the_network_between_normalisation_and_sigmoid(tmp_path: Path) -> None:
    path = export_graph(network(), tmp_path)
    expected = sigmoid(run_graph(tmp_path / "net.onnx", normalised(PIXELS)))
    assert run_graph(path, PIXELS) == pytest.approx(expected, abs=1e-6)
    model = onnx.load(path)
    assert ([i.name for i in model.graph.input], [o.name for o in model.graph.output]) == (["image"], ["probability"])
    with vesselrt.load(path, device="cpu:openvino", precision="f32") as segmenter:
        assert segmenter.segment(np.zeros((80, 90, 3), np.uint8) + 99).probability.shape == (80, 90)


def test_channels_last(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["picture"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "weights 2"], ["made"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["made"], ["answer"], perm=[0, 2, 3, 1]),
    ]
    path = export_graph(network(nodes, shape=("n", "h", "w", 3)), tmp_path, Head("softmax"))
    answer = run_graph(tmp_path / "net.onnx", normalised(PIXELS).transpose(0, 2, 3, 1))
    assert run_graph(path, PIXELS)[:, 0] == pytest.approx(sigmoid(answer[..., 1] - answer[..., 0]), abs=1e-6)


def test_no_axis_of_channels(tmp_path: Path) -> None:
    nodes = [*convolution(1, "made"), helper.make_node("Squeeze", ["made", "one"], ["answer"])]
    path = export_graph(network(nodes, {"one": np.array([1])}), tmp_path)
    assert run_graph(path, PIXELS)[:, 0] == pytest.approx(
        sigmoid(run_graph(tmp_path / "net.onnx", normalised(PIXELS))), abs=1e-6
    )


def test_bytes_are_the_networks_own_to_scale(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["picture"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "weights 1"], ["answer"], pads=[1, 1, 1, 1]),
    ]
    model = network(nodes, {"full": np.float32(255)}, kind=TensorProto.UINT8)
    path = export_graph(model, tmp_path)
    assert run_graph(path, PIXELS) == pytest.approx(sigmoid(run_graph(tmp_path / "net.onnx", PIXELS)), abs=1e-6)
    assert read_onnx(tmp_path / "net.onnx").facts["input"] == {"mean": [0.0] * 3, "std": [1.0] * 3}


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 21])
def test_opsets(tmp_path: Path, opset: int) -> None:
    nodes = [*convolution(2, "made"), helper.make_node("Upsample" if opset == 9 else "Resize", [], ["wide"])]
    inputs = {9: ["made", "scales"], 10: ["made", "scales"]}.get(opset, ["made", "none", "scales"])
    nodes[1].input.extend(inputs)
    nodes[1].attribute.append(helper.make_attribute("mode", "linear"))
    nodes.append(helper.make_node("AveragePool", ["wide"], ["answer"], kernel_shape=[2, 2], strides=[2, 2]))
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "none": np.zeros(0, np.float32)}
    path = export_graph(network(nodes, constants, opset=opset), tmp_path, Head("softmax"))
    assert max(o.version for o in onnx.load(path).opset_import) >= 13


def test_weights_that_older_files_list_as_inputs(tmp_path: Path) -> None:
    model = network(opset=9)
    model.ir_version = 3
    shape = model.graph.initializer[0].dims
    model.graph.input.append(helper.make_tensor_value_info("weights 1", TensorProto.FLOAT, shape))
    export_graph(model, tmp_path)


# A batch that is fixed


def fixed(*, opened: bool) -> onnx.ModelProto:
    """A network of a batch of one, which its operations name; `opened`: in places where that can be undone."""
    nodes = [
        *convolution(1, "made"),
        helper.make_node("Reshape", ["made", "flat"], ["row"]),
        helper.make_node("Reshape", ["row", "square"], ["back"]),
        helper.make_node("Resize", ["back", "", "", "double"], ["wide"], mode="linear"),
        helper.make_node("AveragePool", ["wide"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Identity" if opened else "Expand", ["pooled"] if opened else ["pooled", "one"], ["answer"]),
    ]
    constants = {"flat": [1, 4096], "square": [1, 1, 64, 64], "double": [1, 1, 128, 128], "one": [1, 1, 64, 64]}
    if not opened:
        nodes[-1] = helper.make_node("Gather", ["pooled", "first"], ["answer"], axis=0)
    arrays = {name: np.array(values) for name, values in constants.items()}
    return network(nodes, {"first": np.array([0]), **arrays}, shape=(1, 3, 64, 64))


def test_a_fixed_batch_is_opened(tmp_path: Path) -> None:
    tile = MANIFEST.tile.model_copy(update={"fixed": True})
    path = export_graph(fixed(opened=True), tmp_path, tile=tile)
    pixels = noise(3, 3, 64, 64)
    expected = [run_graph(tmp_path / "net.onnx", normalised(pixels[i : i + 1]))[0] for i in range(3)]
    assert run_graph(path, pixels) == pytest.approx(sigmoid(np.array(expected)), abs=1e-6)


def test_a_batch_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    tile = MANIFEST.tile.model_copy(update={"fixed": True})
    with pytest.raises(ExportError, match=r"its batch is fixed at 1, and its operations do not take another\. Export"):
        export_graph(fixed(opened=False), tmp_path, tile=tile)
    assert tree(tmp_path) == {"net.onnx"}


# Picking


def two_outputs() -> onnx.ModelProto:
    nodes = [
        *convolution(1, "mask"),
        helper.make_node("AveragePool", ["mask"], ["deep"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    return network(nodes, outputs=("deep", "mask"))


@pytest.mark.parametrize("pick", ["mask", "1", "-1"])
def test_an_output_by_name_or_index(tmp_path: Path, pick: str) -> None:
    path = export_graph(two_outputs(), tmp_path, Head(pick=pick))
    expected = sigmoid(run_graph(tmp_path / "net.onnx", normalised(PIXELS), "mask"))
    assert run_graph(path, PIXELS) == pytest.approx(expected, abs=1e-6)
    assert "AveragePool" not in {n.op_type for n in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (
            None,
            r"^the network has 2 output\(s\): deep \(.*\), mask \(.*\)\. Say which one holds the mask: --pick deep or",
        ),
        ("x", r"\. --pick x is none of them\. Say which"),
        ("deep", r"its output deep is \(2, 1, 8, 12\) for windows of 24 × 16 pixels\. Expected as high and as wide"),
    ],
)
def test_an_output_that_is_not_named_or_is_not_there(tmp_path: Path, pick: str | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_graph(two_outputs(), tmp_path, Head(pick=pick))


def expected_probability(answer: NDArray[Any], output: Output, channel: int) -> NDArray[Any]:
    if output == "softmax":
        shares = np.exp(answer - answer.max(axis=1, keepdims=True))
        answer = shares / shares.sum(axis=1, keepdims=True)
    elif output == "sigmoid":
        answer = sigmoid(answer)
    return answer[:, channel : channel + 1]


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "probability"])
@pytest.mark.parametrize(("channels", "vessel"), [(2, 0), (2, 1), (4, 0), (4, 2), (4, -1)])
def test_the_vessels_channel(tmp_path: Path, output: Output, channels: int, vessel: int) -> None:
    nodes = convolution(channels, "answer" if output != "probability" else "made")
    nodes += [helper.make_node("Softmax", ["made"], ["answer"], axis=1)] if output == "probability" else []
    path = export_graph(network(nodes), tmp_path, Head(output, vessel=vessel))
    answer = run_graph(tmp_path / "net.onnx", normalised(PIXELS))
    assert run_graph(path, PIXELS) == pytest.approx(expected_probability(answer, output, vessel % channels), abs=1e-6)
