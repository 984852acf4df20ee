"""What is proven of the way to a GPU, tried on one that is a few dictionaries: that it holds, and that it can fail."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fake_cuda import FakeCuda

from vesselrt.benchmarks import gpu_layer
from vesselrt.benchmarks.gpu_layer import Check, LayerBench, check_fault, run_checks, run_in_processes
from vesselrt.runtime.errors import VesselrtError

Launch = Callable[[FakeCuda, int, int, int, int], None]


def inverts(cuda: FakeCuda, source: int, target: int, count: int, stream: int) -> None:
    if source == 0:  # as CUDA: everything that follows in this process fails
        cuda.fails = True
        return

    def work() -> None:
        cuda.device[target][:count] = 255 - cuda.device[source][:count]

    cuda.put(stream, work)


def forgets(cuda: FakeCuda, source: int, target: int, count: int, stream: int) -> None:
    def work() -> None:
        cuda.device[target][: count - 1] = 255 - cuda.device[source][: count - 1]
        cuda.device[target][count - 1] = 0

    cuda.put(stream, work)


def bench_of(launch: Launch = inverts) -> LayerBench:
    cuda = FakeCuda(1 << 20)

    def kernel(source: int, target: int, count: int, cycles: int, stream: int) -> None:
        assert cycles >= 0
        launch(cuda, source, target, count, stream)

    return LayerBench(cuda, kernel, lambda: cuda.room, "RTX 2080 Ti")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_layer, "TILE", 64)
    monkeypatch.setattr(gpu_layer, "SLACK_BYTES", 1 << 16)
    monkeypatch.setattr(gpu_layer, "MIN_OVERLAP", 0)  # threads of Python do not compute beside each other


def test_all_holds_where_all_works(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = gpu_layer._milliseconds
    # What is timed runs, and takes as long with a graph as without: a processor with other work may say anything.
    monkeypatch.setattr(gpu_layer, "_milliseconds", lambda *given, **more: timed(*given, **more) * 0 + 1)
    bench = bench_of()
    threads, graphs, overlap, memory, torch = run_checks(bench)
    assert [check.reason for check in (threads, overlap, memory) if not check.holds] == []
    assert threads.figures == {"batches": 72}
    assert graphs.figures.keys() == {"graph_ms", "parts_ms"}
    assert overlap.figures.keys() == {"alone_per_s", "together_per_s"}
    assert memory.figures["free_before_bytes"] == memory.figures["free_after_bytes"] == 1 << 20
    assert (torch.holds, torch.reason.startswith("PyTorch ")) == (None, True)
    assert bench.cuda.in_use == 0  # type: ignore[attr-defined]


def test_a_wrong_pixel_is_found() -> None:
    threads, *_ = run_checks(bench_of(forgets))
    assert (threads.holds, threads.reason.endswith(" pixels are wrong.")) == (False, True)


def test_memory_that_does_not_come_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of()
    free, freed = bench.cuda.free, list[int]()

    def leaks(address: int) -> None:
        freed.append(address)
        if len(freed) % 3:
            free(address)

    monkeypatch.setattr(bench.cuda, "free", leaks)
    check = gpu_layer._try_claim("memory", lambda: gpu_layer.check_memory(bench))
    assert (check.holds, check.reason.endswith(" bytes were not given back.")) == (False, True)


def test_lanes_that_wait_for_each_other_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_layer, "MIN_OVERLAP", 1e9)
    check = gpu_layer._try_claim("overlap", lambda: gpu_layer.check_overlap(bench_of()))
    assert (check.holds, check.reason.startswith("windows a second: ")) == (False, True)


def test_after_a_fault_nobody_waits_and_an_answer_is_a_finding() -> None:
    check_fault(bench_of())

    def survives(cuda: FakeCuda, source: int, target: int, count: int, stream: int) -> None:
        if source:
            inverts(cuda, source, target, count, stream)

    with pytest.raises(VesselrtError, match=r"^an answer came after the GPU had failed\.$"):
        check_fault(bench_of(survives))


def test_a_process_that_dies_has_told_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    told = '{"claim": "seen", "holds": true, "reason": "", "figures": {"a_ms": 1.5}}\n{"not'

    def runs(command: list[str], **_: Any) -> Any:
        if command[-1] == "fault":
            raise subprocess.TimeoutExpired(command, 3.0, output=None)
        return subprocess.CompletedProcess(command, -11, told.splitlines()[0] + "\n", "")

    monkeypatch.setattr(subprocess, "run", runs)
    seen, died, hung = run_in_processes(seconds=3)
    assert seen == Check("seen", holds=True, figures={"a_ms": 1.5})
    assert (died.holds, died.reason) == (False, "exit code -11")
    assert (hung.holds, hung.reason) == (False, "not done within 3 s.")


def test_without_a_gpu_the_reason_is_told() -> None:
    command = [sys.executable, "-m", "vesselrt.benchmarks.gpu_layer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) in {(1, ""), (0, done.stdout)}
    if done.returncode:
        assert done.stderr.startswith("error: ")


@pytest.mark.gpu
def test_on_a_gpu_all_holds() -> None:
    found = run_in_processes(seconds=120)
    assert [check for check in found if check.holds is False] == []
    assert len(found) == 7
