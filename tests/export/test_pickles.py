"""Files that are programs are refused, and told what they are; nothing of them runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from exporting import thin
from sources import Trap
from torch import Tensor, nn

from vesselrt.export.sources.pickles import refuse_pickle

Run = Callable[[str], tuple[int, str, str]]


class Doubling(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image * 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_a_program(vesselrt: Run, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(Doubling(), torch.zeros(1, 3, 8, 8)), tmp_path / "net.pt")
    code, out, err = vesselrt("vesselrt export net.pt -m network.yaml -o m.onnx")
    assert (code, out) == (1, "")
    assert err.startswith("error: net.pt is TorchScript, a program, and no code of a source is run.")
    assert 'torch.onnx.export(torch.jit.load("net.pt"), ' in err


def test_a_pickled_network_is_a_program(tmp_path: Path) -> None:
    torch.save(thin(), tmp_path / "net.pth")
    message = str(refuse_pickle(tmp_path / "net.pth"))
    assert "holds pickled objects (torch.nn.modules.conv.Conv2d), a program" in message
    mark = tmp_path / "it ran"
    torch.save(Trap(mark), tmp_path / "trap.pt")
    assert "a program" in str(refuse_pickle(tmp_path / "trap.pt"))
    assert not mark.exists()


def test_weights_alone_are_no_network(tmp_path: Path) -> None:
    torch.save(thin().state_dict(), tmp_path / "w.pth")
    assert "holds weights and no network. Name the function" in str(refuse_pickle(tmp_path / "w.pth"))
