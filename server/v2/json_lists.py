"""Lists of numbers in JSON, cut out of the text and read without an object for each number.

A JSON parser makes 30 to 300 bytes of objects of each value, and holds the interpreter meanwhile: 13 MB of JSON became
540 MB and stopped every other request for seconds. Here a text is looked at in pieces, so that health is answered
between two of them, and a list that holds anything but numbers is refused at the first piece that shows it.
"""

import re
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image

_PIECE = 2**18  # bytes of JSON that are looked at while other threads wait: less than 1 ms
_MOST_LISTS = 8
_MOST_DEPTH = 8
_OPENING = re.compile(rb"\s*:\s*(?P<list>\[)")
_TEXT_BEGINS, _LIST_ENDS = re.compile(rb'\[\s*"'), re.compile(rb"\s*\]")
_WHITESPACE, _DIGITS = b" \t\r\n", b"0123456789"
_IN_NUMBERS = _DIGITS + b",[]" + _WHITESPACE


def cut_out_lists(text: bytearray) -> tuple[bytes, list[bytes]]:
    """The JSON with the number of each list `data` in its place, and the lists: of digits, or one text's content.

    Raises ValueError for a list of anything else.
    """
    kept: list[bytes | bytearray] = []
    lists: list[bytes] = []
    place = 0
    for _ in range(_MOST_LISTS):
        name = text.find(b'"data"', place)
        opened = _OPENING.match(text, name + 6) if name >= 0 else None
        if opened is None:  # pydantic judges what is here
            break
        found, end = _list_at(text, opened.start("list"))
        kept += [text[place : name + 6], b":%d" % len(lists)]
        lists.append(found)
        place = end
    return b"".join([*kept, text[place:]]), lists


def _list_at(text: bytearray, start: int) -> tuple[bytes, int]:
    """The list that begins at `start`, and where it ends. Raises ValueError for one of anything else."""
    view = memoryview(text)
    if begun := _TEXT_BEGINS.match(text, start):
        quote = text.find(b'"', begun.end())
        if quote >= 0 and (ended := _LIST_ENDS.match(text, quote + 1)):
            return bytes(view[begun.end() : quote]), ended.end()
    # Numbers hold no quotes and no objects: the list ends before the next of these.
    next_one = min((at for at in (text.find(b'"', start), text.find(b"}", start)) if at >= 0), default=len(text))
    end = text.rfind(b"]", start, next_one) + 1
    if not end or text[end:next_one].strip(b" \t\r\n,"):
        raise ValueError
    found = bytes(view[start:end])
    if any(found[begin:stop].translate(None, _IN_NUMBERS) for begin, stop in _pieces(len(found))):
        raise ValueError
    return found, end


def count_numbers(text: bytes) -> int:
    """How many numbers a list holds, if it is one."""
    return _count(text, b",") + 1


def read_pixels(text: bytes, shape: list[int]) -> Image:
    """`shape` uint8 of lists in JSON, flat or nested, of nothing but digits, commas, brackets and whitespace.

    Raises ValueError where they are not as many whole numbers from 0 to 255, or are nested unevenly.
    """
    solid = _without(text, _WHITESPACE)
    # 1 2 would become 12.
    if len(solid) != len(text) and _digit_runs(text) != _digit_runs(solid):
        raise ValueError
    if not _is_evenly_nested(solid):
        raise ValueError
    flat, values = _without(solid, b"[]"), np.empty(shape[0] * shape[1] * shape[2], np.uint8)
    del solid
    start = done = 0
    while start < len(flat):
        end = flat.find(b",", start + _PIECE)
        end = len(flat) if end < 0 else end
        piece = _numbers_from_digits(np.frombuffer(flat, np.uint8, end - start, start))
        if done + len(piece) > len(values):
            raise ValueError
        values[done : done + len(piece)] = piece
        start, done = end + 1, done + len(piece)
        time.sleep(0)
    if done != len(values):
        raise ValueError
    return values.reshape(shape)


def _pieces(length: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each piece; between two of them other threads have their turn."""
    for start in range(0, length, _PIECE):
        yield start, min(length, start + _PIECE)
        time.sleep(0)


def _count(text: bytes, part: bytes) -> int:
    """As `text.count`, for a part whose occurrences can't overlap."""
    return sum(text.count(part, begin, end + len(part) - 1) for begin, end in _pieces(len(text)))


def _without(text: bytes, characters: bytes) -> bytes:
    return b"".join(text[begin:end].translate(None, characters) for begin, end in _pieces(len(text)))


def _digit_runs(text: bytes) -> int:
    """How many runs of digits there are."""
    signs = np.frombuffer(text, np.uint8)
    digits = (signs >= ord("0")) & (signs <= ord("9"))
    return int(np.count_nonzero(digits[1:] & ~digits[:-1])) + int(digits[0])


def _is_evenly_nested(solid: bytes) -> bool:
    """Whether lists in a list are all as long as the first, however deep, and stand alone in it."""
    between = _count(solid, b"],[")
    if _count(solid, b"],") != between or _count(solid, b",[") != between:
        return False  # a list beside a number
    signs = _without(solid, _DIGITS)
    depth = len(signs[: _MOST_DEPTH + 1]) - len(signs[: _MOST_DEPTH + 1].lstrip(b"["))
    while 0 < depth <= _MOST_DEPTH:
        inner = signs[depth - 1 : signs.find(b"]") + 1]
        if inner.count(b"[") != 1:
            return False
        if depth == 1:
            return signs == inner
        signs, depth = _without_lists(signs, inner), depth - 1
    return False


def _without_lists(signs: bytes, inner: bytes) -> bytes:
    """As `signs.replace(inner, b"")`; `inner` holds one `]`, at its end."""
    kept = []
    start = 0
    while start < len(signs):
        end = signs.find(b"]", start + _PIECE) + 1 or len(signs)
        kept.append(signs[start:end].replace(inner, b""))
        start = end
        time.sleep(0)
    return b"".join(kept)


def _numbers_from_digits(signs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of digits (N,) with commas between numbers, the numbers. Raises ValueError unless all are from 0 to 255."""
    ends = np.append(np.flatnonzero(signs == ord(",")), len(signs))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        raise ValueError
    digits = np.concatenate([np.zeros(2, np.uint8), signs - ord("0")]).astype(np.int16)  # two before the first
    ones, tens, hundreds = digits[ends + 1], digits[ends], digits[ends - 1]
    if ((lengths > 1) & (np.where(lengths == 2, tens, hundreds) == 0)).any():  # JSON has no 07
        raise ValueError
    numbers: NDArray[np.int16] = ones + 10 * tens * (lengths > 1) + 100 * hundreds * (lengths > 2)
    if numbers.max() > 255:
        raise ValueError
    return numbers.astype(np.uint8)
