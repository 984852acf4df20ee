"""Networks that the recipes train. Each returns logits; normalisation and sigmoid are added at export."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class VesselNet(nn.Module):
    """A U-Net that works at half resolution: made for two CPU cores and for one TensorRT tile.

    The costly part of a U-Net is its convolutions at full resolution, with the fewest channels per
    memory access. Here a strided 4×4 convolution enters at half resolution, and at the end each of its
    pixels gives a block of 2×2 (Shi et al., 2016), so that fine vessels keep full-resolution input and
    output; skips are added, not concatenated (half the multiplications in the decoder); every operation
    is local (convolution, batch norm, ReLU), so a tiled result can equal the whole-image one.

    Input (N, C, H, W) float, H and W multiples of `stride`; output (N, 1, H, W) logits.
    """

    def __init__(self, channels: int = 1, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.stride = 2 ** len(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.encoder = nn.ModuleList(Residual(w) for w in widths)
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(Residual(w) for w in widths[:-1])
        # Not a transposed convolution: with one output channel it fills one of eight or more vector lanes.
        self.head = nn.Sequential(nn.Conv2d(widths[0], 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, widths[0], H/2, W/2)
        skips = []
        for block, down in zip(self.encoder[:-1], self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.encoder[-1](x)
        for block, up, skip in zip(self.decoder[::-1], self.up[::-1], skips[::-1], strict=True):
            x = block(torch.relu(up(x) + skip))
        logits: Tensor = self.head(x)  # (N, 1, H, W)
        return logits


class Residual(nn.Module):
    """Two 3×3 convolutions around which the input is added (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
