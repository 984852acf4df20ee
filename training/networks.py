"""Networks that the recipes train. Each returns logits; normalisation and sigmoid are added at export."""

import re
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vesselrt.runtime.errors import DataError, first_line

BACKBONES = tuple(f"efficientnet-b{size}" for size in range(8))


class VesselNet(nn.Module):
    """A U-Net that works at half resolution: made for two CPU cores and for one TensorRT tile.

    The costly part of a U-Net is its convolutions at full resolution, with the fewest channels per memory access. Here
    a strided 4×4 convolution enters at half resolution, and at the end each of its pixels gives a block of 2×2 (Shi et
    al., 2016), so that fine vessels keep full-resolution input and output; skips are added, not concatenated (half the
    multiplications in the decoder); every operation is local, so a tiled result can equal the whole-image one.

    `encoder` and `decoder` are the 3×3 convolutions of each level, from the finest: 2 are a residual block, 1 trains as
    several branches (`Branched`), 0 is none. Left out: 2 everywhere. The coarsest level belongs to the encoder.
    `inner` are the channels between the two convolutions of a residual block, of each level; left out: as `widths`.
    `upsampling`: `transposed`, each pixel gives a block of 2×2 of its own; or `nearest`, four copies, which the skip
    alone tells apart: in INT8 on a CPU, laying out blocks costs more than computing them.

    Input (N, C, H, W) float, H and W multiples of `stride`; output (N, `logits`, H, W): a channel of each class, and of
    classes that exclude each other one of the background before them.

    Raises ValueError for other levels than `widths` has, another number of convolutions, or another upsampling.
    """

    def __init__(  # noqa: PLR0913 - the parts of its shape
        self,
        channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128),
        encoder: Sequence[int] | None = None,
        decoder: Sequence[int] | None = None,
        *,
        inner: Sequence[int] | None = None,
        logits: int = 1,
        upsampling: Literal["transposed", "nearest"] = "transposed",
    ) -> None:
        super().__init__()
        encoder = [2] * len(widths) if encoder is None else encoder
        decoder = [2] * (len(widths) - 1) if decoder is None else decoder
        if (len(encoder), len(decoder)) != (len(widths), len(widths) - 1):
            raise ValueError(
                f"convolutions of {len(encoder)} and {len(decoder)} levels. Expected {len(widths)} in the encoder and "
                f"{len(widths) - 1} in the decoder, as there are {len(widths)} widths"
            )
        inner = widths if inner is None else inner
        if len(inner) != len(widths):
            raise ValueError(f"inner channels of {len(inner)} levels. Expected {len(widths)}, as there are widths")
        self.stride = 2 ** len(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.encoder = nn.ModuleList(map(_level_block, widths, encoder, inner))
        self.down = nn.ModuleList(_conv_block(a, b, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_upsampling(b, a, upsampling) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(map(_level_block, widths, decoder, inner))
        # Not a transposed convolution: with one output channel it fills one of eight or more vector lanes.
        self.head = nn.Sequential(nn.Conv2d(widths[0], 4 * logits, 3, padding=1), nn.PixelShuffle(2))

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
        logits: Tensor = self.head(x)  # (N, logits, H, W)
        return logits


class Residual(nn.Module):
    """Two 3×3 convolutions with `inner` channels between them, around which the input is added (He et al., 2016)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = _conv_block(width, inner)
        self.second = nn.Sequential(nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Branched(nn.Conv2d):
    """A square 3×3 convolution that trains as the sum of several branches (Hu et al., 2022, OREPA).

    The identity, a 3×3 convolution (`weight`), a 1×1, and a 1×1 after a wider 3×3. All are linear, so they are added as
    kernels and not as images: a training step costs what one convolution costs, and `fold_branches` leaves that one.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1, bias=False)
        self.identity = nn.Buffer(functional.pad(torch.eye(width)[:, :, None, None], (1, 1, 1, 1)), persistent=False)
        self.point = nn.Parameter(torch.zeros(width, width))
        self.wide = nn.Parameter(torch.empty(2 * width, width, 3, 3))
        self.narrow = nn.Parameter(torch.zeros(width, 2 * width))  # 0: the product begins to count as it learns
        nn.init.kaiming_normal_(self.wide)

    def kernel(self) -> Tensor:
        """(width, width, 3, 3) of all branches together."""
        point = functional.pad(self.point[:, :, None, None], (1, 1, 1, 1))
        product = torch.einsum("oe,eihw->oihw", self.narrow, self.wide)
        return self.identity + self.weight + point + product

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel(), padding=1)

    def folded(self) -> nn.Conv2d:
        """The same as one plain convolution."""
        plain = nn.Conv2d(self.in_channels, self.out_channels, 3, padding=1, bias=False)
        plain.load_state_dict({"weight": self.kernel().detach()})
        return plain


def fold_branches(network: nn.Module) -> nn.Module:
    """A copy in which every `Branched` is one plain convolution."""
    copy = deepcopy(network)
    for part in list(copy.modules()):
        for name, child in part.named_children():
            if isinstance(child, Branched):
                setattr(part, name, child.folded())
    return copy


class EfficientUNet(nn.Module):
    """MONAI's FlexibleUNet on an EfficientNet (Tan and Le, 2019), without the classifier that nothing here asks.

    Input (N, channels, H, W) float, H and W multiples of `stride`; output (N, 1, H, W) logits. Squeeze and excitation
    averages over the whole window, so tiles are to be blended and not put side by side (`tile.blend: gaussian`). While
    training, blocks are dropped at random (stochastic depth), drawn from torch's own generator.

    `backbone` is efficientnet-b0 to efficientnet-b7; `widths` are the channels of the decoder at strides 16, 8, 4, 2
    and 1. `pretrained` starts the encoder from ImageNet: of 3 channels, RGB, that the recipe's `input` brings to
    ImageNet's mean [0.485, 0.456, 0.406] and std [0.229, 0.224, 0.225].

    Raises ValueError for an unknown backbone or another number of widths, DataError when the ImageNet weights can't be
    loaded.
    """

    stride = 32

    def __init__(
        self,
        channels: int = 3,
        backbone: str = "efficientnet-b0",
        widths: Sequence[int] = (128, 64, 32, 16, 16),
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        from monai.networks.nets import FlexibleUNet  # takes seconds: it draws in every network of MONAI's

        if backbone not in BACKBONES:
            raise ValueError(f"backbone {backbone!r}. Expected one of: {', '.join(BACKBONES)}")
        if len(widths) != 5:
            raise ValueError(f"{len(widths)} widths. Expected 5, for strides 16, 8, 4, 2 and 1")
        if pretrained and channels != 3:
            raise ValueError(f"pretrained with {channels} channel(s). ImageNet is RGB: expected channels 3")
        # Unpadded: what MONAI pads for, sides that no stride divides, is lost in ONNX.
        self.network = FlexibleUNet(channels, 1, backbone, decoder_channels=tuple(widths), is_pad=False)
        encoder = self.network.encoder
        for part in ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc"):
            delattr(encoder, part)
        for norm in encoder.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 0.1  # MONAI has 0.01: after 160 steps, a fifth of the start is left
        if pretrained:
            _load_imagenet(encoder, backbone)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(
                f"a window of {height} × {width} pixels. Expected sides that are multiples of {self.stride}"
            )
        logits: Tensor = self.network(x)  # (N, 1, H, W)
        return logits


def _load_imagenet(encoder: nn.Module, backbone: str) -> None:
    """Fills an encoder of MONAI's with the ImageNet weights that MONAI names; all of it, or DataError.

    MONAI's own loading checks no hash, and leaves out in silence what a file lacks.
    """
    from monai.networks.nets.efficientnet import url_map

    url = url_map[backbone]
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    advice = f"Say pretrained: false, or put {url} by hand at {place}"
    try:
        # weights_only: nothing but tensors is unpickled. The hash of a download is checked.
        given = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # noqa: BLE001 - networks, disks, and what a hostile file raises inside torch
        raise DataError(f"the ImageNet weights of {backbone} can't be loaded ({first_line(error)}). {advice}") from None
    own = {key: value for key, value in encoder.state_dict().items() if not key.endswith("num_batches_tracked")}
    # Blocks are counted through there: _blocks.7, which MONAI calls _blocks.3.7.
    names = {key: re.sub(r"^_blocks\.\d+", "_blocks", key) for key in own}
    theirs = given if isinstance(given, dict) else {}
    wrong = [n for key, n in names.items() if getattr(theirs.get(n), "shape", None) != own[key].shape]
    if wrong:
        raise DataError(f"{place}: not the ImageNet weights of {backbone}: {wrong[0]} is missing or another. {advice}")
    encoder.load_state_dict({key: theirs[name] for key, name in names.items()}, strict=False)


class TransUNet(nn.Module):
    """A small TransUNet (Chen et al., 2021, arXiv 2102.04306) with multi-scale fusion, for windows of one size.

    Residual convolutions lead down to a sixteenth of the window, where each cell is a token (the patch of 1 × 1 of the
    paper's hybrid): tokens get a learned position and pass through a pre-norm transformer, in which each sees the
    whole window. The decoder doubles the resolution three times and adds the encoder's skips at strides 8, 4 and 2.

    Fusion: the transformer's output and all three decoder levels (strides 16, 8, 4 and 2) are each projected to
    `widths[0]` channels by a 1 × 1 convolution, enlarged bilinearly to half of the window's resolution, and summed: the
    same as a 1 × 1 convolution of all of them side by side, at a fraction of the cost. From this sum a transposed
    convolution makes the logits. Coarse levels say where vessels run, fine ones where they end. Nothing is random.

    Input (N, channels, tile, tile) float, no other size (`tile.fixed: true`, `tile.blend: gaussian`); output
    (N, 1, tile, tile) logits. `widths` are the channels at strides 2, 4, 8 and 16, `embedding` those of a token,
    `depth` the number of transformer layers, `heads` that of their attention heads.

    Raises ValueError for arguments that don't fit together, and for a window of another size.
    """

    stride = 16

    def __init__(
        self,
        channels: int = 3,
        tile: int = 256,
        widths: Sequence[int] = (24, 48, 96, 192),
        embedding: int = 192,
        depth: int = 4,
        heads: int = 6,
    ) -> None:
        super().__init__()
        if tile < self.stride or tile % self.stride:
            raise ValueError(f"tile {tile}. Expected pixels, a multiple of {self.stride}")
        if len(widths) != 4:
            raise ValueError(f"{len(widths)} widths. Expected 4, for strides 2, 4, 8 and 16")
        if embedding % heads:
            raise ValueError(f"embedding {embedding} can't be shared by {heads} heads. Expected a multiple of heads")
        self.tile = tile
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.encoder = nn.ModuleList(Residual(w, w) for w in widths)
        self.down = nn.ModuleList(_conv_block(a, b, stride=2) for a, b in pairwise(widths))
        self.embed = nn.Conv2d(widths[-1], embedding, 1)
        self.position = nn.Parameter(torch.zeros(1, (tile // self.stride) ** 2, embedding))
        nn.init.trunc_normal_(self.position, std=0.02)  # as in ViT
        self.transformer = nn.Sequential(
            *(_TransformerLayer(embedding, heads) for _ in range(depth)), nn.LayerNorm(embedding)
        )
        levels = (*widths[:-1], embedding)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(levels))
        self.decoder = nn.ModuleList(Residual(w, w) for w in widths[:-1])
        self.project = nn.ModuleList(nn.Conv2d(w, widths[0], 1, bias=False) for w in levels)
        self.enlarge = nn.ModuleList(
            nn.Upsample(scale_factor=2**n, mode="bilinear") if n else nn.Identity() for n in range(len(levels))
        )
        self.fuse = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.head = nn.ConvTranspose2d(widths[0], 1, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height != self.tile or width != self.tile:
            raise ValueError(f"a window of {height} × {width} pixels. Expected {self.tile} × {self.tile}, and no other")
        x = self.stem(x)  # (N, widths[0], tile/2, tile/2)
        skips = []
        for block, down in zip(self.encoder[:-1], self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.embed(self.encoder[-1](x))  # (N, embedding, tile/16, tile/16)
        side = self.tile // self.stride
        tokens = x.flatten(2).transpose(1, 2) + self.position  # (N, side², embedding)
        x = self.transformer(tokens).transpose(1, 2).unflatten(2, (side, side))
        levels = [x]
        for block, up, skip in zip(self.decoder[::-1], self.up[::-1], skips[::-1], strict=True):
            x = block(torch.relu(up(x) + skip))
            levels.insert(0, x)
        parts = zip(self.enlarge, self.project, levels, strict=True)
        fused = torch.stack([enlarge(project(level)) for enlarge, project, level in parts]).sum(0)
        logits: Tensor = self.head(self.fuse(fused))  # (N, 1, tile, tile)
        return logits


class _TransformerLayer(nn.Module):
    """A pre-norm transformer layer (Dosovitskiy et al., 2021).

    torch's own has a second path for inference, one fused operation that ONNX does not know.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.before(x)).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, width/heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (N, heads, T, width/heads)
        seen = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        result: Tensor = x + self.perceptron(x)
        return result


def _conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _level_block(width: int, convolutions: int, inner: int) -> nn.Module:
    """The block of one level. Raises ValueError for another number of convolutions than 0, 1 or 2."""
    if convolutions == 2:
        return Residual(width, inner)
    if convolutions == 1:
        return nn.Sequential(Branched(width), nn.BatchNorm2d(width), nn.ReLU())
    if convolutions == 0:
        return nn.Identity()
    raise ValueError(f"{convolutions} convolutions at a level. Expected 0, 1 or 2")


def _upsampling(inputs: int, outputs: int, kind: str) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    if kind == "nearest":
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode="nearest"))
    raise ValueError(f"upsampling {kind!r}. Expected transposed or nearest")
