"""A server in a process of its own, for measurements over HTTP."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from vesselrt.runtime.errors import VesselrtError

ANSWER_SECONDS = 120.0
"""How long a server may take to become ready, and to answer."""
_POLL_SECONDS = 0.2


@contextmanager
def serve_module(module: str, arguments: Sequence[str]) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """`python -m MODULE ARGUMENTS --port=PORT`, when /health answers: its port and the process; ended with the block.

    vesselrt's server keeps no maps: the same photographs come again and again. Raises VesselrtError when it does not
    become ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", module, *arguments, f"--port={port}"]
    environment = {**os.environ, "VESSELRT_MAPS_BYTES": "0"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        _wait_until_ready(port, process)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        time.sleep(_POLL_SECONDS)
    raise VesselrtError(f"{process.args!r} did not become ready within {ANSWER_SECONDS:g} s.")
