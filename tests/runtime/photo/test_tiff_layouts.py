"""Every layout of a TIFF is read right, or refused by the name of what isn't read."""

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.judge import decode
from vesselrt.benchmarks.corpus.tiff import (
    COLOURS,
    COMPRESSIONS,
    DEPTHS,
    assemble,
    layouts,
    page_of_samples,
    tiff_case,
    tiff_of_samples,
)

READ = {
    ("8-bit", "RGB"),
    ("8-bit", "RGBA"),
    ("8-bit", "grey"),
    ("8-bit", "white is zero"),
    ("8-bit", "palette"),
    ("16-bit", "RGB"),
    ("16-bit", "grey"),
    ("16-bit", "white is zero"),
    ("float32", "RGB"),
    ("float32", "grey"),
}
"""What cameras and common programs write: interleaved, this must be read."""


@pytest.mark.parametrize(("depth", "colour"), [*product(DEPTHS, COLOURS)])
def test_no_layout_gives_other_pixels(depth: str, colour: str) -> None:
    found = [layout for layout in layouts() if (layout.depth, layout.colour) == (depth, colour)]
    verdicts = {layout: (case := tiff_case(layout)).judge(decode(case.data)) for layout in found}
    assert not {f"{layout}: {verdict}" for layout, verdict in verdicts.items() if verdict not in {"right", "refused"}}
    if (depth, colour) in READ:
        assert not {f"{layout}" for layout, verdict in verdicts.items() if verdict != "right" and not layout.planar}


def test_the_matrix_holds_every_compression_order_and_arrangement() -> None:
    found = {(x.compression, x.order, x.big, x.tiled, x.planar) for x in layouts() if x.colour == "RGB"}
    assert found == set(product(COMPRESSIONS, "<>", (False, True), (False, True), (False, True)))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (16, 16), (64, 16), (16, 64), (80, 64)])
def test_a_jpeg_in_a_tile_must_be_as_large_as_the_tile(width: int, height: int) -> None:
    file = io.BytesIO()
    Pillow.fromarray(np.full((height, width), 200, np.uint8)).save(file, "JPEG")
    tiles = ((322, 4, [64]), (323, 4, [64]), (278, 4, [64]))
    grey = np.zeros((64, 64, 1), np.uint8)
    tags, blocks, _ = page_of_samples(grey, tags=tiles, compression=7, data=file.getvalue())
    answer = decode(assemble([(tags, blocks, True)]))
    assert (answer.pixels is not None) == ((width, height) == (64, 64)), answer.refusal


def test_a_palette_without_colours_is_refused() -> None:
    answer = decode(tiff_of_samples(np.zeros((32, 32, 1), np.uint8), tags=((262, 3, [3]),)))
    assert answer.pixels is None
    assert "header is damaged" in answer.refusal
