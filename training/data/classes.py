"""Several classes in the truth of one photograph: which colours, labels, masks or annotations belong to each.

Data sets of arteries and veins (RITE, LES-AV, HRF-AV) share their colours: red, blue, green where the two cross, white
where the annotator was not sure. A mask may also hold labels (0, 1, 2), each class may have a mask of its own, and
annotations have the names of their classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Facts
from vesselrt.training.data.masks import Colour, read_mask, read_values


def _colour_from_channels(given: Any) -> Any:
    """[255, 0, 0] as "#ff0000"; anything else as it is, for the check that follows."""
    if isinstance(given, list | tuple) and len(given) == 3 and all(v in range(256) for v in given):
        return "#" + "".join(f"{value:02x}" for value in given)
    return given


_Colours = tuple[Annotated[Colour, BeforeValidator(_colour_from_channels)], ...]
_Label = Annotated[int, Field(ge=0, lt=2**16)]


class ClassMarks(Facts):
    """How one class is marked in a data set. A list alone stands for `colours`."""

    colours: _Colours = ()
    """#rrggbb or [r, g, b] of its pixels in the mask, exactly. A pixel of two classes has a colour that both name."""
    labels: tuple[_Label, ...] = ()
    """In place of colours: its values in a mask of labels, as they are stored; of a palette the index."""
    masks: str | None = None
    """A mask of its own, in the data set's folder and without suffix, such as `lesions/{name}_MA`: {name} is that of
    the photograph. Its pixels are the white ones, unless colours or labels are given."""
    names: tuple[str, ...] = ()
    """Of annotations: the classes there that are this one; none: the one of the same name."""

    @model_validator(mode="before")
    @classmethod
    def _read_list(cls, given: Any) -> Any:
        return {"colours": given} if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _has_one_kind(self) -> "ClassMarks":
        if self.colours and self.labels:
            raise ValueError("both colours and labels are given: name one kind")
        return self

    @property
    def values(self) -> tuple[int, ...]:
        """Those that `read_values` gives for it."""
        return self.labels or tuple(int(colour[1:], 16) for colour in self.colours)


class ClassRules(Facts):
    """How the classes of a data set are marked."""

    classes: dict[str, ClassMarks]
    ignore: ClassMarks | None = None
    """Pixels of which nobody can say what they are. They teach nothing, and no figure counts them."""
    background: ClassMarks | None = None
    """Pixels of no class; null: black ones, and those of label 0 that no class has."""


ARTERY_VEIN = ClassRules.model_validate(
    {
        "classes": {"artery": ["#ff0000", "#00ff00"], "vein": ["#0000ff", "#00ff00"]},
        "ignore": ["#ffffff"],
    }
)
"""The colours of RITE, LES-AV and HRF-AV: a crossing is both."""


@dataclass(frozen=True, eq=False)
class ClassTruth:
    """The truth of several classes."""

    masks: NDArray[np.bool_]
    """(K, H, W), in the order in which they were asked for; a pixel may be in several."""
    ignored: Mask | None
    """(H, W): what does not count; None: everything counts."""


def check_declared(source: Path, wanted: Sequence[str], declared: Sequence[str]) -> None:
    """Raises DataError where a data set does not say which pixels belong to a class."""
    if lacking := [name for name in wanted if name not in declared]:
        told = f"It tells: {', '.join(declared)}." if declared else "It is read as vessels alone."
        raise DataError(
            f"{source}: which pixels are {' and '.join(lacking)} is not said. {told} Name the colours, labels or masks "
            'of each in "classes": of dataset.json, or of the data set in a recipe.'
        )


@dataclass(frozen=True)
class MarkedMasks:
    """The mask files of one photograph, and how their classes are marked."""

    rules: ClassRules
    mask: Path
    """Of all classes that have none of their own."""
    root: Path
    """Folder of the data set."""
    name: str
    """Of the photograph."""

    def path_of(self, marks: ClassMarks) -> Path:
        """The file without which a class can't be read; where it is missing, a name for the message."""
        if marks.masks is None:
            return self.mask
        place = self.root / marks.masks.format(name=self.name)
        # Not with_suffix: a name may hold a dot.
        found = sorted(p for p in place.parent.glob("*") if p.stem == place.name and not p.name.startswith("."))
        return found[0] if found else place.with_name(f"{place.name}.*")

    def files(self, wanted: Sequence[str]) -> dict[str, Path]:
        """Class → its file. Raises DataError for a class that is not declared."""
        check_declared(self.mask, wanted, tuple(self.rules.classes))
        return {name: self.path_of(self.rules.classes[name]) for name in wanted}

    def read(self, wanted: Sequence[str]) -> tuple[list[Mask | None], Mask | None]:
        """Each class, None where its own mask is missing; and what is ignored. Raises DataError."""
        masks = [
            None if self.rules.classes[name].masks is not None and not path.exists() else self._read_marks(name, path)
            for name, path in self.files(wanted).items()
        ]
        ignore = self.rules.ignore
        if ignore is None or not (ignore.values or ignore.masks):  # names are of annotations
            return masks, None
        return masks, self._read(ignore, self.path_of(ignore))

    def _read_marks(self, name: str, path: Path) -> Mask:
        marks = self.rules.classes[name]
        if marks.masks is None and not marks.values:
            raise DataError(f"{path}: of the class {name} neither colours nor labels nor masks are said. Say one.")
        return self._read(marks, path)

    def _read(self, marks: ClassMarks, path: Path) -> Mask:
        if marks.masks is not None:
            return read_mask(path, marks.colours or None) if not marks.labels else self._pick(marks, path, ())
        shared = [*self.rules.classes.values(), self.rules.ignore, self.rules.background]
        known = {value for other in shared if other is not None and other.masks is None for value in other.values}
        return self._pick(marks, path, tuple(known))

    def _pick(self, marks: ClassMarks, path: Path, known: tuple[int, ...]) -> Mask:
        """The pixels that are marked so. Raises DataError where some are marked as nobody said, unless `known` is
        empty.
        """
        values = read_values(path, labels=bool(marks.labels))
        chosen, expected = (np.zeros(2**24, bool) for _ in range(2))
        chosen[list(marks.values)] = True
        expected[[0, *known]] = True
        if known and not (told := expected[values]).all():
            strange, count = np.unique(values[~told], return_counts=True)
            most = int(strange[count.argmax()])
            raise DataError(
                f"{path}: {count.sum():,} pixels are marked as no class is, most of them "
                f"{f'as label {most}' if marks.labels else f'#{most:06x}'}. Name it in classes, ignore or background."
            )
        mask: Mask = chosen[values]
        return mask
