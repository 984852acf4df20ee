"""The node itself: it receives photographs by C-STORE, segments them, and sends what it made to another node.

    receiver (threads of pynetdicom) → spool → one thread that segments → spool → one thread that sends

No message holds what a data set says of its patient: photographs are counted, and named by a hash.
"""

import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselrt.runtime.errors import MissingExtraError, OptionError, VesselrtError
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo import processes
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.dicom_codecs import SYNTAXES
from vesselrt.runtime.photo.dicom_header import KINDS
from vesselrt.runtime.photo.photograph import Photograph, list_frames
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.dicom.spool import Spool, SpoolFullError

FORMATS: tuple[OutputFormat, ...] = ("dicom-seg", "dicom-probability", "dicom-sr")
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_MOST_UNIT = 2**20
"""Bytes. Units of 16 KB are asked for."""
_ASSOCIATIONS = 8
"""That may be open at once: each holds one data set in memory while it comes."""
_SECONDS = 60.0
"""For the next message of an association."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""s between tries to send, which double."""
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


@dataclass(frozen=True)
class NodeSettings:
    """What a node is told."""

    receiver: Receiver
    formats: Sequence[OutputFormat] = ("dicom-seg",)
    host: str = "127.0.0.1"
    port: int = 11112
    title: str = "VESSELRT"
    callers: Sequence[str] = ()
    """Titles that may send; empty: any."""
    most_bytes: int = 64 * 2**20
    """Of a data set."""


def checked_formats(given: Sequence[str] | None) -> Sequence[OutputFormat]:
    """Those that are DICOM. Raises OptionError."""
    named = list(dict.fromkeys(given or FORMATS[:1]))
    if wrong := [name for name in named if name not in FORMATS]:
        raise OptionError(f"{wrong[0][:40]!r} is no format of DICOM. Expected {', '.join(FORMATS)}.")
    return [form for form in FORMATS if form in named]


class Node:
    """A node that runs until `close`."""

    def __init__(self, segmenter: Segmenter, spool: Spool, settings: NodeSettings) -> None:
        """Begins with what an earlier one left in the spool. Raises OptionError where it can't listen, and
        MissingExtraError.
        """
        self._segmenter, self._spool, self._settings = segmenter, spool, settings
        self._ending, self._came, self._made = threading.Event(), threading.Event(), threading.Event()
        self._decoders = processes.DecoderPool(1) if processes.SUPPORTED else None
        self._server = self._listen()
        self.port: int = self._server.socket.getsockname()[1]
        """The one it listens on."""
        self._threads = [threading.Thread(target=work) for work in (self._segment_all, self._send_all)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Takes nothing more, finishes the photograph that is worked on, and leaves the others in the spool."""
        self._server.shutdown()
        self._ending.set()
        self._came.set()
        self._made.set()
        for thread in self._threads:
            thread.join()
        if self._decoders is not None:
            self._decoders.close()

    def wait(self) -> None:
        """Until `close` is called by a signal's handler."""
        while not self._ending.wait(1):
            pass

    def _listen(self) -> Any:
        ae, net = _application_entity(self._settings.title), _import_pynetdicom()
        ae.maximum_associations = _ASSOCIATIONS
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _SECONDS
        ae.require_calling_aet = list(self._settings.callers)
        ae.add_supported_context(net.sop_class.Verification)
        for kind in KINDS:
            ae.add_supported_context(kind, list(SYNTAXES))
        handlers = [
            (net.evt.EVT_C_STORE, self._store),
            (net.evt.EVT_CONN_OPEN, _limit_units),
            (net.evt.EVT_DATA_RECV, _limit_message, [self._settings.most_bytes]),
        ]
        address = (self._settings.host, self._settings.port)
        try:
            return ae.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise OptionError(
                f"can't listen on {address[0]}, port {address[1]}: {error.strerror}. Check --host and --port."
            ) from None

    def _store(self, event: Any) -> int:
        """Answers a C-STORE: success says that the photograph is on the disk."""
        try:
            content = event.encoded_dataset()
            self._spool.keep(str(event.request.AffectedSOPInstanceUID), content)
        except SpoolFullError as error:
            _log.error("a photograph was refused: %s", error)
            return _OUT_OF_RESOURCES
        except OSError as error:
            _log.error("a photograph could not be kept: %s", error.strerror)
            return _OUT_OF_RESOURCES
        except Exception:  # noqa: BLE001 - whatever a data set makes pynetdicom say may hold its patient
            _log.error("a data set could not be read")
            return _CANNOT_UNDERSTAND
        self._came.set()
        return _SUCCESS

    def _segment_all(self) -> None:
        while not self._ending.is_set():
            self._came.clear()
            for photo in self._spool.waiting():
                if self._ending.is_set():
                    return
                self._segment(photo)
            self._came.wait()

    def _segment(self, photo: Path) -> None:
        try:
            made = {} if self._spool.is_finished(photo) else self._results_of(photo)
            self._spool.finish(photo, made)
            _log.info("%s segmented", photo.stem[:8])
            self._made.set()
        except VesselrtError as error:
            self._spool.fail(photo, str(error).replace(str(photo), photo.name))
            _log.error("%s failed: %s", photo.stem[:8], error)
        except OSError as error:  # it waits where it is: the disk may be full for a while
            _log.error("%s waits: %s", photo.stem[:8], error.strerror)
            self._ending.wait(_FIRST_PAUSE)
            self._came.set()
        except Exception as error:  # noqa: BLE001 - of other libraries, whose words may name the patient
            self._spool.fail(photo, f"an unexpected {type(error).__name__}")
            _log.error("%s failed: an unexpected %s", photo.stem[:8], type(error).__name__)

    def _results_of(self, photo: Path) -> dict[str, bytes]:
        results, limits = {}, self._segmenter.limits
        decode = decode_photo if self._decoders is None else self._decoders.decode
        for frame in list_frames(photo, limits):
            result = self._segmenter.segment(Photograph(frame, limits, decode))
            for form in self._settings.formats:
                results[f"{frame.number:04}-{form}"] = result.encode(form)
        return results

    def _send_all(self) -> None:
        pause = _FIRST_PAUSE
        while not self._ending.is_set():
            self._made.clear()
            results = self._spool.results()
            if not results:
                self._made.wait()
            elif self._send(results):
                pause = _FIRST_PAUSE
            else:
                self._ending.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, results: list[Path]) -> bool:
        """Sends them in one association; whether the receiver took one at least."""
        import pydicom

        receiver = self._settings.receiver
        ae = _application_entity(self._settings.title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = _SECONDS
        for kind in _RESULT_KINDS:
            ae.add_requested_context(kind)
        taken = 0
        with suppress(OSError):
            association = ae.associate(receiver.host, receiver.port, ae_title=receiver.title)
            if not association.is_established:
                _log.warning("%d results wait: %s does not answer or refuses", len(results), receiver.title)
                return False
            for result in results:
                if self._ending.is_set() or not association.is_established:
                    break
                try:
                    status = association.send_c_store(pydicom.dcmread(result))
                except ValueError:  # it agreed to none of this kind
                    _log.warning("a result waits: %s takes no %s", receiver.title, result.stem[5:])
                    continue
                if "Status" in status and status.Status in (_SUCCESS, 0xB000, 0xB006, 0xB007):  # the last: with remarks
                    self._spool.sent(result)
                    taken += 1
                else:
                    _log.warning("a result waits: the receiver says %s", hex(status.get("Status", 0)))
            association.release()
        if taken:
            _log.info("%d sent", taken)
        return taken > 0


_RESULT_KINDS = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34",  # reports
)  # fmt: skip


def _limit_units(event: Any) -> None:
    """Of a connection that opens: pynetdicom would read a unit of any length that its head says."""
    connection = event.assoc.dul.socket
    receive = connection.recv

    def receive_limited(count: int) -> bytearray:
        if count > _MOST_UNIT:
            raise OSError(f"a unit of {count:,} bytes")  # ends the connection
        return receive(count)  # type: ignore[no-any-return]

    connection.recv = receive_limited


def _limit_message(event: Any, most: int) -> None:
    """Ends an association while it sends a larger data set than there may be."""
    message = event.assoc.dimse.message
    if message is not None and message.data_set.tell() + message.encoded_command_set.tell() > most:
        _log.error("a photograph was refused: it has more than %s bytes", f"{most:,}")
        event.assoc.abort()


def _application_entity(title: str) -> Any:
    return _import_pynetdicom().AE(ae_title=title)


def _import_pynetdicom() -> Any:
    """pynetdicom, which logs data sets if one lets it. Raises MissingExtraError."""
    try:
        import pynetdicom
        import pynetdicom.sop_class
    except ModuleNotFoundError:
        raise MissingExtraError.of("vesselrt receive", "dicom") from None
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pynetdicom._config.LOG_REQUEST_IDENTIFIERS = pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False  # noqa: SLF001
    return pynetdicom
