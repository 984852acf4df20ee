"""A GPU and a TensorRT that fail at every call in turn: nothing is lost, nobody waits, and the user is told why."""

from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import CARD, FakeTensorRt, backend_of, engine_of, windows, within_10_s

from vesselrt.runtime.backends.tensorrt import TensorRtBackend
from vesselrt.runtime.errors import DeviceError, EngineError, VesselrtError

ERRORS = (DeviceError, MemoryError, RuntimeError)


class Failing:
    """A `FakeCuda` whose call number `at` raises, and all after it where it is `dead`."""

    def __init__(self, at: int, error: type[Exception], *, dead: bool) -> None:
        self.real, self.at, self.error, self.dead, self.count = FakeCuda(), at, error, dead, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)

        def call(*given: Any) -> Any:
            self.count += 1
            fails = self.count > self.at if self.dead else self.count == self.at + 1
            if fails and name == "synchronize":
                self.real.streams[given[0]].clear()  # what a GPU that died had to do is not done
            if not fails:
                return real(*given)
            if name.startswith(("free", "destroy")):  # the driver gives back what died, and says so
                real(*given)
            raise self.error(f"{name} failed")

        return call


def live(backend: TensorRtBackend, cuda: FakeCuda) -> list[str]:
    """Infers twice and closes; what failed. Answers that come are right, and every lane comes back."""
    failures = []
    given = windows(*(min(count, backend.batch) for count in (4, 1, 3)))
    for _ in range(2):
        try:
            answers = within_10_s(lambda: list(backend.infer(given)))
        except DeviceError as failed:
            failures.append(str(failed))
        else:
            for answer, batch in zip(answers, given, strict=True):
                np.testing.assert_array_equal(answer, 255 - batch)
    assert backend._lanes.free == len(cuda.streams)  # a stream for each lane that was made
    backend.close()
    backend.close()
    return failures


def live_on(cuda: Failing) -> list[str]:
    """Loads, infers and closes, on a GPU that fails; what failed."""
    try:
        backend = TensorRtBackend(engine_of(), CARD, FakeTensorRt(cuda.real), cuda)  # type: ignore[arg-type]
    except (VesselrtError, cuda.error) as refused:
        return [str(refused)]
    return live(backend, cuda.real)


def count_cuda_calls() -> int:
    cuda = Failing(1 << 40, DeviceError, dead=False)
    assert live_on(cuda) == []
    return cuda.count


@pytest.mark.parametrize("at", range(count_cuda_calls()))
def test_whichever_call_of_cuda_fails_nothing_is_lost_and_nobody_waits(at: int) -> None:
    for error in ERRORS:
        for dead in (True, False):
            cuda = Failing(at, error, dead=dead)
            failures = live_on(cuda)
            assert cuda.real.in_use == 0, (error, dead)
            assert len(set(failures)) <= 1, failures  # once broken it stays so, for the same reason


def test_the_last_call_is_one_that_fails_at_work() -> None:
    """So the calls above go on until the GPU is given back, and what users are told names it."""
    seen = {reason for at in range(count_cuda_calls()) for reason in live_on(Failing(at, DeviceError, dead=True))}
    told = "The RTX 2080 Ti failed: synchronize failed. It is not used any more in this process: start that again."
    assert told in seen


def count_tensorrt_calls() -> int:
    trt = without_graphs(None)
    assert live(backend_of(trt), trt.cuda) == []
    return len(trt.asked)


def without_graphs(fails_at: int | None) -> FakeTensorRt:
    """Its network can't be captured, so TensorRT is asked for every batch."""
    trt = FakeTensorRt(FakeCuda(), fails_at=fails_at)
    trt.capturable = False
    return trt


@pytest.mark.parametrize("at", range(count_tensorrt_calls()))
def test_whichever_call_of_tensorrt_fails_nothing_is_lost_and_nobody_waits(at: int) -> None:
    trt = without_graphs(at)
    try:
        backend = backend_of(trt)
    except (EngineError, DeviceError) as refused:
        assert f"no {trt.asked[at]}" in str(refused)  # noqa: PT017 - of some calls alone
    else:
        assert all(f"no {trt.asked[at]}" in failure for failure in live(backend, trt.cuda))
    assert trt.cuda.in_use == 0
