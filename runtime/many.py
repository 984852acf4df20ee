"""Work on many photographs: several at once, results in order, in bounded memory."""

import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from vesselrt.runtime.errors import CallCancelledError, ForkError, SegmenterClosedError, VesselrtError
from vesselrt.runtime.stages import CancelToken

T = TypeVar("T")
R = TypeVar("R")


def map_in_order(
    work: Callable[[T, CancelToken], R], photographs: Iterable[T], at_once: int, cancel: CancelToken | None = None
) -> Generator[R | VesselrtError | OSError]:
    """What `work` gives for each photograph, or its error, in their order; `at_once` threads do it.

    At most 2 × `at_once` photographs are begun and not yet taken by the caller. `photographs` is read by the caller's
    thread. Whatever ends the iteration, no thread is left and no `work` cut off: it is told by its token.
    """
    stop = CancelToken(cancel)
    begun: deque[Future[R | VesselrtError | OSError]] = deque()
    source = iter(photographs)
    with ThreadPoolExecutor(at_once, thread_name_prefix="vesselrt-many") as pool:
        try:
            while True:
                stop.check()
                begun.extend(pool.submit(work, one, stop) for one in islice(source, 2 * at_once - len(begun)))
                if not begun:
                    return
                yield _result_or_error(begun.popleft())
        finally:
            stop.cancel()
            for future in begun:
                future.cancel()


def _result_or_error(future: Future[R]) -> R | VesselrtError | OSError:
    """Errors of one photograph are given; raised is what ends the work on all."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, SegmenterClosedError | ForkError | CallCancelledError):
        raise error
    if isinstance(error, VesselrtError | OSError):
        traceback.clear_frames(error.__traceback__)  # they hold the photograph for as long as the error is kept
        return error
    raise error
