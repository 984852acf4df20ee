"""A network's step and receptive field are found, and its tiles are measured against the whole image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from exporting import manifest_of
from foreign_graphs import Nodes, convolution, network
from onnx import helper
from sources import FIELDS
from torch import Tensor, nn

from vesselrt.cli.models import describe_model
from vesselrt.export.foreign import FileReference, OnnxNetwork
from vesselrt.export.receptive import Sight, find_sight
from vesselrt.export.reference import TorchReference
from vesselrt.export.sources.onnxfile import read_onnx
from vesselrt.export.tiles import Draft, choose_tile, possible_tiles, with_fixed_tile
from vesselrt.runtime.manifest import Manifest, Tile
from vesselrt.runtime.modelfile import read_manifest

Vesselrt = Callable[[str], tuple[int, str, str]]
ALL = frozenset({"multiple", "margin", "blend"})


class Squeezed(nn.Module):
    """Squeeze and excitation: a factor from the mean of the whole window."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Placed(nn.Module):
    """It adds to each pixel what stands at its place of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.rand(1, 1, 64, 64))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.place


class Pyramid(nn.Module):
    """Its deepest map must be wider than a pixel, as PAN's: it takes no smaller windows than 16 px."""

    def forward(self, x: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(x, 4)
        small = nn.functional.pad(small, (3, 3, 3, 3), "reflect")[:, :, 3:-3, 3:-3]
        return x + nn.functional.interpolate(small, scale_factor=4)


def halved(mode: str, corners: bool | None) -> nn.Module:
    look = nn.Conv2d(1, 4, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(4, 1, 3, padding=1)
    return nn.Sequential(*look, nn.Upsample(scale_factor=2, mode=mode, align_corners=corners))


def look(**options: Any) -> nn.Module:
    return nn.Conv2d(1, 1, 3, **options)


@pytest.mark.parametrize(
    ("made", "step", "reach"),
    [
        (lambda: nn.Conv2d(1, 1, 1), 1, 0),
        (lambda: look(padding=1), 1, 1),
        (lambda: look(padding=7, dilation=7), 1, 7),
        (lambda: halved("nearest", None), 2, 4),  # the pixel at the edge changes its half, and that its neighbour
        (lambda: nn.Sequential(look(padding=1), nn.MaxPool2d(8), nn.Upsample(scale_factor=8)), 8, 8),
        (Pyramid, 16, 0),
        (lambda: nn.Sequential(look(padding=1), nn.InstanceNorm2d(1)), 2, None),  # of one pixel there is no spread
        (lambda: nn.Sequential(look(padding=1), Squeezed()), 1, None),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2)), 1, None),
        (lambda: halved("bilinear", True), 2, None),
        (lambda: look(padding=20, dilation=20), 1, None),  # more than a quarter of the tile
    ],
)
def test_step_and_reach_of_a_network(made: Callable[[], nn.Module], step: int, reach: int | None) -> None:
    torch.manual_seed(0)
    manifest = manifest_of(multiple=1)
    assert find_sight(TorchReference(made(), manifest, None), manifest, None, 16) == Sight(step, reach)


def test_a_place_in_the_window_is_no_reach() -> None:
    manifest = manifest_of(multiple=16, fixed=True)
    assert find_sight(TorchReference(Placed(), manifest, None), manifest, 16, 16) == Sight(16, None)
    assert find_sight(TorchReference(look(padding=1), manifest, None), manifest, 16, 16) == Sight(16, 1)


@pytest.mark.parametrize(
    ("untold", "reach", "margin", "blend"),
    [(ALL, None, 16, "gaussian"), (ALL, 9, 16, "exact"), (frozenset({"multiple"}), None, 0, "exact")],
)
def test_a_fixed_window_that_sees_itself_as_a_whole_is_blended(
    untold: frozenset[str], reach: int | None, margin: int, blend: str
) -> None:
    """The whole image can't be run, so nothing is measured, and the file is not opened."""
    draft = with_fixed_tile(Draft(manifest_of(size=64, multiple=64, margin=0), untold))
    assert draft.manifest.tile.multiple == 16
    tile = choose_tile(Path("none.onnx"), draft, reach, []).tile
    assert (tile.fixed, tile.margin, tile.blend) == (True, margin, blend)


def pooled() -> Nodes:
    """Convolution, a quarter of the size, and back."""
    pool = helper.make_node("MaxPool", ["made"], ["small"], kernel_shape=[4, 4], strides=[4, 4])
    return [*convolution(1, "made"), pool, helper.make_node("Resize", ["small", "", "scales"], ["answer"])]


def normalised() -> Nodes:
    return [*convolution(1, "made"), helper.make_node("InstanceNormalization", ["made", "gain", "shift"], ["answer"])]


CONSTANTS = {
    "scales": np.array([1, 1, 4, 4], np.float32),
    "gain": np.array([2], np.float32),
    "shift": np.array([0], np.float32),
}


@pytest.mark.parametrize(("nodes", "sight"), [(convolution(), (1, 1)), (pooled(), (4, 4)), (normalised(), (1, None))])
def test_step_and_reach_of_an_onnx_file(tmp_path: Path, nodes: Nodes, sight: tuple[int, int | None]) -> None:
    onnx.save(network(nodes, CONSTANTS), tmp_path / "net.onnx")
    found = read_onnx(tmp_path / "net.onnx").network
    assert isinstance(found, OnnxNetwork)
    manifest = manifest_of("rgb", multiple=1)
    assert find_sight(FileReference(found, manifest, None), manifest, None, 16) == Sight(*sight)


# The tile


@pytest.mark.parametrize(
    ("untold", "reach", "ways"),
    [
        (ALL, 5, [("exact", 8)]),
        (ALL, None, [("exact", 16), ("gaussian", 16), ("gaussian", 24)]),
        ({"margin"}, None, [("exact", 16), ("exact", 24)]),
        ({"blend"}, 20, [("exact", 12)]),  # what is told goes before
        ({"blend"}, None, [("exact", 12), ("gaussian", 12)]),
        (set(), None, [("exact", 12)]),
    ],
)
def test_possible_tiles(untold: set[str], reach: int | None, ways: list[tuple[str, int]]) -> None:
    tiles = possible_tiles(Tile(size=64, multiple=4, margin=12), frozenset(untold), reach)
    assert [(tile.blend, tile.margin) for tile in tiles] == ways


@pytest.fixture
def export(vesselrt: Vesselrt, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[Manifest, str]]:
    """Exports a graph with a tile as it is told, and gives the manifest and what was said on the way."""

    def call(nodes: Nodes, photos: str = "", **tile: Any) -> tuple[Manifest, str]:
        onnx.save(network(nodes, CONSTANTS), tmp_path / "net.onnx")
        fields = {**FIELDS, "preparation": {"channels": "rgb"}, "tile": tile}
        (tmp_path / "tile.yaml").write_text(yaml.safe_dump(fields))
        code, out, err = vesselrt(f"vesselrt export net.onnx -m tile.yaml {photos} -o m.onnx")
        assert code == 0, err
        manifest = read_manifest(tmp_path / "m.onnx")
        assert out == describe_model(manifest) + "\n"
        return manifest, caplog.text

    return call


Export = Callable[..., tuple[Manifest, str]]


def test_a_size_is_all_that_a_local_network_needs(export: Export, fundus_jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    manifest, err = export(pooled(), "--photos eye.jpg", size=64)
    assert err == ""
    assert manifest.tile == Tile(size=64, multiple=4, margin=4, blend="exact")
    found = manifest.provenance.tiling
    assert found is not None
    assert (found.receptive_field, found.flipped, found.photographs) == (4, 0, 1)
    assert "tiles      exact; the network sees 4 px around a pixel\n" in describe_model(manifest)


def test_a_network_that_sees_the_window_is_blended_and_told(export: Export) -> None:
    manifest, err = export(normalised(), size=64)
    assert (manifest.tile.blend, manifest.tile.multiple) == ("gaussian", 1)
    found = manifest.provenance.tiling
    assert found is not None
    assert found.receptive_field is None
    assert found.flipped is not None
    assert found.flipped > 0.005
    assert f"Tiles of 64 px flip {100 * found.flipped:.1f} % of the pixels against the whole image" in err
    assert "A larger tile.size helps, such as 128" in err
    assert "tiles      blended; the network sees more than a quarter of a tile" in describe_model(manifest)


def test_a_margin_that_is_too_small_is_told_and_kept(export: Export) -> None:
    manifest, err = export(pooled(), size=64, margin=0)
    assert (manifest.tile.margin, manifest.tile.blend) == (0, "exact")
    assert err.count("tile.margin 0 is less than the 4 px that the network sees around a pixel") == 1
    assert "Leave it out, or write margin: 4." in err
    found = manifest.provenance.tiling
    assert found is not None
    assert found.largest_difference is not None
    assert found.largest_difference > 2 / 255
    assert "tiles      cut at the margin;" in describe_model(manifest)


def test_photographs_that_fit_into_a_tile_have_nothing_to_measure(vesselrt: Vesselrt, tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    (tmp_path / "tile.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": {"size": 256}}))
    code, _, err = vesselrt("vesselrt export net.onnx -m tile.yaml -o m.onnx")
    assert (code, err) == (0, "")
    found = read_manifest(tmp_path / "m.onnx").provenance.tiling
    assert found is not None
    assert found.flipped is None


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ({"size": 62}, "tile.size is 62, and the windows of this network go by 4 pixels. Say 60 or 64."),
        (
            {"size": 64, "margin": 6},
            "tile.margin is 6, and the windows of this network go by 4 pixels. Leave it",
        ),
    ],
)
def test_a_size_or_margin_that_does_not_fit(
    vesselrt: Vesselrt, tmp_path: Path, tile: dict[str, int], message: str
) -> None:
    nodes = [*pooled(), helper.make_node("Add", ["answer", "made"], ["summed"])]
    onnx.save(network(nodes, CONSTANTS, outputs=("summed",)), tmp_path / "net.onnx")
    (tmp_path / "tile.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": tile}))
    code, _, err = vesselrt("vesselrt export net.onnx -m tile.yaml -o m.onnx")
    assert code == 1
    assert message in " ".join(err.split())
    assert not (tmp_path / "m.onnx").exists()


def test_a_manifest_of_an_older_export_has_no_figures() -> None:
    manifest = manifest_of()
    assert manifest.provenance.tiling is None
    assert "tiles  " not in describe_model(manifest)
    fields = manifest.model_dump(mode="json")
    del fields["provenance"]["tiling"]
    assert Manifest.from_fields(fields, source="old") == manifest
