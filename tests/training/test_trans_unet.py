"""TransUNet: its windows, its arguments, and that each pixel sees the whole window."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from vesselrt.runtime.errors import DataError
from vesselrt.training.fit.recipe import NetworkFactory
from vesselrt.training.networks import TransUNet

TINY: dict[str, Any] = {"channels": 1, "tile": 64, "widths": [4, 8, 8, 8], "embedding": 12, "depth": 2, "heads": 3}
pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_default_trans_unet_is_small() -> None:
    network = TransUNet()
    assert 2_000_000 < sum(p.numel() for p in network.parameters()) < 4_000_000
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)


def test_a_window_of_another_size_is_named_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"a window of 64 × 80 pixels. Expected 64 × 64, and no other"):
        TransUNet(**TINY)(torch.zeros(1, 1, 64, 80))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 100}, "tile 100. Expected pixels, a multiple of 16"),
        ({"tile": 0}, "tile 0. Expected pixels, a multiple of 16"),
        ({"widths": [4, 8]}, "2 widths. Expected 4, for strides 2, 4, 8 and 16"),
        ({"heads": 5}, "embedding 12 can't be shared by 5 heads. Expected a multiple of heads"),
    ],
)
def test_what_there_is_no_trans_unet_of(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        NetworkFactory(factory="vesselrt.training.networks:TransUNet", arguments={**TINY, **arguments}).build()


def test_its_layers_are_those_of_torch() -> None:
    """torch.nn.TransformerEncoderLayer with the same weights gives the same."""
    from vesselrt.training.networks import _TransformerLayer

    torch.manual_seed(0)
    ours, theirs = (
        _TransformerLayer(12, 3),
        nn.TransformerEncoderLayer(12, 3, 48, 0, "gelu", batch_first=True, norm_first=True),
    )
    norm, wide, _, narrow = ours.perceptron
    for mine, copy in (
        (ours.before, theirs.norm1),
        (ours.out, theirs.self_attn.out_proj),
        (norm, theirs.norm2),
        (wide, theirs.linear1),
        (narrow, theirs.linear2),
    ):
        for weight in mine.parameters():
            nn.init.normal_(weight)
        copy.load_state_dict(mine.state_dict())
    theirs.self_attn.in_proj_weight.data.copy_(ours.qkv.weight)
    assert theirs.self_attn.in_proj_bias is not None
    theirs.self_attn.in_proj_bias.data.copy_(nn.init.normal_(ours.qkv.bias))
    tokens = torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_every_pixel_sees_the_whole_window() -> None:
    torch.manual_seed(0)
    network, pixels = TransUNet(**TINY).eval(), torch.rand(1, 1, 64, 64, requires_grad=True)
    network(pixels)[0, 0, 2, 3].backward()
    assert pixels.grad is not None
    cells = pixels.grad.abs().reshape(4, 16, 4, 16).amax((1, 3))
    assert (cells > 0).all()


def test_each_level_reaches_the_head() -> None:
    """Fusion: without what it takes from a level, the logits are others."""
    torch.manual_seed(0)
    network, pixels = TransUNet(**TINY).eval(), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        whole = network(pixels)
        for part in network.project:
            assert isinstance(part, nn.Conv2d)
            kept = part.weight.clone()
            part.weight.zero_()
            assert not torch.allclose(network(pixels), whole)
            part.weight.copy_(kept)
        assert torch.equal(network(pixels), whole)


def test_it_learns_to_see_a_line() -> None:
    torch.manual_seed(0)
    network = TransUNet(**TINY)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    truth = torch.zeros(2, 1, 64, 64)
    truth[0, :, 20:23], truth[1, :, :, 40:43] = 1, 1
    pixels = 0.3 * torch.rand(2, 1, 64, 64) + truth
    losses = []
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(network(pixels), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 < losses[0] / 3
