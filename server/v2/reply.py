"""From a segmentation to the answer of `infer`."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.formats import no_spread
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.stages import Clock
from vesselrt.server.http.answers import PartedResponse, compact_json, compress, server_timing
from vesselrt.server.http.errors import RequestError
from vesselrt.server.v2.messages import LENGTH, Inference, RequestedOutput, bad_inference
from vesselrt.server.work.budget import BYTES_A_CLASS, BYTES_A_PIXEL, Share

MOST_WRITTEN = 4_000_000
"""Values in the JSON of an answer, all outputs together: each takes 2 to 6 bytes, twice."""
_PIECE = 2**16
_BYTES_A_VALUE = 12
"""In JSON while it is written."""


class InferAnswer:
    """Makes the answer of `infer`, in the thread of the photograph's own work."""

    def __init__(self, inference: Inference, model: str, version: str | None, coding: str | None, share: Share) -> None:
        """`version`: what is asked for; None: any. `coding` of an answer that is JSON alone."""
        self._inference, self._model, self._version = inference, model, version
        self._coding, self._share = coding, share

    def __call__(self, result: Segmentation, manifest: Manifest) -> PartedResponse:
        check_version(self._model, self._version, manifest)
        check_written(self._inference, result.shape, result.classes)
        with Clock(result.timings)("encode"):
            text, tensors = self._encode(result, manifest)
            binary = any(binary for _, binary in self._inference.wanted)
            if self._coding and not binary:
                text = compress(text, self._coding)
        headers = {"Server-Timing": server_timing(result.timings)}
        if binary:
            headers |= {LENGTH: str(len(text))}
            return PartedResponse([text, *tensors], self._share, headers, "application/octet-stream")
        headers |= {"Vary": "Accept-Encoding", **({"Content-Encoding": self._coding} if self._coding else {})}
        return PartedResponse([text], self._share, headers, "application/json")

    def _encode(self, result: Segmentation, manifest: Manifest) -> tuple[bytes, list[memoryview]]:
        """The JSON, and the tensors that follow it."""
        head: dict[str, Any] = {"model_name": self._model, "model_version": manifest.version}
        if self._inference.id is not None:
            head["id"] = self._inference.id
        parameters = {"warnings": " ".join(result.warnings)} if result.warnings else {}
        if result.quality is not None:
            parameters["quality"] = str(result.quality)
        if len(result.classes) > 1:
            parameters["classes"] = ",".join(result.classes)
        if parameters:
            head["parameters"] = parameters
        text: list[bytes] = [compact_json(head)[:-1], b',"outputs":[']
        tensors: list[memoryview] = []
        for number, (wanted, binary) in enumerate(self._inference.wanted):
            values = self._tensor(wanted, result)
            output: dict[str, Any] = {
                "name": wanted.name,
                "datatype": "BOOL" if values.dtype == bool else "UINT8",
                "shape": list(values.shape),
            }
            text += [b","] if number else []
            if binary:
                output["parameters"] = {"binary_data_size": values.nbytes}
                text.append(compact_json(output))
                tensors.append(np.ascontiguousarray(values).view(np.uint8).ravel().data)
            else:
                text += [compact_json(output)[:-1], b',"data":[', *_tensor_json(values), b"]}"]
        text.append(b"]}")
        return b"".join(text), tensors

    def _tensor(self, wanted: RequestedOutput, result: Segmentation) -> NDArray[Any]:
        """(H, W), of a model that tells several classes apart (C, H, W)."""
        layers = result.layers(self._inference.threshold_of(wanted), self._inference.classes_of(wanted))
        if wanted.name == "mask":
            masks = [mask for _, mask in layers.masks()]
            return masks[0] if len(result.classes) == 1 else np.stack(masks)
        maps = result.spread if wanted.name == "spread" else result.probability
        if maps is None:
            raise bad_inference(str(no_spread()))
        if len(layers.shown) == len(layers.every):
            return maps
        return maps[[layer.number - 1 for layer in layers.shown]]


def check_version(model: str, version: str | None, manifest: Manifest) -> None:
    """Raises RequestError for a version that is not served."""
    if version not in (None, manifest.version):
        message = f"no version {version!r:.40} of {model}. Expected {manifest.version}."
        raise RequestError(HTTPStatus.NOT_FOUND, message)


def check_written(inference: Inference, shape: Sequence[int], classes: Sequence[str]) -> None:
    """Raises RequestError when an answer of this height and width would hold too many values as JSON. `classes`: those
    of the model.
    """
    maps = sum(len(inference.classes_of(wanted) or classes) for wanted, binary in inference.wanted if not binary)
    values = shape[0] * shape[1] * maps
    if values > MOST_WRITTEN:
        raise bad_inference(
            f"the answer has {values:,} values as JSON, the limit is {MOST_WRITTEN:,}. "
            "Ask for the outputs as binary data: binary_data true in the parameters of each."
        )


def bytes_a_pixel(inference: Inference) -> tuple[int, int]:
    """What the answer takes of memory at its peak, and what each class beyond the first adds, see
    vesselrt.server.work.budget.
    """
    written = _BYTES_A_VALUE * sum(not binary for _, binary in inference.wanted)
    return BYTES_A_PIXEL["mask"] + written, BYTES_A_CLASS + written


def _tensor_json(values: NDArray[Any]) -> Iterator[bytes]:
    """The numbers of a tensor without the brackets around them, in pieces: all at once would hold up other requests."""
    flat = values.ravel()
    for start in range(0, flat.size, _PIECE):
        yield (b"," if start else b"") + compact_json(flat[start : start + _PIECE].tolist())[1:-1]
