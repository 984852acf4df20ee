"""Small networks, recipes that learn from them, and crops that they see."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.runtime.manifest import Manifest
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.validation import normalise_pixels
from vesselrt.training.networks import VesselNet

FACTS: dict[str, Any] = {
    "version": "0.1",
    "licence": "CC0-1.0",
    "description": "Trained on pictures that were never taken.",
    "preparation": {"channels": "green", "field_of_view": 96},
    "input": {"mean": [0.3], "std": [0.2]},
    "tile": {"size": 64, "multiple": 8, "margin": 16},
}
NET = "vesselrt.training.networks:VesselNet"


def recipe_of(teacher: Path, network: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    fields = {
        **FACTS,
        "name": "tiny",
        "seed": 7,
        "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0-1.0"}],
        "network": {"factory": NET, "arguments": {"channels": 1, "widths": [4, 8, 8], **(network or {})}},
        "cameras": {"sensor": [64, 96]},
        "held_out_cameras": False,
        "schedule": {"steps": 2, "batch": 2, "crop": 32, "warmup": 1, "average": 0.5, "validate_every": 2},
        "distillation": {"teacher": str(teacher), "share": 0.75},
        "precision": "f32",
    }
    return Recipe.model_validate({**fields, **changes})


def write_teacher(network: VesselNet, folder: Path, **facts: Any) -> Path:
    path = folder / "teacher.onnx"
    manifest = Manifest.from_fields({**FACTS, "name": "teacher", "tolerance": {"f32": 1e-4}, **facts}, source="test")
    export_model(network.eval(), manifest, path, [], Head(shift=0 if "classes" in facts else 0.5))
    return path


def windows_of(recipe: Recipe) -> tuple[NDArray[np.uint8], Tensor]:
    """Crops (N, h, w, C), and as the network takes them."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 1), dtype=np.uint8)
    return pixels, normalise_pixels(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), recipe)
