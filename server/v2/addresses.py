"""The Open Inference Protocol, version 2, with Triton's binary tensors: clients of KServe and Triton work unchanged.

Inputs, one of the two:
    image        UINT8 (H, W, 3)   a decoded photograph, RGB
    file         BYTES (1)         an encoded photograph; in JSON as base64
Outputs, the first two unless some are named:
    probability  UINT8 (H, W)      255 × the probability of vessel
    mask         BOOL (H, W)       cut at the parameter `threshold` of the request or the output; default: the model's
    spread       UINT8 (H, W)      510 × its standard deviation over the members, of a model that has several
Of a model that tells C classes apart they are (C, H, W); the parameter `classes` chooses some. The answer's parameters
tell the quality of the photograph and warnings.
"""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.answers import coding_from
from vesselrt.server.http.errors import RequestError
from vesselrt.server.http.openapi import KEYS
from vesselrt.server.http.openapi_errors import v2_error_answers
from vesselrt.server.http.upload import disconnected, read_body, timeout_from
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.v2 import facts as v2_facts
from vesselrt.server.v2 import openapi
from vesselrt.server.v2.messages import ENCODINGS, LENGTH, Inference, parse_inference, unpack_body
from vesselrt.server.v2.reply import InferAnswer, bytes_a_pixel, check_version, check_written
from vesselrt.server.work.models import ServedModel, State, why_not
from vesselrt.server.work.service import Service
from vesselrt.server.work.tasks import EncodedPhoto, PhotoTask, Pixels

_MOST_TIMEOUT = 2**64  # µs, as in Triton; larger integers need not fit into a float


def add_v2(app: FastAPI, service: Service, metrics: ServerMetrics) -> None:
    """Adds the addresses under /v2."""
    shared: dict[str, Any] = {"tags": ["v2"], "response_model_exclude_none": True}
    guarded = {**shared, "dependencies": KEYS}

    @app.get("/v2", summary="The server", responses=v2_error_answers(401), **guarded)
    @app.get("/v2/", include_in_schema=False)
    async def server() -> v2_facts.Server:
        """Its name, version and extensions."""
        return v2_facts.Server()

    @app.get("/v2/health/live", summary="The process is of use", responses=v2_error_answers(503), **shared)
    async def live() -> v2_facts.Flag:
        """As /health/live."""
        if service.state is State.FAILED:
            raise why_not(service.state)
        return v2_facts.Flag(live=True)

    @app.get("/v2/health/ready", summary="Every model is ready", responses=v2_error_answers(503), **shared)
    async def ready() -> v2_facts.Flag:
        """As /health/ready."""
        if service.state is not State.READY:
            raise why_not(service.state)
        return v2_facts.Flag(ready=True)

    @app.post("/v2/repository/index", summary="Every model", responses=v2_error_answers(401, 422), **guarded)
    async def index(query: IndexQuery | None = None) -> list[v2_facts.IndexEntry]:
        """Their names, versions and states."""
        return v2_facts.repository_index(list(service.models.values()), only_ready=query is not None and query.ready)

    @app.get("/v2/models/stats", summary="Counts and times of every model", responses=v2_error_answers(401), **guarded)
    async def all_statistics() -> v2_facts.Statistics:
        """Of those that are loaded, since the server started."""
        loaded = [(model, model.segmenter) for model in service.models.values()]
        return v2_facts.Statistics(
            model_stats=[v2_facts.model_statistics(m, s, metrics) for m, s in loaded if s is not None]
        )

    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        _add_facts(app, service, metrics, prefix, guarded)
        _add_infer(app, service, prefix)


class IndexQuery(BaseModel):
    """Which models are meant."""

    ready: bool = False
    """Those alone that can be asked."""


def _add_facts(app: FastAPI, service: Service, metrics: ServerMetrics, prefix: str, shared: dict[str, Any]) -> None:
    named = ", by version" if "{version}" in prefix else ""
    more = {
        "responses": v2_error_answers(401, 404, 503),
        "openapi_extra": {"parameters": openapi.path_parameters(prefix)},
        **shared,
    }

    @app.get(prefix, summary=f"A model and its tensors{named}", **more)
    async def facts(request: Request) -> v2_facts.ModelFacts:
        """What it takes and gives."""
        model, segmenter = _find_loaded(service, request)
        version = segmenter.manifest.version
        outputs, platform = v2_facts.outputs_of(segmenter), v2_facts.platform_of(segmenter)
        return v2_facts.ModelFacts(name=model.name, versions=[version], platform=platform, outputs=outputs)

    @app.get(f"{prefix}/ready", summary=f"A model is ready{named}", **more)
    async def model_ready(request: Request) -> v2_facts.Flag:
        """200 when it can be asked, else an error."""
        model, _ = _find_loaded(service, request)
        return v2_facts.Flag(name=model.name, ready=True)

    @app.get(f"{prefix}/config", summary=f"A model's configuration{named}", **more)
    async def config(request: Request) -> v2_facts.ModelConfig:
        """As Triton's model configuration writes it."""
        return v2_facts.model_config(*_find_loaded(service, request))

    @app.get(f"{prefix}/stats", summary=f"Counts and times of a model{named}", **more)
    async def statistics(request: Request) -> v2_facts.Statistics:
        """Since the server started."""
        return v2_facts.Statistics(model_stats=[v2_facts.model_statistics(*_find_loaded(service, request), metrics)])


def _add_infer(app: FastAPI, service: Service, prefix: str) -> None:
    named = ", by version" if "{version}" in prefix else ""

    @app.post(
        f"{prefix}/infer",
        summary=f"Segment one photograph{named}",
        response_class=Response,
        responses={**openapi.INFER_ANSWER, **v2_error_answers(400, 401, 404, 408, 413, 415, 422, 500, 503)},
        openapi_extra=openapi.infer_request(prefix, Inference.model_json_schema()),
        dependencies=KEYS,
        tags=["v2"],
    )
    async def infer(request: Request) -> Response:
        """One of the inputs `image` and `file` to the outputs `probability`, `mask`; `spread` of several members."""
        model, version = service.check_open(request.path_params["model"]), request.path_params.get("version")
        if model.state is not State.STARTING:  # else `run` loads it, and the reply knows its version
            _find_loaded(service, request)
        inference, photograph = await _receive_inference(request, service)
        if isinstance(photograph, Pixels):  # of a file this is known when it is decoded
            check_written(inference, (photograph.count, 1), ("at least one",))
        coding = coding_from(request.headers.get("accept-encoding", ""))
        share, (cost, more) = request.state.share, bytes_a_pixel(inference)
        answer = InferAnswer(inference, model.name, version, coding, share)
        seconds = _timeout_of(request, inference)
        task = PhotoTask(
            photograph, answer, cost, model.name, seconds,
            quality=inference.parameters.quality, share=share, bytes_a_class=more,
        )  # fmt: skip
        del photograph  # the service lets go of it before the answer is read
        return await service.segment(task, partial(disconnected, request))


async def _receive_inference(request: Request, service: Service) -> tuple[Inference, EncodedPhoto | Pixels]:
    """What is asked for and the photograph. Raises RequestError, ImageTooLargeError, BusyError."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {encoding[:40]!r}. Send it as it is, or in gzip or deflate.",
        )
    body, limits = await read_body(request), service.limits
    if encoding != "identity":
        packed, share = body, request.state.share
        share.take(limits.bytes)  # it may become as large
        body = await asyncio.to_thread(unpack_body, packed, encoding, limits.bytes)
        share.give(limits.bytes - len(body) + len(packed))
    return await service.run_alone(partial(parse_inference, body, request.headers.get(LENGTH), limits))


def _find_loaded(service: Service, request: Request) -> tuple[ServedModel, Segmenter]:
    """Raises RequestError for a model or version that is not served, NotReadyError; loads what is not loaded yet."""
    model = service.find_model(request.path_params["model"])
    service.begin_loading(model)
    segmenter = model.segmenter
    if segmenter is None or model.state is not State.READY:
        raise why_not(model.state)
    check_version(model.name, request.path_params.get("version"), segmenter.manifest)
    return model, segmenter


def _timeout_of(request: Request, inference: Inference) -> float | None:
    """Triton's `timeout` is in microseconds."""
    timeout = inference.parameters.timeout
    if timeout is not None and timeout > 0:
        return min(timeout, _MOST_TIMEOUT) / 1e6
    return timeout_from(request)
