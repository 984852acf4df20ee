"""A file of `torch.export.save` (.pt2) → a network. No code of the file runs.

`torch.export.load` must not see a file from elsewhere: it unpickles weights and inputs, evaluates text (shapes, by
sympy; guards, as Python), calls whatever a node names below `torch`, and opens libraries of machine code. Here the
archive is read for what it is: JSON that names operations, and raw weights. Its nodes are run one by one, each an
operation of ATen or arithmetic on sizes.

    <name>/models/model.json                         graph: nodes, inputs, outputs
    <name>/data/weights/model_weights_config.json    name of a weight → file, type, sizes
    <name>/data/weights/weight_0, ...                raw values, little-endian

The format is that of torch/_export/serde/schema.py, schema 8.
"""

import json
import operator
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselrt.export.sources.source import Found
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError

PT2_SUFFIX = ".pt2"
_SCHEMA = 8
_AGAIN = (
    'torch.export.export(network.eval(), (torch.zeros(2, 3, 512, 512),), dynamic_shapes=({0: torch.export.Dim("batch")'
    ", 2: ..., 3: ...},))"
)
_TYPES = {  # c10::ScalarType as the schema numbers it
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_LAYOUTS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    f"_operator.{f.__name__}": f
    for f in (
        *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.neg),
        *(operator.pow, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    )
} | {f"torch.{f.__name__}": f for f in (torch.sym_int, torch.sym_float, torch.sym_max, torch.sym_min, torch.sym_not)}
"""What a program does with sizes."""
_CHECKS = {
    f"torch.ops.aten.{name}.default"
    for name in ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
}
"""Operations that say what was true while torch exported. They compute nothing."""

Values = dict[str, Any]


def read_pt2(path: Path) -> Found:
    """The network of a program with one image as its input.

    Raises DataError for a file that is damaged, holds more than operations and weights, or has a fixed batch.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program = _Archive(archive)
            network, weights, sizes = program.network()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # noqa: BLE001 - a hostile file may raise anything while it is taken apart
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: not a program that can be read ({type(error).__name__}: {reason}). "
            "Write it anew with torch.export.save, of torch 2.9 or later."
        ) from None
    return Found(network, hash_weights(weights), *_facts(path, sizes))


def _facts(path: Path, sizes: list[int | None]) -> tuple[dict[str, Any], int | None]:
    """What the sizes of the input tell, (N, C, H, W); None is one that varies."""
    if len(sizes) != 4:
        raise DataError(f"{path}: its input has {len(sizes)} dimensions. Expected (N, C, H, W).")
    batch, channels, height, width = sizes
    if batch is not None:
        raise DataError(f"{path}: its batch is fixed at {batch}, which can't be undone. Export it anew: {_AGAIN}")
    if (height is None) != (width is None) or height != width:
        raise DataError(
            f"{path}: it takes {height or 'any'}×{width or 'any'} pixels. Expected both to vary, or a square. "
            f"Export it anew: {_AGAIN}"
        )
    tile = {} if height is None else {"size": height, "fixed": True}
    facts = {
        "input": {},
        "tile": tile,
        "preparation": {"channels": "rgb"} if channels == 3 else {},
        "provenance": {"recipe": f"torch.export program {path.name}"},
    }
    return facts, channels


@dataclass(frozen=True)
class _Node:
    """One operation: what it calls, with what, and the names of what it gives."""

    target: Callable[..., Any]
    positional: tuple[dict[str, Any], ...]
    keywords: dict[str, dict[str, Any]]
    outputs: tuple[dict[str, Any], ...]

    def run(self, values: Values) -> None:
        """Adds what it gives to `values`."""
        given = self.target(
            *(_value(a, values) for a in self.positional), **{k: _value(a, values) for k, a in self.keywords.items()}
        )
        for output, result in zip(self.outputs, given if len(self.outputs) > 1 else (given,), strict=True):
            names = list(_names(output))
            values.update(zip(names, result if "as_tensors" in output else (result,), strict=True) if names else ())


class Program(nn.Module):
    """Runs the nodes of a program. (N, C, H, W) float32 → its output."""

    def __init__(self, nodes: list[_Node], held: dict[str, Tensor], ends: tuple[str, str]) -> None:
        super().__init__()
        self.nodes, self.ends, self.names = nodes, ends, list(held)
        for i, tensor in enumerate(held.values()):
            self.register_buffer(f"held_{i}", tensor)

    def forward(self, image: Tensor) -> Any:
        values: Values = {name: getattr(self, f"held_{i}") for i, name in enumerate(self.names)}
        values[self.ends[0]] = image
        for node in self.nodes:
            node.run(values)
        return values[self.ends[1]]


class _Archive:
    """The parts of a program. Methods raise DataError, without the name of the file, for what is not as expected."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        found = [n for n in archive.namelist() if n.endswith("/models/model.json")]
        if len(found) != 1:
            raise DataError("holds no program of torch.export.save. Write it anew, with torch 2.9 or later.")
        self.root = found[0].removesuffix("models/model.json")
        self.program = self._json("models/model.json")
        schema = self.program["schema_version"]["major"]
        if schema != _SCHEMA:
            raise DataError(f"has schema {schema}. Expected {_SCHEMA}: write it anew with the torch that is here.")

    def network(self) -> tuple[Program, dict[str, Tensor], list[int | None]]:
        """The network, its weights by name, and the sizes of its input."""
        weights = self._tensors("weights")
        stored = {**weights, **self._tensors("constants")}
        module = self.program["graph_module"]
        held, images = {}, []
        for specification in module["signature"]["input_specs"]:
            ((kind, fields),) = specification.items()
            if kind == "user_input":
                images.append(fields["arg"]["as_tensor"]["name"])
            elif f"{kind}_name" in fields:
                held[fields["arg"]["name"]] = stored[fields[f"{kind}_name"]]
            else:
                raise DataError(f"takes a {kind} as its input. Expected one image.")
        answers = [_answer(specification) for specification in module["signature"]["output_specs"]]
        if len(images) != 1 or len(answers) != 1:
            raise DataError(
                f"has {len(images)} inputs and {len(answers)} outputs. Expected one of each: wrap the network in a "
                "module that takes the image and returns the mask."
            )
        nodes = [_node(n) for n in module["graph"]["nodes"] if n["target"] not in _CHECKS]
        sizes = [size.get("as_int") for size in module["graph"]["tensor_values"][images[0]]["sizes"]]
        return Program(nodes, held, (images[0], answers[0])), weights, sizes

    def _json(self, name: str) -> Any:
        return json.loads(self.archive.read(self.root + name))

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        """The weights or constants by name."""
        found = {}
        for name, entry in self._json(f"data/{kind}/model_{kind}_config.json")["config"].items():
            if entry["use_pickle"] or entry["tensor_meta"] is None:
                raise DataError(f"its {name} is a pickle, and nothing is unpickled. Write it as a plain tensor.")
            content = bytearray(self.archive.read(f"{self.root}data/{kind}/{entry['path_name']}"))
            meta = entry["tensor_meta"]
            dtype, sizes = _TYPES[meta["dtype"]], [s["as_int"] for s in meta["sizes"]]
            flat = torch.frombuffer(content, dtype=dtype) if content else torch.zeros(0, dtype=dtype)
            strides, offset = [s["as_int"] for s in meta["strides"]], meta["storage_offset"]["as_int"]
            found[name] = flat.as_strided(sizes, strides, offset).clone()
        return found


def _answer(specification: dict[str, Any]) -> str:
    ((kind, fields),) = specification.items()
    if kind != "user_output":
        raise DataError(f"changes what it holds ({kind}): it was exported for training. Export it anew: {_AGAIN}")
    name: str = fields["arg"]["as_tensor"]["name"]
    return name


def _node(fields: dict[str, Any]) -> _Node:
    target = _target(fields["target"])
    for argument in fields["inputs"]:
        if argument["name"] in ("training", "train") and argument["arg"].get("as_bool"):
            raise DataError(f"trains ({fields['target']}). Export it anew: {_AGAIN}")
        ((kind, _),) = argument["arg"].items()
        if kind not in _READERS:
            raise DataError(f"gives {fields['target']} a {kind}. Expected tensors, numbers and text.")
    keywords = {a["name"]: a["arg"] for a in fields["inputs"] if a["kind"] == 2}
    positional = tuple(a["arg"] for a in fields["inputs"] if a["kind"] != 2)
    return _Node(target, positional, keywords, tuple(fields["outputs"]))


def _target(name: str) -> Callable[..., Any]:
    """An operation of ATen that computes tensors, or arithmetic on sizes. Raises DataError for every other."""
    if name in _ARITHMETIC:
        return _ARITHMETIC[name]
    parts = name.split(".")
    if len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"] and not parts[3].startswith("_"):
        packet = getattr(torch.ops.aten, parts[3], None)
        if packet is not None and parts[4] in packet.overloads():
            operation = getattr(packet, parts[4])
            if _computes(operation):
                return operation  # type: ignore[no-any-return]
    raise DataError(
        f"calls {name}. Expected operations of ATen (torch.ops.aten, without a leading underscore) that compute "
        "tensors: export it without run_decompositions and operations of your own, or export the module itself, "
        "SOURCE package.module:function, --weights."
    )


def _computes(operation: Any) -> bool:
    """Whether it gives tensors, or the size of one, of tensors or numbers: none that writes, reads or prints a file."""
    schema = operation._schema  # noqa: SLF001 - how torch itself asks
    if any(a.is_out for a in schema.arguments):
        return False
    takes = [str(a.type) for a in schema.arguments]
    gives = [str(r.type) for r in schema.returns]
    if any("Tensor" in t for t in takes):
        return bool(gives) and all("Tensor" in g or g in ("int", "SymInt") for g in gives)
    return gives == ["Tensor"] and not any("str" in t for t in takes)


def _names(output: dict[str, Any]) -> Iterator[str]:
    ((kind, fields),) = output.items()
    if kind == "as_tensor":
        yield fields["name"]
    elif kind == "as_tensors":
        yield from (f["name"] for f in fields)
    elif kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        yield fields["as_name"]
    elif kind != "as_none":
        raise DataError(f"has a node that gives a {kind}. Expected tensors and numbers.")


def _value(argument: dict[str, Any], values: Values) -> Any:
    ((kind, fields),) = argument.items()
    return _READERS[kind](fields, values)


def _symbol(fields: dict[str, Any], values: Values) -> Any:
    ((kind, value),) = fields.items()
    return values[value] if kind == "as_name" else value


def _literal(fields: Any, _: Values) -> Any:
    return fields


def _each(reader: Callable[[Any, Values], Any]) -> Callable[[Any, Values], Any]:
    return lambda fields, values: [reader(f, values) for f in fields]


def _tensor(fields: dict[str, Any], values: Values) -> Any:
    return values[fields["name"]]


def _optional(fields: dict[str, Any], values: Values) -> Any:
    return None if "as_none" in fields else _tensor(fields["as_tensor"], values)


def _number(fields: Any, _: Values) -> float:
    return float(fields)  # infinity is written as text


_READERS: dict[str, Callable[[Any, Values], Any]] = {
    **dict.fromkeys(("as_int", "as_ints", "as_string", "as_bool", "as_bools"), _literal),
    "as_none": lambda _, __: None,
    "as_float": _number,
    "as_floats": _each(_number),
    "as_tensor": _tensor,
    "as_tensors": _each(_tensor),
    "as_optional_tensor": _optional,
    "as_optional_tensors": _each(_optional),
    **dict.fromkeys(("as_sym_int", "as_sym_float", "as_sym_bool"), _symbol),
    **dict.fromkeys(("as_sym_ints", "as_sym_floats", "as_sym_bools"), _each(_symbol)),
    "as_scalar_type": lambda fields, _: _TYPES[fields],
    "as_memory_format": lambda fields, _: _LAYOUTS[fields],
    "as_layout": lambda _, __: torch.strided,
    "as_device": lambda _, __: torch.device("cpu"),
}
