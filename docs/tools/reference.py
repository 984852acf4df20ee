"""Pages of reference made from the code: settings, manifest, recipe, command line, HTTP. Each function gives Markdown.

A line of docs/ that ends with `<!-- generated: NAME -->` is where it belongs (docs/tools/hooks.py).
"""

import ast
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from textwrap import dedent
from typing import Any

import typer
from pydantic import BaseModel

Schema = Mapping[str, Any]
_EVERYWHERE = {"quiet", "verbose", "help"}
"""Options that every command has: the page says them once."""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def settings() -> str:
    """A row for each setting of the server."""
    from vesselrt.server.settings import ServerSettings

    said = field_docstrings(ServerSettings)
    fields = ServerSettings.model_json_schema()["properties"]
    rows = [
        [f"`VESSELRT_{name.upper()}`", kind_of(field), default_of(field), said.get(name, "")]
        for name, field in fields.items()
    ]
    return table(["variable", "type", "default", "meaning"], rows)


def manifest() -> str:
    """The fields of a model file's manifest."""
    from vesselrt.runtime.manifest import Manifest

    return "\n\n".join(_sections(Manifest))


def recipe() -> str:
    """The fields of a training recipe."""
    from vesselrt.training.fit.recipe import Recipe

    return "\n\n".join(_sections(Recipe))


def command_line() -> str:
    """Every command with its arguments and options."""
    from vesselrt.benchmarks.bench import app as bench
    from vesselrt.cli import app

    return "\n\n".join(_commands("vesselrt", typer.main.get_command(app), {"bench": typer.main.get_command(bench)}))


def http() -> str:
    """Every address of the server."""
    document = openapi()
    return "\n\n".join(
        f"## `{method.upper()} {path}`\n\n{_operation(operation, document)}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )


def openapi() -> Schema:
    """The document of a server around a stand-in for a model."""
    from vesselrt.runtime.backends.fake import FakeBackend
    from vesselrt.runtime.modelfile import list_models
    from vesselrt.runtime.segmenter import Segmenter
    from vesselrt.server.http.application import create_app

    document: Schema = create_app(Segmenter(list_models()["fundus"], FakeBackend())).openapi()
    return document


GENERATED: dict[str, Callable[[], str]] = {
    "settings": settings, "manifest": manifest, "recipe": recipe, "command line": command_line, "http": http,
}  # fmt: skip


def table(head: list[str], rows: list[list[str]]) -> str:
    """Without the columns in which no row has anything."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    lines = [[cells[column] for column in kept] for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def field_docstrings(model: type) -> dict[str, str]:
    """Field → the string below it, in the class and those that it is derived from."""
    said: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls.__module__.startswith("pydantic"):
            continue
        body = ast.parse(dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
        for field, below in itertools.pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    said[name] = text
    return said


def kind_of(schema: Schema) -> str:  # noqa: PLR0911 - one for each kind of schema
    """A JSON schema in words: "integer ≥ 1 or null"."""
    match schema:
        case {"$ref": str(place)}:
            name = place.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"anyOf": choices} | {"oneOf": choices} | {"allOf": choices}:
            return " or ".join(map(kind_of, choices))
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(map(kind_of, items))}]"
        case {"type": "array"}:
            return f"list of {kind_of(schema.get('items', {}))}"
        case {"type": "object", "additionalProperties": Mapping() as values}:
            return f"map to {kind_of(values)}"
    kind = schema.get("format") if schema.get("format") in {"binary", "path", "password"} else schema.get("type")
    if {"minimum", "maximum"} <= schema.keys():
        bounds = [f"{_number(schema['minimum'])} to {_number(schema['maximum'])}"]
    else:
        bounds = [f"{sign} {_number(schema[name])}" for name, sign in _BOUNDS.items() if name in schema]
    if "pattern" in schema:
        bounds.append(f"that matches `{schema['pattern']}`")
    return f"{kind or 'any'} {' and '.join(bounds)}".strip()


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e15 else f"{value:.3g}"


def default_of(schema: Schema) -> str:
    """The default as it is written in a file; empty where there is none, or a section of its own tells it."""
    default = schema.get("default")
    if default in (None, []) or (isinstance(default, dict) and "$ref" in str(schema)):
        return ""
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _sections(root: type[BaseModel]) -> Iterator[str]:
    """A section for the model and each that it holds, in the order in which they are met."""
    waiting, met = [root], {root}
    while waiting:
        model = waiting.pop(0)
        said = field_docstrings(model)
        schema = model.model_json_schema()
        schema = schema["$defs"][model.__name__] if "$ref" in schema else schema
        required = set(schema.get("required", ()))
        rows = [
            [f"`{name}`", kind_of(field), "required" if name in required else default_of(field), said.get(name, "")]
            for name, field in schema["properties"].items()
        ]
        rows_of = table(["field", "type", "default", "meaning"], rows)
        yield f"## {model.__name__}\n\n{inspect.getdoc(model) or ''}\n\n{rows_of}"
        inside = [kind for field in model.model_fields.values() for kind in _models_in(field.annotation)]
        waiting += [kind for kind in dict.fromkeys(inside) if kind not in met]
        met.update(inside)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _commands(name: str, command: Any, others: Mapping[str, Any]) -> Iterator[str]:
    """`others` take the place of commands that only hand their arguments on."""
    inside = getattr(command, "commands", None)
    if inside is not None:
        for word, part in inside.items():
            yield from _commands(f"{name} {word}", others.get(word, part), {})
        return
    context = command.context_class(command, info_name=name)
    usage = f"{name} {' '.join(command.collect_usage_pieces(context))}"
    arguments, options = [], []
    for parameter in command.get_params(context):
        if parameter.name in _EVERYWHERE:
            continue
        if parameter.param_type_name == "argument":
            arguments.append([f"`{parameter.display_name_raw}`", parameter.help or ""])
            continue
        flags = ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts])
        value = "" if parameter.is_flag else f"`{parameter.metavar or parameter.display_type(context)}`"
        default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
        options.append([flags, value, default, parameter.help or ""])
    yield f"## `{name}`\n\n{dedent(command.help or '')}\n\n```text\n{usage}\n```"
    if arguments:
        yield table(["argument", "meaning"], arguments)
    if options:
        yield table(["option", "value", "default", "meaning"], options)


def _operation(operation: Schema, document: Schema) -> str:
    parts = [operation.get("description") or operation.get("summary", "")]
    parameters = [
        [f"`{p['name']}`", p["in"], kind_of(p["schema"]), default_of(p["schema"]), _meaning(p)]
        for p in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(table(["parameter", "in", "type", "default", "meaning"], parameters))
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        parts.append(table(["body", "holds"], [[f"`{kind}`", _body(media)] for kind, media in content.items()]))
    answers = [
        [code, ", ".join(f"`{kind}`" for kind in _resolved(answer, document).get("content", ())), answer["description"]]
        for code, answer in operation["responses"].items()
    ]
    parts.append(table(["status", "answer", "meaning"], answers))
    return "\n\n".join(parts)


def _meaning(parameter: Schema) -> str:
    return str(parameter.get("description") or parameter["schema"].get("description", ""))


def _resolved(part: Schema, document: Schema) -> Schema:
    for word in part["$ref"].split("/")[1:] if "$ref" in part else ():
        document = document[word]
    return document if "$ref" in part else part


def _body(media: Schema) -> str:
    fields = media.get("schema", {}).get("properties", {})
    whole = re.sub(r"\[(\w+)\]\(#\w+\)", r"\1", kind_of(media.get("schema", {})))  # the page has no section of it
    return ", ".join(f"`{name}`" for name in fields) or whole
