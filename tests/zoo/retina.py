"""Six networks for retinal vessels, each written anew from its paper in as few lines as show how it is built.

Input (N, 3, H, W) float, H and W multiples of the stride; output (N, 1, H, W) logits, or a list of them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolution(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    """With batch norm and ReLU."""
    body = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(body, nn.BatchNorm2d(outputs), nn.ReLU())


def double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs), convolution(outputs, outputs))


class SmallUNet(nn.Module):
    """What W-Net, IterNet and SA-UNet are made of: (N, inputs, H, W) → features (N, widths[0], H, W)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], middle: nn.Module | None = None) -> None:
        super().__init__()
        before = (inputs, *widths[:-1])
        self.down = nn.ModuleList(double(a, b) for a, b in zip(before, widths, strict=True))
        self.middle = middle or nn.Identity()
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.join = nn.ModuleList(double(2 * a, a) for a in widths[:-1])

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = self.middle(x)
        for up, join, skip in reversed(list(zip(self.up, self.join, skips[:-1], strict=True))):
            x = join(torch.cat([up(x), skip], dim=1))
        return x


class WNet(nn.Module):
    """Two small U-Nets, the second of which sees the answer of the first (Galdran et al., 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SmallUNet(3, (8, 16, 32)), SmallUNet(4, (8, 16, 32))
        self.heads = nn.ModuleList(nn.Conv2d(8, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.heads[0](self.first(x))
        return first, self.heads[1](self.second(torch.cat([x, first.sigmoid()], dim=1)))


class IterNet(nn.Module):
    """A U-Net, then one small U-Net that corrects its features again and again (Li et al., 2020)."""

    def __init__(self, width: int = 16, times: int = 3) -> None:
        super().__init__()
        self.times = times
        self.base = SmallUNet(3, (width, 2 * width, 4 * width, 8 * width))
        self.small = SmallUNet(width, (width, 2 * width, 4 * width))
        self.reduce = nn.ModuleList(convolution((2 + i) * width, width, 1) for i in range(times))
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(times + 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        seen = [self.base(x)]
        answers = [self.heads[0](seen[0])]
        for i in range(self.times):
            seen.append(self.small(seen[-1]))
            answers.append(self.heads[i + 1](self.reduce[i](torch.cat(seen, dim=1))))
        return answers


class SpatialAttention(nn.Module):
    """Mean and maximum of the channels say where to look."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        answer: Tensor = x * self.weigh(seen).sigmoid()
        return answer


class SAUNet(nn.Module):
    """A U-Net with spatial attention at its coarsest level (Guo et al., 2021); its DropBlock is off in evaluation."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.body = SmallUNet(3, widths, nn.Sequential(nn.Dropout2d(0.1), SpatialAttention()))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.body(x))
        return answer


class PositionAttention(nn.Module):
    """Every pixel looks at every other; the products are not scaled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = convolution(width, width // 8, 1)
        self.key = convolution(width, width // 8, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.share = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        shares = (query.transpose(1, 2) @ key).softmax(-1)  # (N, HW, HW)
        seen: Tensor = value @ shares.transpose(1, 2)
        return x + self.share * seen.view_as(x)


class ChannelAttention(nn.Module):
    """Every channel looks at every other: products over all pixels, which grow with the window."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # (N, C, HW)
        products = flat @ flat.transpose(1, 2)
        shares = (products.amax(-1, keepdim=True) - products).softmax(-1)
        return x + self.share * (shares @ flat).view_as(x)


class Both(nn.Module):
    """The sum of the two attentions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position, self.channel = PositionAttention(width), ChannelAttention()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.position(x) + self.channel(x)
        return answer


class CSNet(nn.Module):
    """A U-Net with channel and position attention at its coarsest level (Mou et al., 2019).

    `gain` multiplies what the attention sees: as in its trained weights, products leave the range of FP16.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128), gain: float = 1.0) -> None:
        super().__init__()
        self.body = SmallUNet(3, widths, Both(widths[-1]))
        self.head = nn.Conv2d(widths[0], 1, 1)
        self.gain = gain
        self.body.down[-1].register_forward_hook(lambda _module, _seen, given: self.gain * given)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.body(x))
        return answer


class FRUNet(nn.Module):
    """All levels run side by side and exchange what they found; the mean of several heads answers (Liu et al., 2022).

    Level i is at stride 2^i and exists in columns i to `columns` - i.
    """

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32), columns: int = 5) -> None:
        super().__init__()
        self.widths, self.columns = widths, columns
        self.blocks, self.down, self.up = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for column in range(columns):
            for level, width in enumerate(widths):
                if not self.exists(level, column):
                    continue
                seen = sum(
                    width for other in (level - 1, level, level + 1) if column and self.exists(other, column - 1)
                )
                self.blocks[f"{level} {column}"] = double(seen or 3, width)
                if level + 1 < len(widths):
                    self.down[f"{level} {column}"] = convolution(width, widths[level + 1], 3, stride=2)
                if level:
                    self.up[f"{level} {column}"] = nn.ConvTranspose2d(width, widths[level - 1], 2, stride=2)
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], 1, 1) for _ in range(columns - 1))

    def exists(self, level: int, column: int) -> bool:
        return 0 <= level < len(self.widths) and level <= column < self.columns - level

    def forward(self, x: Tensor) -> Tensor:
        now = {0: self.blocks["0 0"](x)}
        answers = []
        for column in range(1, self.columns):
            before, now = now, {}
            for level in range(len(self.widths)):
                if self.exists(level, column):
                    seen = [before[level]] if level in before else []
                    if level - 1 in before:
                        seen.append(self.down[f"{level - 1} {column - 1}"](before[level - 1]))
                    if level + 1 in before:
                        seen.append(self.up[f"{level + 1} {column - 1}"](before[level + 1]))
                    now[level] = self.blocks[f"{level} {column}"](torch.cat(seen, dim=1))
            answers.append(self.heads[column - 1](now[0]))
        return torch.stack(answers).mean(0)


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2 (Sandler et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__()
        wide = inputs * expansion
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.body(x)
        return x + answer if self.same else answer


class M2UNet(nn.Module):
    """The first part of MobileNetV2, and a decoder of the same blocks (Laibacher et al., 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 3, stride=2), Inverted(32, 16, expansion=1))
        self.down = nn.ModuleList(
            nn.Sequential(Inverted(a, b, 2), *(Inverted(b, b) for _ in range(n)))
            for a, b, n in ((16, 24, 1), (24, 32, 2), (32, 96, 3))
        )
        self.join = nn.ModuleList(
            Inverted(a, b, expansion=1 if b == 1 else 6) for a, b in ((96 + 32, 44), (44 + 24, 26), (26 + 16, 16))
        )
        self.last = Inverted(16 + 3, 1, expansion=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = [x, self.stem(x)]
        for block in self.down:
            skips.append(block(skips[-1]))
        y: Tensor = skips.pop()
        for join in (*self.join, self.last):
            larger = functional.interpolate(y, scale_factor=2, mode="bilinear")
            y = join(torch.cat([larger, skips.pop()], dim=1))
        return y
