"""How F1 and the verdict of quality fall when photographs are made worse, grade by grade.

    python -m vesselrt.benchmarks.quality chase_db1 CHASE_DB1 hrf HRF

The validation photographs of each data set are blurred, darkened, overexposed, made noisy, compressed and cut. For each
grade: the mean F1 in the field of view, and how many of the photographs are good, usable and rejected. A second table
counts the verdicts on all training and validation photographs, as they are and as the held-out cameras of
`vesselrt.training.synthetic.cameras` show them: whatever is rejected there is a false alarm.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import ImageError, as_command
from vesselrt.runtime.photo.quality import VERDICTS
from vesselrt.runtime.photo.views import find_scales
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.data.samples import Sample, read_inside, read_pair
from vesselrt.training.synthetic.cameras import HELD_OUT
from vesselrt.training.synthetic.pyramid import pyramid_from_photo


@dataclass(frozen=True)
class Degradation:
    """One way in which a photograph gets worse, in grades from good to bad."""

    unit: str
    grades: tuple[float, ...]
    apply: Callable[[Image, float], Image]
    """Of a photograph (H, W, 3) uint8 RGB and a grade; it may cut columns off on the right."""


def _blur(image: Image, thousandths: float) -> Image:
    sigma = thousandths * find_scales(image)[0].diameter / 1000
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _scale_light(image: Image, factor: float) -> Image:
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)


def _add_noise(image: Image, levels: float) -> Image:
    noise = np.random.default_rng(0).normal(0, levels, image.shape).astype(np.float32)
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)


def _compress(image: Image, quality: float) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _cut(image: Image, share: float) -> Image:
    box = find_scales(image)[0].box
    return np.ascontiguousarray(image[:, : box.left + round(share * box.width)])


DEGRADATIONS = {
    "blur": Degradation("σ, 1/1000 of the field", (1, 2, 3, 4, 6, 10), _blur),
    "dark": Degradation("times the light", (0.5, 0.3, 0.2, 0.1, 0.05), _scale_light),
    "overexposed": Degradation("times the light", (1.5, 2, 3, 5), _scale_light),
    "noise": Degradation("σ, levels of 255", (5, 10, 20, 40, 80), _add_noise),
    "JPEG": Degradation("quality", (50, 20, 10, 5, 2), _compress),
    "cut": Degradation("share of the field's width", (0.9, 0.75, 0.5, 0.35, 0.25), _cut),
}


def main() -> None:
    """Both tables of each data set."""
    with as_command(), load() as segmenter:
        print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}")
        for kind, folder in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            root = Path(folder)
            resolved = resolve_kind(kind, root)
            train, validation = (list_samples(resolved, root, split) for split in ("train", "validation"))
            titles = ("made worse by", "grade", "F1", *VERDICTS)
            print(f"\n{root.name}, {len(validation)} validation photographs\n")
            print(render_table(titles, _grade_rows(segmenter, validation), texts=2))
            print(f"\n{root.name}, {len(train) + len(validation)} training and validation photographs\n")
            print(render_table(("camera", *VERDICTS, "reasons"), _alarm_rows(segmenter, [*train, *validation])))


def _grade_rows(segmenter: Segmenter, samples: list[Sample]) -> Iterator[tuple[object, ...]]:
    """How it was made worse, the grade, the mean F1, and how many got each verdict."""
    pairs = [(*read_pair(sample), read_inside(sample, sample.read_truth())) for sample in samples]
    grades: list[tuple[str, str, float, Callable[[Image, float], Image] | None]] = [("nothing", "", 0.0, None)]
    grades += [(name, how.unit, grade, how.apply) for name, how in DEGRADATIONS.items() for grade in how.grades]
    for name, unit, grade, apply in grades:
        scores, verdicts = [], Counter[str]()
        for image, truth, inside in pairs:
            worse = image if apply is None else apply(image, grade)
            score, verdict = _judge(segmenter, worse, truth, inside)
            scores.append(score)
            verdicts[verdict] += 1
        label = f"{grade:g} ({unit})" if apply else ""
        yield name, label, f"{np.mean(scores):.3f}", *(verdicts[verdict] for verdict in VERDICTS)


def _judge(segmenter: Segmenter, image: Image, truth: Mask, inside: Mask) -> tuple[float, str]:
    """F1 in the field of view of what is left of a photograph, and the verdict. What is refused has 0."""
    width = image.shape[1]
    try:
        result = segmenter.segment(image)
    except ImageError:
        return 0.0, "reject"
    truth, found = truth[:, :width] & inside[:, :width], result.mask() & inside[:, :width]
    assert result.quality is not None
    hits, pixels = int(np.count_nonzero(truth & found)), int(np.count_nonzero(truth) + np.count_nonzero(found))
    return 2 * hits / max(1, pixels), result.quality.verdict


def _alarm_rows(segmenter: Segmenter, samples: list[Sample]) -> Iterator[tuple[object, ...]]:
    """The camera, how many got each verdict, and how often each reason was given."""
    verdicts: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for number, sample in enumerate(samples):
        image, truth = read_pair(sample)
        source = pyramid_from_photo(image, truth)
        shown = {name: camera.photograph(source, number)[0] for name, camera in HELD_OUT.items()}
        for name, picture in {"its own": image, **shown}.items():
            quality = segmenter.segment(picture).quality
            assert quality is not None
            verdicts.setdefault(name, Counter())[quality.verdict] += 1
            reasons.setdefault(name, Counter()).update(quality.reasons)
    for name, counts in verdicts.items():
        told = ", ".join(f"{reason} {count}" for reason, count in reasons[name].most_common())
        yield name, *(counts[verdict] for verdict in VERDICTS), told


if __name__ == "__main__":
    main()
