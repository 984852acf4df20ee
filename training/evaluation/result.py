"""What an evaluation found, as a record that is kept: its figures, and how they are written.

Figures are explained in `vesselrt.training.evaluation.figures`.
"""

import csv
import io
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace

from vesselrt.runtime.backends import Info
from vesselrt.training.evaluation.figures import Bin, Interval, SegmentationMetrics

SCHEMA = 4
"""Of the JSON. 1 had no intervals, calibration and levels; 2 no `trained_on`; 3 no `left_out`."""
TITLES = {
    "f1": "F1",
    "mean_dice": "Dice",
    "iou": "IoU",
    "precision": "precis.",
    "recall": "recall",
    "specificity": "specif.",
    "accuracy": "accur.",
    "auc": "AUC",
    "cldice": "clDice",
    "thin_recall": "thin",
    "ece": "ECE",
}
"""Field of Metrics → the head of its column."""


@dataclass(frozen=True)
class ClassFigures:
    """One class of several: the fields of `Evaluation` that are its own."""

    threshold: float
    pooled: SegmentationMetrics
    interval: Interval | None
    images: dict[str, SegmentationMetrics]
    best_f1: float
    best_threshold: float
    reliability: list[Bin]
    vessel_levels: list[int]
    background_levels: list[int]


@dataclass(frozen=True)
class Evaluation:
    """A model file on a data set, and what is needed to say how the figures came about."""

    schema: int
    model: str
    version: str
    info: Info
    """Backend, device and precision that were really used."""
    data: str
    split: str
    threshold: float
    pooled: SegmentationMetrics
    interval: Interval | None
    """Of `pooled`, 95 %, photographs resampled; None for a single photograph."""
    images: dict[str, SegmentationMetrics]
    """By sample name, in the order of the samples."""
    left_out: list[str]
    """Photographs of the split that were not measured: it was interrupted. With any of them the figures are not those
    of the split."""
    trained_on: list[str]
    """Those of the photographs that the model was trained on or chosen by: with any of them this is no test."""
    second_observer: SegmentationMetrics | None
    """A second human against the same truth, on the photographs that have one; None where none has."""
    second_observer_interval: Interval | None
    best_f1: float
    """The highest pooled F1 that any threshold gives. A diagnostic and never a result: the threshold was chosen with
    the truth in sight."""
    best_threshold: float
    """Where `best_f1` is reached, halfway between two levels; of several such places, the nearest to `threshold`."""
    reliability: list[Bin]
    """Bins of equal width, from improbable to probable."""
    vessel_levels: list[int]
    """256 numbers: pooled vessel pixels at each level of the 8-bit probability. With `background_levels`, all that the
    curves are drawn from."""
    background_levels: list[int]
    milliseconds: float
    """Median over the photographs, from the bytes of the file to the probability map."""
    model_sha256: str | None = None
    """Hash of the model file, where the caller knows the file."""
    classes: dict[str, ClassFigures] = field(default_factory=dict)
    """Of a model that tells several apart, each by itself. The figures above are then of the pixels of all of them
    together, and `threshold` is that of classes without one of their own. Empty, and not in the JSON, of one class."""

    def of_class(self, name: str) -> "Evaluation":
        """The evaluation of one class of several, as if the model had no other."""
        own = {part.name: getattr(self.classes[name], part.name) for part in fields(ClassFigures)}
        return replace(self, model=f"{self.model} {name}", classes={}, **own)

    def table(self) -> str:
        """For the terminal: a row each for the model, its classes, the second observer, and every photograph."""
        low, high = "  95 % from", "  95 % to"
        overall: list[tuple[str, SegmentationMetrics]] = []
        singles = {name: self.of_class(name) for name in self.classes}
        for whole in (self, *singles.values()):
            overall.append((whole.model, whole.pooled))
            if whole.interval is not None:
                overall += [(low, whole.interval.low), (high, whole.interval.high)]
        if self.second_observer is not None:
            overall.append(("second observer", self.second_observer))
        each = [(f"{photograph} {name}", metrics) for photograph, name, metrics in self._rows_of_photographs()]
        each = [(label.rstrip(), metrics) for label, metrics in each]
        width = max(len(name) for name, _ in (*overall, *each))

        def row(name: str, cells: Collection[str]) -> str:
            return f"{name:{width}}" + "".join(f"{cell:>8}" for cell in cells)

        def lines(rows: list[tuple[str, SegmentationMetrics]]) -> list[str]:
            return [row(n, ["-" if v is None else f"{v:.4f}" for v in asdict(m).values()]) for n, m in rows]

        best = [
            f"Best F1{f' of {name}' if name else ''} {of.best_f1:.4f}, at threshold {of.best_threshold:.3f} "
            "(a diagnostic: chosen on these pixels)"
            for name, of in (singles or {"": self}).items()
        ]
        spread = [] if self.interval else ["One photograph: how the figures vary is unknown, so they have no interval."]
        head = [f"{self.title()}", f"{self.info}, median {self.milliseconds:.0f} ms", "", row("", TITLES.values())]
        return "\n".join([*head, *lines(overall), "", *lines(each), "", *spread, *best])

    def _rows_of_photographs(self) -> list[tuple[str, str, SegmentationMetrics]]:
        """Photograph, class and figures: of several classes each class of each photograph."""
        if not self.classes:
            return [(name, "", metrics) for name, metrics in self.images.items()]
        return [(name, class_, own.images[name]) for name in self.images for class_, own in self.classes.items()]

    def title(self) -> str:
        """Model, data and setting in one line."""
        many = count_photographs(len(self.images), len(self.left_out))
        each = ", ".join(f"{name} {own.threshold:g}" for name, own in self.classes.items())
        threshold = f"thresholds {each}" if each else f"threshold {self.threshold:g}"
        return f"{self.model} {self.version} on {self.data} {self.split}, {many}, {threshold}"

    def figures(self) -> dict[str, float]:
        """The pooled figures that exist, and the threshold: what a manifest keeps."""
        known = {key: value for key, value in asdict(self.pooled).items() if value is not None}
        return {"threshold": self.threshold, **known}

    def records(self) -> dict[str, dict[str, float]]:
        """Data set and split → `figures`; of several classes of each one too."""
        of = f"{self.data} {self.split}"
        return {of: self.figures()} | {f"{of} {name}": self.of_class(name).figures() for name in self.classes}

    def to_json(self) -> str:
        """Every field, unrounded; None is null."""
        found = asdict(self)
        if not self.classes:
            del found["classes"]
        return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """A row of figures for each photograph, then the pooled ones; unrounded, empty where undefined.

        The first column says what the row is: image, pooled, pooled_low, pooled_high, and the same of the
        second_observer where there is one. A name that a spreadsheet takes for a formula has an apostrophe before it.
        Of several classes the third column names the class, and is empty where all are pooled.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        several = bool(self.classes)
        named = ["class"] if several else []
        writer.writerow(["row", "photograph", *named, *(part.name for part in fields(SegmentationMetrics))])
        rows = [("image", name, class_, metrics) for name, class_, metrics in self._rows_of_photographs()]
        whole = [(name, own.pooled, own.interval) for name, own in self.classes.items()]
        for row, class_, metrics, interval in (
            *(("pooled", *each) for each in (*whole, ("", self.pooled, self.interval))),
            ("second_observer", "", self.second_observer, self.second_observer_interval),
        ):
            rows += [(row, "", class_, metrics)] if metrics is not None else []
            ends = [("low", interval.low), ("high", interval.high)] if interval else []
            rows += [(f"{row}_{end}", "", class_, value) for end, value in ends]
        for row, name, class_, metrics in rows:
            shown = f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
            writer.writerow([row, shown, *([class_] if several else []), *asdict(metrics).values()])
        return text.getvalue()


def count_photographs(measured: int, left_out: int) -> str:
    """How many there are, for a line of text; and that there would have been more."""
    if left_out:
        return f"PARTIAL, interrupted: {measured} of {measured + left_out} photographs"
    return f"{measured} photograph{'s' if measured > 1 else ''}"
