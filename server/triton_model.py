"""What Triton's Python backend runs: a photograph in, maps out. The network is another model of the same repository.

Only Triton imports this, by the two lines of `1/model.py` that `vesselrt triton` writes.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from vesselrt.runtime.backends.triton import TritonBackend
from vesselrt.runtime.errors import OptionError, VesselrtError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter

MANIFEST_FILE = "manifest.json"


class TritonPythonModel:
    """As Triton's Python backend expects it: `initialize`, `execute`, `finalize`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the manifest beside this model's code, and asks for no network yet."""
        self._triton = importlib.import_module("triton_python_backend_utils")
        given = {name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()}
        file = Path(args["model_repository"]) / args["model_version"] / MANIFEST_FILE
        manifest = Manifest.from_json(file.read_text("utf-8"), source=str(file))
        backend = TritonBackend(
            self._triton, given["network"], given["network_output"], manifest.precision, int(given["network_batch"])
        )
        self._segmenter = Segmenter(manifest, backend)

    def execute(self, requests: list[Any]) -> list[Any]:
        """An answer for each request, or its error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        triton = self._triton
        try:
            result = self._segmenter.segment(self._photograph(request))
            threshold = self._given(request, "threshold")
            layers = result.layers(None if threshold is None else float(threshold.reshape(-1)[0]))
            masks = [mask for _, mask in layers.masks()]
        except VesselrtError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        found = {"probability": result.probability, "mask": masks[0] if len(masks) == 1 else np.stack(masks)}
        wanted = request.requested_output_names()
        return triton.InferenceResponse(
            [triton.Tensor(name, np.ascontiguousarray(array)) for name, array in found.items() if name in wanted]
        )

    def _photograph(self, request: Any) -> Any:
        """Encoded bytes, or (H, W, 3) uint8. Raises OptionError unless one of them came."""
        file, image = self._given(request, "file"), self._given(request, "image")
        if (file is None) == (image is None):
            raise OptionError("expected one of the inputs file (an encoded photograph) and image (UINT8 [H, W, 3]).")
        return image if file is None else bytes(file.reshape(-1)[0])

    def _given(self, request: Any, name: str) -> Any:
        tensor = self._triton.get_input_tensor_by_name(request, name)
        return None if tensor is None else tensor.as_numpy()

    def finalize(self) -> None:
        """Ends what is in work."""
        self._segmenter.close()
