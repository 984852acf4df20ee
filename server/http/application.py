"""The addresses of the server: each a few lines, the work is done elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http import batch, openapi, reports
from vesselrt.server.http.answers import PredictAnswer, photo_task
from vesselrt.server.http.edge import Edge, Refusals
from vesselrt.server.http.errors import RETRY_AFTER, add_error_answers
from vesselrt.server.http.openapi_errors import error_answers
from vesselrt.server.http.root_path import RootPath
from vesselrt.server.http.upload import disconnected, receive_upload, timeout_from
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.page import add_page
from vesselrt.server.settings import ServerSettings
from vesselrt.server.tracing import add_tracing
from vesselrt.server.v2.addresses import add_v2
from vesselrt.server.work.models import ModelSource, ServedModel, State, why_not
from vesselrt.server.work.service import Service

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]


def create_app(
    source: ModelSource | Sequence[ServedModel],
    settings: ServerSettings | None = None,
    *,
    warm: bool = False,
    wait: bool = False,
) -> FastAPI:
    """The ASGI application around some models.

    `source` is a Segmenter, a function that loads one, or models; the application warms them up at start (the health
    addresses answer meanwhile; with `wait` nothing does) and closes them at shutdown. `warm`: the Segmenter is warm
    already, and ready at once.
    """
    settings, metrics = settings or ServerSettings(), ServerMetrics()
    service = Service(_models_from(source, warm), settings, metrics)
    app = FastAPI(
        title="vesselrt",
        summary="Blood vessels in eye photographs",
        description=openapi.DESCRIPTION,
        version=reports.VERSION,
        lifespan=_lifespan(service, metrics, wait),
        # FastAPI's pages for the API load scripts from elsewhere; the server must work without a connection.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(_StartWhenMounted, service=service)
    app.add_middleware(Edge, settings=settings, metrics=metrics, budget=service.budget)
    _add_cors(app, settings)
    if settings.root_path:
        app.add_middleware(RootPath, root=settings.root_path)
    add_error_answers(app)
    _add_predict(app, service)
    _add_batch(app, service, settings)
    _add_reports(app, service, metrics)
    _add_health(app, service)
    add_v2(app, service, metrics)
    add_page(app, frame_ancestors=settings.frame_ancestors)
    add_tracing(app)
    return app


def _models_from(source: ModelSource | Sequence[ServedModel], warm: bool) -> Sequence[ServedModel]:
    if isinstance(source, Sequence):
        return source
    name = source.manifest.name if isinstance(source, Segmenter) else "model"
    return [ServedModel(name, source, warm=warm)]


def _lifespan(service: Service, metrics: ServerMetrics, wait: bool) -> Lifespan:
    """Loads the models, forgets old maps, and finishes what is worked on at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        loading = service.start()
        if wait:
            await asyncio.wrap_future(loading)
            if service.state is not State.READY:
                raise why_not(service.state)
        forgetting = asyncio.create_task(service.forget_maps())
        yield {"refused": Refusals(metrics)}
        forgetting.cancel()
        await service.stop()

    return lifespan


class _StartWhenMounted:
    """Starts the service at the first request where no lifespan did: an application that mounts this one runs none."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._service.start()
        await self._app(scope, receive, send)


def _add_cors(app: FastAPI, settings: ServerSettings) -> None:
    if settings.cors_origins:
        exposed = [*openapi.PREDICT_HEADERS, "X-Request-ID", "Retry-After", "Content-Disposition"]
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"],
            expose_headers=exposed,
        )  # fmt: skip


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict",
        summary="Segment one photograph",
        description=openapi.PREDICT,
        response_class=Response,
        responses={**openapi.PREDICT_ANSWER, **error_answers(400, 401, 404, 406, 408, 413, 415, 422, 500, 501, 503)},
        openapi_extra=openapi.PREDICT_REQUEST,
        dependencies=openapi.KEYS,
        tags=["vessels"],
    )
    async def predict(request: Request) -> Response:
        service.check_open(request.query_params.get("model"))  # before the body is read
        seconds = timeout_from(request)
        sent = await receive_upload(request)
        options, share = sent.options, request.state.share
        service.check_classes(options)
        name, photograph = sent.photographs.pop()
        answer = PredictAnswer(options, name, request.headers.get("accept-encoding", ""), share)
        task = replace(photo_task(photograph, answer, options, share), seconds=seconds, correction=sent.correction)
        del photograph  # the service lets go of it before the answer is read
        return await service.segment(task, partial(disconnected, request))


def _add_batch(app: FastAPI, service: Service, settings: ServerSettings) -> None:
    @app.post(
        "/predict/batch",
        summary="Segment several photographs",
        description=openapi.BATCH,
        response_class=Response,
        responses={**openapi.BATCH_ANSWER, **error_answers(400, 401, 404, 408, 413, 415, 422, 500, 501, 503)},
        openapi_extra=openapi.BATCH_REQUEST,
        dependencies=openapi.KEYS,
        tags=["vessels"],
    )
    async def predict_batch(request: Request) -> Response:
        service.check_open(request.query_params.get("model"))
        seconds = timeout_from(request)
        sent = await receive_upload(request, most=settings.max_batch)
        service.check_open(sent.options.model)
        service.check_classes(sent.options)
        container = batch.container_from_accept(request.headers.get("accept", ""))
        items = batch.segment_batch(service, sent, seconds, request.state.share)
        parts = await batch.with_first_part(batch.pack_items(container, items, sent.options.format))
        return StreamingResponse(parts, media_type=batch.CONTAINERS[container], headers={"Vary": "Accept"})


def _add_reports(app: FastAPI, service: Service, metrics: ServerMetrics) -> None:
    shared: dict[str, Any] = {"responses": error_answers(401), "tags": ["server"], "dependencies": openapi.KEYS}

    @app.get("/models", summary="The models that are served", response_model_exclude_none=True, **shared)
    async def models() -> reports.Models:
        """What a request may name as `model`, and what answers then."""
        return reports.model_list(service)

    @app.get("/version", summary="What answers", **shared)
    async def version() -> reports.Version:
        """vesselrt, Python, and the libraries that have a say in the result."""
        return reports.version_report()

    @app.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={**openapi.METRICS_ANSWER, **error_answers(401)},
        dependencies=openapi.KEYS,
        tags=["server"],
    )
    async def figures(request: Request) -> Response:
        """Counts, times and sizes since the server started, in Prometheus' text format."""
        text, media_type = metrics.page(request.headers.get("accept", ""))
        return Response(text, media_type=media_type)


def _add_health(app: FastAPI, service: Service) -> None:
    not_ready = {"model": reports.Health, "description": "Not ready: the model is being loaded, or could not be."}
    shared: dict[str, Any] = {"responses": {503: not_ready}, "tags": ["health"]}

    @app.get("/health", summary="Live, ready and with what", response_model_exclude_none=True, **shared)
    @app.get("/health/ready", summary="Ready for photographs", response_model_exclude_none=True, **shared)
    async def health(response: Response) -> reports.Health:
        """200 when photographs can be sent, else 503 with the same fields and an error."""
        report = reports.health_report(service)
        if not report.ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return report

    @app.get("/health/live", summary="The process is of use", responses=error_answers(503), tags=["health"])
    async def live() -> reports.Live:
        """200 while the server starts, works or stops; 503 when the model could not be loaded and a restart is due."""
        if service.state is State.FAILED:
            raise why_not(service.state)
        return reports.Live()
