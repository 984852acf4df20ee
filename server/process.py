"""From settings to an address that answers: one process, or several behind one listening socket."""

import errno
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.admin import CONNECTIONS, add_admin
from vesselrt.server.http.protocol import Protocol
from vesselrt.server.metrics import SHARED
from vesselrt.server.settings import Settings
from vesselrt.server.work.models import Model, from_settings
from vesselrt.server.workers import Supervisor, folder_for_figures

_OTHER_FILES = CONNECTIONS + 40
"""Open files beside the connections: libraries, models, the event loop, logs."""
_UNREAD = 120_000  # ms


def serve(settings: Settings | None = None, segmenter: Segmenter | None = None) -> None:
    """Serves until SIGINT or SIGTERM, finishes what is being worked on, and closes the models.

    `segmenter`: this one instead of the models that the settings name. Ends the process with status 130 after SIGINT,
    0 after SIGTERM, and 1 with a message when the address can't be had; raises ModelError and the like when a model
    can't.
    """
    settings = _fitting(settings or Settings())
    with _stops_in_order(), _listeners(settings) as listeners:
        if settings.workers > 1:
            _serve_by_workers(settings, listeners)
            return
        models = from_settings(settings) if segmenter is None else [Model(segmenter.manifest.name, segmenter)]
        loaded = models[:1] if settings.lazy else models
        milliseconds = [model.open() for model in loaded]
        print("\n".join(_banner(settings, listeners, models, milliseconds)), flush=True)
        from vesselrt.server.http.application import create_app

        app = _with_admin(create_app(models, settings), settings, listeners)
        uvicorn.Server(_configuration(settings, app)).run(sockets=listeners[:1])


@dataclass(frozen=True)
class Worker:
    """Makes the application in a worker process, which begins without anything."""

    settings: Settings
    log_level: int
    listeners: list[socket.socket]

    def __call__(self) -> FastAPI:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("vesselrt").setLevel(self.log_level)
        from vesselrt.server.http.application import create_app

        # It takes no connection before its models are ready: until then the other workers answer.
        app = create_app(from_settings(self.settings), self.settings, wait=True)
        return _with_admin(app, self.settings, self.listeners)


def _with_admin(app: FastAPI, settings: Settings, listeners: list[socket.socket]) -> FastAPI:
    """Answered at the second of the listeners too, where there is one."""
    for listener in listeners[1:]:
        add_admin(app, settings, listener)
    return app


def _serve_by_workers(settings: Settings, listeners: list[socket.socket]) -> None:
    models = from_settings(settings)
    with folder_for_figures(settings.workers) as folder, _environment(SHARED, str(folder)):
        print("\n".join(_banner(settings, listeners, models, [])), flush=True)
        worker = Worker(settings, logging.getLogger("vesselrt").level, listeners)
        supervisor = Supervisor(_configuration(settings, worker), listeners[:1], folder)
        supervisor.run()
        if supervisor.failed:
            sys.exit("The workers could not start; the reason stands above.")
        if supervisor.interrupted:
            raise KeyboardInterrupt


@contextmanager
def _stops_in_order() -> Iterator[None]:
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


def _configuration(settings: Settings, app: FastAPI | Worker) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, Worker),
        workers=settings.workers,
        http=partial(Protocol, settings=settings),  # type: ignore[arg-type]  # it is called like the class
        ws="none",
        lifespan="on",
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,  # s: longer than a person takes from one photograph to the next on the page
        timeout_graceful_shutdown=round(settings.drain),
        timeout_worker_healthcheck=30,
        backlog=_burst(),
    )


def _burst() -> int:
    """Connections that are accepted at once, and that may wait for it: before one is refused, it is a file too."""
    return min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)


def _fitting(settings: Settings) -> Settings:
    """With as many connections as the system allows open files for, which are raised to what is needed if they may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + _OTHER_FILES + min(1024, hard // 8)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, soft - _OTHER_FILES - _burst())
    return settings if most >= settings.max_connections else settings.model_copy(update={"max_connections": most})


@contextmanager
def _listeners(settings: Settings) -> Iterator[list[socket.socket]]:
    """The listening sockets, first the one for photographs."""
    with ExitStack() as stack:
        if settings.socket is None:
            found = [stack.enter_context(listen(settings.host, settings.port))]
        else:
            found = [stack.enter_context(listen_unix(settings.socket))]
            stack.callback(settings.socket.unlink, missing_ok=True)
        if settings.admin_port is not None:
            found.append(stack.enter_context(listen(settings.host, settings.admin_port)))
        yield found


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; exits the process with status 1 and a message when the address can't be had."""
    try:
        # With the protocol named, unlike socket.create_server does it: asyncio sets TCP_NODELAY only on sockets that
        # say so, and without it every answer waits 40 ms for the client's acknowledgement.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Of each connection. Where the system lets it grow to megabytes, slow reading looks like none for minutes.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # the system itself closes what was written and nobody reads
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} of {host} is in use. Stop what is using it, or choose another with --port.")
        sys.exit(f"Can't listen on {host}, port {port}: {error.strerror}. Check --host and --port.")
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket; one that is left over is replaced. Exits as `listen` does."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
                probe.connect(str(path))
                listener.close()
                sys.exit(f"{path} is in use. Stop what is using it, or choose another with VESSELRT_SOCKET.")
            path.unlink()
        listener.bind(str(path))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        sys.exit(f"Can't listen on {path}: {error.strerror or error}. Check VESSELRT_SOCKET.")
    return listener


def _address(listener: socket.socket) -> str:
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _banner(
    settings: Settings, listeners: list[socket.socket], models: list[Model], warm: list[float]
) -> Iterator[str]:
    """What is served, where, and with which settings; secrets are not told."""
    yield f"vesselrt  {_address(listeners[0])}  (stop with Ctrl+C)"
    yield from (f"  admin   {_address(listener)}/health and /metrics" for listener in listeners[1:])
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
    given, usual = settings.told()
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
