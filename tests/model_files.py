"""What the tests of model files share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from vesselrt.runtime.errors import ModelError
from vesselrt.runtime.manifest import METADATA_KEY
from vesselrt.runtime.modelfile import read_manifest

FIELDS: dict[str, Any] = {
    "schema_version": 1,
    "name": "tiny",
    "version": "0.1",
    "licence": "CC0-1.0",
    "description": "Returns its input.",
    "preparation": {"channels": "green", "field_of_view": None},
    "input": {"mean": [0], "std": [1]},
    "tile": {"size": 64, "multiple": 16, "margin": 16},
}


GREEN = ("n", 1, "h", "w")


def write(
    path: Path,
    manifest: str | None,
    *,
    inputs: Sequence[tuple[int, Sequence[int | str]]] = ((TensorProto.UINT8, GREEN),),
    outputs: Sequence[tuple[int, Sequence[int | str]]] = ((TensorProto.FLOAT, GREEN),),
) -> Path:
    """An ONNX file whose outputs are its first input, cast, with this text as manifest."""
    names = [f"out{i}" for i in range(len(outputs))]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["in0"], [n], to=kind) for n, (kind, _) in zip(names, outputs, strict=True)],
        "tiny",
        [helper.make_tensor_value_info(f"in{i}", kind, axes) for i, (kind, axes) in enumerate(inputs)],
        [helper.make_tensor_value_info(n, kind, axes) for n, (kind, axes) in zip(names, outputs, strict=True)],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    if manifest is not None:
        helper.set_model_props(model, {METADATA_KEY: manifest})
    onnx.save(model, path)
    return path


def refused(error: type[ModelError], path: Path) -> str:
    with pytest.raises(error) as caught:
        read_manifest(path)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")
