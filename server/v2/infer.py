"""The Open Inference Protocol, version 2, with Triton's binary tensors: clients of KServe and Triton work unchanged.

Inputs, one of the two:
    image        UINT8 (H, W, 3)   a decoded photograph, RGB
    file         BYTES (1)         an encoded photograph; in JSON as base64
Outputs, both unless some are named:
    probability  UINT8 (H, W)      255 × the probability of vessel
    mask         BOOL (H, W)       cut at the parameter `threshold` of the request or the output; default: the model's
"""

import asyncio
import base64
import binascii
import json
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from vesselrt.runtime.errors import ImageTooLargeError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.preparation import Image
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http import openapi, reports, upload
from vesselrt.server.http.answers import Sliced
from vesselrt.server.http.errors import RequestError
from vesselrt.server.work.models import Model, State, choose, why_not
from vesselrt.server.work.service import Service, Work

_HEADER = "Inference-Header-Content-Length"
_MOST_JSON = 16 * 2**20  # bytes
_MOST_VALUES = 1_000_000  # in JSON: reading more in one go would hold up every other request
_MOST_WRITTEN = 4_000_000  # values in the JSON of an answer, all outputs together: each takes 2 to 6 bytes, twice
_MOST_TIMEOUT = 2**64  # µs, as in Triton; larger integers need not fit into a float
_PIECE = 2**16
INPUTS = [
    {"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]},
    {"name": "file", "datatype": "BYTES", "shape": [1]},
]
OUTPUTS = [
    {"name": "probability", "datatype": "UINT8", "shape": [-1, -1]},
    {"name": "mask", "datatype": "BOOL", "shape": [-1, -1]},
]


class Tensor(BaseModel):
    """An input. Its values are in `data`, or follow the JSON as `parameters.binary_data_size` bytes."""

    name: str
    datatype: str
    shape: list[int] = Field(max_length=8)
    parameters: dict[str, Any] = {}
    data: Any = None


class Wanted(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Inference(BaseModel):
    """What is sent to `infer`."""

    id: str | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=8)
    outputs: list[Wanted] | None = Field(None, max_length=8)
    parameters: dict[str, Any] = {}


class ServerFacts(BaseModel):
    """What answers."""

    name: str = "vesselrt"
    version: str = reports.VERSION
    extensions: list[str] = ["binary_tensor_data"]


class ModelFacts(BaseModel):
    """A model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[dict[str, Any]] = INPUTS
    outputs: list[dict[str, Any]] = OUTPUTS


class Flag(BaseModel):
    """Yes; a no is an error answer."""

    live: bool | None = None
    ready: bool | None = None
    name: str | None = None


def install(app: FastAPI, service: Service) -> None:
    """Adds the addresses under /v2."""
    shared: dict[str, Any] = {"tags": ["v2"], "response_model_exclude_none": True}

    @app.get("/v2", summary="The server", responses=openapi.v2_errors(401), **shared)
    async def server() -> ServerFacts:
        """Its name, version and extensions."""
        return ServerFacts()

    @app.get("/v2/health/live", summary="The process is of use", responses=openapi.v2_errors(503), **shared)
    async def live() -> Flag:
        """As /health/live."""
        if service.state is State.FAILED:
            raise why_not(service.state)
        return Flag(live=True)

    @app.get("/v2/health/ready", summary="Every model is ready", responses=openapi.v2_errors(503), **shared)
    async def ready() -> Flag:
        """As /health/ready."""
        if service.state is not State.READY:
            raise why_not(service.state)
        return Flag(ready=True)

    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        _add_model(app, service, prefix, shared)


def _add_model(app: FastAPI, service: Service, prefix: str, shared: dict[str, Any]) -> None:
    named = ", by version" if "{version}" in prefix else ""
    parameters = {"parameters": openapi.path_parameters(prefix)}

    @app.get(
        prefix,
        summary=f"A model and its tensors{named}",
        responses=openapi.v2_errors(401, 404, 503),
        openapi_extra=parameters,
        **shared,
    )
    async def facts(request: Request) -> ModelFacts:
        """What it takes and gives."""
        model, segmenter = _find(service, request)
        backend = f"vesselrt_{segmenter.info.backend}"
        return ModelFacts(name=model.name, versions=[segmenter.manifest.version], platform=backend)

    @app.get(
        f"{prefix}/ready",
        summary=f"A model is ready{named}",
        responses=openapi.v2_errors(401, 404, 503),
        openapi_extra=parameters,
        **shared,
    )
    async def model_ready(request: Request) -> Flag:
        """200 when it can be asked, else an error."""
        model, _ = _find(service, request)
        return Flag(name=model.name, ready=True)

    @app.post(
        f"{prefix}/infer",
        summary=f"Segment one photograph{named}",
        response_class=Response,
        responses={**openapi.INFER_ANSWER, **openapi.v2_errors(400, 401, 404, 408, 413, 415, 422, 500, 503)},
        openapi_extra={**parameters, **openapi.infer_request(Inference.model_json_schema())},
        tags=["v2"],
    )
    async def infer(request: Request) -> Response:
        """One of the inputs `image` and `file` to the outputs `probability` and `mask`."""
        model, version = service.check_open(request.path_params["model"]), request.path_params.get("version")
        if model.state is not State.STARTING:  # else `run` loads it, and the reply knows its version
            _find(service, request)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is compressed. Send it as it is.")
        body, length = await request.body(), request.headers.get(_HEADER)
        limits = service.limits
        inference, photograph = await asyncio.to_thread(_parse, body, length, limits)
        reply = _Reply(model.name, version, inference)
        work = Work(photograph, reply, model.name, _seconds(request, inference))
        answer = await service.run(work, partial(upload.left, request))
        timings = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items())
        if reply.binary:
            headers = {_HEADER: str(reply.length), "Server-Timing": timings}
            return Sliced(answer.body, headers=headers, media_type="application/octet-stream")
        return Sliced(answer.body, headers={"Server-Timing": timings}, media_type="application/json")


def _find(service: Service, request: Request) -> tuple[Model, Segmenter]:
    """Raises RequestError for a model or version that is not served, NotReadyError; loads what is not loaded yet."""
    model = choose(service.models, request.path_params["model"])
    service.begin(model)
    segmenter = model.segmenter
    if segmenter is None or model.state is not State.READY:
        raise why_not(model.state)
    _check_version(model.name, request.path_params.get("version"), segmenter.manifest)
    return model, segmenter


def _check_version(model: str, version: str | None, manifest: Manifest) -> None:
    if version not in (None, manifest.version):
        message = f"no version {version!r:.40} of {model}. Expected {manifest.version}."
        raise RequestError(HTTPStatus.NOT_FOUND, message)


def _bad(message: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def _parse(body: bytes, length: str | None, limits: Limits) -> tuple[Inference, Any]:
    """What is asked for, and a photograph as `Work` wants it. Raises RequestError, ImageError."""
    size = len(body) if length is None else int(length) if length.isdecimal() and len(length) < 12 else -1
    if not 0 <= size <= len(body):
        raise _bad(f"{_HEADER} is {length!r:.40}, and the body has {len(body)} bytes. Expected at most these.")
    if size > _MOST_JSON:
        message = f"the JSON has more than {_MOST_JSON:,} bytes, the limit. Send the tensor as binary data."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    if any(body.count(sign, 0, size) > _MOST_VALUES for sign in (b",", b"[", b"{")):  # lists in lists need no comma
        message = f"the JSON has more than {_MOST_VALUES:,} values, the limit. Send the tensor as binary data."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        inference = Inference.model_validate_json(body[:size])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise _bad(f"{place}: {first['msg']}. See the Open Inference Protocol, version 2.") from None
    known = [tensor for tensor in inference.inputs if tensor.name in ("image", "file")]
    if len(inference.inputs) != 1 or not known:
        found = ", ".join(repr(tensor.name[:40]) for tensor in inference.inputs)
        raise _bad(f"the inputs are {found}. Expected one: 'image' (UINT8, H × W × 3) or 'file' (BYTES, 1).")
    names = [wanted.name for wanted in inference.outputs or ()]
    for name in names:
        if name not in ("probability", "mask"):
            raise _bad(f"there is no output {name[:40]!r}. Expected probability or mask.")
        if names.count(name) > 1:
            raise _bad(f"the output {name!r} is asked for {names.count(name)} times. Expected once.")
    for given in (inference, *(inference.outputs or ())):
        _threshold(given.parameters)
    (tensor,) = known
    binary = tensor.parameters.get("binary_data_size")
    rest = body[size:]
    if len(rest) != (binary or 0) or (binary is not None and type(binary) is not int):
        raise _bad(f"{len(rest)} bytes follow the JSON, and binary_data_size is {binary!r:.40}.")
    if tensor.name == "file":
        return inference, _file(tensor, rest)
    image = _image(tensor, rest, limits)
    _check_written(inference, tensor.shape)  # of a file this is known when it is decoded
    return inference, image


def _check_written(inference: Inference, shape: Sequence[int]) -> None:
    """Raises RequestError when an answer of this height and width would hold too many values as JSON."""
    values = shape[0] * shape[1] * sum(not binary for _, binary in _outputs(inference))
    if values > _MOST_WRITTEN:
        raise _bad(
            f"the answer has {values:,} values as JSON, the limit is {_MOST_WRITTEN:,}. "
            "Ask for the outputs as binary data: binary_data true in the parameters of each."
        )


def _outputs(inference: Inference) -> list[tuple[Wanted, bool]]:
    """What is asked for, and whether as binary data."""
    everything = bool(inference.parameters.get("binary_data_output", False))
    wanted = inference.outputs or [Wanted(name="probability"), Wanted(name="mask")]
    return [(output, bool(output.parameters.get("binary_data", everything))) for output in wanted]


def _threshold(parameters: dict[str, Any]) -> float | None:
    value = parameters.get("threshold")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _bad(f"the parameter threshold is {value!r:.40}. Expected a number from 0 to 1.")
    return float(value)


def _file(tensor: Tensor, rest: bytes) -> bytes:
    if tensor.datatype != "BYTES" or tensor.shape not in ([1], [1, 1]):
        raise _bad(f"'file' is {tensor.datatype:.20} {tensor.shape!s:.80}. Expected BYTES [1].")
    if rest:
        if len(rest) < 4 or struct.unpack_from("<I", rest)[0] != len(rest) - 4:
            raise _bad("'file' is not one element: its 4 bytes of length differ from what follows them.")
        return rest[4:]
    data = tensor.data[0] if isinstance(tensor.data, list) and len(tensor.data) == 1 else None
    try:
        found = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise _bad("'file' holds no photograph. Expected one text in base64, or binary data.")
    return found


def _image(tensor: Tensor, rest: bytes, limits: Limits) -> Any:
    """What gives the pixels: they are checked in the service's own thread."""
    shape = tensor.shape
    if tensor.datatype != "UINT8" or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise _bad(f"'image' is {tensor.datatype:.20} {shape!s:.80}. Expected UINT8 [H, W, 3].")
    if shape[0] * shape[1] > limits.pixels:
        raise ImageTooLargeError(
            f"'image' is {shape!s:.80}, the limit is {limits.pixels:,} pixels. Send a smaller image."
        )
    if rest:
        if len(rest) != shape[0] * shape[1] * 3:
            raise _bad(f"'image' has {len(rest)} bytes. Expected {shape[0]} × {shape[1]} × 3 of them.")
        return lambda: np.frombuffer(rest, np.uint8).reshape(shape)
    return partial(_from_numbers, tensor.data, shape)


def _from_numbers(data: Any, shape: list[int]) -> Image:
    """Of lists, flat or nested; numpy would make as much of every text as of the longest."""
    try:
        values = bytes(_flat(data))  # raises for what is not within 0..255
    except ValueError:
        values = b""
    if len(values) != shape[0] * shape[1] * 3:
        raise _bad(f"the data of 'image' are not {shape[0]} × {shape[1]} × 3 whole numbers from 0 to 255.")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _flat(data: Any) -> list[int]:
    """The integers of a list, or of lists of equal length in it, however deep. Raises ValueError."""
    level = data if type(data) is list else []
    while set(map(type, level)) == {list} and len(set(map(len, level))) == 1:
        level = list(chain.from_iterable(level))
    if set(map(type, level)) != {int}:  # a bool is none here
        raise ValueError("not integers alone")
    return level


def _seconds(request: Request, inference: Inference) -> float | None:
    """Triton's `timeout` is in microseconds."""
    timeout = inference.parameters.get("timeout")
    if type(timeout) is int and timeout > 0:
        return min(timeout, _MOST_TIMEOUT) / 1e6
    return upload.seconds_from(request)


class _Reply:
    """Makes the body; afterwards `length` says how much of it is JSON, and `binary` whether more follows."""

    def __init__(self, model: str, version: str | None, inference: Inference) -> None:
        """`version`: what is asked for; None: any."""
        self._model, self._version, self._inference = model, version, inference
        self._outputs = _outputs(inference)
        self.binary = any(binary for _, binary in self._outputs)
        self.length = 0

    def __call__(self, result: Segmentation, manifest: Manifest) -> bytes:
        _check_version(self._model, self._version, manifest)
        _check_written(self._inference, result.probability.shape)
        head: dict[str, Any] = {"model_name": self._model, "model_version": manifest.version}
        if self._inference.id is not None:
            head["id"] = self._inference.id
        if result.warnings:
            head["parameters"] = {"warnings": " ".join(result.warnings)}
        text, tail = [_compact(head)[:-1], b',"outputs":['], []
        for number, (wanted, binary) in enumerate(self._outputs):
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
                tail.append(values.tobytes())
            else:
                text += [_compact(output)[:-1], b',"data":[', *_numbers(values), b"]}"]
        text.append(b"]}")
        self.length = sum(map(len, text))
        return b"".join([*text, *tail])

    def _tensor(self, wanted: Wanted, result: Segmentation) -> NDArray[Any]:
        if wanted.name == "probability":
            return result.probability
        own = _threshold(wanted.parameters)
        return result.mask(_threshold(self._inference.parameters) if own is None else own)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _numbers(values: NDArray[Any]) -> Iterator[bytes]:
    """A tensor as what stands between the brackets of a list, in pieces: one of all would hold up other requests."""
    flat = values.ravel()
    for start in range(0, flat.size, _PIECE):
        yield (b"," if start else b"") + _compact(flat[start : start + _PIECE].tolist())[1:-1]
