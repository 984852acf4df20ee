"""A network in an ONNX file of another program → a model file, compared with the file as ONNX Runtime computes it.

What is changed of its graph: it gets normalisation and activation, other outputs than the one picked are left out, and
a batch that was fixed is opened, with the batch that is written in its Reshape and Resize operations.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from vesselrt.export.fp16 import read_names
from vesselrt.export.head import Answers, Head
from vesselrt.export.parity import network_answer
from vesselrt.export.proven import write_proven
from vesselrt.export.tiles import Draft
from vesselrt.export.windows import as_fed, values_for_network
from vesselrt.export.wrapping import Layout, NetworkGraph
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest

_NUMPY: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"} | {
    "RandomUniformLike"
}
_OPEN_WITHIN = 1e-3


@dataclass(frozen=True)
class OnnxNetwork:
    """A network as an ONNX file holds it; all weights are inside."""

    original: ModelProto
    model: ModelProto
    """The same in an opset that all backends take."""
    name: str
    """Of the file, in messages."""
    takes: Layout
    batch: int | None
    """The only one that it takes; None: any."""


def export_onnx(
    network: OnnxNetwork,
    manifest: Manifest,
    path: Path,
    photographs: list[Image],
    head: Head,
    untold: frozenset[str] = frozenset(),
) -> Manifest:
    """Writes the model file, and returns its manifest with the figures of parity and tiles, as `export_model` does.

    Raises ExportError for a network that does not give what `head` says, whose batch can't be opened, or whose model
    file differs from it by more than the manifest's tolerance; then nothing is written.
    """
    head = head.of(manifest)
    reference = FileReference(network, manifest, head.pick)

    def trace(manifest: Manifest) -> NetworkGraph:
        tile = manifest.tile
        sides = (tile.size, tile.size) if tile.fixed else (4 * tile.multiple, 6 * tile.multiple)
        noise = np.random.default_rng(0).integers(0, 256, (2, manifest.colour_count, *sides), dtype=np.uint8)
        windows = as_fed(noise, manifest)
        answer = network_answer(reference, windows, manifest)
        head.channels(answer.shape[1])
        model = _opened(network, reference.output)
        graph = NetworkGraph(model, answer.shape[1], network.takes, reference.gives)
        if network.batch is not None:
            _check_open(graph, network, reference.fed(windows), answer)
        return graph

    return write_proven(trace, reference, head, Draft(manifest, untold), path, photographs)


class FileReference:
    """The file as it was handed in, run by ONNX Runtime."""

    gives: Layout = "NCHW"
    """Found by the first answer."""

    def __init__(self, network: OnnxNetwork, manifest: Manifest, pick: str | None) -> None:
        self.network, self.name = network, network.name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = usable_cores()
        content = network.original.SerializeToString()
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.output = _picked(self.session.get_outputs(), pick)
        self.kind = _NUMPY[self.session.get_inputs()[0].type]
        self.manifest, own = manifest, manifest.preparation.normalise
        if self.kind is np.uint8 and own is not None:
            raise ExportError(f"{self.name} takes bytes, and no numbers of preparation.normalise {own}. Leave it out.")

    def fed(self, batch: Image) -> NDArray[Any]:
        """(N, C, h, w) uint8 → what the file takes."""
        if self.kind is not np.uint8:
            values = values_for_network(batch, self.manifest, np.float32).astype(self.kind)
        else:
            values = batch
        return values.transpose(0, 2, 3, 1) if self.network.takes == "NHWC" else values

    def answer(self, batch: Image) -> Answers:
        """(N, K, h, w) float64 of (N, C, h, w) uint8."""
        fed, step = self.fed(batch), self.network.batch or len(batch)
        name = self.session.get_inputs()[0].name
        answers = []
        for start in range(0, len(fed), step):
            part = fed[start : start + step]
            padded = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            answers.append(self.session.run([self.output], {name: np.ascontiguousarray(padded)})[0][: len(part)])
        return self._channels_first(np.concatenate(answers).astype(np.float64), batch.shape)

    def rounded(self, batch: Image) -> Answers | None:  # noqa: ARG002
        """None: ONNX Runtime has no convolution in float64."""
        return None

    def inner_sides(self, window: Image) -> set[int]:
        """Sides of the square maps that it computes of a square window (1, C, h, h) uint8, by the graph's shapes."""
        self.answer(window)  # raises where the window is not taken
        model = ModelProto()
        model.CopyFrom(self.network.original)
        del model.graph.value_info[:]
        fed = helper.make_tensor_value_info("", 1, self.fed(window).shape).type.tensor_type.shape
        model.graph.input[0].type.tensor_type.shape.CopyFrom(fed)
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
        shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in known]
        pairs = [pair for shape in shapes if len(shape) == 4 for pair in (shape[1:3], shape[2:])]
        return {height for height, width in pairs if height == width > 0}

    def random_part(self, batch: Image) -> str:  # noqa: ARG002
        """The first operation that draws random numbers."""
        drawn = [f"{n.op_type} {n.name}".strip() for n in self.network.original.graph.node if n.op_type in _RANDOM]
        return drawn[0] if drawn else "an operation of it"

    def _channels_first(self, answer: Answers, window: tuple[int, ...]) -> Answers:
        sides = window[2:]
        fits: dict[Layout, bool] = {
            "NCHW": answer.ndim == 4 and answer.shape[2:] == sides,
            "NHWC": answer.ndim == 4 and answer.shape[1:3] == sides,
            "NHW": answer.ndim == 3 and answer.shape[1:] == sides,
        }
        order: list[Layout] = ["NHWC", "NCHW", "NHW"] if self.network.takes == "NHWC" else ["NCHW", "NHWC", "NHW"]
        found = next((layout for layout in order if fits[layout]), None)
        if found is None:
            raise ExportError(
                f"{self.name}: its output {self.output} is {answer.shape} for windows of {sides[1]} × {sides[0]} "
                f"pixels. Expected as high and as wide: (N, K, {sides[0]}, {sides[1]})."
            )
        self.gives = found
        if found == "NHW":
            return answer[:, None]
        return answer.transpose(0, 3, 1, 2) if found == "NHWC" else answer


def _picked(outputs: list[Any], pick: str | None) -> str:
    """The name of an output, by name or index. Raises ExportError that lists what there is."""
    names = [output.name for output in outputs]
    if pick is None and len(names) == 1:
        return str(names[0])
    if pick in names:
        return str(pick)
    try:
        return str(names[int(pick or "")])
    except (ValueError, IndexError):
        listed = ", ".join(f"{o.name} ({', '.join(map(str, o.shape))})" for o in outputs)
        wrong = "" if pick is None else f"--pick {pick} is none of them. "
        raise ExportError(
            f"the network has {len(names)} output(s): {listed}. {wrong}Say which one holds the mask: "
            f"{' or '.join(f'--pick {name}' for name in names)}."
        ) from None


def _opened(network: OnnxNetwork, output: str) -> ModelProto:
    """A copy with one output and any batch and size that its operations take."""
    model = ModelProto()
    model.CopyFrom(network.model)
    graph = model.graph
    if network.batch is not None:
        _open_batch(model, network.batch)
    kept = next(o for o in graph.output if o.name == output)
    kind = kept.type.tensor_type.elem_type
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(output, kind, None))
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted |= read_names(node)
    nodes.reverse()
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    kept_graph = onnx.GraphProto()  # what a field holds ends when the field is emptied
    kept_graph.node.extend(nodes)
    kept_graph.initializer.extend(constants)
    for field, items in ((graph.node, kept_graph.node), (graph.initializer, kept_graph.initializer)):
        del field[:]
        field.extend(items)
    del graph.value_info[:]
    for place, axis in enumerate(graph.input[0].type.tensor_type.shape.dim):
        if not axis.HasField("dim_value") or axis.dim_value not in (1, 3) or place == 0:
            axis.dim_param = f"axis {place}"
    return model


def _open_batch(model: ModelProto, batch: int) -> None:
    """Takes the batch out of the constants of Reshape (0 stands for the size that comes in) and Resize."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*inferred.value_info, *inferred.input)
    }
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"
    }
    for index, node in enumerate(graph.node):
        place = {"Reshape": 1, "Resize": 3}.get(node.op_type, 0)
        if not place or len(node.input) <= place or node.input[place] not in constants:
            continue
        values, known = numpy_helper.to_array(constants[node.input[place]]).copy(), shapes.get(node.input[0], [])
        if not len(values) or values[0] != batch or not known or known[0] != batch:
            continue
        name = f"opened {index}"
        if node.op_type == "Reshape":
            values[0] = 0
            node.input[1] = name
            graph.initializer.append(numpy_helper.from_array(values, name))
        elif len(known) == len(values) and all(known):
            scales = (values / np.array(known)).astype(np.float32)
            node.input[2], node.input[3] = name, ""
            graph.initializer.append(numpy_helper.from_array(scales, name))


def _check_open(graph: NetworkGraph, network: OnnxNetwork, fed: NDArray[Any], expected: Answers) -> None:
    """Raises ExportError where the graph does not take a batch that the file does not."""
    try:
        session = onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])
        answer = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(fed)})[0]
        if graph.gives == "NHWC":
            answer = answer.transpose(0, 3, 1, 2)
        same = abs(answer.reshape(expected.shape) - expected).max() <= _OPEN_WITHIN * max(1, abs(expected).max())
    except Exception:  # noqa: BLE001 - ONNX Runtime has no public error class
        same = False
    if not same:
        raise ExportError(
            f"{network.name}: its batch is fixed at {network.batch}, and its operations do not take another. Export it "
            'anew with a dynamic batch: in torch.onnx.export dynamic_shapes={"image": {0: Dim("batch")}}, or '
            'dynamic_axes={"image": {0: "batch"}}.'
        )
