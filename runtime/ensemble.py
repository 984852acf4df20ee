"""Several models as one: what its manifest and its info say."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, cast

from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import Manifest, Precision, Provenance


def join_manifests(manifests: Sequence[Manifest]) -> Manifest:
    """What an ensemble is: the classes that its models share, and the mean of their thresholds.

    Preparation and tile are those of the first; each model is run by its own. Raises OptionError for other classes.
    """
    first = manifests[0]
    if len(manifests) == 1:
        return first
    for other in manifests[1:]:
        if (other.class_names, other.exclusive) != (first.class_names, first.exclusive):
            raise OptionError(
                f"{first.name} has the classes {_say_classes(first)}; {other.name} has {_say_classes(other)}. Models "
                "that are averaged need the same classes, in the same order."
            )
    precisions = {manifest.precision for manifest in manifests}
    described = ", ".join(f"{manifest.name} {manifest.version}" for manifest in manifests)
    data = tuple(source for manifest in manifests for source in manifest.provenance.data)
    changed: dict[str, Any] = {
        "name": "-and-".join(manifest.name for manifest in manifests),
        "version": " and ".join(manifest.version for manifest in manifests),
        "licence": _each_once(manifest.licence for manifest in manifests),
        "description": f"The mean of {len(manifests)} models: {described}.",
        "precision": first.precision if len(precisions) == 1 else "f32",
        "threshold": _mean(manifest.threshold for manifest in manifests),
        "provenance": Provenance(data=data),
        "content_sha256": None,
    }
    classes = []
    for number, facts in enumerate(first.classes):
        own = any(manifest.classes[number].threshold is not None for manifest in manifests)
        threshold = _mean(manifest.class_thresholds[number] for manifest in manifests) if own else None
        classes.append(facts.model_copy(update={"threshold": threshold}))
    return first.model_copy(update={**changed, "classes": tuple(classes)})


def join_infos(infos: Sequence[Info], members: int) -> Info:
    """What runs the models. Where they differ, all of it is named."""
    return Info(
        backend=_each_once(info.backend for info in infos),
        version=_each_once(info.version for info in infos),
        device=_each_once(info.device for info in infos),
        device_name=_each_once(info.device_name for info in infos),
        # Of two precisions a text that is none of them: it is shown, and what computes with it runs single models.
        precision=cast(Precision, _each_once(info.precision for info in infos)),
        threads=max(info.threads for info in infos),
        members=members,
    )


def _say_classes(manifest: Manifest) -> str:
    return ", ".join(manifest.class_names) + (", one a pixel" if manifest.exclusive else "")


def _each_once(words: Iterable[object]) -> str:
    return " + ".join(dict.fromkeys(map(str, words)))


def _mean(thresholds: Iterable[float]) -> float:
    return round(fmean(thresholds), 6)
