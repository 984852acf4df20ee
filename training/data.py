"""Data sets of vessel annotations: which photograph goes with which truth, and which split it is in.

Layouts, as their authors publish them:

    drive       training/images/21_training.tif  1st_manual/21_manual1.gif  mask/21_training_mask.gif
                test/images/01_test.tif          1st_manual/01_manual1.gif  2nd_manual/01_manual2.gif
    chase_db1   Image_01L.jpg  Image_01L_1stHO.png  Image_01L_2ndHO.png  fov_masks/Image_01L.gif (optional)
    hrf         images/01_dr.jpg  manual1/01_dr.tif  mask/01_dr_mask.tif
    folder      images/NAME.*  masks/NAME.*  fov/NAME.* (optional); no split of its own: `test` is all of it
    geojson     NAME.*  NAME.geojson, in one folder or in images/ and annotations/; or one annotations.geojson for all,
                in which the property `image` names the photograph of each feature; dataset.json (optional): `Settings`

What counts as vessel in GeoJSON is told in vesselrt.training.annotations. Its split is a function of the photograph's
name alone, so that no photograph moves when others are added: of the SHA-256 of the name without suffix the first 8
bytes, big-endian, as a share of 2^64; below 0.2 test, below 0.35 validation, else train. Photographs of one patient
belong together: where there are several, say so in `splits` of dataset.json.

Where a folder of field-of-view masks is there, every photograph must have one in it.
Validation is always a part of the training split: no choice is ever made on a test split.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import explain
from vesselrt.runtime.photo.preparation import Image
from vesselrt.training.annotations import FREE, Annotation, Rules, classes, images

Kind = Literal["drive", "chase_db1", "hrf", "folder", "geojson"]
Split = Literal["train", "validation", "test"]
Mask = NDArray[np.bool_]

_IMAGES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm"}


@dataclass(frozen=True)
class Sample:
    """One annotated photograph: files only, nothing is read yet."""

    name: str
    image: Path
    truth: Path
    field_of_view: Path | None = None
    second: Path | None = None
    """A second human observer's annotation."""
    annotation: Annotation | None = None
    """How `truth` is read where it is GeoJSON; None: it is a mask."""

    def read_image(self) -> Image:
        """The photograph, (H, W, 3) uint8 RGB, turned upright as the runtime does; masks are taken as stored."""
        try:
            data = self.image.read_bytes()
        except OSError as error:
            raise DataError(f"{self.image}: can't be read ({error.strerror})") from None
        pixels = _decode(data)
        if pixels is None:
            raise DataError(f"{self.image}: not a readable image")
        return pixels

    def read_truth(self) -> Mask:
        """(H, W) bool, True = vessel."""
        return read_mask(self.truth) if self.annotation is None else self.annotation.mask(*_size(self.image))

    def read_field_of_view(self, shape: tuple[int, ...]) -> Mask:
        """(H, W) bool; everything, where the data set has no mask."""
        return np.ones(shape[:2], bool) if self.field_of_view is None else read_mask(self.field_of_view)


class Settings(Rules):
    """dataset.json of a `geojson` data set: how its annotations are meant, and its split."""

    splits: dict[Split, tuple[str, ...]] | None = None
    """Split → photographs by name without suffix; `*` and `?` stand for any characters. Each must be in one."""

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Those of a file, the defaults where there is none. Raises DataError that names each wrong field."""
        try:
            return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()
        except OSError as error:
            raise DataError(f"{path}: not readable ({error}).") from None
        except ValidationError as error:
            raise DataError(f"{path}: not valid settings of a data set: {explain(error)}.") from None

    def split(self, path: Path, name: str) -> Split:
        """The split of a photograph; `path` is that of the settings. Raises DataError unless `splits` gives it one."""
        if self.splits is None:
            share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
            return "test" if share < 0.2 else "validation" if share < 0.35 else "train"
        found = [s for s, patterns in self.splits.items() if any(fnmatchcase(name, p) for p in patterns)]
        if len(found) != 1:
            raise DataError(
                f"{path}: {name} is in {' and '.join(found) or 'no split'}. Expected each in one of splits."
            )
        return found[0]


def read_mask(path: Path) -> Mask:
    """A mask file as (H, W) bool: True above 127 (second-observer files of DRIVE decode to 3 and 253).

    Raises DataError when it can't be read, or is so dark (labels 0 and 1, say) that nothing in it would be True.
    """
    try:
        with Pillow.open(path) as file:
            grey = np.asarray(file.convert("L"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable mask ({error})") from None
    mask: Mask = grey > 127
    if grey.any() and not mask.any():
        raise DataError(f"{path}: its brightest value is {grey.max()}. Expected a mask of 0 and 255.")
    return mask


def find(kind: Kind, root: Path, split: Split) -> list[Sample]:
    """The samples of a data set's split, in name order.

    Raises DataError when the folder is missing, holds no such set, two photographs share a name, or a photograph
    lacks its mask: each is named.
    """
    if not root.is_dir():
        made = ", such as vesselrt outline makes of another data set" if kind == "geojson" else ""
        raise DataError(f"{root}: no such folder. Expected the data set {kind} there{made}.")
    samples = listed(kind, root, split)
    if not samples:
        rule = ""
        if kind == "geojson":
            rule = " Its split is by name, or as dataset.json says."
        elif (kind, split) == ("folder", "validation"):
            rule = " Every fifth photograph is for validation: expected five or more."
        raise DataError(
            f"{root}: no photographs of the {split} split of {kind}.{rule} Its layout: vesselrt.training.data."
        )
    names = Counter(s.name for s in samples)
    twins = [str(s.image) for s in samples if names[s.name] > 1]
    if twins:
        raise DataError(f"{root}: photographs that share a name and so a mask: {', '.join(twins)}. Keep one of each.")
    needed = [p for s in samples for p in (s.field_of_view, None if s.annotation else s.truth)]
    missing = [p for p in needed if p is not None and not p.exists()]
    if missing:
        raise DataError(f"{root}: {len(missing)} mask(s) are missing: {', '.join(str(p) for p in missing)}")
    return samples


def read_pair(sample: Sample) -> tuple[Image, Mask]:
    """Photograph (H, W, 3) and truth (H, W). Raises DataError when their sizes differ."""
    image, truth = sample.read_image(), sample.read_truth()
    agree(sample, truth, sample.image, image)
    return image, truth


def read_inside(sample: Sample, truth: Mask) -> Mask:
    """The field of view (H, W) that belongs to a truth. Raises DataError when their sizes differ, or it is empty."""
    inside = sample.read_field_of_view(truth.shape)
    agree(sample, truth, sample.field_of_view, inside)
    if not inside.any():
        raise DataError(f"{sample.field_of_view}: the mask is empty. Expected white where the field of view is.")
    return inside


def agree(sample: Sample, truth: Mask, path: Path | None, pixels: NDArray[Any]) -> None:
    """Raises DataError unless what was read from `path`, (H, W) or (H, W, C), is of the truth's size."""
    (height, width), (h, w) = truth.shape, pixels.shape[:2]
    if (h, w) != (height, width):
        raise DataError(
            f"{path}: {w} × {h} pixels, but its truth {sample.truth} has {width} × {height}. They must agree."
        )


def digest(path: Path) -> str:
    """What a photograph is known by, whatever its name: the first 16 digits of its file's SHA-256."""
    return _sha(path.read_bytes())


def digests(path: Path) -> tuple[str, ...]:
    """`digest`, and the same of its pixels where it is an image: they stay when it is saved anew without loss."""
    data = path.read_bytes()
    pixels = _decode(data)
    return (_sha(data),) if pixels is None else (_sha(data), _sha(str(pixels.shape).encode() + pixels.tobytes()))


def listed(kind: Kind, root: Path, split: Split) -> list[Sample]:
    """The samples of a split, in name order, whether they are complete or not; none where there is no such split."""
    return _LAYOUTS[kind](root, split)


def check_kind(kind: str, root: Path) -> Kind:
    """A kind by its name; "auto" tells it from what the folder holds. Raises DataError for neither."""
    if kind in get_args(Kind):
        return cast(Kind, kind)
    signs: dict[Kind, tuple[str, ...]] = {
        "drive": ("t*/1st_manual",),
        "chase_db1": ("Image_*_1stHO.png",),
        "hrf": ("manual1",),
        "folder": ("masks",),
        "geojson": ("*.geojson", "annotations/*.geojson"),
    }
    if kind != "auto":
        raise DataError(f"unknown kind {kind!r} of data set. Expected one of: auto, {', '.join(signs)}.")
    found = next((k for k, ways in signs.items() if any(any(root.glob(sign)) for sign in ways)), None)
    if found is None:
        raise DataError(f"{root}: no data set of a known layout ({', '.join(signs)}). Name a folder that holds one.")
    return found


def _drive(root: Path, split: Split) -> list[Sample]:
    folder, suffix = ("test", "test") if split == "test" else ("training", "training")
    samples = []
    for image in _pictures(root / folder / "images", r"\d\d_\w+\.\w+"):
        number = image.name.split("_")[0]
        second = root / folder / "2nd_manual" / f"{number}_manual2.gif"
        samples.append(
            Sample(
                name=image.stem,
                image=image,
                truth=root / folder / "1st_manual" / f"{number}_manual1.gif",
                field_of_view=root / folder / "mask" / f"{number}_{suffix}_mask.gif",
                second=second if second.exists() else None,
            )
        )
    return _part(samples, split, held_out=lambda s: int(s.name[:2]) >= 37)


def _chase_db1(root: Path, split: Split) -> list[Sample]:
    samples = []
    for image in _pictures(root, r"Image_\d\d[LR]\.jpg"):
        fov, second = root / "fov_masks" / f"{image.stem}.gif", root / f"{image.stem}_2ndHO.png"
        samples.append(
            Sample(
                name=image.stem,
                image=image,
                truth=root / f"{image.stem}_1stHO.png",
                field_of_view=fov if fov.parent.is_dir() else None,
                second=second if second.exists() else None,
            )
        )

    def subject(sample: Sample) -> int:
        return int(sample.name[6:8])

    samples = [s for s in samples if (subject(s) >= 11) == (split == "test")]
    return _part(samples, split, held_out=lambda s: subject(s) >= 9)


def _hrf(root: Path, split: Split) -> list[Sample]:
    truth, fov = _named(root / "manual1"), _named(root / "mask")
    samples = [
        Sample(
            name=image.stem,
            image=image,
            truth=truth(image.stem),
            field_of_view=fov(f"{image.stem}_mask") if (root / "mask").is_dir() else None,
        )
        for image in _pictures(root / "images", r"\d\d_(h|dr|g)\.\w+")
        if (int(image.stem[:2]) >= 6) == (split == "test")
    ]
    return _part(samples, split, held_out=lambda s: s.name.startswith("05"))


def _folder(root: Path, split: Split) -> list[Sample]:
    truth, fov = _named(root / "masks"), _named(root / "fov")
    samples = [
        Sample(
            name=image.stem,
            image=image,
            truth=truth(image.stem),
            field_of_view=fov(image.stem) if (root / "fov").is_dir() else None,
        )
        for image in _pictures(root / "images")
    ]
    every_fifth = {s.name for s in samples[4::5]}
    return _part(samples, split, held_out=lambda s: s.name in every_fifth)


def _geojson(root: Path, split: Split) -> list[Sample]:
    settings_path, shared = root / "dataset.json", root / "annotations.geojson"
    settings = Settings.read(settings_path)
    folder = root / "images" if (root / "images").is_dir() else root
    pictures = _pictures(folder)
    beside = root / "annotations" if (root / "annotations").is_dir() else folder
    single = sorted(p for p in beside.glob("*.geojson") if p != shared)
    if shared.exists() and single:
        raise DataError(
            f"{root}: {shared.name} for all, and {len(single)} file(s) for single photographs, such as {single[0]}. "
            "Take out the one or the others."
        )
    if shared.exists():
        beside, found = shared, {p: Annotation(shared, settings, p.name) for p in pictures}
        named = images(shared)
    else:
        found = {p: Annotation(beside / f"{p.stem}.geojson", settings) for p in pictures}
        named = {p.stem for p in single}
    strangers = sorted(named - {name for p in pictures for name in (p.stem, p.name)})
    if strangers:
        raise DataError(
            f"{beside}: {len(strangers)} annotated photograph(s) are not in {folder}: {', '.join(strangers)}. "
            "Mend the names, or take these annotations out."
        )
    if settings.classes is not None:
        _check_classes(settings_path, settings.classes, [shared] if shared.exists() else single)
    pictures = [p for p in pictures if settings.split(settings_path, p.stem) == split]
    bare = [p.name for p in pictures if named.isdisjoint((p.stem, p.name))]
    if bare and settings.unannotated == "refuse":
        raise DataError(
            f"{beside}: {len(bare)} photograph(s) of the {split} split have no annotation: {', '.join(bare)}. Annotate "
            f"them, or take them out of {folder}; {FREE}."
        )
    return [Sample(p.stem, p, found[p].path, annotation=found[p]) for p in pictures]


def _check_classes(path: Path, wanted: tuple[str, ...], annotations: list[Path]) -> None:
    """Raises DataError when no feature of the whole data set is of a class that is vessel; `path`: the settings."""
    there: set[str] = set()
    for annotation in annotations:
        there |= classes(annotation)
        if not there.isdisjoint(wanted):
            return
    raise DataError(
        f"{path}: no annotation is of the classes {', '.join(wanted)}. Those that are there: "
        f"{', '.join(sorted(there)) or 'none'}. Mend classes, or leave it out where every annotation is vessel."
    )


_LAYOUTS: dict[str, Callable[[Path, Split], list[Sample]]] = {
    "drive": _drive,
    "chase_db1": _chase_db1,
    "hrf": _hrf,
    "folder": _folder,
    "geojson": _geojson,
}


def _part(samples: Iterable[Sample], split: Split, *, held_out: Callable[[Sample], bool]) -> list[Sample]:
    """The training split without its validation part, or that part, or all of a test split."""
    return [s for s in samples if split == "test" or held_out(s) == (split == "validation")]


def _pictures(folder: Path, pattern: str = r".*") -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES and re.fullmatch(pattern, p.name))


def _named(folder: Path) -> Callable[[str], Path]:
    """Name without suffix → the picture in `folder`; where there is none, the path to name as missing.

    Raises DataError, when asked, for a name that two pictures share.
    """
    found: dict[str, list[Path]] = {}
    for path in _pictures(folder):
        found.setdefault(path.stem, []).append(path)

    def named(stem: str) -> Path:
        paths = found.get(stem, [folder / f"{stem}.*"])
        if len(paths) > 1:
            raise DataError(f"{folder}: masks that share a name: {', '.join(map(str, paths))}. Keep one of them.")
        return paths[0]

    return named


def _decode(data: bytes) -> Image | None:
    """A file as (H, W, 3) uint8 RGB; None: not a readable image."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of a photograph that an annotation was drawn on.

    Raises DataError for one that is stored turned: some tools show it upright, and others as it is stored.
    """
    try:
        with Pillow.open(path) as file:
            orientation = file.getexif().get(0x0112, 1)
            width, height = file.size
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable image ({error})") from None
    if orientation != 1:
        raise DataError(
            f"{path}: stored turned (EXIF orientation {orientation}): which corner an annotation counts from "
            "depends on the tool. Save the photograph upright, and look at the annotation on it."
        )
    return height, width
