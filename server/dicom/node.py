"""The node itself: it receives photographs by C-STORE, segments them, and sends what it made to another node.

    receiver (threads of pynetdicom) → spool → one thread that segments → spool → one thread that sends

No message holds what a data set says of its patient: photographs are counted, and named by a hash.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselrt.runtime.errors import OptionError, VesselrtError
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo import processes
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.dicom_codecs import SYNTAXES
from vesselrt.runtime.photo.dicom_header import KINDS
from vesselrt.runtime.photo.photograph import Photograph, list_frames
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.dicom.network import (
    application_entity,
    hang_up,
    import_pynetdicom,
    limit_life,
    limit_message,
    limit_units,
)
from vesselrt.server.dicom.sender import Pauses, Receiver, Sender
from vesselrt.server.dicom.spool import Spool, SpoolFullError

FORMATS: tuple[OutputFormat, ...] = ("dicom-seg", "dicom-probability", "dicom-sr")
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_ASSOCIATIONS = 8
"""That may be open at once: each holds one data set in memory while it comes."""
_log = logging.getLogger(__name__)


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
        self._ending, self._came = threading.Event(), threading.Event()
        self._sender = Sender(spool, settings.receiver, settings.title)
        self._decoders = processes.DecoderPool(1) if processes.SUPPORTED else None
        self._server = self._listen()
        self.port: int = self._server.socket.getsockname()[1]
        """The one it listens on."""
        self._threads = [threading.Thread(target=work) for work in (self._segment_all, self._sender.run)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Takes nothing more, finishes the photograph that is worked on, and leaves the others in the spool."""
        self._ending.set()
        self._came.set()
        self._server.shutdown()
        for association in self._server.active_associations:
            hang_up(association)
        self._sender.stop()
        for thread in self._threads:
            thread.join()
        if self._decoders is not None:
            self._decoders.close()

    def wait(self) -> None:
        """Until `close` is called by a signal's handler."""
        while not self._ending.wait(1):
            pass

    def _listen(self) -> Any:
        ae, net = application_entity(self._settings.title), import_pynetdicom()
        ae.maximum_associations = _ASSOCIATIONS
        ae.require_calling_aet = list(self._settings.callers)
        ae.add_supported_context(net.sop_class.Verification)
        for kind in KINDS:
            ae.add_supported_context(kind, list(SYNTAXES))
        handlers = [
            (net.evt.EVT_C_STORE, self._store),
            (net.evt.EVT_CONN_OPEN, limit_units),
            (net.evt.EVT_CONN_OPEN, limit_life),
            (net.evt.EVT_DATA_RECV, limit_message, [self._settings.most_bytes]),
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
        limit_life(event)
        if self._ending.is_set():
            return _OUT_OF_RESOURCES
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
        pauses = Pauses()
        while not self._ending.is_set():
            self._came.clear()
            for photo in pauses.due(self._spool.waiting()):
                if self._ending.is_set():
                    return
                if not self._segment(photo):
                    pauses.lengthen(photo)
            self._came.wait(pauses.seconds())

    def _segment(self, photo: Path) -> bool:
        """Whether that is done with; else it waits where it is."""
        try:
            try:
                made = {} if self._spool.is_finished(photo) else self._results_of(photo)
                self._spool.finish(photo, made)
            except VesselrtError as error:
                self._fail(photo, str(error).replace(str(photo), photo.name))
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - of other libraries, whose words may name the patient
                self._fail(photo, f"an unexpected {type(error).__name__}")
            else:
                _log.info("%s segmented", photo.stem[:8])
                self._sender.wake()
        except OSError as error:  # the disk may be full for a while
            _log.error("%s waits: %s", photo.stem[:8], error.strerror)
            return False
        return True

    def _fail(self, photo: Path, why: str) -> None:
        self._spool.fail(photo, why)
        _log.error("%s failed: %s", photo.stem[:8], why)

    def _results_of(self, photo: Path) -> dict[str, bytes]:
        results, limits = {}, self._segmenter.limits
        decode = decode_photo if self._decoders is None else self._decoders.decode
        for frame in list_frames(photo, limits):
            result = self._segmenter.segment(Photograph(frame, limits, decode))
            for form in self._settings.formats:
                results[f"{frame.number:04}-{form}"] = result.encode(form)
        return results
