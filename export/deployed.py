"""What a model file computes: a network between its normalisation and its sigmoid."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest

Output = Literal["logits", "softmax", "probability"]
"""What a network gives: `logits`, a channel of each class before a sigmoid; `softmax`, the background and then each
class, before a softmax; `probability`, either of the two with its sigmoid or softmax built in."""


def _channel_counts(output: Output, classes: int) -> tuple[int, ...]:
    """How many channels a network may have."""
    alone, behind_background = classes, classes + 1
    counts: dict[Output, tuple[int, ...]] = {
        "logits": (alone,),
        "softmax": (behind_background,),
        "probability": (alone, behind_background),
    }
    return counts[output]


@dataclass(frozen=True)
class Found:
    """A network as a file or folder from elsewhere holds it."""

    network: nn.Module
    weights: dict[str, Tensor]
    facts: dict[str, Any]
    """Those fields of a manifest that the file or folder tells."""
    channels: int | None
    """That the network takes; None where that is not told."""
    output: Output = "logits"


class Deployed(nn.Module):
    """What the model file computes: normalisation, the network, calibration, sigmoid or softmax."""

    def __init__(self, network: nn.Module, manifest: Manifest, shift: float = 0.0, output: Output = "logits") -> None:
        super().__init__()
        self.network, self.shift, self.output = network, shift, output
        self.classes = manifest.class_names
        self.mean = nn.Buffer(torch.tensor(manifest.input.mean)[:, None, None])
        self.std = nn.Buffer(torch.tensor(manifest.input.std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → (N, K, H, W) float32 probability, a map of each class.

        Raises ExportError for what `output` does not say.
        """
        answer = self.network((image.float() / 255 - self.mean) / self.std)
        _check_answer(answer, self.output, self.classes)
        if self.output == "probability":
            probability: Tensor = answer[:, -len(self.classes) :]
            return probability
        if self.output == "softmax" and len(self.classes) > 1:
            return torch.softmax(answer, dim=1)[:, 1:]
        # The softmax of two is the sigmoid of their difference.
        logits = answer if self.output == "logits" else answer[:, 1:] - answer[:, :1]
        return torch.sigmoid(logits + self.shift)


def _check_answer(answer: Any, output: Output, classes: tuple[str, ...]) -> None:
    """Raises ExportError when the network does not give what `output` says."""
    if not isinstance(answer, Tensor):
        raise ExportError(
            f"the network gives a {type(answer).__name__}. Expected one tensor (N, K, H, W): wrap it in a module that "
            "returns the mask alone."
        )
    if answer.ndim != 4:
        raise ExportError(f"the network gives a tensor of {answer.ndim} dimensions. Expected (N, K, H, W).")
    expected = _channel_counts(output, len(classes))
    if answer.shape[1] in expected:
        return
    if len(classes) > 1:
        todo = (
            "Say --output softmax where the first channel is the background's."
            if (output, answer.shape[1]) == ("logits", len(classes) + 1)
            else f"The manifest names the classes {', '.join(classes)}: name one for each channel but the background's."
        )
    elif answer.shape[1] > 2:
        todo = "Name a class for each channel but the background's, as `classes` of the manifest."
    elif answer.shape[1] == 2:
        todo = (
            "For background and vessel say --output softmax, or --output probability where the softmax is built in. "
            "Where a sigmoid belongs to each channel, wrap the network in a module that returns the vessel's."
        )
    else:
        todo = "Say --output logits, or --output probability where a sigmoid is built in."
    raise ExportError(
        f"the network gives {answer.shape[1]} channel(s), and --output {output} has "
        f"{' or '.join(map(str, expected))}. {todo}"
    )
