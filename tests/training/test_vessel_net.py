"""The network of the built-in model."""

import pytest
import torch
from torch import nn

from vesselrt.training.fit import recipe
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.networks import Residual, VesselNet


@pytest.mark.parametrize(("channels", "widths"), [(1, (4, 8)), (3, (4, 8, 8)), (1, (16, 32, 64, 128))])
def test_vessel_net_keeps_the_size(channels: int, widths: tuple[int, ...]) -> None:
    network = VesselNet(channels, widths).eval()
    assert network.stride == 2 ** len(widths)
    with torch.inference_mode():
        for height, width in ((network.stride, network.stride), (2 * network.stride, 5 * network.stride)):
            assert network(torch.zeros(2, channels, height, width)).shape == (2, 1, height, width)


LEVELS = [((2, 2, 2), (2, 2)), ((1, 0, 2), (0, 1)), ((0, 1, 1), (1, 1))]


@pytest.mark.parametrize(("encoder", "decoder"), LEVELS)
def test_vessel_net_has_the_convolutions_it_is_told(encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    network = VesselNet(1, (8, 12, 16), encoder, decoder).eval()
    square = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == m.out_channels]
    assert len(square) == sum(encoder) + sum(decoder)
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 16, 24)).shape == (2, 1, 16, 24)


def test_vessel_net_has_the_inner_channels_it_is_told() -> None:
    network = VesselNet(1, (8, 12), [2, 2], [2], inner=[4, 6])
    between = [m.first[0].out_channels for m in network.modules() if isinstance(m, Residual)]
    assert between == [4, 6, 4]
    with pytest.raises(ValueError, match=r"inner channels of 1 levels. Expected 2, as there are widths"):
        VesselNet(1, (8, 12), inner=[4])


def test_vessel_net_enlarges_by_copies_where_it_is_told() -> None:
    network = VesselNet(1, (4, 8, 8), encoder=[0, 0, 0], decoder=[0, 0], upsampling="nearest").eval()
    with torch.inference_mode():
        enlarged = network.up[0](torch.rand(1, 8, 6, 10))
        assert network(torch.zeros(2, 1, 16, 24)).shape == (2, 1, 16, 24)
    assert enlarged.shape == (1, 4, 12, 20)
    assert torch.equal(enlarged, enlarged[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    with pytest.raises(ValueError, match=r"upsampling 'cubic'\. Expected transposed or nearest"):
        VesselNet(1, (4, 8), upsampling="cubic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        ((2, 2), (2, 2), "convolutions of 2 and 2 levels. Expected 3 in the encoder and 2 in the decoder"),
        ((2, 2, 2), (2, 2, 2), "convolutions of 3 and 3 levels. Expected 3 in the encoder and 2 in the decoder"),
        ((), (2, 2), "convolutions of 0 and 2 levels. Expected 3 in the encoder and 2 in the decoder"),
        ((2, 2, 3), (2, 2), "3 convolutions at a level. Expected 0, 1 or 2"),
    ],
)
def test_convolutions_that_vessel_net_has_no_place_for(
    encoder: tuple[int, ...], decoder: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VesselNet(1, (4, 8, 16), encoder, decoder)


def test_vessel_net_sees_no_further_than_the_recipes_margin() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    network = checked.network.build().eval()
    for weight in network.parameters():
        nn.init.constant_(weight, 0.01)  # nothing cancels and no ReLU is shut: all that can be seen is seen
    pixels = torch.ones(1, len(checked.input.mean), 64, 2 * 256, requires_grad=True)
    network(pixels)[0, 0, :, 256].sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    radius = max(256 - int(seen.min()), int(seen.max()) - 256)
    assert 64 < radius <= checked.tile.margin
