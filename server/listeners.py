"""Listening sockets, and how many connections the system allows."""

import errno
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vesselrt.server.admin import ADMIN_CONNECTIONS
from vesselrt.server.settings import ServerSettings

_OTHER_FILES = ADMIN_CONNECTIONS + 40
"""Open files beside the connections: libraries, models, the event loop, logs."""
_UNREAD_MS = 120_000


@contextmanager
def open_listeners(settings: ServerSettings) -> Iterator[list[socket.socket]]:
    """The listening sockets, first the one for photographs."""
    with ExitStack() as stack:
        if settings.socket is None:
            found = [stack.enter_context(listen(settings.host, settings.port))]
        else:
            found = [stack.enter_context(listen_unix(settings.socket))]
            stack.callback(settings.socket.unlink, missing_ok=True)
        if settings.admin_port is not None:
            found.append(stack.enter_context(listen(settings.host, settings.admin_port, "VESSELRT_ADMIN_PORT")))
        yield found


def listen(host: str, port: int, setting: str = "--port") -> socket.socket:
    """A listening TCP socket; exits the process with status 1 and a message when it can't listen there, which names the
    `setting` of the port.
    """
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
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} of {host} is in use. Stop what is using it, or choose another with {setting}.")
        sys.exit(f"Can't listen on {host}, port {port}: {error.strerror}. Check --host and {setting}.")
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


def address_of(listener: socket.socket) -> str:
    """As a person or a browser writes it."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accept_backlog() -> int:
    """Connections that are accepted at once, and that may wait for it: before one is refused, it is a file too."""
    return min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)


def fit_connections(settings: ServerSettings) -> ServerSettings:
    """With as many connections as the system allows open files for, which are raised to what is needed if they may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + _OTHER_FILES + min(1024, hard // 8)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, soft - _OTHER_FILES - accept_backlog())
    return settings if most >= settings.max_connections else settings.model_copy(update={"max_connections": most})
