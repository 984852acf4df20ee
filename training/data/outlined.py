"""The kind `geojson`: photographs with outlines of their vessels, as QuPath exports them.

    NAME.*  NAME.geojson, in one folder or in images/ and annotations/; or one annotations.geojson for all, in which the
    property `image` names the photograph of each feature, or annotations.json, a file of COCO;
    dataset.json (optional): vesselrt.training.data.splits

vesselrt.training.data.annotations says what counts as vessel. The split is a function of the photograph's name
alone, so that no photograph moves when others are added: of the SHA-256 of the name without suffix the first 8 bytes,
big-endian, as a share of 2^64; below 0.2 test, below 0.35 validation, else train. Photographs of one patient belong
together: where there are several, say so in `splits` of dataset.json.
"""

from pathlib import Path

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.annotations import (
    UNANNOTATED_ADVICE,
    Annotation,
    annotated_names,
    list_annotated_classes,
    list_annotated_photographs,
)
from vesselrt.training.data.layouts import list_pictures
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import DataSetSettings, Split

SIGNS = ("*.geojson", "annotations/*.geojson", "annotations.json", "_annotations.coco.json")
"""Patterns of paths, any one of which tells this kind."""
_SHARED = ("annotations.geojson", "annotations.json", "_annotations.coco.json")
"""Files for all photographs: GeoJSON, COCO, and COCO as Roboflow calls it."""


def list_outlined_samples(root: Path, settings: DataSetSettings, split: Split) -> list[Sample]:
    """The samples of a split, in name order.

    Raises DataError for photographs and annotations that don't belong together, and for classes that none has.
    """
    settings_path, shared = root / "dataset.json", _shared_file(root)
    folder = root / "images" if (root / "images").is_dir() else root
    photographs = list_pictures(folder)
    beside = root / "annotations" if (root / "annotations").is_dir() else folder
    single = sorted(p for p in beside.glob("*.geojson") if p != shared and not p.name.startswith("."))
    if shared.exists() and single:
        raise DataError(
            f"{root}: {shared.name} for all, and {len(single)} file(s) for single photographs, such as {single[0]}. "
            "Take out the one or the others."
        )
    if shared.exists():
        beside, found = shared, {p: Annotation(shared, settings, p.name) for p in photographs}
        named = list_annotated_photographs(shared)
    else:
        found = {p: Annotation(beside / f"{p.stem}.geojson", settings) for p in photographs}
        named = {p.stem for p in single}
    strangers = sorted(named - {name for p in photographs for name in (p.stem, p.name)})
    if strangers:
        raise DataError(
            f"{beside}: {len(strangers)} annotated photograph(s) are not in {folder}: {', '.join(strangers)}. "
            "Mend the names, or take these annotations out."
        )
    annotations = [shared] if shared.exists() else single
    if (rules := settings.class_rules) is not None:
        for name, marks in rules.classes.items():
            _check_classes(settings_path, tuple(annotated_names(name, marks)), annotations)
    elif isinstance(settings.classes, tuple):
        _check_classes(settings_path, settings.classes, annotations)
    photographs = [p for p in photographs if settings.split(settings_path, p.stem) == split]
    bare = [p.name for p in photographs if named.isdisjoint((p.stem, p.name))]
    if bare and settings.unannotated == "refuse":
        raise DataError(
            f"{beside}: {len(bare)} photograph(s) of the {split} split have no annotation: {', '.join(bare)}. Annotate "
            f"them, or take them out of {folder}; {UNANNOTATED_ADVICE}."
        )
    return [
        Sample(p.stem, p, found[p].path, annotation=found[p], most_vessel=settings.most_vessel) for p in photographs
    ]


def _shared_file(root: Path) -> Path:
    """Of the annotations for all photographs; where there is none, the path of one. Raises DataError for several."""
    found = [root / name for name in _SHARED if (root / name).exists()]
    if len(found) > 1:
        raise DataError(f"{root}: several files for all photographs: {', '.join(map(str, found))}. Keep one of them.")
    return found[0] if found else root / _SHARED[0]


def _check_classes(path: Path, wanted: tuple[str, ...], annotations: list[Path]) -> None:
    """Raises DataError when no feature of the whole data set is of a class that is vessel; `path`: the settings."""
    there: set[str] = set()
    for annotation in annotations:
        there |= list_annotated_classes(annotation)
        if not there.isdisjoint(wanted):
            return
    raise DataError(
        f"{path}: no annotation is of the classes {', '.join(wanted)}. Those that are there: "
        f"{', '.join(sorted(there)) or 'none'}. Mend classes, or leave it out where every annotation is vessel."
    )
