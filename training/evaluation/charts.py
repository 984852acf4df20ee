"""The charts of a report: photographs on strips, and what every threshold gives."""

import math
from xml.etree.ElementTree import Element

import numpy as np

from vesselrt.training.evaluation.figures import Interval, count_reaching
from vesselrt.training.evaluation.markup import Mark, Track, draw_square_chart, draw_strips, tag
from vesselrt.training.evaluation.result import Evaluation

FIGURE_NAMES = {
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
OBSERVER = "second observer"


def photograph_strips(evaluation: Evaluation) -> Element:
    """Each figure of each photograph as a dot on a line, and that of all of them."""
    tracks = []
    for key in ("f1", "cldice", "precision", "recall", "thin_recall", "auc"):
        value = getattr(evaluation.pooled, key)
        if value is None:
            continue
        each = [(getattr(metrics, key), name) for name, metrics in evaluation.images.items()]
        dots = [(v, name) for v, name in each if v is not None]
        other = getattr(evaluation.second_observer, key, None)
        tracks.append(Track(FIGURE_NAMES[key], dots, value, interval_ends(evaluation.interval, key), other))
    keys = [tag("li", "A dot is a photograph, the line all of them together, its band the 95 % interval.")]
    if evaluation.second_observer is not None:
        keys.append(tag("li", tag("span", "◆", class_="other"), f" {OBSERVER}, all photographs together"))
    return tag("div", tag("ul", *keys, class_="keys"), draw_strips(tracks), class_="chart")


def threshold_charts(evaluation: Evaluation) -> Element:
    """ROC, precision against recall, and reliability."""
    vessel, background = np.array(evaluation.vessel_levels), np.array(evaluation.background_levels)
    hits, alarms = count_reaching(vessel), count_reaching(background)  # (257,) pixels at each level and above
    recall, painted = hits / max(1, vessel.sum()), hits + alarms
    precision = np.divide(hits, painted, out=np.ones(257), where=painted > 0)
    points = {"model": (evaluation.pooled, f"threshold {evaluation.threshold:g}")}
    if evaluation.second_observer is not None:
        points["other"] = (evaluation.second_observer, OBSERVER)
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
        "ROC": (roc, f"{signs}. Area {format_figure(evaluation.pooled.auc)}."),
        "Precision and recall": (pr, f"{signs}. {best}"),
        "Reliability": (
            _reliability_chart(evaluation),
            f"Calibration error {format_figure(evaluation.pooled.ece)}. Dashed: the ideal. Bars: pixels, logarithmic.",
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


def interval_ends(interval: Interval | None, key: str) -> tuple[float, float] | None:
    """The interval of one figure; None where it has none."""
    low, high = getattr(interval and interval.low, key, None), getattr(interval and interval.high, key, None)
    return None if low is None or high is None else (low, high)


def format_figure(value: float | None) -> str:
    """Four decimals; of one that is undefined a dash."""
    return "–" if value is None else f"{value:.4f}"
