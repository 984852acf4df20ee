"""The layouts of data sets of masks, as their authors publish them. Any picture format will do in place of theirs.

    drive       training/images/21_training.tif  1st_manual/21_manual1.gif  mask/21_training_mask.gif
                test/images/01_test.tif          1st_manual/01_manual1.gif  2nd_manual/01_manual2.gif
    chase_db1   Image_01L.jpg  Image_01L_1stHO.png  Image_01L_2ndHO.png  fov_masks/Image_01L.gif (optional)
    hrf         images/01_dr.jpg  manual1/01_dr.tif  mask/01_dr_mask.tif
                without manual1, HRF-AV: HRF_AV_GT/01_dr_AVmanual.png
    stare       im0001.ppm  im0001.ah.ppm  im0001.vk.ppm, or in stare-images/ (or images/), labels-ah/, labels-vk/;
                the second observer is vk (optional); .gz as published or unpacked
    fives       train/Original/1_A.png  Ground truth/1_A.png; test/ alike
    les_av      images/7.png  vessel-segmentations/7.png  masks/7_mask.gif (the field of view)
                without vessel-segmentations: arteries-and-veins/7.png
    iostar      image/STAR 01_OSC.jpg  GT/STAR 01_OSC_GT.tif  mask/STAR 01_OSC_Mask.tif
    dr_hagis    Fundus_Images/1.jpg  Manual_Segmentations/1_manual_orig.png  Mask_images/1_mask_orig.png
    rite        training/images/21_training.tif  vessel/21_training.png, or without it av/21_training.png; test/ alike
    folder      images/NAME.*  masks/NAME.*  fov/NAME.* (optional)

Masks of arteries and veins (HRF-AV, LES-AV, RITE) are red, blue, green where they cross, white where the annotator was
not sure: all of these are vessel to a model of vessels. To one of arteries and veins a crossing is both, and white does
not count (vesselrt.training.data.classes). Where a folder of field-of-view masks is there, every photograph must have
one in it.

stare, les_av, iostar, dr_hagis and folder have no split that their authors published: `test` is all of it, for models
that were trained elsewhere; for training every fifth photograph is for validation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.photo.decoding import PHOTO_SUFFIXES
from vesselrt.training.data.classes import ARTERY_VEIN, MarkedMasks
from vesselrt.training.data.masks import Vessels
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import Parts, divide_as_published, divide_by_every_fifth


@dataclass(frozen=True)
class DataSetLayout:
    """How to know a data set, find its photographs, and divide them."""

    signs: tuple[str, ...]
    """Patterns of paths in its folder, any one of which tells it from others."""
    samples: Callable[[Path], list[Sample]]
    """All of them in name order, complete or not."""
    divide: Callable[[list[Sample]], Parts] = divide_by_every_fifth


def list_pictures(folder: Path, pattern: str = r".*") -> list[Path]:
    """The pictures in a folder whose names without suffix match; hidden files, such as macOS's ._x.jpg, are none."""
    if not folder.is_dir():
        return []
    return sorted(
        p
        for p in folder.iterdir()
        if not p.name.startswith(".")
        and _without_gz(p).suffix.lower() in PHOTO_SUFFIXES
        and re.fullmatch(pattern, picture_stem(p))
    )


def picture_stem(path: Path) -> str:
    """A picture's name without suffix, and without .gz."""
    return _without_gz(path).stem


def _without_gz(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


class PicturesByName:
    """The pictures of a folder by name without suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, list[Path]] = {}
        for path in list_pictures(folder):
            self._found.setdefault(picture_stem(path), []).append(path)

    def get(self, name: str) -> Path | None:
        """The picture of that name, or None. Raises DataError for a name that two pictures share."""
        paths = self._found.get(name, [])
        if len(paths) > 1:
            raise DataError(f"{self.folder}: masks that share a name: {', '.join(map(str, paths))}. Keep one of them.")
        return paths[0] if paths else None

    def need(self, name: str) -> Path:
        """The picture of that name; where it is missing, a path for the message."""
        return self.get(name) or self.folder / f"{name}.*"


_Place = tuple[Path, str]
"""A folder, and what the masks in it are called: {name} is the photograph's name without suffix, {number} its begin."""


def _pair_with_masks(
    photographs: list[Path],
    truth: _Place,
    inside: _Place | None = None,
    second: _Place | None = None,
    vessels: Vessels = None,
    artery_vein: _Place | None = None,
) -> list[Sample]:
    """Photographs with their masks; the field of view counts where its folder is there, and arteries and veins too."""

    def names_in(place: _Place | None) -> PicturesByName | None:
        return PicturesByName(place[0]) if place is not None and place[0].is_dir() else None

    truths, fields, seconds = PicturesByName(truth[0]), names_in(inside), names_in(second)
    told_apart = names_in(artery_vein)

    def called(place: _Place | None, image: Path) -> str:
        return "" if place is None else place[1].format(name=picture_stem(image), number=picture_stem(image)[:2])

    return [
        Sample(
            name=picture_stem(image),
            image=image,
            truth=truths.need(called(truth, image)),
            field_of_view=fields.need(called(inside, image)) if fields else None,
            second=seconds.get(called(second, image)) if seconds else None,
            vessels=vessels,
            marked=MarkedMasks(
                ARTERY_VEIN, told_apart.need(called(artery_vein, image)), image.parent, picture_stem(image)
            )
            if told_apart
            else None,
        )
        for image in photographs
    ]


def _first_number(text: str) -> int:
    """The first number in a name."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def _is_test(sample: Sample) -> bool:
    """Where training and test split are folders."""
    return sample.image.parents[1].name == "test"


def _drive(root: Path) -> list[Sample]:
    return [
        sample
        for part in (root / "training", root / "test")
        for sample in _pair_with_masks(
            list_pictures(part / "images", r"\d\d_\w+"),
            (part / "1st_manual", "{number}_manual1"),
            (part / "mask", "{name}_mask"),
            (part / "2nd_manual", "{number}_manual2"),
        )
    ]


def _chase_db1(root: Path) -> list[Sample]:
    photographs = list_pictures(root, r"Image_\d\d[LR]")
    return _pair_with_masks(photographs, (root, "{name}_1stHO"), (root / "fov_masks", "{name}"), (root, "{name}_2ndHO"))


def _hrf(root: Path) -> list[Sample]:
    photographs, inside = list_pictures(root / "images", r"\d\d_(h|dr|g)"), (root / "mask", "{name}_mask")
    coloured = root / "HRF_AV_GT", "{name}_AVmanual"
    if not (root / "manual1").is_dir() and coloured[0].is_dir():
        return _pair_with_masks(photographs, coloured, inside, vessels="any colour", artery_vein=coloured)
    return _pair_with_masks(photographs, (root / "manual1", "{name}"), inside, artery_vein=coloured)


def _stare(root: Path) -> list[Sample]:
    def place(*names: str) -> Path:
        return next((root / name for name in names if (root / name).is_dir()), root)

    photographs = list_pictures(place("stare-images", "images"), r"im\d{4}")
    truth, second = (place("labels-ah", "labels"), "{name}.ah"), (place("labels-vk", "labels"), "{name}.vk")
    return _pair_with_masks(photographs, truth, second=second)


def _fives(root: Path) -> list[Sample]:
    return [
        sample
        for part in (root / "train", root / "test")
        for sample in _pair_with_masks(list_pictures(part / "Original"), (part / "Ground truth", "{name}"))
    ]


def _les_av(root: Path) -> list[Sample]:
    photographs, inside = list_pictures(root / "images"), (root / "masks", "{name}_mask")
    coloured = root / "arteries-and-veins", "{name}"
    if (root / "vessel-segmentations").is_dir():
        return _pair_with_masks(photographs, (root / "vessel-segmentations", "{name}"), inside, artery_vein=coloured)
    return _pair_with_masks(photographs, coloured, inside, vessels="any colour", artery_vein=coloured)


def _iostar(root: Path) -> list[Sample]:
    return _pair_with_masks(list_pictures(root / "image"), (root / "GT", "{name}_GT"), (root / "mask", "{name}_Mask"))


def _dr_hagis(root: Path) -> list[Sample]:
    # By number: 24 and 32 are one photograph, and every fifth keeps them together in training.
    photographs = sorted(list_pictures(root / "Fundus_Images", r"\d+"), key=lambda path: _first_number(path.name))
    truth, inside = (root / "Manual_Segmentations", "{name}_manual_orig"), (root / "Mask_images", "{name}_mask_orig")
    return _pair_with_masks(photographs, truth, inside)


def _rite(root: Path) -> list[Sample]:
    samples = []
    for part in (root / "training", root / "test"):
        photographs = list_pictures(part / "images", r"\d\d_\w+")
        coloured = part / "av", "{name}"
        if (part / "vessel").is_dir():
            samples += _pair_with_masks(photographs, (part / "vessel", "{name}"), artery_vein=coloured)
        else:
            samples += _pair_with_masks(photographs, coloured, vessels="any colour", artery_vein=coloured)
    return samples


def _folder(root: Path) -> list[Sample]:
    return _pair_with_masks(list_pictures(root / "images"), (root / "masks", "{name}"), (root / "fov", "{name}"))


def _divide_by(test: Callable[[Sample], bool], held_out: Callable[[int], bool]) -> Callable[[list[Sample]], Parts]:
    """`held_out`: which numbers of the training split are for validation."""
    return partial(divide_as_published, test=test, held_out=lambda sample: held_out(_first_number(sample.name)))


LAYOUTS: dict[str, DataSetLayout] = {
    "drive": DataSetLayout(("t*/1st_manual",), _drive, _divide_by(_is_test, lambda number: number >= 37)),
    "chase_db1": DataSetLayout(
        ("Image_*_1stHO.*",), _chase_db1, _divide_by(lambda s: _first_number(s.name) >= 11, lambda number: number >= 9)
    ),
    "hrf": DataSetLayout(
        ("manual1", "HRF_AV_GT"), _hrf, _divide_by(lambda s: _first_number(s.name) >= 6, lambda number: number == 5)
    ),
    "stare": DataSetLayout(("labels-ah", "im*.ah.*", "*/im*.ah.*"), _stare),
    "fives": DataSetLayout(("t*/Ground truth",), _fives, _divide_by(_is_test, lambda number: number % 10 == 0)),
    "les_av": DataSetLayout(("vessel-segmentations", "arteries-and-veins"), _les_av),
    "iostar": DataSetLayout(("GT/*_GT.*",), _iostar),
    "dr_hagis": DataSetLayout(("Manual_Segmentations",), _dr_hagis),
    "rite": DataSetLayout(("t*/vessel", "t*/av"), _rite, _divide_by(_is_test, lambda number: number >= 37)),
    "folder": DataSetLayout(("masks",), _folder),
}
