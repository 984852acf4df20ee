"""Every layout of a TIFF is read right, or refused by the name of what isn't read."""

from itertools import product

import pytest

from vesselrt.benchmarks.corpus.judge import decode
from vesselrt.benchmarks.corpus.tiff import COLOURS, COMPRESSIONS, DEPTHS, layouts, tiff_case

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
