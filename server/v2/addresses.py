"""The Open Inference Protocol, version 2, with Triton's binary tensors: clients of KServe and Triton work unchanged.

Inputs, one of the two:
    image        UINT8 (H, W, 3)   a decoded photograph, RGB
    file         BYTES (1)         an encoded photograph; in JSON as base64
Outputs, both unless some are named:
    probability  UINT8 (H, W)      255 × the probability of vessel
    mask         BOOL (H, W)       cut at the parameter `threshold` of the request or the output; default: the model's
"""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http import answers, openapi, upload
from vesselrt.server.http.accept import coding_from
from vesselrt.server.http.errors import RequestError
from vesselrt.server.metrics import Metrics
from vesselrt.server.v2 import facts as told
from vesselrt.server.v2.messages import ENCODINGS, LENGTH, Inference, parse, unpacked
from vesselrt.server.v2.reply import Reply, check_version, check_written
from vesselrt.server.work.jobs import Pixels, Work
from vesselrt.server.work.models import Model, State, choose, why_not
from vesselrt.server.work.service import Service

_MOST_TIMEOUT = 2**64  # µs, as in Triton; larger integers need not fit into a float


def install(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """Adds the addresses under /v2."""
    shared: dict[str, Any] = {"tags": ["v2"], "response_model_exclude_none": True}
    guarded = {**shared, "dependencies": openapi.KEYS}

    @app.get("/v2", summary="The server", responses=openapi.v2_errors(401), **guarded)
    @app.get("/v2/", include_in_schema=False)
    async def server() -> told.Server:
        """Its name, version and extensions."""
        return told.Server()

    @app.get("/v2/health/live", summary="The process is of use", responses=openapi.v2_errors(503), **shared)
    async def live() -> told.Flag:
        """As /health/live."""
        if service.state is State.FAILED:
            raise why_not(service.state)
        return told.Flag(live=True)

    @app.get("/v2/health/ready", summary="Every model is ready", responses=openapi.v2_errors(503), **shared)
    async def ready() -> told.Flag:
        """As /health/ready."""
        if service.state is not State.READY:
            raise why_not(service.state)
        return told.Flag(ready=True)

    @app.post("/v2/repository/index", summary="Every model", responses=openapi.v2_errors(401, 422), **guarded)
    async def index(query: IndexQuery | None = None) -> list[told.IndexEntry]:
        """Their names, versions and states."""
        return told.index(list(service.models.values()), only_ready=query is not None and query.ready)

    @app.get("/v2/models/stats", summary="Counts and times of every model", responses=openapi.v2_errors(401), **guarded)
    async def all_statistics() -> told.Statistics:
        """Of those that are loaded, since the server started."""
        loaded = [(model, model.segmenter) for model in service.models.values()]
        return told.Statistics(model_stats=[told.statistics(m, s, metrics) for m, s in loaded if s is not None])

    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        _add_facts(app, service, metrics, prefix, guarded)
        _add_infer(app, service, prefix)


class IndexQuery(BaseModel):
    """Which models are meant."""

    ready: bool = False
    """Those alone that can be asked."""


def _add_facts(app: FastAPI, service: Service, metrics: Metrics, prefix: str, shared: dict[str, Any]) -> None:
    named = ", by version" if "{version}" in prefix else ""
    more = {
        "responses": openapi.v2_errors(401, 404, 503),
        "openapi_extra": {"parameters": openapi.path_parameters(prefix)},
        **shared,
    }

    @app.get(prefix, summary=f"A model and its tensors{named}", **more)
    async def facts(request: Request) -> told.ModelFacts:
        """What it takes and gives."""
        model, segmenter = _find(service, request)
        version = segmenter.manifest.version
        return told.ModelFacts(name=model.name, versions=[version], platform=told.platform_of(segmenter))

    @app.get(f"{prefix}/ready", summary=f"A model is ready{named}", **more)
    async def model_ready(request: Request) -> told.Flag:
        """200 when it can be asked, else an error."""
        model, _ = _find(service, request)
        return told.Flag(name=model.name, ready=True)

    @app.get(f"{prefix}/config", summary=f"A model's configuration{named}", **more)
    async def config(request: Request) -> told.ModelConfig:
        """As Triton's model configuration writes it."""
        return told.config(*_find(service, request))

    @app.get(f"{prefix}/stats", summary=f"Counts and times of a model{named}", **more)
    async def statistics(request: Request) -> told.Statistics:
        """Since the server started."""
        return told.Statistics(model_stats=[told.statistics(*_find(service, request), metrics)])


def _add_infer(app: FastAPI, service: Service, prefix: str) -> None:
    named = ", by version" if "{version}" in prefix else ""

    @app.post(
        f"{prefix}/infer",
        summary=f"Segment one photograph{named}",
        response_class=Response,
        responses={**openapi.INFER_ANSWER, **openapi.v2_errors(400, 401, 404, 408, 413, 415, 422, 500, 503)},
        openapi_extra=openapi.infer_request(prefix, Inference.model_json_schema()),
        dependencies=openapi.KEYS,
        tags=["v2"],
    )
    async def infer(request: Request) -> Response:
        """One of the inputs `image` and `file` to the outputs `probability` and `mask`."""
        model, version = service.check_open(request.path_params["model"]), request.path_params.get("version")
        if model.state is not State.STARTING:  # else `run` loads it, and the reply knows its version
            _find(service, request)
        inference, photograph = await _read(request, service)
        if isinstance(photograph, Pixels):  # of a file this is known when it is decoded
            check_written(inference, (photograph.count, 1))
        coding = coding_from(request.headers.get("accept-encoding", ""))
        reply, share = Reply(model.name, version, inference, coding), request.state.share
        work = Work(photograph, reply, reply.bytes_a_pixel, model.name, _seconds(request, inference), share=share)
        del photograph  # the service lets go of it before the answer is read
        answer = await service.run(work, partial(upload.left, request))
        headers = {"Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items())}
        if reply.binary:
            return answers.Parted(
                answer.parts, share, {**headers, LENGTH: str(reply.length)}, "application/octet-stream"
            )
        more = {"Vary": "Accept-Encoding", **({"Content-Encoding": coding} if coding else {})}
        return answers.Parted(answer.parts, share, {**headers, **more}, "application/json")


async def _read(request: Request, service: Service) -> tuple[Inference, Any]:
    """What is asked for and the photograph. Raises RequestError, ImageTooLargeError, BusyError."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {encoding[:40]!r}. Send it as it is, or in gzip or deflate.",
        )
    body, limits = await upload.raw(request), service.limits
    if encoding != "identity":
        packed, share = body, request.state.share
        share.take(limits.bytes)  # it may become as large
        body = await asyncio.to_thread(unpacked, packed, encoding, limits.bytes)
        share.give(limits.bytes - len(body) + len(packed))
    return await asyncio.to_thread(parse, body, request.headers.get(LENGTH), limits)


def _find(service: Service, request: Request) -> tuple[Model, Segmenter]:
    """Raises RequestError for a model or version that is not served, NotReadyError; loads what is not loaded yet."""
    model = choose(service.models, request.path_params["model"])
    service.begin(model)
    segmenter = model.segmenter
    if segmenter is None or model.state is not State.READY:
        raise why_not(model.state)
    check_version(model.name, request.path_params.get("version"), segmenter.manifest)
    return model, segmenter


def _seconds(request: Request, inference: Inference) -> float | None:
    """Triton's `timeout` is in microseconds."""
    timeout = inference.parameters.timeout
    if timeout is not None and timeout > 0:
        return min(timeout, _MOST_TIMEOUT) / 1e6
    return upload.seconds_from(request)
