"""From the labels of a network elsewhere to the classes of a manifest."""

import re
from collections.abc import Iterable

_BACKGROUND = {"background", "bg", "none", "other", "unlabeled", "unlabelled"}


def is_background(label: str) -> bool:
    """Whether people call what is no class so."""
    return label.strip().lower() in _BACKGROUND


def class_names(labels: Iterable[str]) -> list[str]:
    """Names that a manifest takes: letters, digits, space, dot, dash, underscore; 40 at most."""
    return [
        re.sub("[^A-Za-z0-9 ._-]+", "-", label)[:40].strip(" ._-") or f"class {i}" for i, label in enumerate(labels, 1)
    ]


def model_name(text: str) -> str:
    """The name of a model, as a manifest takes it."""
    return re.sub("[^a-z0-9._-]+", "-", text.lower()).lstrip("._-") or "model"
