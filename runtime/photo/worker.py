"""A decoder process: reads photographs from a socket, answers with pixels, until the socket is closed.

`python -m vesselrt.runtime.photo.worker FD`, started by vesselrt.runtime.photo.processes, which writes the protocol.
"""

import json
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Limits, declared_pixels, decode_opened, load_libraries, open_photo
from vesselrt.runtime.photo.encoded import Encoded

GO_ON, REFUSED = b"+", b"-"
"""What the asker says to a declared size."""
_SPARE_BYTES = 128 * 2**20
"""Bytes of memory that any photograph may cost."""
_MEMORY_FACTOR = 6
"""Times its decoded samples that a photograph may reserve; lossless WebP reserves 5 and uses half of that."""


def main() -> None:
    """Serves one socket."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nothing of a photograph is ever written to disk
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that started this one
    with socket.socket(fileno=int(sys.argv[1])) as channel, channel.makefile("rb") as stream:
        send_message(channel, {})
        while line := stream.readline():
            _decode_next(channel, stream, json.loads(line))


def _decode_next(channel: socket.socket, stream: BinaryIO, request: dict[str, Any]) -> None:
    """Reads a file, declares its size, and answers with its pixels when it is told to go on."""
    data = stream.read(request["bytes"])
    limits = Limits(**{**request["limits"], "formats": tuple(request["limits"]["formats"])})
    try:
        with _limited(request["seconds"]):
            encoded = open_photo(data, limits, request["frame"])
            send_message(channel, {"pixels": declared_pixels(encoded)})
            if stream.read(1) != GO_ON:
                return
            load_libraries(encoded)
            _limit_memory(encoded, data)
            decoded = decode_opened(encoded, request["enough"])
    except (ImageDecodeError, ImageTooLargeError) as error:
        send_message(channel, {"error": type(error).__name__, "message": str(error)})
    except MemoryError:
        send_message(channel, {"error": "MemoryError", "message": ""})
    else:
        told = {"reduction": decoded.reduction, "size": decoded.size, "warnings": decoded.warnings}
        origin = None if decoded.origin is None else asdict(decoded.origin)
        send_message(channel, {**told, "origin": origin, "shape": decoded.pixels.shape})
        channel.sendall(decoded.pixels.data.cast("B"))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Lets the block take `seconds` of the processor, and at its end lifts what `_limit_memory` has set."""
    # By the processor's time of this process alone: the signal ends it wherever it is.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _limit_memory(encoded: Encoded, data: bytes) -> None:
    """Lets this process take only so much more memory than it has.

    Counted is what it may write to: decoders reserve addresses that they never use, several times as many.
    """
    now = int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = now + _SPARE_BYTES + _MEMORY_FACTOR * max(encoded.bytes, 4 * encoded.width * encoded.height) + 2 * len(data)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def send_message(channel: socket.socket, fields: dict[str, Any]) -> None:
    """JSON with its length, 4 bytes big-endian, before it."""
    message = json.dumps(fields).encode()
    channel.sendall(len(message).to_bytes(4) + message)


if __name__ == "__main__":
    main()
