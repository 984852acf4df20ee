"""What the tests of export share: a manifest, noise, and what a network and its file give."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesselrt.runtime.manifest import Manifest


def manifest_of(channels: str = "green", **tile: Any) -> Manifest:
    count = 1 if channels == "green" else 3
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "Random weights.",
            "preparation": {"channels": channels},
            "input": {"mean": [0.3] * count, "std": [0.2] * count},
            "tile": {"size": 64, "multiple": 4, "margin": 0, **tile},
        },
        source="test",
    )


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def infer(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {"image": pixels})[0], np.float32)


def reference(network: nn.Module, manifest: Manifest, pixels: NDArray[np.uint8], shift: float = 0) -> Any:
    """What the model file is to compute, written out once more."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (manifest.input.mean, manifest.input.std))
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy((pixels.astype(np.float32) / 255 - mean) / std)).numpy()
    return 1 / (1 + np.exp(-(logits.astype(np.float64) + shift)))


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


# What fails leaves nothing


def thin() -> nn.Conv2d:
    """The smallest network that looks around itself."""
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, 3, padding=1)


class Diverging(nn.Module):
    """Its output depends on whether it is being exported, as a faulty exporter's would."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] + (0.1 if torch.compiler.is_exporting() else 0.0)
