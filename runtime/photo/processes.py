"""Decoding in processes of its own, each of which can be ended in the middle of a photograph.

The kernel bounds what a file may cost there, whatever its structure: processor time and memory. What a decoder might
be made to do by a hostile file happens where no model, no key and no other photograph in flight is.

The protocol over a socket, a line of JSON each: the worker says `{}` when it is ready; a request is
`{"bytes", "limits", "enough", "seconds"}` and the file; an answer is `{"reduction", "size", "warnings", "shape"}` with
the descriptor of a sealed file in memory that holds the pixels, or `{"error", "message"}`. Nothing is unpickled.
"""

import json
import mmap
import os
import queue
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Decoded, Limits

SUPPORTED = hasattr(os, "memfd_create")
"""Whether this system has files in memory that can be sealed: Linux."""
SECONDS = 3.0
"""Of the processor, for one photograph."""
_POLL_SECONDS = 0.02
_MOST_LINE = 2**16
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
            answer, descriptors = self._receive(check)
        except (EOFError, ConnectionError):
            raise self._reason(seconds) from None
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"])
        (shared,) = descriptors
        pixels = _pixels(shared, tuple(answer["shape"]))
        return Decoded(pixels, int(answer["reduction"]), tuple(answer["size"]), tuple(answer["warnings"]))

    def wait_until_ready(self, check: Callable[[], None] = lambda: None) -> None:
        """Raises EOFError when the process has ended instead."""
        if not self._is_ready:
            self._receive(check)
            self._is_ready = True

    def _receive(self, check: Callable[[], None]) -> tuple[dict[str, Any], list[int]]:
        """The next answer, and the descriptors that came with it. Raises EOFError when the process has ended."""
        line, descriptors = b"", list[int]()
        while not line.endswith(b"\n"):
            while not select.select([self._channel], [], [], _POLL_SECONDS)[0]:
                check()
            piece, more, _, _ = socket.recv_fds(self._channel, _MOST_LINE, 1)
            if not piece or len(line) > _MOST_LINE:
                raise EOFError
            line, descriptors = line + piece, descriptors + more
        return json.loads(line), descriptors

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

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()


def _pixels(shared: int, shape: tuple[int, ...]) -> Image:
    """A view of what the worker shares; the memory is given back with the last view."""
    try:
        size = os.fstat(shared).st_size
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE  # all pages at once: one by one takes longer
        return np.frombuffer(mmap.mmap(shared, size, flags, mmap.PROT_READ), np.uint8).reshape(shape)
    finally:
        os.close(shared)
