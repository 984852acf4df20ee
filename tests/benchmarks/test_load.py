"""`python -m vesselrt.benchmarks.load`: what its rows tell."""

import json
from dataclasses import asdict

from vesselrt.benchmarks.load import row_from_tallies
from vesselrt.benchmarks.load_clients import Tally


def test_a_row_adds_its_turns() -> None:
    turns = [
        Tally(milliseconds=[10.0, 20.0], seconds=1.0, refused=1),
        Tally(milliseconds=[30.0], seconds=1.0, errors=2),
    ]
    row = row_from_tallies("vesselrt", 4, turns)
    assert (row.answers, row.per_s, row.refused, row.errors, row.wrong) == (3, 1.5, 1, 2, 0)
    assert row.milliseconds is not None
    assert row.cells() == ["vesselrt", "4", "1.50", "–", "20.0", "–", "–", "1", "2", "0"]


def test_a_row_without_answers_tells_no_time() -> None:
    row = row_from_tallies("peer", 1, [Tally(seconds=2.0, errors=5)])
    assert row.cells() == ["peer", "1", "0.00", "–", "–", "–", "–", "0", "5", "0"]
    assert json.loads(json.dumps(asdict(row), allow_nan=False))["milliseconds"] is None
