"""One server process: from a loaded model to an address that answers."""

import errno
import socket
import sys
from contextlib import suppress

import uvicorn

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.app import create_app
from vesselrt.server.settings import Settings


def serve(segmenter: Segmenter, settings: Settings | None = None) -> None:
    """Serves until SIGINT or SIGTERM, finishes what is being worked on, and closes `segmenter`.

    Exits the process with status 1 and a message when the address can't be had.
    """
    settings = settings or Settings()
    with listen(settings.host, settings.port) as listener:
        milliseconds = segmenter.warm_up()
        print(_banner(segmenter, _address(listener), milliseconds), flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(segmenter, settings, warm=True),
                http="h11",
                ws="none",
                lifespan="on",
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=16 * 1024,  # bytes: request line and headers
                timeout_keep_alive=15,  # s: longer than a person takes from one photograph to the next on the page
                timeout_graceful_shutdown=30,  # s
            )
        )
        with suppress(KeyboardInterrupt):  # the usual way to stop; the server has shut down in order before it
            server.run(sockets=[listener])


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


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _banner(segmenter: Segmenter, address: str, milliseconds: float) -> str:
    manifest, info = segmenter.manifest, segmenter.info
    return (
        f"vesselrt  {address}  (stop with Ctrl+C)\n"
        f"  model   {manifest.name} {manifest.version}\n"
        f"  device  {info}\n"
        f"  warm    {milliseconds:.0f} ms for one photograph"
    )
