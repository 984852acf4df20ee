"""`vesselrt info`: what a file is, and what to type next."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import onnx
from foreign_graphs import (
    convolution,
    export_graph,
    network,
)
from onnx import helper

from vesselrt.cli.models import describe_model
from vesselrt.runtime.modelfile import find_model_file, list_models, read_manifest

Vesselrt = Callable[[str], tuple[int, str, str]]


def test_json_of_a_foreign_file_is_whole(vesselrt: Vesselrt, tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    code, out, _ = vesselrt("vesselrt info net.onnx --json")
    assert code == 0
    told = json.loads(out)
    assert told["kind"] == "onnx"
    assert told["inputs"] == [{"name": "picture", "type": "float", "shape": ["n", 3, "h", "w"]}]
    assert told["opset"] == 17
    assert told["next"] == ["vesselrt export net.onnx -m manifest.yaml -o net-model.onnx"]
    assert told["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert told["sha256"] == hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest()


def test_a_foreign_file_for_people(vesselrt: Vesselrt, tmp_path: Path) -> None:
    nodes = [*convolution(1, "mask"), helper.make_node("Relu", ["mask"], ["other"])]
    onnx.save(network(nodes, outputs=("mask", "other")), tmp_path / "net.onnx")
    code, out, err = vesselrt("vesselrt info net.onnx")
    assert (code, err) == (0, "")
    assert re.sub(r"unk__\d+, unk__\d+", "rows, columns", out).splitlines()[:4] == [
        "net.onnx: an ONNX file, without a manifest",
        "  takes      picture float (n, 3, h, w)",
        "  gives      mask float (n, 1, rows, columns)",
        "  gives      other float (n, 1, rows, columns)",
    ]
    assert out.splitlines()[-1].split() == [
        *("next", "vesselrt", "export", "net.onnx", "-m", "manifest.yaml", "--pick", "mask", "-o", "net-model.onnx")
    ]


def test_a_model_file_and_a_built_in_model(vesselrt: Vesselrt, tmp_path: Path) -> None:
    path = export_graph(network(), tmp_path)
    code, out, err = vesselrt("vesselrt info m.onnx --json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["kind"], told["precision"]) == ("model", "f32")
    assert told["manifest"] == read_manifest(path).model_dump(mode="json")
    assert told["outputs"] == [{"name": "probability", "type": "float", "shape": ["batch", 1, "height", "width"]}]
    code, out, err = vesselrt("vesselrt info fundus")
    assert (code, err) == (0, "")
    assert out.startswith(describe_model(read_manifest(find_model_file("fundus"))))
    assert "next       vesselrt predict photo.jpg --model fundus\n" in out


def test_what_is_no_such_file(vesselrt: Vesselrt, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff no model")
    for name, message in (
        ("photo.jpg", "photo.jpg: not an ONNX file, or damaged."),
        ("gone", "no model gone: neither"),
    ):
        code, out, err = vesselrt(f"vesselrt info {name}")
        assert (code, out) == (1, "")
        assert err.startswith(f"error: {message}")


def test_the_built_in_models_as_json(vesselrt: Vesselrt) -> None:
    code, out, err = vesselrt("vesselrt models --json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {name: manifest.model_dump(mode="json") for name, manifest in list_models().items()}
