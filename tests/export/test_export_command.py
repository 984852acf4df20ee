"""`vesselrt export` of a module of one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporting import infer, manifest_of, noise, reference, tree
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from vesselrt.cli.models import describe_model
from vesselrt.export.sources.finding import source_from_callable
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError, ManifestError
from vesselrt.runtime.manifest import Provenance
from vesselrt.runtime.modelfile import read_manifest

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


Export = Callable[..., tuple[int, str, str]]


# The command line


OWN = ("--network", "ownnets.thin:build", "--manifest", "m.yaml", "-o", "new/own.onnx", "--weights")


def test_any_module_from_the_command_line(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, fundus_jpeg: bytes
) -> None:
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    before = tree(tmp_path)
    code, out, err = vesselrt_export(*OWN, "w.safetensors", "--photos", "eye.jpg", "--photos", "eye.jpg")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "new" / "own.onnx")
    assert out == describe_model(manifest) + "\n"
    assert "parity     f32: largest_difference " in out
    assert manifest.provenance.parity["f32"]["images"] == 5  # two photographs, three kinds of noise
    assert manifest.provenance.weights_sha256 == hash_weights(own.state_dict())
    pixels = noise(2, 3, 7, 5)
    assert infer(tmp_path / "new" / "own.onnx", pixels) == pytest.approx(reference(own, manifest, pixels), abs=1e-5)
    assert {p for p in tree(tmp_path) - before if "__pycache__" not in p} == {"new", "new/own.onnx"}


def test_any_module_to_fp16_in_one_step(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, fundus_jpeg: bytes
) -> None:
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    before = tree(tmp_path)
    code, _, err = vesselrt_export(*OWN, "w.pth", "--photos", "eye.jpg", "--precision", "fp16")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "new" / "own.onnx")
    assert manifest.precision == "fp16"
    assert manifest.provenance.parity["f32"]["images"] == manifest.provenance.parity["fp16"]["images"] == 4
    pixels = noise(2, 3, 7, 5)
    assert infer(tmp_path / "new" / "own.onnx", pixels) == pytest.approx(reference(own, manifest, pixels), abs=1e-2)
    assert {p for p in tree(tmp_path) - before if "__pycache__" not in p} == {"new", "new/own.onnx"}


def test_a_photograph_that_cannot_be_read(vesselrt_export: Export, own: nn.Module, tmp_path: Path) -> None:
    code, out, err = vesselrt_export(*OWN, "w.pth", "--photos", "gone.jpg")
    assert (code, out) == (1, "")
    assert err.startswith("error: gone.jpg: can't be read")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_every_kind(
    own: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: torch.dtype
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    weights = {k: v.to(kind) for k, v in own.state_dict().items()}
    (save_file if name.endswith(".safetensors") else torch.save)(weights, tmp_path / name)
    source = source_from_callable("ownnets.thin:build", tmp_path / name, tmp_path / "m.yaml")
    assert source.manifest.provenance.weights_sha256 == hash_weights(weights)
    assert source.manifest.model_copy(update={"provenance": Provenance()}) == manifest_of("rgb", multiple=1, margin=1)
    for key, value in source.network.state_dict().items():
        assert torch.equal(value, weights[key].float())
    assert (source.photographs, source.shift) == ([], 0)


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ({"weight": torch.zeros(1, 3, 3, 3)}, ["of 2 keys, 1 missing (bias)."]),
        (
            {"weight": torch.zeros(1, 3, 3, 3), "bias": torch.zeros(1), "head.bias": torch.zeros(1)},
            ["of 2 keys, 1 unexpected (head.bias)."],
        ),
        (
            {"weight": torch.zeros(1, 3, 5, 5), "bias": torch.zeros(1)},
            ["1 of another shape (weight: [1, 3, 5, 5] and not [1, 3, 3, 3])"],
        ),
        ({"weight": torch.zeros(1, 3, 3, 3), "bias": torch.zeros(1), "epoch": 3}, ["of 2 keys, 1 unexpected (epoch)."]),
    ],
)
def test_weights_that_do_not_fit_are_named(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, state: dict[str, Any], names: list[str]
) -> None:
    torch.save(state, tmp_path / "other.pth")
    code, out, err = vesselrt_export(*OWN, "other.pth")
    assert (code, out) == (1, "")
    assert err.startswith("error: other.pth: the weights do not fit the network: ")
    assert [name for name in names if name not in err] == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, DataError, "m.yaml: not a readable manifest"),
        ("name: [", DataError, "m.yaml: not a readable manifest"),
        ("", ManifestError, "m.yaml: the manifest is not valid: file: "),
        ("name: own", ManifestError, "m.yaml: the manifest is not valid: version: Field required; licence: Field"),
        ("schema_version: 3", ManifestError, "m.yaml: its manifest has schema 3, this vesselrt reads up to 2."),
    ],
)
def test_a_manifest_that_is_wrong(
    own: nn.Module, tmp_path: Path, text: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "m.yaml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    torch.save({}, tmp_path / "none.pth")
    with pytest.raises(error, match=re.escape(message)):
        source_from_callable("torch.nn:Identity", tmp_path / "none.pth", path)
