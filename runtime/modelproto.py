"""Reads the little that loading needs of an ONNX file, without a library: that would cost more than all the rest.

ONNX is a message of protocol buffers: fields, each a tag (its number and how long it is) and a value, which may be a
message again. Every length is checked against what is there. The numbers are those of onnx.proto; nodes and weights are
passed over, so what is wrong inside of them is found by the library that compiles the graph.
"""

from collections.abc import Iterator
from typing import NamedTuple

_INT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # how a field's value is written
_MAX_INT_BYTES = 10
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 7, 8, 14
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_GRAPH_WEIGHT, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_WEIGHT_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_AXIS = 1
_AXIS_LENGTH, _AXIS_NAME = 1, 2
_ELEMENTS = (
    "undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double",
)  # fmt: skip


class Field(NamedTuple):
    """One field of a message, by its places in the file."""

    number: int
    start: int
    """Where its tag begins."""
    value: int
    """Where its value begins; of what is no message, text or bytes, the value itself."""
    end: int
    """Where the next field begins; -1 of what is no message, text or bytes."""


class GraphValue(NamedTuple):
    """An input or output of a graph."""

    name: str
    type: str
    """As ONNX Runtime prints it: `tensor(uint8)`."""
    axes: tuple[int | str | None, ...]
    """The length of each axis, its name where it varies, None where neither is said."""


class ModelHead(NamedTuple):
    """What an ONNX file says beside its nodes and weights."""

    metadata: dict[str, str]
    values: tuple[GraphValue, ...]
    """The inputs, then the outputs; weights are no inputs."""
    opset: int = 0
    """Version of the standard operations; 0: not said."""


def read_model_head(content: bytes) -> ModelHead:
    """Raises ValueError, with the reason, for what is no ONNX model or is damaged."""
    metadata: dict[str, str] = {}
    weights: list[Field] = []
    inputs: list[GraphValue] = []
    outputs: list[GraphValue] = []
    opset = 0
    for part in read_fields(content, 0, len(content)):
        if part.number == _MODEL_METADATA:
            key, value = _read_entry(content, part)
            metadata[key] = value
        elif part.number == _MODEL_OPSET:
            opset = max(opset, _read_standard_opset(content, part))
        elif part.number == _MODEL_GRAPH:
            for field in _read_message(content, part):
                if field.number == _GRAPH_WEIGHT:
                    weights.append(field)
                elif field.number == _GRAPH_INPUT:
                    inputs.append(_read_value(content, field))
                elif field.number == _GRAPH_OUTPUT:
                    outputs.append(_read_value(content, field))
    if not outputs:
        raise ValueError("it has no graph with an output")
    if len(inputs) > 1:  # old files list the weights among the inputs
        named = {_read_weight_name(content, weight) for weight in weights}
        inputs = [value for value in inputs if value.name not in named]
    return ModelHead(metadata, (*inputs, *outputs), opset)


def find_metadata(content: bytes, key: str) -> Field:
    """The entry of the metadata that has this key, the last one. Raises ValueError: there is none, or damage."""
    found = None
    for part in read_fields(content, 0, len(content)):
        if part.number == _MODEL_METADATA and _read_entry(content, part)[0] == key:
            found = part
    if found is None:
        raise ValueError(f"no {key} in its metadata")
    return found


def read_fields(content: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a message from `start` to `end`. Raises ValueError where they do not fill it exactly."""
    while start < end:
        tag, place = _read_int(content, start, end)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError(f"field 0 at byte {start}")
        if kind == _INT:
            value, following = _read_int(content, place, end)
            yield Field(number, start, value, -1)
        elif kind == _BYTES:
            length, place = _read_int(content, place, end)
            following = place + length
            if following <= end:
                yield Field(number, start, place, following)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):  # numbers that nothing here reads
            following = place + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError(f"a field of unknown kind {kind} at byte {start}")
        if following > end:
            raise ValueError(f"the field at byte {start} ends after its message")
        start = following


def _read_entry(content: bytes, entry: Field) -> tuple[str, str]:
    """Key and value of an entry of the metadata."""
    key = value = ""
    for field in _read_message(content, entry):
        if field.number == _ENTRY_KEY:
            key = _read_text(content, field)
        elif field.number == _ENTRY_VALUE:
            value = _read_text(content, field)
    return key, value


def _read_standard_opset(content: bytes, entry: Field) -> int:
    """0 where the entry is of other operations."""
    domain, version = "", 0
    for field in _read_message(content, entry):
        if field.number == _OPSET_DOMAIN:
            domain = _read_text(content, field)
        elif field.number == _OPSET_VERSION and field.end < 0:
            version = field.value
    return version if domain in ("", "ai.onnx") else 0


def _read_weight_name(content: bytes, weight: Field) -> str:
    return next((_read_text(content, f) for f in _read_message(content, weight) if f.number == _WEIGHT_NAME), "")


def _read_message(content: bytes, field: Field) -> Iterator[Field]:
    if field.end < 0:
        raise ValueError(f"a number at byte {field.start}, where a message was expected")
    return read_fields(content, field.value, field.end)


def _read_text(content: bytes, field: Field) -> str:
    if field.end < 0:
        raise ValueError(f"a number at byte {field.start}, where text was expected")
    return content[field.value : field.end].decode()


def _read_int(content: bytes, place: int, end: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and the place after it."""
    number = 0
    for index in range(min(_MAX_INT_BYTES, end - place)):
        byte = content[place + index]
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, place + index + 1
    raise ValueError(f"a number at byte {place} that does not end")


def _read_value(content: bytes, value: Field) -> GraphValue:
    name, kind, axes = "", "none", list[int | str | None]()
    for field in _read_message(content, value):
        if field.number == _VALUE_NAME:
            name = _read_text(content, field)
        elif field.number == _VALUE_TYPE:
            for choice in _read_message(content, field):
                if choice.number == _TYPE_TENSOR:
                    kind, axes = _read_tensor_type(content, choice)
    return GraphValue(name, kind, tuple(axes))


def _read_tensor_type(content: bytes, tensor: Field) -> tuple[str, list[int | str | None]]:
    element, axes = 0, list[int | str | None]()
    for field in _read_message(content, tensor):
        if field.number == _TENSOR_ELEMENT:
            element = field.value
        elif field.number == _TENSOR_SHAPE:
            for axis in _read_message(content, field):
                if axis.number == _SHAPE_AXIS:
                    axes.append(_read_axis(content, axis))
    return f"tensor({_ELEMENTS[element] if element < len(_ELEMENTS) else element})", axes


def _read_axis(content: bytes, axis: Field) -> int | str | None:
    found: int | str | None = None
    for field in _read_message(content, axis):
        if field.number == _AXIS_LENGTH:
            found = field.value
        elif field.number == _AXIS_NAME:
            found = _read_text(content, field)
    return found
