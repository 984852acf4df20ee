"""An ONNX file that another program wrote → its network and the facts that its graph tells. Needs no torch.

A graph is data: no code of the file runs. Weights in other files are read from the file's own folder alone.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx.version_converter import convert_version

from vesselrt.export.foreign import OnnxNetwork
from vesselrt.export.fp16 import WEIGHTED
from vesselrt.export.sources.source import Found
from vesselrt.export.wrapping import Layout
from vesselrt.runtime.errors import DataError, first_line
from vesselrt.runtime.manifest import METADATA_KEY

ONNX_SUFFIX = ".onnx"
OLDEST_OPSET = 9
_LEAST_OPSET = 13
"""Of model files: INT8, bf16 and engines need operations of it."""
_TARGETS = (20, 18, _LEAST_OPSET)
_KINDS = {
    TensorProto.FLOAT: "float",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "double",
    TensorProto.UINT8: "uint8",
}
_LARGEST = (1 << 31) - 1
"""Bytes of a protobuf message, which a model file is."""


def read_onnx(path: Path) -> Found:
    """The network of a file with one image as its input.

    Raises DataError for a file that is damaged, is a model file already, holds what is not plain ONNX in float32, or
    keeps weights outside of its folder.
    """
    original = read_graph(path)
    graph = original.graph
    if any(entry.key == METADATA_KEY for entry in original.metadata_props):
        raise DataError(f"{path} is a model file of vesselrt already. See: vesselrt info {path}")
    _check_operations(original, path)
    _check_loads(original, path)
    model = _in_known_opset(original, path)
    images = graph.input
    if len(images) != 1:
        listed = ", ".join(f"{v.name} {shape_of(v)}" for v in images) or "none"
        raise DataError(f"{path}: has {len(images)} inputs ({listed}). Expected one image.")
    kind, axes = images[0].type.tensor_type.elem_type, _sizes(images[0])
    if len(axes) != 4 or kind not in _KINDS:
        named = TensorProto.DataType.Name(kind).lower()
        raise DataError(
            f"{path}: its input is {named} {shape_of(images[0])}. Expected (N, C, H, W) or (N, H, W, C), of "
            f"{', '.join(_KINDS.values())}."
        )
    takes = _layout(axes)
    batch, channels, height, width = axes if takes == "NCHW" else (axes[0], axes[3], axes[1], axes[2])
    if channels not in (None, 1, 3):
        raise DataError(f"{path}: its input {shape_of(images[0])} has {channels} channels. Expected 3 or 1.")
    if (height is None) != (width is None) or height != width:
        raise DataError(
            f"{path}: it takes {width or 'any'} × {height or 'any'} pixels. Expected both to vary, or a square. "
            "Export it anew."
        )
    network = OnnxNetwork(original, model, str(path), takes, batch)
    facts = {
        # A network that takes bytes scales them itself.
        "input": {"mean": [0.0] * (channels or 3), "std": [1.0] * (channels or 3)} if kind == TensorProto.UINT8 else {},
        "tile": {} if height is None else {"size": height, "fixed": True},
        "preparation": {"channels": "rgb"} if channels == 3 else {"channels": "green"} if channels == 1 else {},
        "provenance": {"recipe": f"ONNX file {path.name}"},
    }
    return Found(network, _hash_constants(original), facts, channels)


def read_graph(path: Path) -> ModelProto:
    """The graph of an ONNX file with all its weights inside. Raises DataError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # noqa: BLE001 - protobuf's error, of a library without type information
        raise DataError(f"{path}: not an ONNX file, or damaged. Export or copy it again.") from None
    if not model.graph.node:
        raise DataError(f"{path}: an ONNX file without operations. Export or copy it again.")
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            _load_external(tensor, path)
    if model.ByteSize() > _LARGEST:
        raise DataError(f"{path}: larger than 2 GB with its weights, which one file can't hold.")
    constants = {tensor.name for tensor in model.graph.initializer}
    own = [value for value in model.graph.input if value.name not in constants]  # as files of before 2019 list them
    del model.graph.input[:]
    model.graph.input.extend(own)
    model.ir_version = max(model.ir_version, 4)
    return model


def graph_ends(model: ModelProto) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Name, type and shape of each input and output, as far as shapes are known; a name stands for what may vary."""
    known = onnx.shape_inference.infer_shapes(model).graph

    def described(value: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = value.type.tensor_type
        shape = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
        return {"name": value.name, "type": TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}

    return [described(value) for value in known.input], [described(value) for value in known.output]


def shape_of(value: onnx.ValueInfoProto) -> str:
    """For people: (batch, 3, 512, 512)."""
    axes = value.type.tensor_type.shape.dim
    return f"({', '.join(str(d.dim_value) if d.HasField('dim_value') else d.dim_param or '?' for d in axes)})"


def opset_of(model: ModelProto) -> int:
    """Version of the standard operations."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _load_external(tensor: TensorProto, path: Path) -> None:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    folder = path.parent.resolve()
    if not (folder / location).resolve().is_relative_to(folder):
        raise DataError(
            f"{path}: its weight {tensor.name} lies in {location}, outside of the file's folder, and is not read. Put "
            "it beside the file, and export that anew."
        )
    try:
        load_external_data_for_tensor(tensor, str(folder))
    except Exception as error:  # noqa: BLE001 - onnx has errors of several kinds for it
        raise DataError(
            f"{path}: its weight {tensor.name} can't be read from {location} ({first_line(error)[:160]}). Keep the two "
            "files together."
        ) from None


def _check_operations(model: ModelProto, path: Path) -> None:
    """Raises DataError for operations or types that a model file must not hold."""
    domains = {node.domain for node in model.graph.node} - {"", "ai.onnx"} - {f.domain for f in model.functions}
    if domains:
        named = next(node for node in model.graph.node if node.domain in domains)
        raise DataError(
            f"{path}: holds {named.op_type} of {named.domain}, which is not plain ONNX. Take the file as it was before "
            "ONNX Runtime or another tool optimised it."
        )
    kinds = {node.op_type for node in model.graph.node}
    if quantized := sorted(k for k in kinds if "Quantize" in k or k.startswith("QLinear") or k.endswith("Integer")):
        raise DataError(f"{path}: is quantized ({quantized[-1]}). Take the float32 file: vesselrt convert quantizes.")
    half = {t.name for t in model.graph.initializer if t.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)}
    if any(half.intersection(node.input) for node in model.graph.node if node.op_type in WEIGHTED):
        raise DataError(f"{path}: its weights are 16 bits. Take the float32 file; vesselrt convert makes FP16 of it.")


def _check_loads(model: ModelProto, path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
        raise DataError(f"{path}: ONNX Runtime can't load it ({first_line(error)[:200]}). Export it anew.") from None


def _in_known_opset(model: ModelProto, path: Path) -> ModelProto:
    found = opset_of(model)
    if found >= _LEAST_OPSET:
        return model
    reason = f"Expected {OLDEST_OPSET} or later"
    if found >= OLDEST_OPSET:
        for target in _TARGETS:
            try:
                converted: ModelProto = convert_version(model, target)
                if found < 11:
                    _keep_resizing(converted)
                onnx.checker.check_model(converted, full_check=True)
            except Exception as error:  # noqa: BLE001 - the converter has errors of several kinds
                reason = f"It can't be brought to {target}: {first_line(error)[:160].rstrip('.')}"
            else:
                return converted
    raise DataError(f"{path}: is of opset {found}. {reason}. Export it anew, with opset 17 for example.")


def _keep_resizing(model: ModelProto) -> None:
    """Until opset 10 Resize and Upsample computed places in one way alone; the converter leaves it at that of today."""
    for node in model.graph.node:
        if node.op_type == "Resize" and not any(a.name == "coordinate_transformation_mode" for a in node.attribute):
            ways = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            node.attribute.extend(onnx.helper.make_attribute(name, way) for name, way in ways.items())


def _sizes(value: onnx.ValueInfoProto) -> list[int | None]:
    axes = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in axes]


def _layout(axes: list[int | None]) -> Layout:
    return "NHWC" if axes[3] in (1, 3) and axes[1] not in (1, 3) else "NCHW"


def _hash_constants(model: ModelProto) -> str:
    """sha256 over names and values of all constants with a name, in name order."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda t: t.name):
        digest.update(tensor.name.encode())
        digest.update(numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()
