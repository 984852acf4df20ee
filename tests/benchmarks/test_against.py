"""`vesselrt bench --against`: made-up runs whose ratio is known."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_reports import make_photo, make_report, write_report
from typer.testing import CliRunner

from vesselrt.benchmarks import against
from vesselrt.benchmarks.bench_report import BenchReport, read_bench_report
from vesselrt.cli import app
from vesselrt.runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
STEADY = [100.0 + 0.1 * run for run in range(20)]
"""ms of 20 runs; their median is 100.95."""
OLD = make_report(make_photo("96x80", STEADY))


def scaled(factor: float) -> list[float]:
    return [factor * time for time in STEADY]


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_the_ratio_of_every_part_is_that_of_the_medians() -> None:
    ratios = against.compare_reports(
        make_report(make_photo("96x80", STEADY)), make_report(make_photo("96x80", scaled(1.2)))
    )
    assert [ratio.part for ratio in ratios] == [
        *("decode", "prepare", "infer", "finish", "encode", "network", "end_to_end"),
    ]
    for ratio in ratios:
        assert ratio.photo == "96x80"
        assert ratio.ratio == pytest.approx(1.2)
        assert 1.19 < ratio.low < 1.2 < ratio.high < 1.21
    whole = ratios[-1]
    assert whole.old == pytest.approx(100.95)
    assert whole.new == pytest.approx(1.2 * 100.95)


def test_runs_without_spread_have_an_interval_of_one_value() -> None:
    ratio = against.ratio_of_medians("a", "end_to_end", [10.0] * 5, [15.0] * 7)
    assert (ratio.ratio, ratio.low, ratio.high) == (1.5, 1.5, 1.5)


@pytest.mark.parametrize("count", [3, 4, 5, 20, 21])
def test_medians_are_distributed_as_those_of_real_resamples(count: int) -> None:
    samples = np.random.default_rng(1).lognormal(size=count)
    random = np.random.default_rng(2)
    expected = np.median(random.choice(samples, (against.RESAMPLES, count)), axis=1)
    found = against.resampled_medians(samples.tolist(), random)
    places = np.linspace(0.02, 0.98, 25)
    # Few values are possible, and a quantile may fall on either of two: shares are compared, not values.
    for value in np.quantile(expected, places):
        assert (found <= value + 1e-9).mean() == pytest.approx((expected <= value + 1e-9).mean(), abs=0.03)


def test_the_interval_holds_the_true_ratio_nineteen_times_of_twenty() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        old, new = random.lognormal(0, 0.1, 30), random.lognormal(np.log(1.1), 0.1, 30)
        ratio = against.ratio_of_medians("a", "b", old.tolist(), new.tolist())
        held += ratio.low <= 1.1 <= ratio.high
    assert 0.92 < held / 300 < 0.99


def compare_files(folder: Path, new: list[float], *options: str) -> Any:
    before = write_report(folder / "old.json", make_report(make_photo("96x80", STEADY)))
    after = write_report(folder / "new.json", make_report(make_photo("96x80", new)))
    return invoke("--from", after, "--against", before, *options)


def test_slower_figures_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = compare_files(tmp_path, scaled(1.2), "--slower-than", "5%")
    assert done.exit_code == 1
    assert "end to end" in done.output
    assert "1.200" in done.output
    assert "over 5 % slower end to end, surely: 96x80" in caplog.text


@pytest.mark.parametrize(("factor", "percent"), [(1.2, "25"), (1.04, "5%"), (0.5, "0%"), (1.0, "0")])
def test_others_do_not(tmp_path: Path, factor: float, percent: str) -> None:
    assert compare_files(tmp_path, scaled(factor), "--slower-than", percent).exit_code == 0


def test_without_a_limit_nothing_fails(tmp_path: Path) -> None:
    assert compare_files(tmp_path, scaled(3)).exit_code == 0


def test_what_may_be_chance_does_not_fail(tmp_path: Path) -> None:
    """The median is a tenth over the old one, but half of the runs are as fast as before."""
    wide = [100.0, 101.0] * 5 + [121.0, 122.0] * 5
    done = compare_files(tmp_path, wide, "--slower-than", "5%")
    assert "1.10" in done.output
    assert done.exit_code == 0


def test_a_slower_stage_alone_does_not_fail(tmp_path: Path) -> None:
    photo = make_photo("96x80", STEADY)
    slow = replace(photo, samples={**photo.samples, "decode": scaled(0.2)})
    before, after = (write_report(tmp_path / f"{n}.json", make_report(p)) for n, p in enumerate((photo, slow)))
    done = invoke("--from", after, "--against", before, "--slower-than", "5%")
    assert done.exit_code == 0
    assert "4.000" in done.output


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            replace(OLD, model=OLD.model | {"sha256": "cd" * 32, "version": "1.3.0"}),
            "of another model file: fundus 1.2.0 (sha256 abababababab), this is fundus 1.3.0 (sha256 cdcdcdcdcdcd)",
        ),
        (
            replace(OLD, info=replace(OLD.info, precision="int8")),
            "are in f32, these in int8. Measure with --precision f32",
        ),
        (
            replace(OLD, info=replace(OLD.info, members=4)),
            "are of 1 map(s) of each photograph, these of 4. Measure with the same --tta.",
        ),
        (
            make_report(make_photo("80x96", STEADY)),
            "have no 80x96 (synthetic, 80 × 96). They have: 96x80 (synthetic, 96 × 80)",
        ),
        (
            make_report(replace(make_photo("96x80", STEADY), source="HRF 06_dr.JPG")),
            "have no 96x80 (HRF 06_dr.JPG, 96 × 80)",
        ),
    ],
)
def test_other_work_is_refused(new: BenchReport, message: str) -> None:
    with pytest.raises(DataError) as raised:
        against.compare_reports(OLD, new)
    assert message in str(raised.value)


def test_other_work_is_refused_before_it_is_measured(tmp_path: Path) -> None:
    before = write_report(tmp_path / "old.json", OLD)
    done = invoke("--size", "96x80", "--precision", "f32", "--runs", 3, "--starts", 0, "--against", before)
    assert isinstance(done.exception, DataError)
    assert "another model file" in str(done.exception)
    assert done.output == ""


def test_another_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    new = replace(OLD, machine=OLD.machine | {"cpu": "another"}, info=replace(OLD.info, threads=1, version="2027.1"))
    with caplog.at_level(logging.WARNING):
        assert len(against.compare_reports(OLD, new)) == 7
    assert [record.getMessage() for record in caplog.records] == [
        "compare with care, another machine: cpu was a processor, is another",
        "compare with care, version was 2026.4.1, is 2027.1",
        "compare with care, threads was 2, is 1",
    ]


def test_older_figures_may_have_more_photographs() -> None:
    old = make_report(make_photo("80x96", STEADY), make_photo("96x80", STEADY))
    assert {ratio.photo for ratio in against.compare_reports(old, OLD)} == {"96x80"}


# The file


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = make_report(make_photo("96x80", STEADY, peers={"pytorch+monai": scaled(4)}))
    path = tmp_path / "bench.json"
    report.write(path)
    assert read_bench_report(path) == report


@pytest.mark.parametrize("name", ["bench.json", "bench-int8.json", "bench-bf16.json"])
def test_published_figures_are_read_or_named_as_older(name: str) -> None:
    path = ROOT / "docs" / name
    if json.loads(path.read_text("utf-8"))["schema"] == 1:
        with pytest.raises(DataError, match=r"is of schema 1, expected 2\. Schema 1 holds no samples: measure again"):
            read_bench_report(path)
    else:
        assert read_bench_report(path).photos


@pytest.mark.parametrize("text", ["", "[]", "{}", '"schema"', '{"schema": 2}', "\udcff", '{"schema": 2, "photos": 3}'])
def test_another_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"other\.json: is not what `vesselrt bench --json` writes"):
        read_bench_report(path)
