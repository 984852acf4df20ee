"""The addresses of the server: each a few lines, the work is done in `upload` and `service`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from vesselrt.runtime.encode import MEDIA_TYPES, SUFFIXES
from vesselrt.server import errors, openapi, page, upload
from vesselrt.server.service import Answer, Service, Source, State
from vesselrt.server.settings import Settings

_VERSION = version("vesselrt")


class Health(BaseModel):
    """The state of the server. What is not known yet is left out."""

    status: Literal["starting", "ready", "failed", "stopped"]
    live: bool
    ready: bool
    version: str
    """Of vesselrt."""
    model: str | None = None
    model_version: str | None = None
    device: str | None = None
    device_name: str | None = None
    precision: str | None = None
    backend: str | None = None
    error: errors.ErrorDetail | None = None
    """Present when not ready, as in every other error answer."""


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


def create_app(source: Source, settings: Settings | None = None, *, warm: bool = False) -> FastAPI:
    """The ASGI application around one model.

    `source` is a Segmenter, or a function that loads one; the application warms it up at start (the health
    addresses answer meanwhile) and closes it at shutdown. `warm`: it is warm already, and ready at once.
    """
    settings = settings or Settings()
    service = Service(source, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start(warm=warm)
        yield
        await service.stop()

    app = FastAPI(
        title="vesselrt",
        summary="Blood vessels in eye photographs",
        description=openapi.DESCRIPTION,
        version=_VERSION,
        lifespan=lifespan,
        # FastAPI's pages for the API load scripts from elsewhere; the server must work without a connection.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(upload.BodyLimit, max_bytes=settings.max_bytes)
    errors.install(app)
    _add_predict(app, service)
    _add_health(app, service)
    page.install(app)
    return app


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict",
        summary="Segment one photograph",
        description=openapi.PREDICT,
        response_class=Response,
        responses={**openapi.PREDICT_ANSWER, **openapi.errors(400, 413, 415, 422, 500, 503)},
        openapi_extra=openapi.PREDICT_REQUEST,
        tags=["vessels"],
    )
    async def predict(request: Request) -> Response:
        service.check_open()  # before the body is read
        sent = await upload.receive(request)
        answer = await service.predict(sent)
        return Response(answer.body, headers=_headers(answer, sent), media_type=MEDIA_TYPES[sent.options.format])


def _headers(answer: Answer, sent: upload.Upload) -> dict[str, str]:
    form = sent.options.format
    return {
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items()),
        "X-Vesselrt-Model": f"{answer.manifest.name} {answer.manifest.version}",
        "X-Vesselrt-Device": answer.info.device,
        "X-Vesselrt-Precision": answer.info.precision,
        "X-Vesselrt-Threshold": f"{answer.threshold:g}",
        "Content-Disposition": f'inline; filename="{sent.stem}-{form}{SUFFIXES[form]}"',
    }


def _add_health(app: FastAPI, service: Service) -> None:
    not_ready = {"model": Health, "description": "Not ready: the model is being loaded, or could not be."}
    shared: dict[str, Any] = {"responses": {503: not_ready}, "tags": ["health"]}

    @app.get("/health", summary="Live, ready and with what", response_model_exclude_none=True, **shared)
    @app.get("/health/ready", summary="Ready for photographs", response_model_exclude_none=True, **shared)
    async def health(response: Response) -> Health:
        """200 when photographs can be sent, else 503 with the same fields and an error."""
        report = _health(service)
        if not report.ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            response.headers["Retry-After"] = str(errors.RETRY_AFTER)
        return report

    @app.get("/health/live", summary="The process is of use", responses=openapi.errors(503), tags=["health"])
    async def live() -> Live:
        """200 while the server starts, works or stops; 503 when the model could not be loaded and a restart is due."""
        if service.state is State.FAILED:
            raise service.why_not()
        return Live()


def _health(service: Service) -> Health:
    ready = service.state is State.READY
    report = Health(status=service.state.value, live=service.state is not State.FAILED, ready=ready, version=_VERSION)
    if not ready:
        report.error = errors.describe(service.why_not())[1]
    if service.segmenter is not None:
        manifest, info = service.segmenter.manifest, service.segmenter.info
        report.model, report.model_version = manifest.name, manifest.version
        report.device, report.device_name = info.device, info.device_name
        report.precision, report.backend = info.precision, f"{info.backend} {info.version}"
    return report
