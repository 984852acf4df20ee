"""What /openapi.json says of `infer`, beyond what FastAPI reads from the code."""

from typing import Any

from vesselrt.server.http.openapi import BINARY_SCHEMA, TIMEOUT_HEADER

_INFERENCE = {
    "inputs": [{"name": "file", "datatype": "BYTES", "shape": [1], "data": ["/9j/4AAQSkZJRg=="]}],
    "outputs": [{"name": "mask", "parameters": {"threshold": 0.4}}],
}
INFER_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs; as JSON alone, or followed by binary tensors.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "model_name": "fundus",
                    "model_version": "1.2.0",
                    "parameters": {"quality": "good"},
                    "outputs": [{"name": "mask", "datatype": "BOOL", "shape": [1, 2], "data": [False, True]}],
                },
            },
            "application/octet-stream": {"schema": BINARY_SCHEMA},
        },
    }
}


def path_parameters(path: str) -> list[dict[str, Any]]:
    """Of a path under /v2."""
    named = {"model": "One of /models.", "version": "Of the model."}
    return [
        {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in named.items()
        if f"{{{name}}}" in path
    ]


def infer_request(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The parameters and the body of `infer`; `schema` is that of its JSON. Definitions are written out in place."""
    content: dict[str, Any] = {
        "application/json": {"schema": _inline_references(schema, schema.pop("$defs", {})), "example": _INFERENCE},
        "application/octet-stream": {"schema": BINARY_SCHEMA},
    }
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "schema": {"type": "integer", "minimum": 0, "description": "Bytes of JSON, where binary tensors follow it."},
    }
    parameters = [*path_parameters(path), length, TIMEOUT_HEADER]
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}


def _inline_references(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline_references(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        named = definitions[schema["$ref"].rpartition("/")[2]]
        return _inline_references(
            {**named, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions
        )
    return {key: _inline_references(value, definitions) for key, value in schema.items()}
