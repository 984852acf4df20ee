"""Weights as people keep them: read without running code, and told why they do not fit."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from vesselrt.export.weights import fill_network, hash_weights, load_weights
from vesselrt.runtime.errors import DataError

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


Export = Callable[..., tuple[int, str, str]]


# Weights


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    torch.save({"weight": Trap(mark)}, tmp_path / "w.pth")
    with pytest.raises(
        DataError, match=r"w\.pth: not a weights file that can be read safely \(it holds getattr, which runs code\)"
    ):
        load_weights(tmp_path / "w.pth")
    assert not mark.exists()
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert mark.exists()  # the trap is one


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [None, b"", b"no weights", b"PK\x03\x04 no zip"])
def test_a_file_without_weights_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{re.escape(name)}: not a weights file that can be read safely \([^\n]+\)"):
        load_weights(tmp_path / name)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.net."])
def test_what_a_wrapper_put_before_every_name_is_taken_off(prefix: str) -> None:
    network, source = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), Path("w.pth")
    weights = {prefix + name: torch.full_like(value, 3) for name, value in network.state_dict().items()}
    fill_network(network, weights, source)
    assert all((value == 3).all() for value in network.state_dict().values())


def test_of_a_lightning_file_the_networks_own_weights_are_taken() -> None:
    network = nn.Conv2d(1, 2, 3)
    weights = {f"model.{name}": torch.ones_like(value) for name, value in network.state_dict().items()}
    fill_network(network, {**weights, "loss.pos_weight": torch.ones(1)}, Path("w.ckpt"))
    assert (network.weight == 1).all()


def test_a_checkpoint_that_holds_more_than_tensors_says_what(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hparams": argparse.Namespace(a=1)}, tmp_path / "w.ckpt")
    with pytest.raises(DataError, match=r"\(it holds argparse\.Namespace, which runs code\)\. Save it with") as caught:
        load_weights(tmp_path / "w.ckpt")
    assert "\n" not in str(caught.value)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth: holds a list"):
        load_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["network", "state_dict", "model", "model_state_dict", "network_weights", "net", None])
def test_weights_alone_or_in_a_checkpoint(tmp_path: Path, key: str | None) -> None:
    weights = {"shift": torch.tensor([1.0, 2.0]), "scale": torch.tensor(3.0)}
    torch.save(weights if key is None else {key: weights, "shift": 0.25, "step": 7}, tmp_path / "w.pt")
    loaded, shift = load_weights(tmp_path / "w.pt")
    assert shift == (None if key is None else 0.25)  # beside the weights it is the calibration, among them a weight
    assert set(loaded) == {"shift", "scale"}
    assert torch.equal(loaded["shift"], weights["shift"])


def test_of_several_dicts_the_one_with_tensors_is_taken(tmp_path: Path) -> None:
    weights = {"scale": torch.tensor(3.0)}
    torch.save({"network": {"widths": [8, 16]}, "model": "unet", "state_dict": weights}, tmp_path / "w.pt")
    assert load_weights(tmp_path / "w.pt")[0] == weights


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({0: torch.zeros(1)}, "names a weight 0. Expected names of parameters"),
        ({"model": {"a": torch.zeros(1), ("b",): torch.zeros(1)}}, r"names a weight \('b',\). Expected"),
        ({"network": {}, "shift": "x"}, "its shift is x. Expected a number"),
        ({"network": {}, "shift": None}, "its shift is None. Expected a number"),
        ({"network": {}, "shift": torch.zeros(2)}, r"its shift is tensor\(\[0., 0.\]\). Expected a number"),
        ({"network": {}, "shift": float("nan")}, "its shift is nan. Expected a number"),
    ],
)
def test_a_checkpoint_that_is_odd_is_named(tmp_path: Path, state: dict[Any, Any], message: str) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DataError, match=rf"w\.pt: {message}"):
        load_weights(tmp_path / "w.pt")


def test_the_hash_is_of_names_and_values() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(1)
    known = hash_weights({"a": a, "b": b})
    assert re.fullmatch("[0-9a-f]{64}", known)
    assert hash_weights({"b": b.clone(), "a": a.T.contiguous().T}) == known  # order and layout do not matter
    others = [{"a": a, "c": b}, {"a": a, "b": b + 1}, {"a": -a, "b": b}, {"a": a.to(torch.bfloat16), "b": b}]
    assert len({known, *map(hash_weights, others)}) == 5
