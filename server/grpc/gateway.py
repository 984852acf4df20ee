"""A port for clients of the Open Inference Protocol that speak gRPC, such as `tritonclient.grpc`.

Each call becomes a request to the addresses under /v2 of the same application, in the same process. So keys, limits,
log, metrics and messages are those of HTTP.
"""

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import grpc
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

from vesselrt.runtime.errors import OptionError
from vesselrt.server.grpc import inference_pb2 as messages
from vesselrt.server.settings import ServerSettings
from vesselrt.server.v2.messages import LENGTH
from vesselrt.server.work.budget import usual_budget

_SERVICE = "inference.GRPCInferenceService"
_FORWARDED = frozenset({"x-api-key", "authorization", "x-request-id", "traceparent", "tracestate"})
_MOST_CALLS = 16
_BESIDE = 64 * 1024  # bytes of a message beside the photograph
_CONNECTIONS_MS = {
    "grpc.server_handshake_timeout_ms": 10_000,
    "grpc.max_connection_idle_ms": 60_000,  # without a call
    "grpc.keepalive_time_ms": 60_000,  # after so long a silence a peer is asked whether it is still there
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.max_connection_age_ms": 600_000,  # it is renewed
    "grpc.max_connection_age_grace_ms": 60_000,
}
"""How long connections may live."""
_STATUSES: dict[int, Any] = {
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
_Context: TypeAlias = Any  # grpc.aio.ServicerContext; grpcio brings no types
_Call = Callable[[Any, _Context], Awaitable[dict[str, Any]]]
"""From the message of a call to the fields of its answer."""
_PathOf = Callable[[Any], str]


def add_grpc(app: FastAPI, settings: ServerSettings) -> FastAPI:
    """The same application, answered by gRPC at `settings.grpc_port` too while its lifespan runs."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            server = make_server(app, settings)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            try:
                server.add_insecure_port(f"{host}:{settings.grpc_port}")
            except RuntimeError:
                message = f"port {settings.grpc_port} of {settings.host} can't be had. Choose another for gRPC."
                raise OptionError(message) from None
            await server.start()
            try:
                yield state
            finally:
                await server.stop(settings.drain)

    app.router.lifespan_context = both
    return app


def make_server(app: ASGIApp, settings: ServerSettings) -> grpc.aio.Server:
    """Without a port yet."""
    calls = calls_at_once(settings)
    server = grpc.aio.server(
        maximum_concurrent_rpcs=calls,
        options=[
            ("grpc.max_receive_message_length", settings.max_bytes + _BESIDE),
            ("grpc.max_send_message_length", -1),
            *_CONNECTIONS_MS.items(),
            ("grpc.max_concurrent_streams", calls),
            ("grpc.so_reuseport", int(settings.workers > 1)),
        ],
    )
    gateway = _Gateway(app)
    handlers = {
        name: grpc.stream_unary_rpc_method_handler(
            _with_time_limit(call, settings.body_timeout),
            request_deserializer=getattr(messages, f"{name}Request").FromString,
            response_serializer=partial(_serialize, getattr(messages, f"{name}Response")),
        )
        for name, call in gateway.calls.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    return server


def calls_at_once(settings: ServerSettings) -> int:
    """How many are taken: one more gets RESOURCE_EXHAUSTED.

    A message is read as a whole before anything of it is known, and stands beside the request that is made of it. So
    as many as fit twice into the budget of memory, 16 at most.
    """
    most = settings.max_memory or usual_budget(settings.workers)
    return max(1, min(_MOST_CALLS, most // (2 * (settings.max_bytes + _BESIDE))))


def _serialize(kind: type[Any], fields: dict[str, Any]) -> Any:
    return kind(**fields).SerializeToString()


def _with_time_limit(call: _Call, seconds: float) -> _Call:
    """For the one message of a call, which is read here as if more could follow: else gRPC waits for it for ever."""

    async def answer(_: object, context: _Context) -> Any:
        try:
            async with asyncio.timeout(seconds):
                read = [await context.read()]
        except TimeoutError:
            why = f"the message did not come within {seconds:g} s. Send it faster, or less of it."
            return await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, why)
        if read[0] is grpc.aio.EOF:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message.")
        # Only `call` holds it: gRPC keeps the frames of a call that fails until the garbage collector comes by.
        return await call(read.pop(), context)

    return answer


class _Gateway:
    """The calls."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.calls: dict[str, _Call] = {
            "ServerLive": self._flag_call("live", lambda _: "/v2/health/live"),
            "ServerReady": self._flag_call("ready", lambda _: "/v2/health/ready"),
            "ModelReady": self._flag_call("ready", lambda asked: f"{_model_path(asked.name, asked.version)}/ready"),
            "ServerMetadata": self._facts_call(lambda _: "/v2"),
            "ModelMetadata": self._facts_call(lambda asked: _model_path(asked.name, asked.version)),
            "ModelInfer": self._infer,
        }

    def _flag_call(self, field: str, path_of: _PathOf) -> _Call:
        async def call(asked: Any, context: _Context) -> dict[str, Any]:
            answer = await self._request(context, path_of(asked))
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                await _checked(context, answer)
            return {field: answer.status == HTTPStatus.OK}

        return call

    def _facts_call(self, path_of: _PathOf) -> _Call:
        async def call(asked: Any, context: _Context) -> Any:
            return json.loads(bytes(await _checked(context, await self._request(context, path_of(asked)))))

        return call

    async def _infer(self, asked: Any, context: _Context) -> Any:
        path = f"{_model_path(asked.model_name, asked.model_version)}/infer"
        try:
            head, tensors = _parts_of(asked)
        except ValueError as error:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            del asked
        body = [b"".join([head, *tensors])]
        del tensors  # the photograph is in the body now, which the application alone holds
        answer = await self._request(context, path, body, **{LENGTH: str(len(head))})
        return _response_of(await _checked(context, answer), int(answer.headers[LENGTH.lower().encode()]))

    async def _request(self, context: _Context, path: str, body: list[bytes] | None = None, **more: str) -> "_Answer":
        """What the application answers to GET, or to POST of a body, which it takes out of `body`. `more`: headers.

        A caller that leaves has disconnected.
        """
        method, rest = "POST" if body else "GET", body or [b""]
        named = {name: value for name, value in context.invocation_metadata() or () if name in _FORWARDED}
        left = context.time_remaining()
        if left is not None and math.isfinite(left):
            named["x-request-timeout"] = f"{max(left, 0.001):.3f}"
        named |= {**more, "content-length": str(len(rest[0]))}
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "scheme": "http", "method": method,
            "path": unquote(path), "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(name.lower().encode(), str(one).encode("latin-1", "replace")) for name, one in named.items()],
            "client": (unquote(context.peer()), 0), "server": ("grpc", 0), "state": {},
        }  # fmt: skip
        answer, gone = _Answer(), asyncio.Event()

        async def receive() -> Message:
            if rest:
                return {"type": "http.request", "body": rest.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if share := scope["state"].get("share"):  # the answer is held here, until the last of it was made
                share.take(len(message.get("body", b"")))
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], dict(message["headers"])
            answer.body += message.get("body", b"")

        work = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            gone.set()
            await asyncio.wait([work])
            raise
        return answer


@dataclass
class _Answer:
    """Of the application."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


async def _checked(context: _Context, answer: _Answer) -> memoryview:
    """The body. Ends the call with its error where the answer is one."""
    if answer.status != HTTPStatus.OK:
        other = grpc.StatusCode.INVALID_ARGUMENT if answer.status < 500 else grpc.StatusCode.INTERNAL
        said = json.loads(answer.body)["error"]
        await context.abort(_STATUSES.get(answer.status, other), said if isinstance(said, str) else said["message"])
    return memoryview(answer.body)


def _model_path(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _parts_of(asked: Any) -> tuple[bytes, list[bytes]]:
    """JSON, and the tensors that stand behind it, as HTTP has them. Raises ValueError."""
    raw = list(asked.raw_input_contents)
    if raw and len(raw) != len(asked.inputs):
        raise ValueError(f"of {len(asked.inputs)} inputs there are {len(raw)} raw_input_contents. Expected all.")
    tensors = raw or [_raw_from(tensor) for tensor in asked.inputs]
    head: dict[str, Any] = {
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {**_values_of(tensor.parameters), "binary_data_size": len(data)},
            }
            for tensor, data in zip(asked.inputs, tensors, strict=True)
        ],
        "parameters": {**_values_of(asked.parameters), "binary_data_output": True},
    }
    if asked.id:
        head["id"] = asked.id
    if asked.outputs:
        head["outputs"] = [
            {"name": one.name, "parameters": {**_values_of(one.parameters), "binary_data": True}}
            for one in asked.outputs
        ]
    return json.dumps(head).encode(), tensors


def _raw_from(tensor: Any) -> bytes:
    """The values that stand in the tensor itself. Raises ValueError."""
    contents = tensor.contents
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(one)) + one for one in contents.bytes_contents)
    return bytes(contents.uint_contents)  # ValueError for one over 255


def _values_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: getattr(given, given.WhichOneof("parameter_choice") or "bool_param") for name, given in parameters.items()
    }


def _response_of(body: memoryview, length: int) -> dict[str, Any]:
    """The fields of an answer whose JSON has a `length`, with the tensors behind it."""
    head, rest = json.loads(bytes(body[:length])), body[length:]
    outputs, tensors = [], []
    for output in head["outputs"]:
        size = output.pop("parameters")["binary_data_size"]
        outputs.append(output)
        tensors.append(bytes(rest[:size]))
        rest = rest[size:]
    told = {name: {"string_param": value} for name, value in head.pop("parameters", {}).items()}
    return {**head, "parameters": told, "outputs": outputs, "raw_output_contents": tensors}
