"""The plot of `vesselrt bench`."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench_reports import make_photo, make_report, write_report
from typer.testing import CliRunner

from vesselrt.benchmarks import bench_plot
from vesselrt.cli import app
from vesselrt.runtime.errors import MissingExtraError

pytest.importorskip("matplotlib", reason="the plot needs the extra bench")

PHOTO = make_photo("96x80", [10.0, 11.0, 12.0], peers={"pytorch+monai": [40.0, 41.0, 42.0]})


def test_rows_are_parts_then_columns() -> None:
    rows = list(bench_plot.plot_rows(PHOTO))
    assert [row.title for row in rows] == [
        *("decode", "prepare", "infer", "infer: the network", "finish", "encode", "end to end", "pytorch+monai f32"),
    ]
    assert rows[6].samples == [10.0, 11.0, 12.0]
    assert rows[7].samples == [40.0, 41.0, 42.0]


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "PLOT.PNG"])
def test_a_report_is_drawn_from_its_file(name: str, tmp_path: Path) -> None:
    source = write_report(tmp_path / "bench.json", make_report(PHOTO, make_photo("80x96", [1.0, 2.0, 300.0])))
    for _ in range(2):
        done = CliRunner().invoke(app, ["bench", "--from", str(source), "--plot", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    drawn = (tmp_path / name).read_bytes()
    if name.endswith("svg"):
        assert drawn.startswith(b"<?xml")
    else:
        pixels = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape[1] == 8 * 150
        assert len(np.unique(pixels)) > 50


def test_the_same_figures_give_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        bench_plot.draw_plot(make_report(PHOTO), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    source = write_report(tmp_path / "bench.json", make_report(PHOTO))
    done = CliRunner().invoke(app, ["bench", "--from", str(source), "--plot", str(tmp_path / "a.png")])
    assert isinstance(done.exception, MissingExtraError)
    assert str(done.exception).endswith("Run: pip install 'vesselrt[bench]'")
    assert not (tmp_path / "a.png").exists()
