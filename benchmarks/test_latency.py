# ruff: noqa: D103 - the names say it
"""The stages one by one, for pytest-benchmark: `pytest benchmarks`.

`--benchmark-autosave` keeps the figures, `--benchmark-compare` shows them beside those of the next run. Each bench
checks the value that it timed. The network is faked: these are the costs around it. `vesselrt bench` measures the
whole, network included.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from pytest_benchmark.fixture import BenchmarkFixture

from vesselrt.benchmarks.photos import encode_jpeg, synthetic
from vesselrt.runtime import tiling
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.output.classes import ClassLayers, layers_of
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, Rendering, Style
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.segmenter import Segmenter, load

WIDTH, HEIGHT = 565, 584
MANIFEST = Manifest(
    name="fake",
    version="0",
    licence="none",
    description="Takes brightness for a probability.",
    preparation=Preparation(channels="green", field_of_view=768),
    input=Input(mean=(0.0,), std=(1.0,)),
    tile=Tile(size=512, multiple=16, margin=64),
)


@pytest.fixture(scope="module")
def photo() -> Image:
    return synthetic(WIDTH, HEIGHT)[0]


@pytest.fixture(scope="module")
def data(photo: Image) -> bytes:
    return encode_jpeg(photo)


def test_decode(benchmark: BenchmarkFixture, data: bytes) -> None:
    pixels = benchmark(decode_photo, data).pixels
    assert np.array_equal(pixels, np.asarray(Pillow.open(io.BytesIO(data))))


def test_prepare(benchmark: BenchmarkFixture, photo: Image) -> None:
    prepared = benchmark(prepare, photo, MANIFEST.preparation)
    assert max(prepared.pixels.shape) == MANIFEST.preparation.field_of_view


def test_tiling(benchmark: BenchmarkFixture) -> None:
    """A photograph of four windows by four; the network takes no time."""
    pixels = np.random.default_rng(0).integers(0, 256, (1400, 1400, 1), dtype=np.uint8)
    result = benchmark(
        tiling.infer_tiles, pixels, MANIFEST.tile, lambda batches: (windows[:, :1] for windows in batches)
    )
    assert np.array_equal(result[0], pixels[:, :, 0])


@pytest.mark.parametrize("form", ["mask", "probability", "overlay", "svg", "geojson"])
def test_encode(benchmark: BenchmarkFixture, photo: Image, form: OutputFormat) -> None:
    vessels = synthetic(WIDTH, HEIGHT)[1].astype(np.uint8) * np.uint8(255)
    every = layers_of(MANIFEST.classes, MANIFEST.threshold)
    layers = ClassLayers(vessels[None], every, every, exclusive=False)
    result = Rendering(layers, lambda: photo, dict, Style())
    encoded = benchmark(FORMATS[form].write, result)
    if form in ("mask", "probability"):
        assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(encoded))), vessels)
    else:
        assert encoded == FORMATS[form].write(result)


def test_all_around_the_network(benchmark: BenchmarkFixture, data: bytes) -> None:
    segmenter = Segmenter(MANIFEST, FakeBackend())
    mask = benchmark(lambda: segmenter.segment(data).encode("mask"))
    assert mask == segmenter.segment(data).encode("mask")


def test_built_in_model(benchmark: BenchmarkFixture, data: bytes, tmp_path: Path) -> None:
    """From a file to a file, as `vesselrt predict` does it."""
    source, target = tmp_path / "photo.jpg", tmp_path / "mask.png"
    source.write_bytes(data)
    with load() as segmenter:
        expected = segmenter.segment(data).encode("mask")
        benchmark(lambda: target.write_bytes(segmenter.segment(source).encode("mask")))
        assert target.read_bytes() == expected
