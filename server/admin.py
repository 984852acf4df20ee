"""The port for health and figures: a thread with an event loop of its own, which nothing of the other one holds up."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from vesselrt.server.http.protocol import LimitedProtocol
from vesselrt.server.settings import ServerSettings

ADMIN_CONNECTIONS = 8
"""That may be open at this port."""


def add_admin(app: FastAPI, settings: ServerSettings, listener: socket.socket) -> FastAPI:
    """The same application, answered at `listener` too while its lifespan runs: also when its own loop is busy."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            server = uvicorn.Server(_admin_config(app, settings, (state or {}).get("refused")))
            thread = threading.Thread(target=server.run, args=([listener],), name="vesselrt-admin", daemon=True)
            thread.start()
            try:
                yield state
            finally:
                server.should_exit = True
                await asyncio.to_thread(thread.join)

    app.router.lifespan_context = both
    return app


def _admin_config(app: FastAPI, settings: ServerSettings, refused: Callable[[str], object] | None) -> uvicorn.Config:
    few = settings.model_copy(update={"max_connections": ADMIN_CONNECTIONS})
    return uvicorn.Config(
        app,
        http=partial(LimitedProtocol, settings=few, refused=refused),  # type: ignore[arg-type]  # it is called like the class
        ws="none",
        lifespan="off",  # the other loop runs it
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
