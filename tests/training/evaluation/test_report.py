"""The report of an evaluation: pictures to the pixel, a page that loads nothing, names that stay text."""

import base64
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DataError
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto
from vesselrt.training.evaluation.figures import Counts, Truth
from vesselrt.training.evaluation.overlay import MISSED, RIGHT, WRONG, draw_errors
from vesselrt.training.evaluation.report import EvaluationReport
from vesselrt.training.evaluation.result import SCHEMA, Evaluation

HOSTILE = ["<img src=x onerror=alert(1)>\"'&amp;", "a b#c?d%41é", "=HYPERLINK(1)", "no\udcffbytes"]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str, key: str) -> list[str]:
        """The values of an attribute of all such elements."""
        return [attributes[key] or "" for name, attributes in self.tags if name == tag and key in attributes]


def seen(name: str, found: NDArray[np.uint8] | None = None, inside: NDArray[np.bool_] | None = None) -> EvaluatedPhoto:
    """A photograph of six by eight pixels with a vessel in its third row, of which the model finds a part."""
    vessel = np.zeros((6, 8), bool)
    vessel[2] = True
    painted = np.zeros((6, 8), bool)
    painted[2, :5] = painted[4, :2] = True
    if found is not None:
        painted = found >= 128
    image = np.full((6, 8, 3), 100, np.uint8)
    return EvaluatedPhoto(name, image, Truth.of(vessel, np.ones((6, 8), bool) if inside is None else inside), painted)


def evaluation(counted: dict[str, Counts], observer: list[Counts] | None = None) -> Evaluation:
    counts = list(counted.values())
    vessel, background = figures.pool_counts(counts)
    return Evaluation(
        schema=SCHEMA,
        model="<b>mirror</b>",
        version="1.0",
        info=Info("fake", "0", "cpu", "a <processor>", "f32", 1),
        data="eyes & <i>ears</i>",
        split="test",
        threshold=0.5,
        pooled=figures.pooled_metrics(counts),
        interval=figures.bootstrap_interval(counts),
        images=dict(zip(counted, figures.metrics_by_photograph(counts), strict=True)),
        left_out=[],
        trained_on=[],
        second_observer=figures.pooled_metrics(observer, ranked=False) if observer else None,
        second_observer_interval=figures.bootstrap_interval(observer, ranked=False) if observer else None,
        best_f1=0.5,
        best_threshold=0.5,
        reliability=figures.reliability_bins(vessel, background),
        vessel_levels=vessel.tolist(),
        background_levels=background.tolist(),
        milliseconds=12.0,
        model_sha256="ab" * 32,
    )


def written(folder: Path, names: list[str], *, observer: bool = False) -> tuple[Evaluation, Page, str]:
    """A report on photographs of which each is better than the one before."""
    report, counted = EvaluationReport(folder), {}
    for index, name in enumerate(names):
        found = np.zeros((6, 8), np.uint8)
        found[2, : index + 1] = 200
        photograph = seen(name, found)
        report.see(photograph)
        counted[name] = photograph.truth.count(found, 128)
    masks = [seen("").truth.count(seen("").painted.astype(np.uint8), 1)] * 2 if observer else None
    result = evaluation(counted, masks)
    path = report.write(result)
    assert path == folder / "report.html"
    html = path.read_bytes().decode("utf-8")
    return result, Page(html), html


def test_the_overlay_shows_what_each_pixel_is() -> None:
    inside = np.ones((6, 8), bool)
    inside[:, 7] = False
    drawn = draw_errors(seen("a", inside=inside))
    expected = np.full((6, 8, 3), 55, np.uint8)  # 0.55 of the photograph's 100
    expected[2, :5], expected[2, 5:7], expected[4, :2] = RIGHT, MISSED, WRONG
    expected[:, 7] = 20  # 0.2: outside the field of view nothing is right or wrong
    assert np.array_equal(drawn, expected)


def test_the_folder(tmp_path: Path) -> None:
    result, page, _ = written(tmp_path / "new" / "report", ["a", "b"], observer=True)
    files = {str(p.relative_to(tmp_path / "new" / "report")) for p in (tmp_path / "new").rglob("*") if p.is_file()}
    assert files == {"report.html", "images.csv", "figures.json", "overlays/a.jpg", "overlays/b.jpg"}
    folder = tmp_path / "new" / "report"
    assert (folder / "figures.json").read_text("utf-8") == result.to_json()
    assert (folder / "images.csv").read_text("utf-8") == result.to_csv()
    picture = cv2.imread(str(folder / "overlays" / "a.jpg"))
    assert picture is not None
    assert picture.shape == (6, 8, 3)
    assert f"{result.pooled.f1:.4f}" in page.text
    assert f"model file sha256 {'ab' * 32}" in page.text
    assert "second observer" in page.text


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    _, page, html = written(tmp_path, ["a", "b", "c"], observer=True)
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.of("img", "src"))
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    assert re.search(r"url\(|@import|https?:", html) is None
    assert [a for _, attributes in page.tags for a in attributes if a.startswith("on")] == []
    assert page.of("meta", "content")[1].startswith("default-src 'none'")


def test_names_stay_text_and_lead_to_their_pictures(tmp_path: Path) -> None:
    result, page, _ = written(tmp_path, HOSTILE)
    assert {tag for tag, _ in page.tags} & {"b", "i"} == {"b", "i"}  # the page's own, in tiles and strips
    assert "x" not in page.of("img", "src")
    for name in HOSTILE:
        assert name.encode("utf-8", "backslashreplace").decode() in page.text
    for text in ("<b>mirror</b> 1.0", "eyes & <i>ears</i>", "a <processor>"):
        assert text in page.text
    targets = {unquote_to_bytes(link) for link in page.of("a", "href")}
    overlays = {b"overlays/" + p.name.encode("utf-8", "surrogateescape") for p in (tmp_path / "overlays").iterdir()}
    assert targets == overlays
    assert len(overlays) == len(HOSTILE)
    assert list(json.loads((tmp_path / "figures.json").read_bytes())["images"]) == HOSTILE
    rows = list(csv.reader((tmp_path / "images.csv").read_text("utf-8").splitlines()))
    assert [row[1] for row in rows[1:4]] == [*HOSTILE[:2], "'=HYPERLINK(1)"]
    assert set(result.images) == set(HOSTILE)


def test_photographs_that_the_model_knows_are_named_at_the_head(tmp_path: Path) -> None:
    result, page, _ = written(tmp_path, HOSTILE[:2])
    assert "Not a test" not in page.text
    report, counted = EvaluationReport(tmp_path), {}
    for name in HOSTILE[:2]:
        photograph = seen(name)
        report.see(photograph)
        counted[name] = photograph.truth.count(photograph.painted.astype(np.uint8), 1)
    report.write(replace(evaluation(counted), trained_on=HOSTILE[:1]))
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert f"trained on, or chosen by, 1 of these photographs: {HOSTILE[0]}." in page.text
    assert json.loads((tmp_path / "figures.json").read_text("utf-8"))["trained_on"] == HOSTILE[:1]
    assert result.trained_on == []


def test_the_worst_and_the_best_are_shown_none_of_them_twice(tmp_path: Path) -> None:
    _, page, _ = written(tmp_path, list("abcdefgh"))
    shown = [text.removeprefix("Overlay of ") for text in page.of("img", "alt") if text]
    assert shown == ["a", "b", "c", "h", "g", "f"]
    _, page, _ = written(tmp_path, list("abc"))
    assert [text for text in page.of("img", "alt") if text] == ["Overlay of a", "Overlay of c"]
    assert page.text.index("The worst") < page.text.index("The best")


def test_previews_are_small_and_cut_to_the_field_of_view(tmp_path: Path) -> None:
    report = EvaluationReport(tmp_path)
    shape = (1200, 1500)
    vessel, inside = np.zeros(shape, bool), np.zeros(shape, bool)
    inside[100:1100, 250:1250] = True
    photograph = EvaluatedPhoto("wide", np.zeros((*shape, 3), np.uint8), Truth.of(vessel, inside), vessel)
    report.see(photograph)
    report.write(evaluation({"wide": photograph.truth.count(vessel.astype(np.uint8), 128)}))
    sources = Page((tmp_path / "report.html").read_text("utf-8")).of("img", "src")
    sizes = []
    for source in sources:
        data = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert picture is not None
        sizes.append(picture.shape[:2])
    assert sizes == [(720, 900), (112, 112)]


def test_one_photograph_without_vessels(tmp_path: Path) -> None:
    report, empty = EvaluationReport(tmp_path), np.zeros((6, 8), bool)
    photograph = EvaluatedPhoto("healthy", np.zeros((6, 8, 3), np.uint8), Truth.of(empty, ~empty), empty)
    report.see(photograph)
    report.write(evaluation({"healthy": photograph.truth.count(empty.astype(np.uint8), 128)}))
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "one photograph: no interval" in page.text
    assert "The photograph" in page.text
    assert "95 %:" not in page.text
    assert "nan" not in page.text.lower()


def test_an_overlay_that_was_changed_meanwhile_is_named(tmp_path: Path) -> None:
    report, photograph = EvaluationReport(tmp_path), seen("a")
    report.see(photograph)
    counted = photograph.truth.count(photograph.painted.astype(np.uint8), 1)
    (tmp_path / "overlays" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.jpg: written by this evaluation, and damaged since"):
        report.write(evaluation({"a": counted}))
    (tmp_path / "overlays" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg"):
        report.write(evaluation({"a": counted}))
    assert not (tmp_path / "report.html").exists()


def test_a_report_is_the_same_when_it_is_made_again(tmp_path: Path) -> None:
    first = written(tmp_path, ["a", "b"])[2]
    assert written(tmp_path, ["a", "b"])[2] == first
    assert replace(written(tmp_path, ["a"])[0], milliseconds=1).title().endswith("1 photograph, threshold 0.5")
