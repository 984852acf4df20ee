"""Headers by which a client chooses (RFC 9110, 12.5), and compression, which is one of its choices."""

import importlib
import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any


def weighted(header: str) -> list[tuple[float, str]]:
    """What a header such as Accept names, lower case, the most wanted first; weight 0: not at all."""
    ranges: list[tuple[float, str]] = []
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        if kind and re.fullmatch(r"[01](\.\d{0,3})?", quality):
            ranges.append((float(quality), kind))
    return sorted(ranges, key=lambda r: -r[0])  # stable: of equals the first


def coding_from(header: str) -> str | None:
    """How text is compressed for this Accept-Encoding: zstd where both are wanted as much; None: not at all."""
    weights = {kind: weight for weight, kind in reversed(weighted(header))}
    offered = [coding for coding in ("zstd", "gzip") if weights.get(coding, 0) and _compressor(coding)]
    return max(offered, key=lambda coding: weights[coding], default=None)


def compressed(text: bytes, coding: str) -> bytes:
    """`coding` is one that `coding_from` gave."""
    compress = _compressor(coding)
    assert compress is not None, coding  # noqa: S101 - see above
    return compress(text)


@cache
def _compressor(coding: str) -> Callable[[bytes], bytes] | None:
    """None where Python has no such library: zstd came with 3.14, and is backports.zstd before."""
    if coding == "gzip":
        return _gzip
    for name in ("compression.zstd", "backports.zstd"):
        try:
            library: Any = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        return lambda text: bytes(library.compress(text, 3))
    return None


def _gzip(text: bytes) -> bytes:
    writer = zlib.compressobj(5, wbits=zlib.MAX_WBITS | 16)
    return writer.compress(text) + writer.flush()
