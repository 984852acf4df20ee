"""Several processes behind one listening socket: uvicorn's supervisor, but a worker that fails takes no other with it.

uvicorn's own ends all workers when one can't start, and starts one that died again at once and for ever, without a word
of why it died. granian's belongs to its server; gunicorn's master ends too when a worker fails to boot.
"""

import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from socket import socket

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0  # s between two tries to start a worker
_STEADY = 60.0  # s after which a worker counts as healthy: its next death begins with a short pause again
_LEAST_FREE = 8 * 2**20  # bytes for the figures of each worker; where a file of them can't grow, SIGBUS ends it
_HINTS = {
    signal.SIGKILL: "by the system for want of memory, or by hand",
    signal.SIGBUS: "often where the folder for temporary files, or /dev/shm, is full",
}


class Supervisor(Multiprocess):
    """Keeps the workers alive. It logs the reason of each death, and waits longer after each."""

    def __init__(self, config: Config, sockets: list[socket], figures: Path) -> None:
        """`figures`: the folder through which the workers' metrics come together."""
        super().__init__(config, sockets)
        self._figures = figures
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = {}
        """Of each place without a worker, when the next one starts."""
        self._started: dict[int, float] = {}
        self.interrupted = False
        """Whether SIGINT ended it."""

    @property
    def failed(self) -> bool:
        """Whether no worker is left, and each ended with an error of its own: so would all that follow."""
        return all((process.exitcode or 0) > 0 for process in self.processes)

    def handle_int(self) -> None:
        """Called by uvicorn after SIGINT."""
        self.interrupted = True
        super().handle_int()

    def init_processes(self) -> None:
        """Called by uvicorn at the start."""
        with _interrupts_blocked():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Called by uvicorn twice a second."""
        for number, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            now = time.monotonic()
            if number in self._due:
                if now >= self._due[number]:
                    del self._due[number]
                    self._start(number)
            elif self._is_alive(process, now - self._started.setdefault(number, now)):
                if now - self._started[number] > _STEADY:
                    self._pauses.pop(number, None)
            else:
                self._bury(process)
                if self.failed:
                    self.should_exit.set()
                    return
                pause = self._pauses.get(number, 0.0)
                self._pauses[number] = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
                self._due[number] = now + pause

    def _is_alive(self, process: Process, seconds: float) -> bool:
        """One that began `seconds` ago may still import and load: asking it would make SIGTERM wait for that."""
        if seconds < _STEADY:
            return process.process.is_alive()
        return process.is_alive(timeout=self.config.timeout_worker_healthcheck)

    def _start(self, number: int) -> None:
        self.processes[number] = Process(self.config, self.sockets)
        with _interrupts_blocked():
            self.processes[number].start()
        self._started[number] = time.monotonic()

    def _bury(self, process: Process) -> None:
        hung = process.process.is_alive()
        process.kill()
        process.join()
        logger.error("worker %d %s; another one follows", process.pid, "answers no more" if hung else _death(process))
        # What it had in hand is in nobody's hand now; its counts stay.
        mark_process_dead(process.pid, str(self._figures))  # type: ignore[no-untyped-call]


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that start in this block don't get SIGINT.

    Ctrl+C sends it to every process of a terminal. The supervisor ends its workers itself; a worker that still imports
    would write a traceback.
    """
    resource_tracker.ensure_running()  # when multiprocessing starts it, it unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _death(process: Process) -> str:
    code = process.exitcode or 0
    if code == STARTUP_FAILURE:
        return "could not start; the reason is above"
    if code >= 0:
        return f"ended with status {code}; the reason may be above"
    try:
        sign = signal.Signals(-code)
    except ValueError:
        return f"was ended by signal {-code}"
    return f"was ended by {sign.name}" + (f", {_HINTS[sign]}" if sign in _HINTS else "")


@contextmanager
def folder_for_figures(workers: int) -> Iterator[Path]:
    """A folder for as long as the block runs. Exits the process with a message where there is no room for one."""
    hint = "The figures of the workers are kept there. Make room, or name another folder in TMPDIR."
    try:
        with tempfile.TemporaryDirectory(prefix="vesselrt-") as folder:
            free, needed = shutil.disk_usage(folder).free, _LEAST_FREE * workers
            if free < needed:
                sys.exit(f"{tempfile.gettempdir()} has {free:,} bytes left, {needed:,} are needed. {hint}")
            yield Path(folder)
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(tempfile.gettempdir()):
            raise
        sys.exit(f"There is no folder for temporary files that can be used ({error.strerror}). {hint}")
