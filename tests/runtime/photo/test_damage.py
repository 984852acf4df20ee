"""What was overwritten or cut is refused or warned of."""

import pytest

from vesselrt.benchmarks.corpus.damage import PLACES, cut, formats, overwritten
from vesselrt.benchmarks.corpus.judge import damages, told_of
from vesselrt.runtime.arrays import Image

LEAST = 0.95
RAW = {"TIFF none strips", "TIFF none tiles", "BMP", "PPM"}
"""Every byte of them is a possible pixel: what is overwritten there is hardly to be known."""


def test_damage_is_told_of_in_every_format(photograph: Image) -> None:
    shares = {(name, way): told_of(outcomes) for name, way, outcomes in damages(photograph)}
    assert len(shares) > 30
    assert not {key: share for key, share in shares.items() if key[0] not in RAW and share < LEAST}
    assert not {key: share for key, share in shares.items() if key[1] == "cut" and share < 1}


def test_damage_is_done_where_it_says(photograph: Image) -> None:
    data = formats(photograph[:160, :160])["PNG"]
    changed = [*overwritten(data)]
    assert len({file.data for file in changed}) == 3 * PLACES
    assert all(len(file.data) == len(data) and file.data != data for file in changed)
    assert [len(file.data) for file in cut(data)] == sorted({len(file.data) for file in cut(data)})
    assert all(data.startswith(file.data) for file in cut(data))


@pytest.mark.parametrize(("outcomes", "share"), [(["silent"], 0), (["silent", "refused", "harmless"], 0.5), ([], 1)])
def test_the_share_counts_what_was_harmed(outcomes: list[str], share: float) -> None:
    assert told_of(outcomes) == share
