"""What is sent to `infer`. Lists of values are cut out of the JSON; what is left is small, and a model reads it."""

import base64
import binascii
import struct
import zlib
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    WithJsonSchema,
)

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageTooLargeError
from vesselrt.runtime.output.classes import Thresholds, by_class, names_from_text
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.server.http.errors import RequestError
from vesselrt.server.http.options import THRESHOLDS_SCHEMA
from vesselrt.server.v2.json_lists import count_numbers, cut_out_lists, read_pixels
from vesselrt.server.work.tasks import EncodedPhoto, Pixels

LENGTH = "Inference-Header-Content-Length"
"""Header: bytes of JSON, where binary tensors follow it."""
ENCODINGS = frozenset({"identity", "gzip", "deflate"})
"""What bodies may be sent in."""
_MOST_JSON = 16 * 2**20  # bytes
_MOST_BESIDE = 64 * 2**10  # bytes of JSON without the values


def _checked_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return value


def _checked_thresholds(value: Any) -> Any:
    if not isinstance(value, str) or ":" not in value:
        return _checked_fraction(value)
    return by_class(value, lambda text: _checked_fraction(float(text)))


StrictFraction = Annotated[float, Field(ge=0, le=1), BeforeValidator(_checked_fraction)]
"""A number from 0 to 1."""
StrictThresholds = Annotated[
    float | dict[str, float], BeforeValidator(_checked_thresholds), WithJsonSchema(THRESHOLDS_SCHEMA)
]
"""The same, or a text that gives it for single classes: artery:0.4,vein:0.6."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _or_none_given(value: Any) -> Any:
    return {} if value is None else value


class InputParameters(_Message):
    """Of an input."""

    binary_data_size: Annotated[StrictInt, Field(ge=0)] | None = None
    """Bytes that follow the JSON."""


class OutputParameters(_Message):
    """Of an output."""

    binary_data: StrictBool | None = None
    """Whether it follows the JSON of the answer; null: as the request says."""
    threshold: StrictThresholds | None = None
    """Of `mask`; null: that of the request."""
    classes: str | None = None
    """Those that it holds, such as artery,vein; null: those of the request."""


class RequestParameters(_Message):
    """Of the request."""

    threshold: StrictThresholds | None = None
    """Of `mask`; null: the model's."""
    classes: str | None = None
    """Those that the outputs hold, such as artery,vein; null: all."""
    quality: StrictBool | None = None
    """Whether the photograph is judged; null: as the server is set."""
    timeout: StrictInt | None = None
    """µs after which the answer is of no more use."""
    binary_data_output: StrictBool = False
    """Whether outputs that don't say so follow the JSON of the answer."""


class Tensor(_Message):
    """An input. Its values are in `data`, or follow the JSON as `parameters.binary_data_size` bytes."""

    name: str
    datatype: str
    shape: list[int] = Field(max_length=8)
    parameters: Annotated[InputParameters, BeforeValidator(_or_none_given)] = InputParameters()
    data: Annotated[Any, Field(json_schema_extra={"type": "array", "items": {}})] = None


class RequestedOutput(_Message):
    """An output that is asked for."""

    name: str
    parameters: Annotated[OutputParameters, BeforeValidator(_or_none_given)] = OutputParameters()


class Inference(_Message):
    """What is sent to `infer`."""

    id: str | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=8)
    outputs: list[RequestedOutput] | None = Field(None, max_length=8)
    parameters: Annotated[RequestParameters, BeforeValidator(_or_none_given)] = RequestParameters()

    @property
    def wanted(self) -> list[tuple[RequestedOutput, bool]]:
        """What is asked for, where nothing is probability and mask, and whether as binary data."""
        everything = self.parameters.binary_data_output
        wanted = self.outputs or [RequestedOutput(name="probability"), RequestedOutput(name="mask")]
        return [(w, everything if w.parameters.binary_data is None else w.parameters.binary_data) for w in wanted]

    def classes_of(self, wanted: RequestedOutput) -> tuple[str, ...] | None:
        """The names of the classes that an output is to hold; None: all."""
        said = self.parameters.classes if wanted.parameters.classes is None else wanted.parameters.classes
        return None if said is None else names_from_text(said)

    def threshold_of(self, wanted: RequestedOutput) -> Thresholds | None:
        """The threshold of an output; None: the model's."""
        own = wanted.parameters.threshold
        return self.parameters.threshold if own is None else own


def bad_inference(message: str) -> RequestError:
    """The request is not what the protocol expects."""
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def parse_inference(body: EncodedPhoto, length: str | None, limits: Limits) -> tuple[Inference, EncodedPhoto | Pixels]:
    """What is asked for, and a photograph as `Work` wants it. Raises RequestError, ImageTooLargeError."""
    whole = memoryview(body)
    size = len(whole) if length is None else int(length) if length.isdecimal() and len(length) < 12 else -1
    if not 0 <= size <= len(whole):
        raise bad_inference(f"{LENGTH} is {length!r:.40}, and the body has {len(whole)} bytes. Expected at most these.")
    if size > _MOST_JSON:
        message = f"the JSON has more than {_MOST_JSON:,} bytes, the limit. Send the tensor as binary data."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        text, lists = cut_out_lists(
            body if size == len(whole) and isinstance(body, bytearray) else bytearray(whole[:size])
        )
    except ValueError:
        message = "`data` of an input is a list of whole numbers from 0 to 255, or of one text in base64."
        raise bad_inference(message) from None
    if len(text) > _MOST_BESIDE:
        message = f"the JSON has more than {_MOST_BESIDE:,} bytes beside the values in `data`, the limit."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        inference = Inference.model_validate_json(text)
    except ValidationError as error:
        raise bad_inference(
            f"{_validation_error(error.errors(include_url=False)[0])} See the Open Inference Protocol, version 2."
        ) from None
    tensor = _one_input(inference)
    rest = whole[size:]
    binary = tensor.parameters.binary_data_size
    if len(rest) != (binary or 0):
        raise bad_inference(f"{len(rest)} bytes follow the JSON, and binary_data_size is {binary!r:.40}.")
    values = lists[tensor.data] if isinstance(tensor.data, int) and tensor.data < len(lists) else b""
    if tensor.name == "file":
        return inference, _photo_file(tensor, rest, values)
    return inference, _image_pixels(tensor, rest, values, limits)


def unpack_body(body: bytearray, encoding: str, most: int) -> bytearray:
    """A body that was sent in gzip or deflate. Raises RequestError where it is neither, ImageTooLargeError."""
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)  # the bytes say which of the two it is
    try:
        content = bytearray(reader.decompress(body, most + 1))
    except zlib.error:
        raise bad_inference(f"the body is not whole {encoding}. Send it again, or as it is.") from None
    if len(content) > most:
        raise ImageTooLargeError(f"the unpacked body has more than {most:,} bytes, the limit. Send a smaller file.")
    if not reader.eof:
        raise bad_inference(f"the body is not whole {encoding}. Send it again, or as it is.")
    return content


def _validation_error(error: Any) -> str:
    """One error of pydantic as a sentence."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"there is no {place:.80} here, or it is not supported."
    if error["type"] in ("json_invalid", "missing") or isinstance(error["input"], list | dict):
        return f"{place or 'the body'}: {error['msg']}."
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{place} is {error['input']!r:.40}. Expected {expected}."


def _one_input(inference: Inference) -> Tensor:
    """The one input. Raises RequestError for names that are none."""
    known = [tensor for tensor in inference.inputs if tensor.name in ("image", "file")]
    if len(inference.inputs) != 1 or not known:
        found = ", ".join(repr(tensor.name[:40]) for tensor in inference.inputs)
        raise bad_inference(f"the inputs are {found}. Expected one: 'image' (UINT8, H × W × 3) or 'file' (BYTES, 1).")
    names = [wanted.name for wanted in inference.outputs or ()]
    for name in names:
        if name not in ("probability", "mask", "spread"):
            raise bad_inference(f"there is no output {name[:40]!r}. Expected probability, mask or spread.")
        if names.count(name) > 1:
            raise bad_inference(f"the output {name!r} is asked for {names.count(name)} times. Expected once.")
    return known[0]


def _photo_file(tensor: Tensor, rest: memoryview, values: bytes) -> EncodedPhoto:
    if tensor.datatype != "BYTES" or tensor.shape not in ([1], [1, 1]):
        raise bad_inference(f"'file' is {tensor.datatype:.20} {tensor.shape!s:.80}. Expected BYTES [1].")
    if rest:
        if len(rest) < 4 or struct.unpack_from("<I", rest)[0] != len(rest) - 4:
            raise bad_inference("'file' is not one element: its 4 bytes of length differ from what follows them.")
        return rest[4:]
    try:
        found = base64.b64decode(values.replace(b"\\/", b"/"), validate=True)  # some languages write JSON so
    except binascii.Error:
        found = b""
    if not found:
        raise bad_inference("'file' holds no photograph. Expected one text in base64, or binary data.")
    return found


def _image_pixels(tensor: Tensor, rest: memoryview, values: bytes, limits: Limits) -> Pixels:
    """Pixels that are read in the service's own thread."""
    shape = tensor.shape
    if tensor.datatype != "UINT8" or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise bad_inference(f"'image' is {tensor.datatype:.20} {shape!s:.80}. Expected UINT8 [H, W, 3].")
    count = shape[0] * shape[1]
    if count > limits.pixels:
        raise ImageTooLargeError(
            f"'image' is {shape!s:.80}, the limit is {limits.pixels:,} pixels. Send a smaller image."
        )
    if rest:
        if len(rest) != count * 3:
            raise bad_inference(f"'image' has {len(rest)} bytes. Expected {shape[0]} × {shape[1]} × 3 of them.")
        return Pixels(count, lambda: np.frombuffer(rest, np.uint8).reshape(shape))
    if count_numbers(values) != count * 3:
        raise _no_numbers(shape)
    return Pixels(count, partial(_pixels_from_list, values, shape))


def _no_numbers(shape: list[int]) -> RequestError:
    return bad_inference(f"the data of 'image' are not {shape[0]} × {shape[1]} × 3 whole numbers from 0 to 255.")


def _pixels_from_list(text: bytes, shape: list[int]) -> Image:
    try:
        return read_pixels(text, shape)
    except ValueError:
        raise _no_numbers(shape) from None
