"""Of a network that gives several things the one that holds the mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from exporting import infer, manifest_of, noise, reference, thin
from torch import Tensor, nn

from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.reference import pick_tensor
from vesselrt.runtime.errors import ExportError

MASK, DEEP = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)


class Pair(NamedTuple):
    mask: Tensor
    deep: Tensor


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor | None = None


@pytest.mark.parametrize(
    ("answer", "pick"),
    [
        (MASK, None),
        ({"out": MASK}, None),  # the only one
        ([MASK], None),
        ({"out": MASK, "aux": DEEP}, "out"),
        ({"out": MASK, "aux": DEEP}, "0"),
        ({0: DEEP, 1: MASK}, "1"),
        ([DEEP, MASK], "-1"),
        ((DEEP, MASK), "1"),
        (Pair(MASK, DEEP), "0"),
        (Pair(MASK, DEEP), "mask"),
        (Answer(MASK), "logits"),
        (Answer(MASK), None),
    ],
)
def test_key_attribute_or_index(answer: Any, pick: str | None) -> None:
    assert pick_tensor(answer, pick) is MASK


@pytest.mark.parametrize(
    ("answer", "pick", "message"),
    [
        (
            {"out": MASK, "aux": DEEP, "loss": torch.zeros(())},
            None,
            r"^the network gives a dict: out \(1, 2, 8, 8\), aux \(1, 2, 4, 4\), loss \(\)\. Say .*: --pick out or",
        ),
        ([MASK, DEEP], "2", r"gives a list: 0 \(1, 2, 8, 8\), 1 .*\. --pick 2 is none of them\. Say which"),
        ({"loss": torch.zeros(3)}, "loss", r"--pick loss is \(3\)\. Expected a tensor \(N, K, H, W\) in it\."),
        (MASK, "out", r"gives one tensor, and --pick out does not belong to it\. Leave it out\."),
        (torch.zeros(3, 3), None, r"gives a tensor of 2 dimensions\."),
        (None, None, r"gives a NoneType: nothing that can be named\. Expected a tensor"),
        ([MASK, DEEP], "append", r"--pick append is none of them"),
    ],
)
def test_what_there_is_is_listed(answer: Any, pick: str | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        pick_tensor(answer, pick)


class Deep(nn.Module):
    """A mask and a smaller one, as deep supervision has them."""

    def __init__(self) -> None:
        super().__init__()
        self.look = thin()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        mask = self.look(image)
        return {"deep": nn.functional.avg_pool2d(mask, 2), "out": mask}


def test_a_network_of_several_outputs_is_exported(tmp_path: Path) -> None:
    manifest, network, pixels = manifest_of("rgb"), Deep(), noise(2, 3, 8, 12)
    export_model(network, manifest, tmp_path / "m.onnx", [], Head(pick="out"))
    assert infer(tmp_path / "m.onnx", pixels) == pytest.approx(reference(network.look, manifest, pixels), abs=1e-5)


def test_a_smaller_output_is_told_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"gives \(1, 1, 20, 24\) for \(1, 3, 40, 48\)\. Expected it as high and as wide"
    ):
        export_model(Deep(), manifest_of("rgb"), tmp_path / "m.onnx", [], Head(pick="deep"))


def test_several_channels_and_a_calibration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, manifest, pixels = nn.Conv2d(3, 3, 3, padding=1), manifest_of("rgb"), noise(2, 3, 8, 12)
    head = Head("softmax", vessel=1, shift=0.75)
    export_model(network, manifest, tmp_path / "m.onnx", [], head)
    logits = network((torch.from_numpy(pixels) / 255 - 0.3) / 0.2) + torch.tensor([0, 0.75, 0])[:, None, None]
    expected = logits.softmax(1)[:, 1:2].detach().numpy()
    assert infer(tmp_path / "m.onnx", pixels) == pytest.approx(expected, abs=1e-5)
