"""An evaluation as a folder that can be read and passed on.

    DIR/report.html        all of it in one file: figures, curves, the worst and the best photographs
    DIR/images.csv         a row for each photograph, then the pooled figures
    DIR/figures.json       everything, unrounded
    DIR/overlays/NAME.jpg  each photograph at its own resolution: what was found, what was missed, what is wrong; of
                           several classes NAME.CLASS.jpg, a picture of each

Of a photograph that was drawn only a thumbnail stays in memory.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element

import cv2
import numpy as np

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.files import atomic_write
from vesselrt.training.evaluation.charts import (
    FIGURE_NAMES,
    OBSERVER,
    format_figure,
    interval_ends,
    photograph_strips,
    threshold_charts,
)
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto
from vesselrt.training.evaluation.figures import Interval, SegmentationMetrics
from vesselrt.training.evaluation.markup import render_page, tag
from vesselrt.training.evaluation.overlay import draw_errors, encode_full_colour_jpeg, jpeg_data_url
from vesselrt.training.evaluation.result import Evaluation

SHOWN = 3
"""Of the worst and of the best photographs."""

_PREVIEW, _THUMBNAIL = 900, 112  # px, longer side
_RULES = {
    "pixels": "Only those inside the field of view count, at the photograph's own resolution. They are pooled over the "
    "photographs; mean Dice and clDice are means over photographs. A share of nothing, 0/0, is 1.",
    "interval": "95 %, percentile bootstrap (Efron 1979): 2000 draws of as many photographs, with replacement, from a "
    "fixed seed. Two eyes of one person count as two photographs: where they are alike, it is too narrow.",
    "F1, IoU": "2 TP / (2 TP + FP + FN), which is the Dice of the pooled pixels; TP / (TP + FP + FN).",
    "recall": "TP / (TP + FN), also called sensitivity.",
    "AUC": "How often a vessel pixel is more probable than another pixel, ties counted half.",
    "clDice": "Harmonic mean of the share of the found centreline in true vessels and of the true centreline in found "
    "ones (Shit et al. 2021, arXiv:2003.07311).",
    "thin recall": "Share of the true centreline that is found, where the vessel is under 3 pixels wide.",
    "calibration error": "|mean probability - share of vessel| in 15 bins of the probability, averaged over the pixels "
    "(Guo et al. 2017, arXiv:1706.04599).",
}


class EvaluationReport:
    """Draws photographs as they are evaluated (`see`), and at the end the page about them (`write`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thumbnails: dict[str, str] = {}
        (folder / "overlays").mkdir(parents=True, exist_ok=True)  # now, and not after an hour of work

    def see(self, seen: EvaluatedPhoto) -> None:
        """Writes the photograph's overlay."""
        drawn = draw_errors(seen)
        rows, columns = np.flatnonzero(seen.truth.inside.any(1)), np.flatnonzero(seen.truth.inside.any(0))
        lit = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        picture = _picture_name(seen.name, seen.class_)
        self._thumbnails[picture] = jpeg_data_url(lit, _THUMBNAIL)
        _write_file(self._overlay(picture), encode_full_colour_jpeg(drawn))

    def write(self, evaluation: Evaluation) -> Path:
        """Writes the figures and the page; the path of the page."""
        page = self._folder / "report.html"
        _write_file(self._folder / "figures.json", evaluation.to_json())
        _write_file(self._folder / "images.csv", evaluation.to_csv())
        style = Path(__file__).with_name("report.css").read_text("utf-8")
        _write_file(page, render_page(evaluation.title(), style, *self._body(evaluation)))
        return page

    def _body(self, evaluation: Evaluation) -> list[Element]:
        """Of one class its part; of several what they have together, then the part of each."""
        each = {name: evaluation.of_class(name) for name in evaluation.classes}
        parts = (
            [
                tag("h2", "Pooled figures"),
                _pooled_table([evaluation, *each.values()]),
                *(part for name, own in each.items() for part in (tag("h1", name), *self._part(own, name))),
            ]
            if each
            else self._part(evaluation, "")
        )
        return [
            _page_head(evaluation),
            *parts,
            tag("h2", "How it was counted"),
            tag("dl", *(part for name, text in _RULES.items() for part in (tag("dt", name), tag("dd", text)))),
            _page_foot(evaluation),
        ]

    def _part(self, evaluation: Evaluation, class_: str) -> list[Element]:
        """All that is shown of one class."""
        table = [] if class_ else [tag("h2", "Pooled figures"), _pooled_table([evaluation])]
        return [
            _key_figures(evaluation),
            *table,
            tag("h2", "Photograph by photograph"),
            photograph_strips(evaluation),
            tag("h2", "At every threshold"),
            threshold_charts(evaluation),
            *self._extremes(evaluation, class_),
            tag("h2", "All photographs, the worst first"),
            self._photographs(evaluation, class_),
        ]

    def _extremes(self, evaluation: Evaluation, class_: str) -> list[Element]:
        """The worst and the best by F1, none of them twice; of a single photograph that one."""
        ranked = _rank_by_f1(evaluation)
        shown = min(SHOWN, len(ranked) // 2)
        groups = {"The worst": ranked[:shown], "The best": ranked[len(ranked) - shown :][::-1]}
        if not shown:
            groups = {"The photograph": ranked}
        made: list[Element] = []
        for title, names in groups.items():
            cards = [self._card(name, class_, evaluation.images[name]) for name in names]
            made += [tag("h2", title), _overlay_legend(class_), tag("div", *cards, class_="photographs")]
        return made

    def _card(self, name: str, class_: str, metrics: SegmentationMetrics) -> Element:
        path = self._overlay(_picture_name(name, class_))
        # Not cv2.imread: a name that is not UTF-8 ends the whole process there.
        drawn = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if drawn is None:
            raise DataError(f"{path}: written by this evaluation, and damaged since. Leave its folder alone meanwhile.")
        preview = jpeg_data_url(drawn[:, :, ::-1].astype(np.uint8, copy=False), _PREVIEW)
        keys = ("precision", "recall", "cldice", "thin_recall")
        said = ", ".join(f"{FIGURE_NAMES[key]} {format_figure(getattr(metrics, key))}" for key in keys)
        shown = f"{name} {class_}".rstrip()
        picture = tag("a", tag("img", src=preview, alt=f"Overlay of {shown}"), href=self._href(name, class_))
        caption = tag("figcaption", tag("h3", f"{shown}, F1 {metrics.f1:.4f}"), said)
        return tag("figure", picture, caption, class_="photograph")

    def _photographs(self, evaluation: Evaluation, class_: str) -> Element:
        titles = {key: name for key, name in FIGURE_NAMES.items() if key != "mean_dice"}  # of one photograph it is F1
        rows = []
        for name in _rank_by_f1(evaluation):
            metrics, link = evaluation.images[name], self._href(name, class_)
            picture = tag("img", src=self._thumbnails[_picture_name(name, class_)], alt="")
            rows.append(
                tag(
                    "tr",
                    tag("th", tag("a", name, href=link)),
                    tag("td", tag("a", picture, href=link), class_="thumb"),
                    *(tag("td", format_figure(getattr(metrics, key))) for key in titles),
                )
            )
        return _html_table(["photograph", "", *titles.values()], rows)

    def _overlay(self, name: str) -> Path:
        return self._folder / "overlays" / f"{name}.jpg"

    def _href(self, name: str, class_: str) -> str:
        return f"overlays/{quote(os.fsencode(_picture_name(name, class_)))}.jpg"


def _picture_name(name: str, class_: str) -> str:
    """Of a photograph's overlay, without suffix."""
    return f"{name}.{class_}" if class_ else name


def _page_head(evaluation: Evaluation) -> Element:
    m, observer = evaluation.pooled, evaluation.second_observer
    many = f"{len(evaluation.images)} photograph{'' if len(evaluation.images) == 1 else 's'}"
    said = (
        f"Finds {m.recall:.1%} of the vessel pixels of {many}; of what it paints, {m.precision:.1%} is vessel "
        f"(threshold {evaluation.threshold:g})."
    )
    if evaluation.classes:
        found = (
            f"{name} {own.pooled.recall:.1%} and {own.pooled.precision:.1%} (threshold {own.threshold:g})"
            for name, own in evaluation.classes.items()
        )
        said = f"Of {many}, how much it finds, and how much of what it paints is right: {'; '.join(found)}."
    if observer is not None:
        said += f" A second human observer: {observer.recall:.1%} and {observer.precision:.1%}."
    return tag(
        "header",
        tag("p", f"{evaluation.data}, {evaluation.split} split", class_="quiet"),
        tag("h1", f"{evaluation.model} {evaluation.version}"),
        tag("p", said),
        _overlap_warning(evaluation),
        tag("p", f"{evaluation.info}; median {evaluation.milliseconds:.0f} ms a photograph", class_="quiet"),
    )


def _overlap_warning(evaluation: Evaluation) -> Element | None:
    """Where the model knows photographs that it is measured on."""
    if not (known := evaluation.trained_on):
        return None
    said = f"Not a test: the model was trained on, or chosen by, {len(known)} of these photographs: {', '.join(known)}."
    return tag("p", tag("strong", said))


def _key_figures(evaluation: Evaluation) -> Element:
    titles = {
        "f1": "F1",
        "cldice": "clDice",
        "thin_recall": "recall of thin vessels",
        "auc": "AUC",
        "ece": "calibration error",
    }
    tiles = []
    for key, title in titles.items():
        ends, other = interval_ends(evaluation.interval, key), getattr(evaluation.second_observer, key, None)
        tiles.append(
            tag(
                "div",
                tag("small", title),
                tag("b", format_figure(getattr(evaluation.pooled, key))),
                None if ends is None else tag("small", f"95 %: {ends[0]:.3f} to {ends[1]:.3f}"),
                None if other is None else tag("small", f"{OBSERVER} {other:.4f}"),
                class_="tile",
            )
        )
    return tag("div", *tiles, class_="tiles")


def _pooled_table(evaluations: Sequence[Evaluation]) -> Element:
    rows: list[Element] = []
    for own in evaluations:
        rows += _figure_rows(own.model, own.pooled, own.interval)
        if own.second_observer is not None:
            rows += _figure_rows(OBSERVER, own.second_observer, own.second_observer_interval)
    return _html_table(["", *FIGURE_NAMES.values()], rows)


def _figure_rows(name: str, metrics: SegmentationMetrics, interval: Interval | None) -> list[Element]:
    rows = [tag("tr", tag("th", name), *(tag("td", format_figure(value)) for value in asdict(metrics).values()))]
    title = "95 % interval" if interval else "one photograph: no interval"
    ends = [interval_ends(interval, key) for key in FIGURE_NAMES]
    ranges = ["" if e is None else f"{e[0]:.3f}–{e[1]:.3f}" for e in ends]
    return [*rows, tag("tr", tag("th", title), *(tag("td", text) for text in ranges), class_="range")]


def _overlay_legend(class_: str) -> Element:
    what = class_ or "vessel"
    meanings = {"right": f"{what}, found", "missed": f"{what}, missed", "wrong": f"not {what}, but painted"}
    keys = (tag("li", tag("span", class_=f"swatch {kind}"), text) for kind, text in meanings.items())
    return tag("ul", *keys, class_="keys")


def _page_foot(evaluation: Evaluation) -> Element:
    model = f", model file sha256 {evaluation.model_sha256}" if evaluation.model_sha256 else ""
    return tag(
        "footer",
        tag("p", f"vesselrt {version('vesselrt')}{model}."),
        tag(
            "p",
            "Beside this page: figures.json, images.csv, and overlays/ with every photograph at full size.",
        ),
        tag("p", "Not a medical device: it must not be used to diagnose or treat."),
    )


def _html_table(titles: Sequence[str], rows: Sequence[Element]) -> Element:
    head = tag("thead", tag("tr", *(tag("th", title) for title in titles)))
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll")


def _rank_by_f1(evaluation: Evaluation) -> list[str]:
    """The photographs' names, the lowest F1 first."""
    return sorted(evaluation.images, key=lambda name: evaluation.images[name].f1)


def _write_file(path: Path, content: bytes | str) -> None:
    with atomic_write(path) as name:
        # The name of a photograph may hold bytes that are not UTF-8: they are written as escapes.
        name.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
