"""What is sent to `infer`, read without building an object for each of its numbers.

A JSON parser makes 30 to 300 bytes of objects of each value, holding the interpreter meanwhile: 13 MB of JSON became
540 MB and stopped every other request for seconds. So the lists named `data` are cut out of the text first, refused
where they hold anything but numbers or one text, and read by numpy; what is left is small, and a model reads it.
"""

import base64
import binascii
import re
import struct
import zlib
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageTooLargeError
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.server.http.errors import RequestError
from vesselrt.server.work.jobs import Encoded, Pixels

LENGTH = "Inference-Header-Content-Length"
"""Header: bytes of JSON, where binary tensors follow it."""
ENCODINGS = frozenset({"identity", "gzip", "deflate"})
"""What bodies may be sent in."""
_MOST_JSON = 16 * 2**20  # bytes
_MOST_BESIDE = 64 * 2**10  # bytes of JSON without the values
_MOST_LISTS = 8
_OPENING = re.compile(rb"\s*:\s*(?P<list>\[)")
_TEXT_BEGINS, _LIST_ENDS = re.compile(rb'\[\s*"'), re.compile(rb"\s*\]")
_IN_NUMBERS = b"0123456789,[] \t\r\n"
_MOST_DEPTH = 8
_PIECE = 2**20  # bytes of JSON whose numbers are read at once


def _checked_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return value


Fraction = Annotated[float, Field(ge=0, le=1), BeforeValidator(_checked_fraction)]
"""A number from 0 to 1."""


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
    threshold: Fraction | None = None
    """Of `mask`; null: that of the request."""


class RequestParameters(_Message):
    """Of the request."""

    threshold: Fraction | None = None
    """Of `mask`; null: the model's."""
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


class Wanted(_Message):
    """An output that is asked for."""

    name: str
    parameters: Annotated[OutputParameters, BeforeValidator(_or_none_given)] = OutputParameters()


class Inference(_Message):
    """What is sent to `infer`."""

    id: str | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=8)
    outputs: list[Wanted] | None = Field(None, max_length=8)
    parameters: Annotated[RequestParameters, BeforeValidator(_or_none_given)] = RequestParameters()

    @property
    def wanted(self) -> list[tuple[Wanted, bool]]:
        """What is asked for, both outputs where none is, and whether as binary data."""
        everything = self.parameters.binary_data_output
        wanted = self.outputs or [Wanted(name="probability"), Wanted(name="mask")]
        return [(w, everything if w.parameters.binary_data is None else w.parameters.binary_data) for w in wanted]


def bad(message: str) -> RequestError:
    """The request is not what the protocol expects."""
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def parse(body: Encoded, length: str | None, limits: Limits) -> tuple[Inference, Encoded | Pixels]:
    """What is asked for, and a photograph as `Work` wants it. Raises RequestError, ImageTooLargeError."""
    whole = memoryview(body)
    size = len(whole) if length is None else int(length) if length.isdecimal() and len(length) < 12 else -1
    if not 0 <= size <= len(whole):
        raise bad(f"{LENGTH} is {length!r:.40}, and the body has {len(whole)} bytes. Expected at most these.")
    if size > _MOST_JSON:
        message = f"the JSON has more than {_MOST_JSON:,} bytes, the limit. Send the tensor as binary data."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    text, lists = _cut_out(body if size == len(whole) and isinstance(body, bytearray) else bytearray(whole[:size]))
    if len(text) > _MOST_BESIDE:
        message = f"the JSON has more than {_MOST_BESIDE:,} bytes beside the values in `data`, the limit."
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        inference = Inference.model_validate_json(text)
    except ValidationError as error:
        raise bad(f"{_told(error.errors(include_url=False)[0])} See the Open Inference Protocol, version 2.") from None
    tensor = _checked(inference)
    rest = whole[size:]
    binary = tensor.parameters.binary_data_size
    if len(rest) != (binary or 0):
        raise bad(f"{len(rest)} bytes follow the JSON, and binary_data_size is {binary!r:.40}.")
    values = lists[tensor.data] if isinstance(tensor.data, int) and tensor.data < len(lists) else b""
    if tensor.name == "file":
        return inference, _file(tensor, rest, values)
    return inference, _image(tensor, rest, values, limits)


def unpacked(body: bytearray, encoding: str, most: int) -> bytearray:
    """A body that was sent in gzip or deflate. Raises RequestError where it is neither, ImageTooLargeError."""
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)  # the bytes say which of the two it is
    try:
        content = bytearray(reader.decompress(body, most + 1))
    except zlib.error:
        raise bad(f"the body is not whole {encoding}. Send it again, or as it is.") from None
    if len(content) > most:
        raise ImageTooLargeError(f"the unpacked body has more than {most:,} bytes, the limit. Send a smaller file.")
    if not reader.eof:
        raise bad(f"the body is not whole {encoding}. Send it again, or as it is.")
    return content


def _cut_out(text: bytearray) -> tuple[bytes, list[bytes]]:
    """The JSON with the number of each list `data` in its place, and the lists: of digits, or one text's content."""
    kept: list[bytes | bytearray] = []
    lists: list[bytes] = []
    place = 0
    for _ in range(_MOST_LISTS):
        name = text.find(b'"data"', place)
        opened = _OPENING.match(text, name + 6) if name >= 0 else None
        if opened is None:  # what stands here is left to the model
            break
        found, end = _one_list(text, opened.start("list"))
        kept += [text[place : name + 6], b":%d" % len(lists)]
        lists.append(found)
        place = end
    return b"".join([*kept, text[place:]]), lists


def _one_list(text: bytearray, start: int) -> tuple[bytes, int]:
    """The list that begins at `start`, and where it ends. Raises RequestError for one of anything else."""
    if begun := _TEXT_BEGINS.match(text, start):
        quote = text.find(b'"', begun.end())
        if quote >= 0 and (ended := _LIST_ENDS.match(text, quote + 1)):
            return bytes(text[begun.end() : quote]), ended.end()
    # Numbers hold no quotes and no objects: the list ends before the next of these.
    next_one = min((at for at in (text.find(b'"', start), text.find(b"}", start)) if at >= 0), default=len(text))
    end = text.rfind(b"]", start, next_one) + 1
    found = bytes(text[start:end])
    if not end or found.translate(None, _IN_NUMBERS) or text[end:next_one].strip(b" \t\r\n,"):
        raise bad("`data` of an input is a list of whole numbers from 0 to 255, or of one text in base64.")
    return found, end


def _told(error: Any) -> str:
    """One error of pydantic as a sentence."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"there is no {place:.80} here, or it is not supported."
    if error["type"] in ("json_invalid", "missing") or isinstance(error["input"], list | dict):
        return f"{place or 'the body'}: {error['msg']}."
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{place} is {error['input']!r:.40}. Expected {expected}."


def _checked(inference: Inference) -> Tensor:
    """The one input. Raises RequestError for names that are none."""
    known = [tensor for tensor in inference.inputs if tensor.name in ("image", "file")]
    if len(inference.inputs) != 1 or not known:
        found = ", ".join(repr(tensor.name[:40]) for tensor in inference.inputs)
        raise bad(f"the inputs are {found}. Expected one: 'image' (UINT8, H × W × 3) or 'file' (BYTES, 1).")
    names = [wanted.name for wanted in inference.outputs or ()]
    for name in names:
        if name not in ("probability", "mask"):
            raise bad(f"there is no output {name[:40]!r}. Expected probability or mask.")
        if names.count(name) > 1:
            raise bad(f"the output {name!r} is asked for {names.count(name)} times. Expected once.")
    return known[0]


def _file(tensor: Tensor, rest: memoryview, values: bytes) -> Encoded:
    if tensor.datatype != "BYTES" or tensor.shape not in ([1], [1, 1]):
        raise bad(f"'file' is {tensor.datatype:.20} {tensor.shape!s:.80}. Expected BYTES [1].")
    if rest:
        if len(rest) < 4 or struct.unpack_from("<I", rest)[0] != len(rest) - 4:
            raise bad("'file' is not one element: its 4 bytes of length differ from what follows them.")
        return rest[4:]
    try:
        found = base64.b64decode(values.replace(b"\\/", b"/"), validate=True)  # some languages write JSON so
    except binascii.Error:
        found = b""
    if not found:
        raise bad("'file' holds no photograph. Expected one text in base64, or binary data.")
    return found


def _image(tensor: Tensor, rest: memoryview, values: bytes, limits: Limits) -> Pixels:
    """Pixels that are read in the service's own thread."""
    shape = tensor.shape
    if tensor.datatype != "UINT8" or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise bad(f"'image' is {tensor.datatype:.20} {shape!s:.80}. Expected UINT8 [H, W, 3].")
    count = shape[0] * shape[1]
    if count > limits.pixels:
        raise ImageTooLargeError(
            f"'image' is {shape!s:.80}, the limit is {limits.pixels:,} pixels. Send a smaller image."
        )
    if rest:
        if len(rest) != count * 3:
            raise bad(f"'image' has {len(rest)} bytes. Expected {shape[0]} × {shape[1]} × 3 of them.")
        return Pixels(count, lambda: np.frombuffer(rest, np.uint8).reshape(shape))
    if values.count(b",") != count * 3 - 1:
        raise _no_numbers(shape)
    return Pixels(count, partial(_from_numbers, values, shape))


def _no_numbers(shape: list[int]) -> RequestError:
    return bad(f"the data of 'image' are not {shape[0]} × {shape[1]} × 3 whole numbers from 0 to 255.")


def _from_numbers(text: bytes, shape: list[int]) -> Image:
    """Of lists in JSON, flat or nested, of nothing but digits, commas, brackets and whitespace."""
    solid = text.translate(None, b" \t\r\n")
    # 1 2 would become 12.
    whole = len(solid) == len(text) or _numbers(text) == _numbers(solid)
    if not whole or not _even(solid):
        raise _no_numbers(shape)
    flat, values = solid.translate(None, b"[]"), np.empty(shape[0] * shape[1] * 3, np.uint8)
    del solid
    start = done = 0
    while start < len(flat):
        end = flat.find(b",", start + _PIECE)
        end = len(flat) if end < 0 else end
        piece = _decimals(np.frombuffer(flat, np.uint8, end - start, start))
        if piece is None:
            raise _no_numbers(shape)
        values[done : done + len(piece)] = piece
        start, done = end + 1, done + len(piece)
    return values.reshape(shape)


def _numbers(text: bytes) -> int:
    """How many runs of digits there are."""
    signs = np.frombuffer(text, np.uint8)
    digits = (signs >= ord("0")) & (signs <= ord("9"))
    return int(np.count_nonzero(digits[1:] & ~digits[:-1])) + int(digits[0])


def _even(solid: bytes) -> bool:
    """Whether lists in a list are all as long as the first, however deep, and stand alone in it."""
    if solid.count(b"],") != solid.count(b"],[") or solid.count(b",[") != solid.count(b"],["):
        return False  # a list beside a number
    signs = solid.translate(None, b"0123456789")
    depth = len(signs) - len(signs.lstrip(b"["))
    while 0 < depth <= _MOST_DEPTH:
        inner = signs[depth - 1 : signs.find(b"]") + 1]
        if inner.count(b"[") != 1:
            return False
        if depth == 1:
            return signs == inner
        signs, depth = signs.replace(inner, b""), depth - 1
    return False


def _decimals(signs: "np.ndarray[Any, np.dtype[np.uint8]]") -> "np.ndarray[Any, np.dtype[np.uint8]] | None":
    """Of digits (N,) with commas between numbers, the numbers; None unless all are whole numbers from 0 to 255."""
    ends = np.append(np.flatnonzero(signs == ord(",")), len(signs))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        return None
    digits = np.concatenate([np.zeros(2, np.uint8), signs - ord("0")]).astype(np.int16)  # two before the first
    ones, tens, hundreds = digits[ends + 1], digits[ends], digits[ends - 1]
    if ((lengths > 1) & (np.where(lengths == 2, tens, hundreds) == 0)).any():  # JSON has no 07
        return None
    numbers = ones + 10 * tens * (lengths > 1) + 100 * hundreds * (lengths > 2)
    return None if numbers.max() > 255 else numbers.astype(np.uint8)
