"""Decoding in processes of its own, each of which can be ended in the middle of a photograph.

The kernel bounds what a file may cost there, whatever its structure: processor time and memory. What a decoder might
be made to do by a hostile file happens where no model, no key and no other photograph in flight is.

The protocol over a socket, messages of JSON with their length before them: the worker says `{}` when it is ready; a
request is `{"bytes", "limits", "enough", "seconds"}` on a line and the file; an answer is `{"reduction", "size",
"warnings", "shape"}` and the pixels, or `{"error", "message"}`. Nothing is unpickled. A socket moves 999 × 960 pixels
in 0.6 ms; memory that is shared takes three times as long, as its pages are made anew for each photograph.
"""

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Decoded, Limits

T = TypeVar("T", bytearray, memoryview)
SUPPORTED = sys.platform == "linux"
"""Whether this system's limits on processes hold what is promised here."""
SECONDS = 3.0
"""Of the processor, for one photograph."""
_POLL_SECONDS = 0.02
_MOST_MESSAGE = 2**16
_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (ImageDecodeError, ImageTooLargeError, MemoryError)
}


class DecoderPool:
    """A number of decoder processes. `decode` may be called by as many threads as there are, and more wait."""

    def __init__(self, processes: int, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._closed = False
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(_Worker())

    def wait_until_ready(self) -> None:
        """Returns when every process has started: before, a photograph would wait for that."""
        for worker in list(self._idle.queue):
            with suppress(EOFError):  # told when a photograph comes
                worker.wait_until_ready()

    def decode(
        self, data: bytes, limits: Limits, enough: float | None, check: Callable[[], None] = lambda: None
    ) -> Decoded:
        """Does what `decode_photo` does. `check` is called all the while; what it raises ends the decoding.

        Raises as `decode_photo` does; ImageTooLargeError too where decoding takes too long, ImageDecodeError where it
        crashes, and MemoryError where the system has no memory for it.
        """
        worker = self._idle.get()
        try:
            return worker.decode(data, limits, enough, self._seconds, check)
        except BaseException as error:
            if not isinstance(error, ImageDecodeError | ImageTooLargeError) or not worker.is_alive:
                worker.kill()
                worker = worker if self._closed else _Worker()
            raise
        finally:
            if self._closed:
                worker.kill()
            self._idle.put(worker)

    def close(self) -> None:
        """Ends the processes, at once."""
        self._closed = True
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()


class _Worker:
    """One process and the socket to it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vesselrt.runtime.photo.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write there what belongs to nobody
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        self._is_ready = False
        # Also where nobody closes the pool, as in an application that is dropped.
        self.kill = weakref.finalize(self, _end, self._process, self._channel)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def decode(
        self, data: bytes, limits: Limits, enough: float | None, seconds: float, check: Callable[[], None]
    ) -> Decoded:
        request = {"bytes": len(data), "limits": asdict(limits), "enough": enough, "seconds": seconds}
        try:
            self.wait_until_ready(check)
            self._channel.sendall(json.dumps(request).encode() + b"\n")
            self._channel.sendall(data)
            answer = self._receive(check)
            if "error" in answer:
                raise _ERRORS[answer["error"]](answer["message"])
            pixels = self._receive_pixels(answer["shape"], limits, check)
        except (EOFError, ConnectionError):
            raise self._reason(seconds) from None
        return Decoded(pixels, int(answer["reduction"]), tuple(answer["size"]), tuple(answer["warnings"]))

    def wait_until_ready(self, check: Callable[[], None] = lambda: None) -> None:
        """Raises EOFError when the process has ended instead."""
        if not self._is_ready:
            self._receive(check)
            self._is_ready = True

    def _receive(self, check: Callable[[], None]) -> Any:
        """The next message. Raises EOFError when the process has ended."""
        length = int.from_bytes(self._fill(bytearray(4), check))
        if length > _MOST_MESSAGE:
            raise EOFError
        return json.loads(self._fill(bytearray(length), check))

    def _receive_pixels(self, shape: list[int], limits: Limits, check: Callable[[], None]) -> Image:
        """(h, w, 3) uint8."""
        height, width = map(int, shape[:2])
        if not 0 < height * width <= limits.pixels:
            raise EOFError
        pixels: Image = np.empty((height, width, 3), np.uint8)
        self._fill(pixels.data.cast("B"), check)
        return pixels

    def _fill(self, buffer: T, check: Callable[[], None]) -> T:
        """Reads as many bytes as the buffer has. Raises EOFError when the process ends before."""
        rest = memoryview(buffer)
        while rest:
            while not select.select([self._channel], [], [], _POLL_SECONDS)[0]:
                check()
            count = self._channel.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return buffer

    def _reason(self, seconds: float) -> Exception:
        """Why the process has ended."""
        code = self._process.wait()
        if code == -signal.SIGPROF:
            return ImageTooLargeError(
                f"decoding takes more than {seconds:g} s of processor time, the limit. Save it as PNG or baseline JPEG."
            )
        if code == -signal.SIGKILL:  # by the system, which does so when memory runs out
            return MemoryError()
        return ImageDecodeError(f"the decoder crashed on it (code {code}). Save it again, as PNG for example.")


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
    process.kill()
    process.wait()
    channel.close()
