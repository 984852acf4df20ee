"""What a graphics card needs for a photograph at the least: arithmetic on the model file and the card's data sheet.

    python -m vesselrt.benchmarks.floor [PHOTO] --json floor.json

Nothing is run, so no GPU is needed, and the figures are no measurement. Of each operation of the graph, at the shapes
of one tile or of the photograph's windows (the roofline: Williams, Waterman, Patterson, Communications of the ACM 52,
2009):

    time >= max(operations / rate of the tensor cores, bytes / bandwidth of the memory)

- Operations are 2 × the multiply-adds of convolutions, plain and transposed; those with the zeros of a padding count.
  Pixelwise operations count for their bytes alone.
- Values inside the network have 2 bytes (FP16), its pixels and its probabilities 1.
- Layer by layer: every operation reads its inputs from memory and writes its result there. What fuses none of them
  can't be faster.
- Fused: the network's input, its weights and its result pass through memory once. Nothing can be faster.
- Copies: pixels to the card, probabilities back, at the rate of the link, one after the other.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesselrt.benchmarks.reports import JsonReport, describe_model_file
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import MissingExtraError, ModelError, as_command
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from onnx import ValueInfoProto

SCHEMA = 1
TARGET = 150.0
"""ms for a photograph, bytes to bytes, on the RTX 2080 Ti: the project's aim."""

_WEIGHTED = {"Conv", "ConvTranspose"}
_UNCOUNTED = {"Attention", "Einsum", "GRU", "Gemm", "If", "LSTM", "Loop", "MatMul", "RNN", "Scan"}
"""Kinds with multiply-adds, or with graphs inside, that are not counted here."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Card:
    """A graphics card's data sheet."""

    name: str
    rates: dict[str, float]
    """Type that the tensor cores add up in → operations a second on dense FP16."""
    bandwidth: float
    """Of its memory, bytes a second."""
    link: float
    """To the host, bytes a second in one direction."""


RTX_2080_TI = Card("GeForce RTX 2080 Ti", {"FP16": 113.8e12, "FP32": 56.9e12}, 616e9, 16 * 8e9 * 128 / 130 / 8)
"""NVIDIA, Turing GPU Architecture (whitepaper WP-09183-001, 2018), Founders Edition: peak FP16 Tensor TFLOPS with FP16
and with FP32 accumulate, which GeForce cards do at half the rate, and 616 GB/s. The first figure is 68 SMs × 8 tensor
cores × 64 multiply-adds × 2 × 1635 MHz, the boost clock; a card that runs faster than that has as much more.
PCIe 3.0: 16 lanes × 8 GT/s, of 130 bits 128 are data."""


@dataclass(frozen=True)
class Layer:
    """One operation of the graph, for all windows of an image."""

    name: str
    """Of its result."""
    kind: str
    operations: int
    weights: int
    """Bytes of constants that it reads."""
    activations: int
    """Bytes of other values that it reads and writes."""

    def seconds(self, rate: float, bandwidth: float) -> float:
        """Its floor."""
        return max(self.operations / rate, (self.weights + self.activations) / bandwidth)


@dataclass(frozen=True)
class ImageWork:
    """What one image costs, on any card."""

    windows: Shape
    """(N, C, h, w)."""
    layers: list[Layer]
    weights: int
    """Bytes of the constants, each once."""
    ends: int
    """Bytes of the network's input and result."""

    @property
    def operations(self) -> int:
        return sum(layer.operations for layer in self.layers)


@dataclass(frozen=True)
class Floor:
    """The least time of an image on a card, in milliseconds, for one type that the tensor cores add up in."""

    layer_by_layer: float
    fused: float

    @classmethod
    def of(cls, work: ImageWork, rate: float, bandwidth: float) -> "Floor":
        fused = max(work.operations / rate, (work.ends + work.weights) / bandwidth)
        return cls(1e3 * sum(layer.seconds(rate, bandwidth) for layer in work.layers), 1e3 * fused)


@dataclass(frozen=True)
class FloorReport(JsonReport):
    """Times are in milliseconds, sizes in bytes."""

    schema: int
    model: dict[str, str | float]
    """As in `reports.MeasurementReport`."""
    card: Card
    image: str
    """The photograph's file name, or `one tile`."""
    work: ImageWork
    floors: dict[str, Floor]
    """Type that the tensor cores add up in → floor of the network."""
    copies: float
    target: float

    @classmethod
    def of(cls, path: Path, photo: Path | None, card: Card = RTX_2080_TI) -> "FloorReport":
        """Raises ModelError for a graph that can't be counted, ImageError, MissingExtraError without onnx."""
        manifest = read_manifest(path)
        tile = manifest.tile.size
        windows = (1, manifest.channel_count, tile, tile) if photo is None else count_windows(photo, manifest)
        work = count_work(path, windows)
        return cls(
            schema=SCHEMA,
            model=describe_model_file(path, manifest),
            card=card,
            image="one tile" if photo is None else photo.name,
            work=work,
            floors={name: Floor.of(work, rate, card.bandwidth) for name, rate in card.rates.items()},
            copies=1e3 * work.ends / card.link,
            target=TARGET,
        )

    def table(self) -> str:
        """For the terminal: a row for each kind of layer, then the image."""
        work, card, names = self.work, self.card, list(self.floors)
        count, channels, height, width = work.windows
        kinds: dict[str, list[Layer]] = defaultdict(list)
        for layer in work.layers:
            kinds[layer.kind].append(layer)
        kinds["layer by layer"] = work.layers
        rows = []
        for kind, layers in kinds.items():
            times = [1e3 * sum(layer.seconds(r, card.bandwidth) for layer in layers) for r in card.rates.values()]
            moved = (sum(layer.weights for layer in layers), sum(layer.activations for layer in layers))
            rows.append(_layer_row(kind, layers, moved, times))
        rows.append(
            _layer_row("fused", work.layers, (work.weights, work.ends), [f.fused for f in self.floors.values()])
        )
        rows.append(["copies", "", "", "", f"{work.ends / 1e6:.2f}", *[f"{self.copies:.3f}"] * len(names)])
        titles = ["", "layers", "GFLOP", "weights MB", "values MB", *(f"ms, {name}" for name in names)]
        lines = [
            f"{self.model['name']} {self.model['version']} on a {card.name}, on paper: nothing was run",
            f"{self.image}: {count} window(s) of {height} × {width} × {channels}; added up in {' or '.join(names)}",
            "",
            render_table(titles, rows),
            "",
            f"fused and copies: {', '.join(self._share(name) for name in names)} of {self.target:g} ms",
        ]
        return "\n".join(lines)

    def _share(self, name: str) -> str:
        total = self.floors[name].fused + self.copies
        return f"{total:.3f} ms ({name}) = {total / self.target:.2%}"


def _layer_row(title: str, layers: list[Layer], moved: tuple[int, int], times: list[float]) -> list[str]:
    """`moved`: bytes of weights and of other values."""
    operations = sum(layer.operations for layer in layers)
    figures = (f"{operations / 1e9:.3f}", f"{moved[0] / 1e6:.3f}", f"{moved[1] / 1e6:.2f}")
    return [title, str(len(layers)), *figures, *(f"{t:.3f}" for t in times)]


def count_windows(photo: Path, manifest: Manifest) -> Shape:
    """(N, C, h, w) of all windows that a photograph is cut into. Raises ImageError."""
    backend = FakeBackend()
    Segmenter(manifest, backend).segment(photo)
    return (sum(shape[0] for shape in backend.shapes), *backend.shapes[0][1:])


def count_work(path: Path, windows: Shape, value_bytes: int = 2) -> ImageWork:
    """The operations and bytes of a model file's graph on windows of (N, C, h, w). Values inside have `value_bytes`.

    Raises ModelError for an operation that is not counted or a shape that can't be inferred, MissingExtraError.
    """
    try:
        import onnx
        from onnx.inliner import inline_local_functions
    except ModuleNotFoundError:
        raise MissingExtraError.of("counting what a model computes", "engines") from None
    model = inline_local_functions(onnx.load(path))
    graph = model.graph
    unknown = sorted({node.op_type for node in graph.node} & _UNCOUNTED)
    if unknown:
        raise ModelError(f"{path}: the operations of {', '.join(unknown)} are not counted here, only convolutions.")
    for side, length in zip(graph.input[0].type.tensor_type.shape.dim, windows, strict=True):
        side.dim_value = length
    for described in graph.output:
        described.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {v.name: _shape_of(v, path) for v in (*inferred.input, *inferred.output, *inferred.value_info)}
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    constants |= {node.output[0]: shapes[node.output[0]] for node in graph.node if node.op_type == "Constant"}
    ends = {graph.input[0].name, graph.output[0].name}
    shapes |= constants

    def size(names: set[str]) -> int:
        return sum(math.prod(shapes[name]) * (1 if name in ends else value_bytes) for name in names)

    layers, weights = [], set[str]()
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        read = {name for name in node.input if name}
        moved = (read - constants.keys()) | {name for name in node.output if name}
        layers.append(
            Layer(
                node.output[0],
                node.op_type,
                _count_operations(node, shapes),
                size(read & constants.keys()),
                size(moved),
            )
        )
        weights |= read & constants.keys()
    return ImageWork(tuple(windows), layers, size(weights), size(ends))


def _count_operations(node: Any, shapes: dict[str, Shape]) -> int:
    """Each output pixel of a convolution, each input pixel of a transposed one, meets every weight of its channel."""
    if node.op_type not in _WEIGHTED:
        return 0
    pixels = node.output[0] if node.op_type == "Conv" else node.input[0]
    return 2 * math.prod(shapes[pixels]) * math.prod(shapes[node.input[1]][1:])


def _shape_of(value: "ValueInfoProto", path: Path) -> Shape:
    sides = value.type.tensor_type.shape.dim
    if not all(side.HasField("dim_value") for side in sides):
        raise ModelError(f"{path}: the shape of {value.name} does not follow from the size of the windows.")
    return tuple(side.dim_value for side in sides)


@app.command()
def floor_command(
    photo: Annotated[Path | None, typer.Argument(help="Photograph; default: one tile of the model.")] = None,
    model: Annotated[str | None, typer.Option(help="Built-in model or model file; default: fundus.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures, of every layer too, to this file.")] = None,
) -> None:
    """Compute what an RTX 2080 Ti needs for an image at the least. Nothing is run: no GPU is needed."""
    report = FloorReport.of(find_model_file(model), photo)
    typer.echo(report.table())
    report.write(json)


def main() -> None:
    """`python -m vesselrt.benchmarks.floor`: errors become one line and exit code 1."""
    with as_command():
        app()


if __name__ == "__main__":
    main()
