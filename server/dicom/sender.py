"""Sends what was made to another node, until that says that it has it."""

import logging
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselrt.runtime.errors import OptionError
from vesselrt.server.dicom.network import application_entity, hang_up, import_pynetdicom, limit_units
from vesselrt.server.dicom.spool import Spool

RESULT_KINDS = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34",  # reports
)  # fmt: skip
_TAKEN = frozenset({0x0000, 0xB000, 0xB006, 0xB007})
"""Success, and success with remarks."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""s between tries, which double."""
_CONNECTING = 10.0
"""s for a connection."""
_NO_ANSWER = "the receiver gave no answer"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receiver:
    """Where results go: an application entity of the network."""

    host: str
    port: int
    title: str

    @classmethod
    def from_text(cls, text: str) -> "Receiver":
        """TITLE@HOST:PORT. Raises OptionError."""
        found = re.fullmatch(r"([^@\\\x00-\x1f]{1,16})@(\[[^\]]+\]|[^:\[\]]+):(\d{1,5})", text)
        if found is None or not 0 < int(found[3]) < 65536:
            raise OptionError(f"{text[:80]!r} names no receiver. Expected TITLE@HOST:PORT, such as PACS@10.0.0.5:104.")
        return cls(found[2].strip("[]"), int(found[3]), found[1])


class Pauses:
    """Of files that wait for another try: each waits for itself, so that none holds up the others."""

    def __init__(self) -> None:
        self._waits: dict[Path, tuple[float, float]] = {}
        """When it is tried again, and the pause after that try; of those of the last `due`."""

    def due(self, files: Sequence[Path]) -> list[Path]:
        """Those that may be tried now, those that never failed first. What is no longer among `files` is forgotten."""
        self._waits = {file: self._waits[file] for file in files if file in self._waits}
        now = time.monotonic()
        found = [file for file in files if file not in self._waits or self._waits[file][0] <= now]
        return sorted(found, key=lambda file: file in self._waits)

    def lengthen(self, file: Path) -> None:
        """After a try that failed."""
        _, pause = self._waits.get(file, (0.0, _FIRST_PAUSE))
        self._waits[file] = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)

    def seconds(self) -> float | None:
        """Until the next one may be tried; None where none waits."""
        return max(0.0, min(when for when, _ in self._waits.values()) - time.monotonic()) if self._waits else None


class Sender:
    """Sends the results of a spool, in a thread that calls `run`."""

    def __init__(self, spool: Spool, receiver: Receiver, title: str) -> None:
        self._spool, self._receiver, self._title = spool, receiver, title
        self._ending, self._made, self._refused = threading.Event(), threading.Event(), Pauses()
        self._association: Any = None

    def wake(self) -> None:
        """There is something to send."""
        self._made.set()

    def stop(self) -> None:
        """Ends `run`, and the association: a result whose answer did not come is sent again by the next one."""
        self._ending.set()
        self._made.set()
        if self._association is not None:
            hang_up(self._association)

    def run(self) -> None:
        """Until `stop`."""
        pause = _FIRST_PAUSE
        while not self._ending.is_set():
            self._made.clear()
            results = self._refused.due(self._spool.results())
            if not results:
                self._made.wait(self._refused.seconds())
            elif self._send(results):
                pause = _FIRST_PAUSE
            else:
                self._ending.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, results: list[Path]) -> bool:
        """Sends them in one association; whether that is worth another try at once."""
        taken = 0
        try:
            association = self._associate()
            if not association.is_established:
                _log.warning("%d results wait: %s does not answer or refuses", len(results), self._receiver.title)
                return False
            for result in results:
                if self._ending.is_set():
                    break
                if (why := self._offer(association, result)) is None:
                    self._spool.sent(result)
                    taken += 1
                    continue
                self._refused.lengthen(result)
                _log.warning("a result waits: %s", why)
                if why == _NO_ANSWER:  # pynetdicom may still take it for established, and would wait for each
                    hang_up(association)
                    return taken > 0
            association.release()
        except Exception as error:  # noqa: BLE001 - of the system or of pynetdicom: the thread goes on
            _log.warning("%d results wait: %s", len(results) - taken, getattr(error, "strerror", type(error).__name__))
            return False
        finally:
            self._association = None
            if taken:
                _log.info("%d sent", taken)
        return True

    def _associate(self) -> Any:
        entity, net = application_entity(self._title), import_pynetdicom()
        entity.connection_timeout = _CONNECTING
        for kind in RESULT_KINDS:
            entity.add_requested_context(kind)
        return entity.associate(
            self._receiver.host,
            self._receiver.port,
            ae_title=self._receiver.title,
            evt_handlers=[(net.evt.EVT_CONN_OPEN, self._begin)],
        )

    def _begin(self, event: Any) -> None:
        limit_units(event)
        self._association = event.assoc
        if self._ending.is_set():
            hang_up(event.assoc)

    def _offer(self, association: Any, result: Path) -> str | None:
        """None: the receiver has it now; else why not, without a word of the patient."""
        import pydicom

        try:
            content = pydicom.dcmread(result)
        except Exception as error:  # noqa: BLE001 - whatever else lies in the folder
            return f"{result.name[:40]!r} can't be read ({type(error).__name__})"
        try:
            answer = association.send_c_store(content)
        except ValueError:  # it agreed to none of this kind
            return f"{self._receiver.title} takes no {result.stem[5:]}"
        except RuntimeError:
            return _NO_ANSWER
        if "Status" not in answer:
            return _NO_ANSWER
        return None if answer.Status in _TAKEN else f"the receiver says {answer.Status:#06x}"
