"""GeoJSON files of annotations: what is in them, checked, and nothing more. A file of COCO is read as features too.

A file holds a FeatureCollection, a list of Features, or one Feature. `properties` may be anything; of them
`classification` (a name, or an object with `name` or `names`), `width` and `image` are read. Points have no area: they
are left out, with one warning.
"""

import json
import logging
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.coco import features_from_coco, is_coco
from vesselrt.training.data.shapes import Feature, Member

logger = logging.getLogger(__name__)


class FeatureCollection(Member):
    """The usual root of a file."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


_ROOT = TypeAdapter[FeatureCollection | Feature](Annotated[FeatureCollection | Feature, Field(discriminator="type")])
_LIST = TypeAdapter(list[Feature])


def read_features(path: Path) -> list[Feature]:
    """A file's features. Raises DataError."""
    return _read_features_cached(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _read_features_cached(path: Path, _: int) -> list[Feature]:
    """A file's features, kept until it changes (its time is an argument): it may be asked for many photographs."""
    try:
        content = path.read_bytes()
        text = _decode_json(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable annotation ({error}). Expected GeoJSON in UTF-8 or cp1251.") from None
    try:
        if text.lstrip().startswith("["):
            features = _LIST.validate_json(text)
        else:
            root = _ROOT.validate_json(text)
            features = root.features if isinstance(root, FeatureCollection) else [root]
    except ValidationError as error:
        if is_coco(root_of := _parse(content)):
            return features_from_coco(path, root_of)
        if (form := foreign_format(content)) is not None:
            raise DataError(f"{path}: {form}") from None
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        place = ".".join(map(str, wrong[0]["loc"]))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(
            f"{path}: not a GeoJSON annotation: {place + ': ' if place else ''}{wrong[0]['msg']}{more}"
        ) from None
    if marks := sum(feature.marks() for feature in features):
        _warn_once(f"{path}: {marks} point(s) have no area, and are not read")
    return features


@cache
def _warn_once(note: str) -> None:
    logger.warning(note)


def foreign_format(content: bytes) -> str | None:
    """Names the annotation tool of other JSON, with advice; None: unknown."""
    root = _parse(content)
    if is_coco(root):
        return "the JSON of COCO. Name it annotations.json, beside the photographs or their folder images"
    if not isinstance(root, dict) or "shapes" not in root:
        return None
    return (
        "the JSON of LabelMe, which is not read. Expected GeoJSON: write the points of a shape as a Polygon, with the "
        "first position again as the last. Or draw masks, and use the kind folder."
    )


def _parse(content: bytes) -> object:
    """The JSON of a file; None where it is none."""
    try:
        root: object = json.loads(_decode_json(content))
    except (ValueError, RecursionError):
        return None
    return root


def _decode_json(content: bytes) -> str:
    """JSON by its own marks (UTF-8, UTF-16, byte order mark or none), else by the code page of Russian Windows."""
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        return content.decode("cp1251")
