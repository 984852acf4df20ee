"""The way to a GPU and back, proven with a network that needs no TensorRT: on any NVIDIA GPU since Turing.

    python -m vesselrt.benchmarks.gpu_layer

Runs `vesselrt.runtime.backends.lanes` and `vesselrt.runtime.engines.cuda`, as for an engine; nothing of TensorRT.
One check a line, as JSON, in the order in which they end, so that a process that dies has told what it saw.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from json import dumps, loads
from typing import TYPE_CHECKING

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.lanes import LANES, Lanes
from vesselrt.runtime.engines.enginefile import Profile
from vesselrt.runtime.errors import DeviceError, VesselrtError, first_line
from vesselrt.runtime.hardware import find_gpu

if TYPE_CHECKING:
    from vesselrt.runtime.engines.cuda import Cuda

TILE, MAX_WINDOWS = 1024, 4
CYCLES_PER_MILLISECOND = 1_500_000
"""Cycles of a GPU's clock, about."""
MIN_OVERLAP = 1.5
"""Times as fast must four lanes be as one, on a network that leaves room for several."""
SLACK_BYTES = 64 << 20
"""Bytes that the driver may keep for itself."""

Kernel = Callable[[int, int, int, int, int], None]
"""Source, target, count, cycles, stream: as `gpu_kernel.Inversion`."""


@dataclass(frozen=True)
class Check:
    """A claim about the way to the GPU, and what was seen."""

    claim: str
    holds: bool | None
    """None: not tried."""
    reason: str = ""
    """Why it does not hold or was not tried."""
    figures: dict[str, float] = field(default_factory=dict)
    """Names end in their unit."""


class _NotTriedError(Exception):
    """What a check needs is not here."""


class StandIn:
    """An inversion as the `GpuNetwork` of lanes."""

    def __init__(self, kernel: Kernel, cycles: int = 0, *, captured: bool = True, most: int = MAX_WINDOWS) -> None:
        self.profile, self.channels, self.classes = Profile(tile=TILE, batch=(1, 1, most)), 1, 1
        self.kernel, self.cycles, self.captured = kernel, cycles, captured

    def prepare(self, size: int, image: int, probability: int, stream: int) -> "_StandInStep":  # noqa: ARG002 - as TensorRT
        """As `GpuNetwork.prepare`."""
        return _StandInStep(self, (image, probability, size * TILE * TILE))


class _StandInStep:
    scratch = 1

    def __init__(self, network: StandIn, place: tuple[int, int, int]) -> None:
        self._network, self._place = network, place

    def use(self, scratch: int) -> None:
        """Needs none."""

    def run(self, stream: int) -> None:
        self._network.kernel(*self._place, self._network.cycles, stream)

    def is_capturable(self, stream: int) -> bool:  # noqa: ARG002 - as TensorRT
        return self._network.captured


@dataclass(frozen=True)
class LayerBench:
    """What the checks run on; tests give a GPU that is a few dictionaries."""

    cuda: "Cuda"
    kernel: Kernel
    free_memory: Callable[[], int]
    name: str

    def lanes(self, cycles: int = 0, *, captured: bool = True, most: int = MAX_WINDOWS) -> Lanes:
        return Lanes(StandIn(self.kernel, cycles, captured=captured, most=most), self.cuda, self.name)


def run_checks(bench: LayerBench) -> Iterator[Check]:
    """All checks that one process can survive."""
    yield _try_claim("several threads get their own answers, batches of every size", partial(check_answers, bench))
    yield _try_claim(
        "a batch is one launch of a CUDA graph, and that is no slower than its parts", partial(check_graphs, bench)
    )
    yield _try_claim(
        f"{LANES} lanes run beside each other: {MIN_OVERLAP:g} x one, or more", partial(check_overlap, bench)
    )
    yield _try_claim("what has no room is halved, or refused, and all memory comes back", partial(check_memory, bench))
    yield _try_claim("a batch beside PyTorch: bytes in, one operation, bytes out", partial(check_beside_torch, bench))


def check_answers(bench: LayerBench) -> dict[str, float]:
    """Raises VesselrtError when an answer is wrong."""
    lanes = bench.lanes()
    try:
        calls = [_random_windows(*(1 + (i + j) % MAX_WINDOWS for j in range(6))) for i in range(12)]
        with ThreadPoolExecutor(LANES + 2) as pool:
            for given, found in zip(calls, pool.map(lambda c: list(lanes.infer(c)), calls), strict=True):
                _check_inverted(given, found)
        return {"batches": float(sum(map(len, calls)))}
    finally:
        lanes.close()


def check_graphs(bench: LayerBench) -> dict[str, float]:
    """Milliseconds of a batch of one window with a graph, and in its parts."""
    times = {}
    for name, captured in (("graph_ms", True), ("parts_ms", False)):
        lanes = bench.lanes(captured=captured)
        times[name] = _milliseconds(lanes, _random_windows(1), runs=100)
        lanes.close()
    if times["graph_ms"] > 1.1 * times["parts_ms"]:
        raise VesselrtError(f"{times['graph_ms']:.3f} ms with a graph, {times['parts_ms']:.3f} ms without.")
    return times


def check_overlap(bench: LayerBench) -> dict[str, float]:
    """Windows a second of one caller that waits for each, and of one caller for each lane."""
    lanes, window = bench.lanes(CYCLES_PER_MILLISECOND, most=1), _random_windows(1)
    try:
        each = 40
        alone = _time_call(lambda: [list(lanes.infer(window)) for _ in range(each)])
        with ThreadPoolExecutor(LANES) as pool:
            several = _time_call(lambda: list(pool.map(lambda _: list(lanes.infer(window)), range(each * LANES))))
    finally:
        lanes.close()
    found = {"alone_per_s": each / alone, "together_per_s": each * LANES / several}
    if found["together_per_s"] < MIN_OVERLAP * found["alone_per_s"]:
        raise VesselrtError("windows a second: {alone_per_s:.0f} alone, {together_per_s:.0f} together.".format(**found))
    return found


def check_memory(bench: LayerBench) -> dict[str, float]:
    """Loads with ever less memory left, until nothing can be; bytes that are free before and afterwards."""
    lane, before, taken, batches = 2 * MAX_WINDOWS * TILE * TILE, bench.free_memory(), list[int](), list[int]()
    step = 1 << 30
    try:
        while True:
            left = bench.free_memory() - LANES * lane - SLACK_BYTES
            if left < step:
                step = lane // 4
                try:
                    lanes = bench.lanes()
                except DeviceError:
                    break  # refused; that the GPU is well all the same is seen below
                batches.append(lanes.batch)
                given = _random_windows(*(min(lanes.batch, count) for count in (1, 2, 3, 4)))
                _check_inverted(given, list(lanes.infer(given)))
                lanes.close()
            try:
                taken.append(bench.cuda.allocate(step))
            except MemoryError:
                step //= 2
    finally:
        for address in taken:
            bench.cuda.free(address)
    after = bench.free_memory()
    if after < before - SLACK_BYTES:
        raise VesselrtError(f"{before - after} bytes were not given back.")
    if min(batches, default=MAX_WINDOWS) == MAX_WINDOWS:
        raise VesselrtError("a batch was never halved.")
    return {"free_before_bytes": before, "free_after_bytes": after, **check_answers(bench)}


def check_beside_torch(bench: LayerBench) -> dict[str, float]:
    """Milliseconds of a batch of each size, here and in PyTorch. Raises _NotTriedError where it is not available."""
    try:
        import torch
    except ImportError:
        raise _NotTriedError("PyTorch is not installed.") from None
    if not torch.cuda.is_available():
        raise _NotTriedError(f"PyTorch {torch.__version__} finds no GPU here.")
    lanes, found = bench.lanes(), dict[str, float]()
    for size in (1, MAX_WINDOWS):
        given = _random_windows(size)

        def by_torch(pixels: Image = given[0]) -> None:
            (255 - torch.from_numpy(pixels).to("cuda")).cpu().numpy()

        found[f"batch_{size}_ms"] = _milliseconds(lanes, given, runs=100)
        found[f"batch_{size}_torch_ms"] = min(_time_call(by_torch) for _ in range(100)) * 1e3
    lanes.close()
    return found


def check_fault(bench: LayerBench) -> None:
    """Breaks CUDA for this process. Raises VesselrtError when a call does not learn of it."""
    lanes: Lanes = bench.lanes()
    stream = bench.cuda.create_stream()
    bench.kernel(0, 0, 1, 0, stream)  # from and to an address that is not allocated
    with suppress(DeviceError):
        bench.cuda.synchronize(stream)
    for _ in range(LANES + 2):  # more calls than lanes: a lane that is lost would be waited for
        with suppress(DeviceError):
            list(lanes.infer(_random_windows(1, 1, 1)))
            raise VesselrtError("an answer came after the GPU had failed.")
    lanes.close()


_PROCESS_CLAIMS = {
    "checks": "the process of the checks ends",
    "fault": "after a fault every call raises, and none waits",
}
"""What is claimed of the processes themselves."""


def run_in_processes(seconds: float) -> list[Check]:
    """All checks, in processes of their own within so many seconds: what they break is theirs."""
    found: list[Check] = []
    end = time.monotonic() + seconds
    for part, claim in _PROCESS_CLAIMS.items():
        command = [sys.executable, "-m", "vesselrt.benchmarks.gpu_layer", part]
        left = max(1.0, end - time.monotonic())
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)
        except subprocess.TimeoutExpired as error:
            told = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
            found += [*_checks_from_lines(told), Check(claim, holds=False, reason=f"not done within {left:.0f} s.")]
            continue
        found += _checks_from_lines(done.stdout)
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
        found.append(Check(claim, holds=not done.returncode, reason=reason))
    return found


def _checks_from_lines(lines: str) -> list[Check]:
    return [Check(**loads(line)) for line in lines.splitlines() if line.startswith("{")]


def _try_claim(claim: str, do: Callable[[], dict[str, float]]) -> Check:
    try:
        return Check(claim, holds=True, figures=do())
    except _NotTriedError as error:
        return Check(claim, holds=None, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever CUDA raises is a finding
        return Check(claim, holds=False, reason=first_line(error))


def _random_windows(*counts: int) -> list[Image]:
    random = np.random.default_rng(counts)
    return [random.integers(0, 256, (count, 1, TILE, TILE), np.uint8) for count in counts]


def _check_inverted(given: list[Image], found: list[Image]) -> None:
    if [len(batch) for batch in given] != [len(answer) for answer in found]:
        raise VesselrtError("batches came back in another number or order.")
    wrong = sum(int((255 - batch != answer).sum()) for batch, answer in zip(given, found, strict=True))
    if wrong:
        raise VesselrtError(f"{wrong} pixels are wrong.")


def _milliseconds(lanes: Lanes, given: list[Image], runs: int) -> float:
    """Of one call, the least of several: what else the machine does only adds."""
    _check_inverted(given, list(lanes.infer(given)))
    return min(_time_call(lambda: list(lanes.infer(given))) for _ in range(runs)) * 1e3


def _time_call(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def main() -> None:
    """Prints the checks; exit code 1 with the reason where they can't begin or, of `fault`, where it does not hold."""
    try:
        name = find_gpu().name
        from vesselrt.benchmarks.gpu_kernel import Inversion, free_memory
        from vesselrt.runtime.engines.cuda import Cuda

        bench = LayerBench(Cuda(), Inversion(), free_memory, name)
        if sys.argv[1:] == ["fault"]:
            check_fault(bench)
            return
        for check in run_checks(bench):
            print(dumps(asdict(check)), flush=True)
    except (VesselrtError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
