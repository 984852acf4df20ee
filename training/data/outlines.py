"""A data set of masks, written anew as one of GeoJSON annotations (vesselrt.training.data.outlined).

    images/NAME.*               the photographs, copied byte by byte
    annotations/NAME.geojson    outlines of the truth, in QuPath's form
    dataset.json                the splits, photograph by photograph, as the data set of masks has them

A field of view and a second observer's annotation have no place in this kind: of such a data set every pixel counts.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from glob import escape
from pathlib import Path

import numpy as np

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, check_simplify, geojson_from_mask
from vesselrt.training.data.annotations import Annotation, AnnotationRules
from vesselrt.training.data.finding import Kind, has_test_split, list_samples, list_unchecked_samples
from vesselrt.training.data.samples import Sample, check_same_size
from vesselrt.training.data.splits import DataSetSettings, Parts, Split


def list_splits(kind: Kind, root: Path) -> Parts:
    """The samples to write, by split. A data set without a test split of its own gives training and validation, and a
    small one no validation.

    Raises DataError for annotations that are GeoJSON already, for a name in two splits, and what `list_samples` does.
    """
    if kind == "geojson":
        raise DataError(f"{root}: its annotations are GeoJSON already. Expected a data set of masks.")
    splits: list[Split] = ["train"]
    splits += ["validation"] if list_unchecked_samples(kind, root, "validation") else []
    splits += ["test"] if has_test_split(kind, root) else []
    found = {split: list_samples(kind, root, split) for split in splits}
    names = Counter(sample.name for samples in found.values() for sample in samples)
    if twins := sorted(name for name, count in names.items() if count > 1):
        raise DataError(f"{root}: photographs of two splits share a name: {', '.join(twins[:9])}. Give each its own.")
    return found


def write_geojson_data_set(
    splits: Parts, out: Path, simplify: float = MAX_LOSSLESS_SIMPLIFY, advance: Callable[[], None] = lambda: None
) -> None:
    """Writes photographs and their truth to the new folder `out`, which appears whole or not at all.

    `simplify` is that of `geojson_from_mask`. Up to MAX_LOSSLESS_SIMPLIFY pixels each mask comes back exactly: every
    file is read again, and compared. `advance` is called after each photograph.

    Raises DataError where `out` is there already or a mask does not fit its photograph, and what `check_simplify` does.
    """
    check_simplify(simplify)
    if out.exists():
        raise DataError(f"{out}: it is there already, and nothing is overwritten. Name a folder that is not.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{out.name}.", suffix=".tmp", dir=out.parent) as beside:
        folder = Path(beside) / out.name
        (folder / "images").mkdir(parents=True)
        (folder / "annotations").mkdir()
        bare = False
        for sample in (sample for samples in splits.values() for sample in samples):
            bare |= not _write_photograph(sample, folder, simplify)
            advance()
        # Names are patterns there: what would stand for other characters is made to stand for itself.
        names = {split: tuple(escape(sample.name) for sample in samples) for split, samples in splits.items()}
        settings = DataSetSettings(splits=names, unannotated="empty" if bare else "refuse")
        (folder / "dataset.json").write_text(settings.model_dump_json(indent=1, exclude_defaults=True), "utf-8")
        folder.rename(out)


def _write_photograph(sample: Sample, folder: Path, simplify: float) -> bool:
    """Writes one photograph with its annotation; whether it has any vessel."""
    truth = sample.read_truth()
    image, path = folder / "images" / sample.image.name, folder / "annotations" / f"{sample.name}.geojson"
    shutil.copyfile(sample.image, image)
    path.write_bytes(geojson_from_mask(truth, simplify=simplify))
    again = Sample(
        sample.name, image, path, annotation=Annotation(path, AnnotationRules(unannotated="empty"))
    ).read_truth()
    check_same_size(sample, truth, sample.image, again)
    if simplify <= MAX_LOSSLESS_SIMPLIFY and not np.array_equal(again, truth):
        raise DataError(f"{sample.truth}: its outlines don't give it back, at simplify {simplify}. Say simplify 0.")
    return bool(truth.any())
