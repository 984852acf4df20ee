"""Decoding in processes of its own, each of which can be ended in the middle of a photograph.

The kernel bounds what a file may cost there, whatever its structure: processor time and memory. What a decoder might
be made to do by a hostile file happens where no model, no key and no other photograph in flight is. Nothing of a file
is parsed in the process that asks, its header neither.

The protocol over a socket, messages of JSON with their length before them:

    worker → {}                                              once, when it is ready
    asker  → {"bytes", "limits", "enough", "frame", "seconds"}, a line, and the file
    worker → {"pixels"}                                      what the header declares, or an error
    asker  → GO_ON or REFUSED                                one byte; after REFUSED the worker waits for the next file
    worker → {"reduction", "size", "warnings", "origin", "shape"} and the pixels, or an error

An error is `{"error", "message"}`. Nothing is unpickled. A socket moves 999 × 960 pixels in 0.6 ms; memory that is
shared takes three times as long, as its pages are made anew for each photograph.
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
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.decoding import Admit, Decoded, Limits
from vesselrt.runtime.photo.origin import Origin
from vesselrt.runtime.photo.worker import GO_ON, REFUSED
from vesselrt.runtime.stages import CancelToken

Buffer = TypeVar("Buffer", bytearray, memoryview)
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
        self,
        data: bytes,
        limits: Limits,
        enough: float | None,
        admit: Admit | None = None,
        cancel: CancelToken | None = None,
        frame: int | None = None,
    ) -> Decoded:
        """Does what `decode_photo` does. `cancel` ends the decoding wherever it is.

        Raises as `decode_photo` does, and CallCancelledError; ImageTooLargeError too where decoding takes too long,
        ImageDecodeError where it crashes, and MemoryError where the system has no memory for it.
        """
        request = {
            "bytes": len(data), "limits": asdict(limits), "enough": enough, "frame": frame, "seconds": self._seconds,
        }  # fmt: skip
        worker = self._idle.get()
        try:
            return worker.decode(data, request, admit, cancel or CancelToken())
        finally:
            if self._closed or not worker.is_idle:
                worker.kill()
            self._idle.put(worker if worker.is_idle or self._closed else _Worker())

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
        self.is_idle = False
        """Whether it has started and waits for a file. What is left of another exchange would be in its answer."""
        # Also where nobody closes the pool, as in an application that is dropped.
        self.kill = weakref.finalize(self, _end, self._process, self._channel)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, data: bytes, request: dict[str, Any], admit: Admit | None, cancel: CancelToken) -> Decoded:
        try:
            self.wait_until_ready(cancel)
            self.is_idle = False
            self._channel.sendall(json.dumps(request).encode() + b"\n")
            self._channel.sendall(data)
            declared = self._receive_declared(request["limits"]["pixels"], cancel)
            if admit is not None:
                self._admit(declared, admit)
            self._channel.sendall(GO_ON)
            decoded = self._receive_decoded(declared, cancel)
        except (EOFError, ConnectionError):
            raise self._reason(request["seconds"]) from None
        self.is_idle = True
        return decoded

    def wait_until_ready(self, cancel: CancelToken | None = None) -> None:
        """Raises EOFError when the process has ended instead."""
        if not self.is_idle:
            self._receive(cancel or CancelToken())
            self.is_idle = True

    def _receive_declared(self, most: int, cancel: CancelToken) -> int:
        """Pixels, as `declared_pixels` counts them. A decoder that a file has taken over is not believed."""
        declared = int(self._receive_answer(cancel)["pixels"])
        if not 0 < declared <= most:
            raise _crashed(f"it declares {declared} pixels")
        return declared

    def _admit(self, declared: int, admit: Admit) -> None:
        try:
            admit(declared)
        except BaseException:
            self._channel.sendall(REFUSED)
            self.is_idle = True
            raise

    def _receive_answer(self, cancel: CancelToken) -> Any:
        """The next message. Raises the error that it holds."""
        answer = self._receive(cancel)
        if "error" in answer:
            error = _ERRORS[answer["error"]]
            self.is_idle = error is not MemoryError  # a new process begins with less
            raise error(answer["message"])
        return answer

    def _receive(self, cancel: CancelToken) -> Any:
        """The next message. Raises EOFError when the process has ended."""
        length = int.from_bytes(self._fill(bytearray(4), cancel))
        if length > _MOST_MESSAGE:
            raise _crashed(f"a message of {length} bytes")
        return json.loads(self._fill(bytearray(length), cancel))

    def _receive_decoded(self, declared: int, cancel: CancelToken) -> Decoded:
        """With pixels (h, w, 3) uint8, of which there are no more than were declared."""
        answer = self._receive_answer(cancel)
        (height, width, _), (whole_height, whole_width) = answer["shape"], answer["size"]
        if min(height, whole_height) < 1 or not 0 < height * width <= whole_height * whole_width <= declared:
            raise _crashed(f"{whole_width} × {whole_height} pixels, {declared} were declared")
        pixels: Image = np.empty((height, width, 3), np.uint8)
        self._fill(pixels.data.cast("B"), cancel)
        origin = answer["origin"] and Origin.from_fields(answer["origin"])
        size = (whole_height, whole_width)
        return Decoded(pixels, int(answer["reduction"]), size, tuple(answer["warnings"]), origin)

    def _fill(self, buffer: Buffer, cancel: CancelToken) -> Buffer:
        """Reads as many bytes as the buffer has. Raises EOFError when the process ends before."""
        rest = memoryview(buffer)
        while rest:
            while not select.select([self._channel], [], [], _POLL_SECONDS)[0]:
                cancel.check()
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
        return _crashed(f"code {code}")


def _crashed(how: str) -> ImageDecodeError:
    return ImageDecodeError(f"the decoder crashed on it ({how}). Save it again, as PNG for example.")


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
    process.kill()
    process.wait()
    channel.close()
