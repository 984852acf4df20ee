"""From settings to an address that answers: one process, or several behind one listening socket."""

import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import uvicorn
from fastapi import FastAPI

from vesselrt.runtime.errors import MissingExtraError
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.admin import add_admin
from vesselrt.server.http.protocol import LimitedProtocol
from vesselrt.server.listeners import accept_backlog, address_of, fit_connections, listen, open_listeners
from vesselrt.server.metrics import SHARED_FOLDER
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import ServedModel, models_from_settings
from vesselrt.server.workers import Supervisor, folder_for_figures


def serve(settings: ServerSettings | None = None, segmenter: Segmenter | None = None) -> None:
    """Serves until SIGINT or SIGTERM, finishes what is being worked on, and closes the models.

    `segmenter`: this one instead of the models that the settings name. Ends the process with status 130 after SIGINT,
    0 after SIGTERM, and 1 with a message when it can't listen on the address. Raises ModelError and the like when a
    model can't be loaded.
    """
    settings = fit_connections(settings or ServerSettings())
    if settings.grpc_port is not None:
        _import_gateway()
        listen(settings.host, settings.grpc_port, "VESSELRT_GRPC_PORT").close()  # gRPC would say it by a traceback
    with _exit_statuses(), open_listeners(settings) as listeners:
        if settings.workers > 1:
            _serve_by_workers(settings, listeners)
            return
        given = None if segmenter is None else [ServedModel(segmenter.manifest.name, segmenter)]
        models = given or models_from_settings(settings)
        loaded = models[:1] if settings.lazy else models
        milliseconds = [model.open() for model in loaded]
        print("\n".join(_banner(settings, listeners, models, milliseconds)), flush=True)
        from vesselrt.server.http.application import create_app

        app = _with_other_ports(create_app(models, settings), settings, listeners)
        uvicorn.Server(_server_config(settings, app)).run(sockets=listeners[:1])


@dataclass(frozen=True)
class WorkerFactory:
    """Makes the application in a worker process, which begins without anything."""

    settings: ServerSettings
    log_level: int
    listeners: list[socket.socket]

    def __call__(self) -> FastAPI:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("vesselrt").setLevel(self.log_level)
        from vesselrt.server.http.application import create_app

        # It takes no connection before its models are ready: until then the other workers answer.
        app = create_app(models_from_settings(self.settings), self.settings, wait=True)
        return _with_other_ports(app, self.settings, self.listeners)


def _with_other_ports(app: FastAPI, settings: ServerSettings, listeners: list[socket.socket]) -> FastAPI:
    """Answered at the second of the listeners too, where there is one, and by gRPC where a port is named for it."""
    for listener in listeners[1:]:
        add_admin(app, settings, listener)
    if settings.grpc_port is not None:
        _import_gateway().add_grpc(app, settings)
    return app


def _import_gateway() -> ModuleType:
    """Raises MissingExtraError."""
    try:
        return importlib.import_module("vesselrt.server.grpc.gateway")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("VESSELRT_GRPC_PORT", "grpc") from None


def _serve_by_workers(settings: ServerSettings, listeners: list[socket.socket]) -> None:
    models = models_from_settings(settings)
    with folder_for_figures(settings.workers) as folder, _environment(SHARED_FOLDER, str(folder)):
        print("\n".join(_banner(settings, listeners, models, [])), flush=True)
        worker = WorkerFactory(settings, logging.getLogger("vesselrt").level, listeners)
        supervisor = Supervisor(_server_config(settings, worker), listeners[:1], folder)
        supervisor.run()
        if supervisor.failed:
            sys.exit("The workers could not start; the reason is above.")
        if supervisor.interrupted:
            raise KeyboardInterrupt


@contextmanager
def _exit_statuses() -> Iterator[None]:
    """Statuses without a traceback, in the main thread: uvicorn raises the signal again when it has shut down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what orchestrators send is no failure
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # as of every command
    finally:
        signal.signal(signal.SIGTERM, before)


def _server_config(settings: ServerSettings, app: FastAPI | WorkerFactory) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, WorkerFactory),
        workers=settings.workers,
        http=partial(LimitedProtocol, settings=settings),  # type: ignore[arg-type]  # it is called like the class
        ws="none",
        lifespan="on",
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,  # s: longer than a person takes from one photograph to the next on the page
        timeout_graceful_shutdown=round(settings.drain),
        timeout_worker_healthcheck=30,
        backlog=accept_backlog(),
    )


def _banner(
    settings: ServerSettings, listeners: list[socket.socket], models: list[ServedModel], warm: list[float]
) -> Iterator[str]:
    """What is served, where, and with which settings; secrets are left out."""
    yield f"vesselrt  {address_of(listeners[0])}  (stop with Ctrl+C)"
    yield from (f"  admin   {address_of(listener)}/health and /metrics" for listener in listeners[1:])
    if settings.grpc_port is not None:
        yield f"  grpc    {settings.host}:{settings.grpc_port}"
    for number, model in enumerate(models):
        if model.segmenter is None:
            yield f"  model   {model.name}, " + (
                "one in each worker" if settings.workers > 1 else "when it is asked for"
            )
            continue
        manifest = model.segmenter.manifest
        named = "" if model.name == manifest.name else f", served as {model.name}"
        yield f"  model   {manifest.name} {manifest.version}{named}"
        yield f"  device  {model.segmenter.info}"
        yield f"  warm    {warm[number]:.0f} ms for one photograph"
    given, usual = settings.described()
    yield from (f"  set     {line}" for line in given)
    yield f"  default {', '.join(usual)}"
    yield from (f"  ignored {name}: there is no such setting" for name in settings.unknown())


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
