"""A function that fills the network itself needs no --weights; one that does not is found out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from sources import FIELDS

from vesselrt.export.sources.finding import source_from_callable
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError

CODE = """
import torch
from torch import nn

def filled():
    network = nn.Conv2d(3, 1, 3, padding=1)
    network.load_state_dict({"weight": torch.full((1, 3, 3, 3), 0.1), "bias": torch.zeros(1)})
    return network

def random():
    return nn.Conv2d(3, 1, 3, padding=1)
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    (tmp_path / "factories.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)

    def write(**said: object) -> Path:
        (tmp_path / "m.yaml").write_text(yaml.safe_dump({**FIELDS, **said}))
        return tmp_path / "m.yaml"

    return write


def test_the_provenance_says_who_filled_the_network(manifest: Callable[..., Path]) -> None:
    source = source_from_callable("factories:filled", None, manifest())
    assert source.manifest.provenance.recipe == "(weights: those that factories:filled gives)"
    assert source.manifest.provenance.weights_sha256 == hash_weights(source.network.state_dict())
    source = source_from_callable("factories:filled", None, manifest(provenance={"recipe": "Ours."}))
    assert source.manifest.provenance.recipe == "Ours. (weights: those that factories:filled gives)"


def test_random_weights_are_no_trained_ones(manifest: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="factories:random has other weights each time it is built: they are random"):
        source_from_callable("factories:random", None, manifest())
