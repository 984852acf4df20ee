"""Reads a file from its address. Imported when a model has to be fetched, and never before."""

import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from vesselrt.runtime.addresses import check_address, is_here, plain_address
from vesselrt.runtime.errors import ModelError, ModelNotFoundError, OptionError, first_line

MOST_BYTES = 2**31
"""Of a file: no ONNX file is larger."""
SILENCE, LONGEST = 30.0, 3600.0
"""s without a byte, and s for the whole file, after which fetching fails."""
_PIECE = 2**18  # bytes
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def read_address(address: str) -> Iterator[bytes]:
    """The content at an address that `check_address` takes, in pieces; redirected to such addresses alone.

    Raises ModelNotFoundError where there is nothing, ModelError for any other failure.
    """
    name, end = plain_address(address), time.monotonic() + LONGEST
    try:
        with _opener(address).open(address, timeout=SILENCE) as answer:
            size = _size_of(answer, name)
            read = 0
            while piece := answer.read1(_PIECE):  # what there is: `read` waits for all of it
                read += len(piece)
                if read > MOST_BYTES:
                    raise ModelError(f"{name}: is larger than {MOST_BYTES:,} bytes, the limit.")
                if time.monotonic() > end:
                    raise ModelError(f"{name}: was not here within {LONGEST:.0f} s. Put it into a folder by hand.")
                yield piece
            if size is not None and read < size:
                raise ModelError(f"{name}: the connection ended after {read:,} of {size:,} bytes. Try again.")
    except HTTPError as error:
        error.close()
        kind = ModelNotFoundError if error.code in _GONE else ModelError
        raise kind(f"{name}: the server answered {error.code} {error.reason}. Check the address.") from None
    except OptionError as error:  # of a redirect
        raise ModelError(f"{name} leads elsewhere. {error}") from None
    except URLError as error:
        raise _failed(name, error.reason) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _failed(name, error) from None


class _Redirects(HTTPRedirectHandler):
    """Follows to https, and from an address of this machine to another one of it."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Called by urllib. Raises OptionError for an address that it may not lead to."""
        try:
            _check_redirect(req.full_url, newurl)
        except OptionError:
            fp.close()  # urllib would leave the connection open
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_redirect(address: str, target: str) -> None:
    """Raises OptionError where an address may not lead to another one."""
    check_address(target)
    if is_here(target) and not is_here(address):
        raise OptionError(f"{plain_address(target)} is an address of this machine.")


def _opener(address: str) -> OpenerDirector:
    """Of urllib, without its handlers for files, FTP and data; with the proxies that the environment names."""
    opener = OpenerDirector()
    opener.addheaders = [("User-Agent", "vesselrt")]
    for handler in (
        ProxyHandler({} if is_here(address) else None),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _size_of(answer: HTTPResponse, name: str) -> int | None:
    """Bytes that are announced. Raises ModelError for too many."""
    said = answer.headers.get("Content-Length", "")
    size = int(said) if said.isdecimal() else None
    if size is not None and size > MOST_BYTES:
        raise ModelError(f"{name}: has {size:,} bytes, the limit is {MOST_BYTES:,}.")
    return size


def _failed(name: str, reason: object) -> ModelError:
    said = first_line(reason) if isinstance(reason, Exception) else str(reason)
    return ModelError(f"{name}: can't be fetched ({said[:200]}). Check the address and the connection.")
