"""How many photographs a second: what is compared, and that a wrong mask is noticed."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_photos import BRIGHT
from numpy.typing import NDArray
from typer.testing import CliRunner

from vesselrt.benchmarks import many
from vesselrt.benchmarks.measure import ColumnError, LoadOptions
from vesselrt.benchmarks.photos import choose_photos
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.segmenter import Segmenter


def test_every_way_is_beside_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadOptions, "load", lambda _: Segmenter(BRIGHT, FakeBackend()))
    path = tmp_path / "many.json"
    ways = ["--way", "threads", "--way", "segment_many"]
    given = ["--size", "96x80", "--size", "70x90", "--count", "3", "--rounds", "2", *ways, "--json", str(path)]
    done = CliRunner().invoke(many.app, given)
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text("utf-8"))
    assert [(row["photograph"], row["way"]) for row in found["rows"]] == [
        ("96x80", "threads"), ("96x80", "segment_many"), ("70x90", "threads"), ("70x90", "segment_many"),
    ]  # fmt: skip
    assert all(len(row[figure]) == 2 for row in found["rows"] for figure in ("per_s", "ratio", "processor_ms"))
    assert done.output.count("| 70x90 ") == 2


def test_a_process_of_the_pool_gives_the_mask_and_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(BRIGHT, FakeBackend())
    monkeypatch.setattr(LoadOptions, "load", lambda _: segmenter)
    monkeypatch.setattr(many, "_loaded", [])
    many._load_in_process(LoadOptions(None, "cpu", "f32", 1))
    photo = choose_photos(["96x80"], None, None, ())[0].data
    mask, seconds = many._mask_in_process(photo)
    assert mask == segmenter.segment(photo).encode()
    assert 0 <= seconds < 60


def test_a_mask_that_differs_is_no_figure() -> None:
    calls = itertools.count()

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        return identity(pixels) if next(calls) < 4 else 1 - identity(pixels)

    photo = choose_photos(["60x60"], None, None, ())[0].data
    with (
        Segmenter(BRIGHT, FakeBackend(network)) as segmenter,
        many._open_ways(segmenter, LoadOptions(None, "cpu", "f32", None), ["threads"]) as ways,
        pytest.raises(ColumnError, match=r"^threads: it gave another mask than one photograph after the other\."),
    ):
        many._run_round(ways, photo, 4)
