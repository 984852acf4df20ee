"""Addresses that a model may be fetched from: https, and http of this machine alone."""

import re
from urllib.parse import urlsplit

from vesselrt.runtime.errors import OptionError

_HERE = ("localhost", "127.0.0.1", "::1")
"""Hosts that may be asked without TLS: nobody is on the way."""


def is_address(name: str) -> bool:
    """Whether a model is named by where it is fetched from."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def plain_address(name: str) -> str:
    """For messages: an address without its query and password, which may be secret. Another name as it is."""
    if not is_address(name):
        return name
    parts = urlsplit(name)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_address(address: str) -> None:
    """Raises OptionError for an address that nothing is fetched from."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_here(address):
        raise OptionError(f"{plain_address(address)}: models are fetched by https alone. Name an https address.")
    if parts.username is not None:
        raise OptionError(f"{plain_address(address)}: an address with a password is not taken. Name a signed one.")


def is_here(address: str) -> bool:
    """Whether it is an http address of this machine."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname in _HERE
