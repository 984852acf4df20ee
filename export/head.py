"""What a network gives, and which part of it is the probability of each class: written once for every source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest

Output = Literal["logits", "softmax", "sigmoid", "probability"]
"""What a network gives: `logits`, a channel of each class before a sigmoid; `softmax`, channels that exclude each
other, before a softmax; `sigmoid`, channels before a sigmoid each; `probability`, channels with the activation
inside."""
Answers = NDArray[np.floating[Any]]
"""(N, K, h, w), as a network gives it."""
_ROUNDING = 1e-6
"""A softmax may exceed 1 by so much."""


@dataclass(frozen=True)
class Head:
    """How the probability of each class is made of what a network gives."""

    output: Output = "logits"
    pick: str | None = None
    """Of several outputs: a key, the name of an attribute or of an output, or an index."""
    vessel: int | Mapping[str, int] | None = None
    """Channel of the only class, or of each by name; None: as `channels` finds them."""
    shift: float = 0.0
    """Calibration: added to the logits."""
    classes: tuple[str, ...] = ("vessel",)
    """Those of the manifest."""

    def of(self, manifest: Manifest) -> "Head":
        """The same with the manifest's classes."""
        return replace(self, classes=manifest.class_names)

    def channels(self, count: int) -> tuple[int, ...]:
        """Index of each class among `count` channels.

        Where nothing is said: the only channel, or of background and vessel the last; of several classes a channel for
        each, with the background's before them where there is a softmax.

        Raises ExportError that says which option is missing or wrong.
        """
        several = len(self.classes) > 1
        if not several and (count < (2 if self.output == "softmax" else 1) or (self.output == "logits" and count > 1)):
            raise ExportError(_wrong_count(count, self.output))
        if self.vessel is not None:
            return _named_channels(self.vessel, count, self.classes)
        if several:
            if count not in _counts(self.output, len(self.classes)):
                raise ExportError(_wrong_count_of_classes(count, self.output, self.classes))
            return tuple(range(count - len(self.classes), count))
        if count > 2 or (count == 2 and self.output == "sigmoid"):
            raise ExportError(
                f"the network gives {count} channels. Say which one is the vessel's: --vessel 0 to {count - 1}. Name a "
                "class for each channel but the background's, as `classes` of the manifest, where you want them all."
            )
        return (count - 1,)

    def probability(self, answer: Answers) -> NDArray[np.float64]:
        """(N, K, h, w) as the network gives it → (N, C, h, w) probability of each class."""
        values = answer.astype(np.float64)
        places = list(self.channels(values.shape[1]))
        chosen = values[:, places]
        if self.output == "probability":
            return chosen
        if self.output == "softmax":  # of one channel it is the sigmoid of its distance to all others
            others = [np.logaddexp.reduce(np.delete(values, place, axis=1), axis=1) for place in places]
            chosen = chosen - np.stack(others, axis=1)
        return 0.5 + 0.5 * np.tanh((chosen + self.shift) / 2)  # a sigmoid that never overflows

    def check(self, answers: list[Answers]) -> None:
        """Raises ExportError where values show that `output` is wrong. NaN shows nothing; others tell of it."""
        count = answers[0].shape[1]
        places = list(self.channels(count))
        chosen = [a[:, places] for a in answers] if self.output != "softmax" else answers
        low, high = min(float(a.min()) for a in chosen), max(float(a.max()) for a in chosen)
        within = low >= -_ROUNDING and high <= 1 + _ROUNDING
        if self.output == "probability":
            if low < -_ROUNDING or high > 1 + _ROUNDING:
                raise ExportError(
                    f"the network gives values from {low:.3g} to {high:.3g}, no probability. Say --output "
                    + ("logits." if count == 1 else "softmax, or --output sigmoid where each channel has its own.")
                )
        elif within and low < high:
            summed = self.output == "softmax" and all(np.allclose(a.sum(axis=1), 1, atol=1e-3) for a in answers)
            raise ExportError(
                "the channels add up to 1 on every window, so the network ends with a softmax of its own. "
                "Say --output probability."
                if summed
                else "the network gives values from 0 to 1 on every window, as after a sigmoid. If it ends with an "
                "activation of its own, say --output probability."
            )


def _named_channels(said: int | Mapping[str, int], count: int, classes: tuple[str, ...]) -> tuple[int, ...]:
    """What `--vessel` says, in the order of the manifest's classes."""
    example = ",".join(f"{name}={place}" for place, name in enumerate(classes))
    if isinstance(said, int):
        if len(classes) > 1:
            raise ExportError(f"--vessel {said} is one channel, of {len(classes)} classes. Say --vessel {example}.")
        said = {classes[0]: said}
    if not all(-count <= place < count for place in said.values()):
        raise ExportError(f"the network gives {count} channel(s). Expected --vessel 0 to {count - 1}.")
    if set(said) != set(classes) or len({place % count for place in said.values()}) < len(classes):
        raise ExportError(
            f"--vessel names {', '.join(said)}. Expected another channel for each class of the manifest: {example}."
        )
    return tuple(said[name] % count for name in classes)


def _counts(output: Output, classes: int) -> tuple[int, ...]:
    """How many channels a network of several classes may have."""
    alone, behind_background = classes, classes + 1
    if output == "probability":
        return alone, behind_background
    return (behind_background if output == "softmax" else alone,)


def _wrong_count_of_classes(count: int, output: Output, classes: tuple[str, ...]) -> str:
    expected = " or ".join(map(str, _counts(output, len(classes))))
    told = f"the network gives {count} channel(s), and --output {output} has {expected}. "
    if output in ("logits", "sigmoid") and count == len(classes) + 1:
        return told + "Say --output softmax where the first channel is the background's."
    return told + (
        f"The manifest names the classes {', '.join(classes)}: name one for each channel but the background's, or say "
        "the channel of each with --vessel NAME=N,NAME=N."
    )


def _wrong_count(count: int, output: Output) -> str:
    told = f"the network gives {count} channel(s), and --output {output} has "
    if output == "softmax":
        return told + "2 or more. Say --output logits, or --output probability where a sigmoid is built in."
    return told + (
        "1. Say --output softmax where they exclude each other, as background and vessel do, --output sigmoid where "
        "each has its own, or --output probability where the activation is built in; and --vessel N, the vessel's "
        "channel."
    )
