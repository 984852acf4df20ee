"""A network that NVIDIA's Triton runs: asked from a Python model in the same server, without a copy over a network."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.errors import EngineError
from vesselrt.runtime.manifest import Precision


class TritonBackend:
    """Each batch is one request, which Triton may join with those of other photographs."""

    def __init__(self, library: Any, network: str, output: str, precision: Precision, batch: int) -> None:
        """`library`: triton_python_backend_utils, which only Triton has. `network`: a name in the repository."""
        self._library, self._network, self._output, self.batch = library, network, output, batch
        self.info = Info("triton", "", "triton", network, precision, 0)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        triton = self._library
        answer = triton.InferenceRequest(
            model_name=self._network,
            requested_output_names=[self._output],
            inputs=[triton.Tensor("image", np.ascontiguousarray(pixels))],
            preferred_memory=triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU),
        ).exec()
        if answer.has_error():
            raise EngineError(f"Triton could not run {self._network}: {answer.error().message()}")
        found = triton.get_output_tensor_by_name(answer, self._output).as_numpy()
        return found.copy() if found.dtype == np.uint8 else to_bytes(found)

    def close(self) -> None:
        """Triton owns the network."""
