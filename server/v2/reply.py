"""From a segmentation to the answer of `infer`."""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.accept import compressed
from vesselrt.server.http.errors import RequestError
from vesselrt.server.v2.messages import Inference, Wanted, bad
from vesselrt.server.work.budget import BYTES_A_PIXEL
from vesselrt.server.work.jobs import Parts

MOST_WRITTEN = 4_000_000
"""Values in the JSON of an answer, all outputs together: each takes 2 to 6 bytes, twice."""
_PIECE = 2**16
_BYTES_A_VALUE = 12
"""In JSON while it is written."""


class Reply:
    """Makes the body; afterwards `length` says how much of it is JSON, and `binary` whether more follows."""

    def __init__(self, model: str, version: str | None, inference: Inference, coding: str | None = None) -> None:
        """`version`: what is asked for; None: any. `coding` of an answer that is JSON alone."""
        self._coding = coding
        self._model, self._version, self._inference = model, version, inference
        self.binary = any(binary for _, binary in inference.wanted)
        self.bytes_a_pixel = BYTES_A_PIXEL["mask"] + _BYTES_A_VALUE * sum(not binary for _, binary in inference.wanted)
        self.length = 0

    def __call__(self, result: Segmentation, manifest: Manifest) -> Parts:
        check_version(self._model, self._version, manifest)
        check_written(self._inference, result.probability.shape)
        head: dict[str, Any] = {"model_name": self._model, "model_version": manifest.version}
        if self._inference.id is not None:
            head["id"] = self._inference.id
        if result.warnings:
            head["parameters"] = {"warnings": " ".join(result.warnings)}
        text: list[bytes] = [_compact(head)[:-1], b',"outputs":[']
        tail: list[memoryview] = []
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
                text.append(_compact(output))
                tail.append(np.ascontiguousarray(values).view(np.uint8).ravel().data)
            else:
                text += [_compact(output)[:-1], b',"data":[', *_numbers(values), b"]}"]
        text.append(b"]}")
        self.length = sum(map(len, text))
        head_text = b"".join(text)
        return [compressed(head_text, self._coding)] if self._coding and not self.binary else [head_text, *tail]

    def _tensor(self, wanted: Wanted, result: Segmentation) -> NDArray[Any]:
        if wanted.name == "probability":
            return result.probability
        own = wanted.parameters.threshold
        return result.mask(self._inference.parameters.threshold if own is None else own)


def check_version(model: str, version: str | None, manifest: Manifest) -> None:
    """Raises RequestError for a version that is not served."""
    if version not in (None, manifest.version):
        message = f"no version {version!r:.40} of {model}. Expected {manifest.version}."
        raise RequestError(HTTPStatus.NOT_FOUND, message)


def check_written(inference: Inference, shape: Sequence[int]) -> None:
    """Raises RequestError when an answer of this height and width would hold too many values as JSON."""
    values = shape[0] * shape[1] * sum(not binary for _, binary in inference.wanted)
    if values > MOST_WRITTEN:
        raise bad(
            f"the answer has {values:,} values as JSON, the limit is {MOST_WRITTEN:,}. "
            "Ask for the outputs as binary data: binary_data true in the parameters of each."
        )


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _numbers(values: NDArray[Any]) -> Iterator[bytes]:
    """A tensor as what stands between the brackets of a list, in pieces: one of all would hold up other requests."""
    flat = values.ravel()
    for start in range(0, flat.size, _PIECE):
        yield (b"," if start else b"") + _compact(flat[start : start + _PIECE].tolist())[1:-1]
