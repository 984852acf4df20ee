"""What a model file computes: a network between its normalisation and its sigmoid."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest

Output = Literal["logits", "softmax", "probability"]
"""What a network gives: `logits`, before a sigmoid; `softmax`, two channels before a softmax, background and vessel;
`probability`, one channel, or background and vessel, its sigmoid or softmax built in."""
_CHANNELS: dict[Output, tuple[int, ...]] = {"logits": (1,), "softmax": (2,), "probability": (1, 2)}


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
    """What the model file computes: normalisation, the network, calibration, sigmoid."""

    def __init__(self, network: nn.Module, manifest: Manifest, shift: float = 0.0, output: Output = "logits") -> None:
        super().__init__()
        self.network, self.shift, self.output = network, shift, output
        self.mean = nn.Buffer(torch.tensor(manifest.input.mean)[:, None, None])
        self.std = nn.Buffer(torch.tensor(manifest.input.std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → (N, 1, H, W) float32 probability. Raises ExportError for what `output` does not say."""
        answer = self.network((image.float() / 255 - self.mean) / self.std)
        _check_answer(answer, self.output)
        if self.output == "probability":
            probability: Tensor = answer[:, -1:]
            return probability
        # The softmax of two is the sigmoid of their difference.
        logits = answer if self.output == "logits" else answer[:, 1:] - answer[:, :1]
        return torch.sigmoid(logits + self.shift)


def _check_answer(answer: Any, output: Output) -> None:
    """Raises ExportError when the network does not give what `output` says."""
    if not isinstance(answer, Tensor):
        raise ExportError(
            f"the network gives a {type(answer).__name__}. Expected one tensor (N, K, H, W): wrap it in a module that "
            "returns the mask alone."
        )
    if answer.ndim != 4:
        raise ExportError(f"the network gives a tensor of {answer.ndim} dimensions. Expected (N, K, H, W).")
    expected = _CHANNELS[output]
    if answer.shape[1] in expected:
        return
    if answer.shape[1] > 2:
        todo = "A model file holds one probability, of vessel: wrap the network in a module that returns that channel."
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
