"""The stages of one call: how long each takes, and whether its result is still wanted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from vesselrt.runtime.errors import CallCancelledError


class Clock:
    """Times stages: `with clock("decode"): ...`."""

    def __init__(self, milliseconds: dict[str, float] | None = None) -> None:
        """`milliseconds`: goes on with the stages of another clock."""
        self.milliseconds = {} if milliseconds is None else milliseconds
        """Of each stage that has ended, in their order."""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.milliseconds[stage] = (time.perf_counter() - started) * 1e3


class CancelToken:
    """Ends a call that runs in another thread. The call looks at it between its stages, and while it decodes."""

    def __init__(self, parent: "CancelToken | None" = None) -> None:
        """`parent`: a token that ends this call too."""
        self._is_cancelled, self._parent = False, parent

    def cancel(self) -> None:
        """Nobody wants the result any more. May be called by any thread, and more than once."""
        self._is_cancelled = True

    def check(self) -> None:
        """Raises CallCancelledError once the call is cancelled."""
        if self._is_cancelled:
            raise CallCancelledError("the call was cancelled.")
        if self._parent is not None:
            self._parent.check()
