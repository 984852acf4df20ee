"""pynetdicom with the limits that it lacks, and without what it would log of patients."""

import logging
import math
import socket
import time
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from vesselrt.runtime.errors import MissingExtraError

SECONDS = 60.0
"""For the next message of an association, for each unit of one, and for an answer."""
LIFE = 600.0
"""s that an association has for a whole photograph: by echoes, or by bytes that trickle in, it would stay for ever."""
_MOST_UNIT = 2**20
"""Bytes. Units of 16 KB are asked for."""
_PIECE = 64 * 1024
_ends: "WeakKeyDictionary[Any, float]" = WeakKeyDictionary()
"""Of associations that `limit_life` knows."""
_log = logging.getLogger(__name__)


def application_entity(title: str) -> Any:
    """Of pynetdicom. Raises MissingExtraError."""
    entity = import_pynetdicom().AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    return entity


def import_pynetdicom() -> Any:
    """pynetdicom, which logs data sets if one lets it. Raises MissingExtraError."""
    try:
        import pynetdicom
        import pynetdicom.sop_class
    except ModuleNotFoundError:
        raise MissingExtraError.of("vesselrt receive", "dicom") from None
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pynetdicom._config.LOG_REQUEST_IDENTIFIERS = pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False  # noqa: SLF001
    return pynetdicom


def limit_units(event: Any) -> None:
    """Of a connection that opens: pynetdicom would wait for ever for the rest of a unit, of any length that it says.

    Its thread for a connection that waits so keeps a place among the associations, and keeps the process from ending.
    """
    connection = event.assoc.dul.socket

    def receive(count: int) -> bytearray:
        received = bytearray()
        end = min(time.monotonic() + SECONDS, _ends.get(event.assoc, math.inf))
        try:
            if count > _MOST_UNIT:
                raise OSError(f"a unit of {count:,} bytes")  # noqa: TRY301
            while len(received) < count:
                if (left := end - time.monotonic()) <= 0:
                    raise TimeoutError
                connection.socket.settimeout(left)
                piece = connection.socket.recv(min(count - len(received), _PIECE))
                if not piece:
                    _close(connection)
                    return received
                received += piece
            connection.socket.settimeout(SECONDS)  # for what is sent
        except OSError:
            _close(connection)
            raise
        return received

    connection.recv = receive


def limit_life(event: Any) -> None:
    """Of an association that begins, or that has sent a whole photograph: until the next one it has `LIFE`."""
    _ends[event.assoc] = time.monotonic() + LIFE


def limit_message(event: Any, most: int) -> None:
    """Ends an association while it sends a larger data set than there may be."""
    message = event.assoc.dimse.message
    if message is not None and message.data_set.tell() + message.encoded_command_set.tell() > most:
        _log.error("a photograph was refused: it has more than %s bytes", f"{most:,}")
        event.assoc.abort()


def _close(connection: Any) -> None:
    """What pynetdicom leaves open, after an error or where the other side has closed."""
    with suppress(OSError):
        connection.socket.shutdown(socket.SHUT_RDWR)
    connection.socket.close()
    connection._is_connected = False  # noqa: SLF001 - it would ask the socket for more


def hang_up(association: Any) -> None:
    """Ends it at once, whatever its other side does, and wakes the threads that wait for that side."""
    connection = association.dul.socket
    if connection is not None and connection.socket is not None:
        with suppress(OSError):  # it has ended
            connection.socket.shutdown(socket.SHUT_RDWR)
