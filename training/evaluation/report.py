"""An evaluation as a folder that can be read and passed on.

    DIR/report.html        all of it in one file: figures, curves, the worst and the best photographs
    DIR/images.csv         a row for each photograph, then the pooled figures
    DIR/figures.json       everything, unrounded
    DIR/overlays/NAME.jpg  each photograph at its own resolution: what was found, what was missed, what is wrong

Of a photograph that was drawn only a thumbnail stays in memory.
"""

import math
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
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto, Evaluation
from vesselrt.training.evaluation.figures import Interval, SegmentationMetrics, count_reaching
from vesselrt.training.evaluation.markup import Mark, Track, draw_square_chart, draw_strips, render_page, tag
from vesselrt.training.evaluation.overlay import draw_errors, encode_full_colour_jpeg, jpeg_data_url

SHOWN = 3
"""Of the worst and of the best photographs."""

_PREVIEW, _THUMBNAIL = 900, 112  # px, longer side
_NAMES = {
    "f1": "F1",
    "mean_dice": "mean Dice",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "auc": "AUC",
    "cldice": "clDice",
    "thin_recall": "thin recall",
    "ece": "calib. error",
}
_OBSERVER = "second observer"
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
        self._thumbnails[seen.name] = jpeg_data_url(lit, _THUMBNAIL)
        _write_file(self._overlay(seen.name), encode_full_colour_jpeg(drawn))

    def write(self, evaluation: Evaluation) -> Path:
        """Writes the figures and the page; the path of the page."""
        page = self._folder / "report.html"
        _write_file(self._folder / "figures.json", evaluation.to_json())
        _write_file(self._folder / "images.csv", evaluation.to_csv())
        style = Path(__file__).with_name("report.css").read_text("utf-8")
        _write_file(page, render_page(evaluation.title(), style, *self._body(evaluation)))
        return page

    def _body(self, evaluation: Evaluation) -> list[Element]:
        return [
            _page_head(evaluation),
            _key_figures(evaluation),
            tag("h2", "Pooled figures"),
            _pooled_table(evaluation),
            tag("h2", "Photograph by photograph"),
            _photograph_strips(evaluation),
            tag("h2", "At every threshold"),
            _threshold_charts(evaluation),
            *self._extremes(evaluation),
            tag("h2", "All photographs, the worst first"),
            self._photographs(evaluation),
            tag("h2", "How it was counted"),
            tag("dl", *(part for name, text in _RULES.items() for part in (tag("dt", name), tag("dd", text)))),
            _page_foot(evaluation),
        ]

    def _extremes(self, evaluation: Evaluation) -> list[Element]:
        """The worst and the best by F1, none of them twice; of a single photograph that one."""
        ranked = _rank_by_f1(evaluation)
        shown = min(SHOWN, len(ranked) // 2)
        groups = {"The worst": ranked[:shown], "The best": ranked[len(ranked) - shown :][::-1]}
        if not shown:
            groups = {"The photograph": ranked}
        made: list[Element] = []
        for title, names in groups.items():
            cards = [self._card(name, evaluation.images[name]) for name in names]
            made += [tag("h2", title), _overlay_legend(), tag("div", *cards, class_="photographs")]
        return made

    def _card(self, name: str, metrics: SegmentationMetrics) -> Element:
        path = self._overlay(name)
        # Not cv2.imread: a name that is not UTF-8 ends the whole process there.
        drawn = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if drawn is None:
            raise DataError(f"{path}: written by this evaluation, and damaged since. Leave its folder alone meanwhile.")
        preview = jpeg_data_url(drawn[:, :, ::-1].astype(np.uint8, copy=False), _PREVIEW)
        keys = ("precision", "recall", "cldice", "thin_recall")
        said = ", ".join(f"{_NAMES[key]} {_format_figure(getattr(metrics, key))}" for key in keys)
        picture = tag("a", tag("img", src=preview, alt=f"Overlay of {name}"), href=self._href(name))
        caption = tag("figcaption", tag("h3", f"{name}, F1 {metrics.f1:.4f}"), said)
        return tag("figure", picture, caption, class_="photograph")

    def _photographs(self, evaluation: Evaluation) -> Element:
        titles = {key: name for key, name in _NAMES.items() if key != "mean_dice"}  # of one photograph it is F1
        rows = []
        for name in _rank_by_f1(evaluation):
            metrics, link = evaluation.images[name], self._href(name)
            picture = tag("img", src=self._thumbnails[name], alt="")
            rows.append(
                tag(
                    "tr",
                    tag("th", tag("a", name, href=link)),
                    tag("td", tag("a", picture, href=link), class_="thumb"),
                    *(tag("td", _format_figure(getattr(metrics, key))) for key in titles),
                )
            )
        return _html_table(["photograph", "", *titles.values()], rows)

    def _overlay(self, name: str) -> Path:
        return self._folder / "overlays" / f"{name}.jpg"

    def _href(self, name: str) -> str:
        return f"overlays/{quote(os.fsencode(name))}.jpg"


def _page_head(evaluation: Evaluation) -> Element:
    m, observer = evaluation.pooled, evaluation.second_observer
    many = f"{len(evaluation.images)} photograph{'' if len(evaluation.images) == 1 else 's'}"
    said = (
        f"Finds {m.recall:.1%} of the vessel pixels of {many}; of what it paints, {m.precision:.1%} is vessel "
        f"(threshold {evaluation.threshold:g})."
    )
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
        ends, other = _interval_ends(evaluation.interval, key), getattr(evaluation.second_observer, key, None)
        tiles.append(
            tag(
                "div",
                tag("small", title),
                tag("b", _format_figure(getattr(evaluation.pooled, key))),
                None if ends is None else tag("small", f"95 %: {ends[0]:.3f} to {ends[1]:.3f}"),
                None if other is None else tag("small", f"{_OBSERVER} {other:.4f}"),
                class_="tile",
            )
        )
    return tag("div", *tiles, class_="tiles")


def _pooled_table(evaluation: Evaluation) -> Element:
    rows = _figure_rows(evaluation.model, evaluation.pooled, evaluation.interval)
    if evaluation.second_observer is not None:
        rows += _figure_rows(_OBSERVER, evaluation.second_observer, evaluation.second_observer_interval)
    return _html_table(["", *_NAMES.values()], rows)


def _figure_rows(name: str, metrics: SegmentationMetrics, interval: Interval | None) -> list[Element]:
    rows = [tag("tr", tag("th", name), *(tag("td", _format_figure(value)) for value in asdict(metrics).values()))]
    title = "95 % interval" if interval else "one photograph: no interval"
    ends = [_interval_ends(interval, key) for key in _NAMES]
    ranges = ["" if e is None else f"{e[0]:.3f}–{e[1]:.3f}" for e in ends]
    return [*rows, tag("tr", tag("th", title), *(tag("td", text) for text in ranges), class_="range")]


def _photograph_strips(evaluation: Evaluation) -> Element:
    tracks = []
    for key in ("f1", "cldice", "precision", "recall", "thin_recall", "auc"):
        value = getattr(evaluation.pooled, key)
        if value is None:
            continue
        each = [(getattr(metrics, key), name) for name, metrics in evaluation.images.items()]
        dots = [(v, name) for v, name in each if v is not None]
        other = getattr(evaluation.second_observer, key, None)
        tracks.append(Track(_NAMES[key], dots, value, _interval_ends(evaluation.interval, key), other))
    keys = [tag("li", "A dot is a photograph, the line all of them together, its band the 95 % interval.")]
    if evaluation.second_observer is not None:
        keys.append(tag("li", tag("span", "◆", class_="other"), f" {_OBSERVER}, all photographs together"))
    return tag("div", tag("ul", *keys, class_="keys"), draw_strips(tracks), class_="chart")


def _threshold_charts(evaluation: Evaluation) -> Element:
    vessel, background = np.array(evaluation.vessel_levels), np.array(evaluation.background_levels)
    hits, alarms = count_reaching(vessel), count_reaching(background)  # (257,) pixels at each level and above
    recall, painted = hits / max(1, vessel.sum()), hits + alarms
    precision = np.divide(hits, painted, out=np.ones(257), where=painted > 0)
    points = {"model": (evaluation.pooled, f"threshold {evaluation.threshold:g}")}
    if evaluation.second_observer is not None:
        points["other"] = (evaluation.second_observer, _OBSERVER)
    roc = draw_square_chart(
        ("false positive rate", "recall"),
        list(zip(alarms / max(1, background.sum()), recall, strict=True)),
        [Mark(1 - m.specificity, m.recall, kind, name) for kind, (m, name) in points.items()],
        even=True,
    )
    pr = draw_square_chart(
        ("recall", "precision"),
        list(zip(recall, precision, strict=True)),
        [Mark(m.recall, m.precision, kind, name) for kind, (m, name) in points.items()],
    )
    signs = ", ".join(f"{'●' if kind == 'model' else '◆'} {name}" for kind, (_, name) in points.items())
    best = f"Best F1 {evaluation.best_f1:.4f}, at threshold {evaluation.best_threshold:.3f}: chosen on these pixels."
    charts = {
        "ROC": (roc, f"{signs}. Area {_format_figure(evaluation.pooled.auc)}."),
        "Precision and recall": (pr, f"{signs}. {best}"),
        "Reliability": (
            _reliability_chart(evaluation),
            f"Calibration error {_format_figure(evaluation.pooled.ece)}. Dashed: the ideal. Bars: pixels, logarithmic.",
        ),
    }
    figures = [
        tag("figure", tag("h3", title), chart, tag("figcaption", text), class_="chart")
        for title, (chart, text) in charts.items()
    ]
    return tag("div", *figures, class_="charts")


def _reliability_chart(evaluation: Evaluation) -> Element:
    bins = evaluation.reliability
    points = [(b.probability, b.vessel) for b in bins if b.probability is not None and b.vessel is not None]
    marks = [Mark(p, v, "model", f"of pixels at {p:.1%}, {v:.1%} are vessel") for p, v in points]
    most = math.log1p(max(b.pixels for b in bins))
    bars = [math.log1p(b.pixels) / most for b in bins]
    return draw_square_chart(("probability", "share that is vessel"), points, marks, even=True, bars=bars)


def _overlay_legend() -> Element:
    meanings = {"right": "vessel, found", "missed": "vessel, missed", "wrong": "not vessel, but painted"}
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


def _interval_ends(interval: Interval | None, key: str) -> tuple[float, float] | None:
    """The interval of one figure; None where it has none."""
    low, high = getattr(interval and interval.low, key, None), getattr(interval and interval.high, key, None)
    return None if low is None or high is None else (low, high)


def _format_figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _write_file(path: Path, content: bytes | str) -> None:
    with atomic_write(path) as name:
        # The name of a photograph may hold bytes that are not UTF-8: they are written as escapes.
        name.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
