"""What these tests share."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from commands import Done, Run, save

from vesselrt import cli
from vesselrt.runtime.manifest import METADATA_KEY, Input, Manifest, Preparation, Provenance, Tile


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `vesselrt ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["vesselrt", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        captured = capsys.readouterr()
        return Done(code, *(re.sub(r"\x1b\[[0-9;]*m", "", text) for text in captured))

    return call


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose probability is the photograph's green channel / 255."""
    path = tmp_path_factory.mktemp("model") / "mirror.onnx"
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["value"], to=kind.FLOAT),
            helper.make_node("Div", ["value", "full"], ["probability"]),
        ],
        "mirror",
        [helper.make_tensor_value_info("image", kind.UINT8, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", kind.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor("full", kind.FLOAT, [], [255.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    manifest = Manifest(
        name="mirror",
        version="1.2.3",
        licence="CC0-1.0",
        description="Gives back what it sees.",
        preparation=Preparation(channels="green"),
        input=Input(mean=(0.0,), std=(1.0,)),
        tile=Tile(size=64, multiple=1, margin=0),
        threshold=0.4,
        provenance=Provenance(metrics={"elsewhere test": {"f1": 0.5}}),
    )
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def colours(mirror: Path) -> Path:
    """A model file that takes red for artery and green for vein."""
    path = mirror.with_name("colours.onnx")
    model = onnx.load(mirror)
    (props,) = model.metadata_props
    given = Manifest.from_json(props.value, source="mirror").model_dump(mode="json", exclude={"schema_version"})
    changed = {"preparation": {"channels": "rgb"}, "input": {"mean": [0] * 3, "std": [1] * 3}}
    manifest = Manifest.from_fields({**given, **changed, "classes": ["artery", "vein"]}, source="colours")
    helper, kind = onnx.helper, onnx.TensorProto
    graph = model.graph
    graph.node.append(helper.make_node("Slice", ["probability", "first", "last", "axis"], ["two"]))
    graph.initializer.extend(
        helper.make_tensor(n, kind.INT64, [1], [v]) for n, v in (("first", 0), ("last", 2), ("axis", 1))
    )
    graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind.UINT8, ["n", 3, "h", "w"]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("two", kind.FLOAT, ["n", 2, "h", "w"]))
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
    return path


# Evaluate


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A data set of two photographs, of which the mirror paints 6 of 8 vessel pixels and 2 beside them."""
    root = tmp_path / "eyes"
    for name in ("a", "b"):
        found, truth = np.zeros((8, 10)), np.zeros((8, 10))
        truth[2, 0:4] = 255
        found[2, 0:3] = 200
        found[5, 5] = 102
        found[7, 9] = 255  # outside the field of view
        inside = np.full((8, 10), 255)
        inside[7] = 0
        save(root / "images" / f"{name}.png", found.astype(np.uint8))
        for kind, mask in (("masks", truth), ("fov", inside)):
            (root / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(root / kind / f"{name}.png"), mask.astype(np.uint8))
    return root
