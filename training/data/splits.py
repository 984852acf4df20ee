"""Which part of a data set a photograph is in, and the settings in which a data set says so itself.

Validation is always a part of the training split: no choice is ever made on a test split.
"""

import hashlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import explain
from vesselrt.training.data.annotations import AnnotationRules
from vesselrt.training.data.classes import ClassRules
from vesselrt.training.data.masks import MAX_VESSEL_SHARE, Colour
from vesselrt.training.data.samples import Sample

Split = Literal["train", "validation", "test"]
Parts = dict[Split, list[Sample]]
"""The samples of each split, in name order."""


class DataSetSettings(AnnotationRules):
    """dataset.json of a data set: how its truth is meant, and its split."""

    splits: dict[Split, tuple[str, ...]] | None = None
    """Split → photographs by name without suffix; `*` and `?` stand for any characters. Each must be in one."""
    vessel_colours: Annotated[tuple[Colour, ...], Field(min_length=1)] | None = None
    """#rrggbb of the pixels of a mask that are vessel, exactly; a grey level 100 is #646464. Null: the white ones."""
    most_vessel: Annotated[float, Field(gt=0, le=1)] = MAX_VESSEL_SHARE
    """Largest share of the field of view that may be vessel: more is taken for a mistake."""

    @classmethod
    def read(cls, path: Path) -> "DataSetSettings":
        """Reads a file; where there is none, the defaults. Raises DataError that names each wrong field."""
        try:
            return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()
        except OSError as error:
            raise DataError(f"{path}: not readable ({error}).") from None
        except ValidationError as error:
            raise DataError(f"{path}: not valid settings of a data set: {explain(error)}.") from None

    def with_rules(self, rules: ClassRules | None) -> "DataSetSettings":
        """With these rules of its classes, where there are some."""
        return self if rules is None else self.model_copy(update=dict(rules))

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


def divide_as_published(
    samples: list[Sample], test: Callable[[Sample], bool], held_out: Callable[[Sample], bool]
) -> Parts:
    """The split of a data set's authors; validation is what is `held_out` of their training split."""
    training = [s for s in samples if not test(s)]
    return {
        "train": [s for s in training if not held_out(s)],
        "validation": [s for s in training if held_out(s)],
        "test": [s for s in samples if test(s)],
    }


def divide_by_every_fifth(samples: list[Sample]) -> Parts:
    """For a data set without a published split: every fifth is for validation, and `test` is all of it."""
    validation = samples[4::5]
    return {"train": [s for s in samples if s not in validation], "validation": validation, "test": samples}
