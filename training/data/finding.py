"""From a folder to the samples of a split: its layout, where in it the data set begins, and what is missing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.classes import ClassRules, MarkedMasks
from vesselrt.training.data.geojson import foreign_format
from vesselrt.training.data.layouts import LAYOUTS
from vesselrt.training.data.outlined import SIGNS, list_outlined_samples
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import DataSetSettings, Parts, Split

Kind = Literal[
    "drive", "chase_db1", "hrf", "stare", "fives", "les_av", "iostar", "dr_hagis", "rite", "folder", "geojson"
]
"""Layouts: masks are described in vesselrt.training.data.layouts, `geojson` in vesselrt.training.data.outlined."""

_SIGNS: dict[Kind, tuple[str, ...]] = {
    kind: SIGNS if kind == "geojson" else LAYOUTS[kind].signs for kind in get_args(Kind)
}
_DEEPEST = 2
"""Folders that an archive may put around a data set: FIVES has two."""


def list_samples(kind: Kind, root: Path, split: Split, rules: ClassRules | None = None) -> list[Sample]:
    """The samples of a data set's split, in name order. `rules`: of its classes, in place of those that it says itself.

    Raises DataError when the folder is missing, holds no such set, two photographs share a name, or a photograph
    lacks its mask: each is named.
    """
    if not root.is_dir():
        made = ", such as vesselrt outline makes of another data set" if kind == "geojson" else ""
        raise DataError(f"{root}: no such folder. Expected the data set {kind} there{made}.")
    samples = list_unchecked_samples(kind, root, split, rules)
    if not samples:
        rule = ""
        if kind == "geojson":
            rule = " Its split is by name, or as dataset.json says."
        elif split == "validation" and not has_test_split(kind, root):
            rule = " Every fifth photograph is for validation: expected five or more."
        raise DataError(
            f"{root}: no photographs of the {split} split of {kind}.{rule} Its layout: "
            f"vesselrt.training.data.{'outlined' if kind == 'geojson' else 'layouts'}."
        )
    names = Counter(s.name for s in samples)
    twins = [str(s.image) for s in samples if names[s.name] > 1]
    if twins:
        raise DataError(f"{root}: photographs that share a name and so a mask: {', '.join(twins)}. Keep one of each.")
    needed = [p for s in samples for p in (s.field_of_view, s.truth if _needs_truth(s) else None)]
    missing = [p for p in needed if p is not None and not p.exists()]
    if missing:
        raise DataError(f"{root}: {len(missing)} mask(s) are missing: {', '.join(str(p) for p in missing)}")
    return samples


def list_unchecked_samples(kind: Kind, root: Path, split: Split, rules: ClassRules | None = None) -> list[Sample]:
    """The samples of a split, in name order, whether they are complete or not; none where there is no such split."""
    root = _find_root(kind, root)
    path = root / "dataset.json"
    settings = DataSetSettings.read(path).with_rules(rules)
    if kind == "geojson":
        return list_outlined_samples(root, settings, split)
    samples = [_with_settings(sample, root, settings) for sample in LAYOUTS[kind].samples(root)]
    if settings.splits is None:
        return LAYOUTS[kind].divide(samples)[split]
    parts: Parts = {"train": [], "validation": [], "test": []}
    for sample in samples:
        parts[settings.split(path, sample.name)].append(sample)
    return parts[split]


def _with_settings(sample: Sample, root: Path, settings: DataSetSettings) -> Sample:
    """As the data set's own settings mean it."""
    marked, rules = sample.marked, settings.class_rules
    if rules is not None:
        marked = MarkedMasks(rules, sample.truth if marked is None else marked.mask, root, sample.name)
    return replace(
        sample,
        vessels=settings.vessel_colours or sample.vessels,
        most_vessel=settings.most_vessel,
        marked=marked,
        unmarked_is_empty=settings.unannotated == "empty",
    )


def _needs_truth(sample: Sample) -> bool:
    """Whether something is read from `truth`: not where it is an annotation, or each class has a mask of its own."""
    alone = sample.marked is not None and all(m.masks is not None for m in sample.marked.rules.classes.values())
    return sample.annotation is None and not alone


def has_test_split(kind: Kind, root: Path) -> bool:
    """Whether the test split holds photographs that no other split has."""
    test = {sample.image for sample in list_unchecked_samples(kind, root, "test")}
    return bool(test) and test.isdisjoint(sample.image for sample in list_unchecked_samples(kind, root, "train"))


def resolve_kind(kind: str, root: Path) -> Kind:
    """A kind by its name; "auto" finds it by the content of the folder. Raises DataError when there is none."""
    if kind in get_args(Kind):
        return cast(Kind, kind)
    if kind != "auto":
        raise DataError(f"unknown kind {kind!r} of data set. Expected one of: auto, {', '.join(_SIGNS)}.")
    for folders in _folders_by_depth(root):
        found = {folder: told for folder in folders if (told := _guess_kind(folder))}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            several = ", ".join(f"{folder} ({told})" for folder, told in found.items())
            raise DataError(f"{root}: it holds several data sets: {several}. Name one of these folders.")
    raise DataError(
        f"{root}: no data set of a known layout ({', '.join(_SIGNS)}). {_describe_foreign_json(root)}"
        "Name a folder that holds one."
    )


def _find_root(kind: Kind, root: Path) -> Path:
    """Where the data set begins: `root`, or a folder in it, as archives have it. Raises DataError for two."""
    for folders in _folders_by_depth(root):
        found = [folder for folder in folders if _has_any(folder, _SIGNS[kind])]
        if len(found) > 1:
            raise DataError(
                f"{root}: it holds the data set {kind} {len(found)} times: {', '.join(map(str, found))}. "
                "Name one of these folders."
            )
        if found:
            return found[0]
    return root


def _folders_by_depth(root: Path) -> Iterator[list[Path]]:
    """`root`, then the folders in it, then theirs; not those that an operating system made."""
    folders = [root]
    for _ in range(_DEEPEST + 1):
        yield folders
        folders = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if _is_data_folder(p)]


def _is_data_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name != "__MACOSX"


def _guess_kind(folder: Path) -> Kind | None:
    return next((kind for kind, signs in _SIGNS.items() if _has_any(folder, signs)), None)


def _has_any(folder: Path, signs: tuple[str, ...]) -> bool:
    return any(not path.name.startswith(".") for sign in signs for path in folder.glob(sign))


def _describe_foreign_json(root: Path) -> str:
    """The part of a message about annotations in other JSON than GeoJSON; empty: there are none."""
    for path in sorted(p for place in (root, root / "annotations", root / "images") for p in place.glob("*.json")):
        if (form := foreign_format(path.read_bytes())) is not None:
            return f"{path} is {form}. "
    return ""
