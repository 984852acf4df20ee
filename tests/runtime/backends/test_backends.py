"""Every backend runs the same file: a network that returns its input, so that each answer is known."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vesselrt.runtime import hardware
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend, Info, to_bytes
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend
from vesselrt.runtime.backends.openvino import OpenVinoBackend, computed_precisions
from vesselrt.runtime.backends.shared import MAX_BATCHES_IN_FLIGHT, SharedBatches
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.hardware import cpu_name, gains_by_bf16, gains_by_int8, usable_cores
from vesselrt.runtime.manifest import Precision

Make = Callable[[Path, Precision, int], Backend]
REAL: dict[str, Make] = {"onnxruntime": OnnxRuntimeBackend, "openvino": OpenVinoBackend}
ALL: dict[str, Make] = {
    **REAL,
    "fake": lambda path, precision, threads: FakeBackend(),
    "shared": lambda path, precision, threads: SharedBatches(FakeBackend(batch=3)),
}


@pytest.fixture(scope="module")
def identity_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file: (N, 1, H, W) uint8 → itself / 255."""
    axes: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["real", "most"], ["probability"]),
        ],
        "identity",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, axes)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, axes)],
        [helper.make_tensor("most", TensorProto.FLOAT, [], [255.0])],
    )
    path = tmp_path_factory.mktemp("models") / "identity.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def pixels(*shape: int) -> Image:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def one(backend: Backend, window: Image) -> Image:
    """The answer to one batch."""
    (answer,) = backend.infer([window])
    return answer


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_windows_of_any_number_and_size_come_back(make: Make, identity_file: Path) -> None:
    backend = make(identity_file, "f32", 1)
    assert backend.batch >= 1
    shapes = [(1, 16, 16), (3, 32, 48), (1, 64, 16), (2, 16, 16), (5, 1, 1), (1, 128, 128)]
    for count, height, width in [*shapes, *shapes]:  # more shapes than a backend may keep ready, and again
        window = pixels(count, 1, height, width)
        answer = one(backend, window)
        assert answer.dtype == np.uint8
        np.testing.assert_array_equal(answer, window)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_an_answer_belongs_to_the_caller(make: Make, identity_file: Path) -> None:
    backend = make(identity_file, "f32", 1)
    buffer = pixels(4, 1, 32, 32)
    first = buffer.copy()
    answer = one(backend, buffer)
    buffer[:] = 7  # the tiler fills the same array again
    one(backend, buffer)
    np.testing.assert_array_equal(answer, first)
    answer[:] = 1
    np.testing.assert_array_equal(one(backend, buffer[:2]), buffer[:2])


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_batches_are_answered_in_order_from_an_array_that_serves_again(make: Make, identity_file: Path) -> None:
    windows = [pixels(1 + i % 3, 1, 16, 16) for i in range(7)]
    buffer = np.zeros((3, 1, 16, 16), np.uint8)

    def batches() -> Iterator[Image]:
        for window in windows:
            buffer[: len(window)] = window
            yield buffer[: len(window)]

    answers = list(make(identity_file, "f32", 1).infer(batches()))
    assert len(answers) == len(windows)
    for answer, window in zip(answers, windows, strict=True):
        np.testing.assert_array_equal(answer, window)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_threads_get_their_own_answers(make: Make, identity_file: Path) -> None:
    backend = make(identity_file, "f32", 1)
    windows = [pixels(1, 1, 16 + 16 * (i % 4), 32) for i in range(32)]
    with ThreadPoolExecutor(8) as pool:
        for window, answer in zip(windows, pool.map(partial(one, backend), windows), strict=True):
            np.testing.assert_array_equal(answer, window)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_closing_twice_is_closing(make: Make, identity_file: Path) -> None:
    backend = make(identity_file, "f32", 1)
    one(backend, pixels(1, 1, 16, 16))
    backend.close()
    backend.close()


class Gate:
    """A network, identity, that computes when it is let."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Semaphore(0)

    def __call__(self, window: Image) -> NDArray[np.floating[Any]]:
        self.entered.release()
        assert self.open.wait(10)
        return identity(window)

    def block(self, backend: Backend, pool: ThreadPoolExecutor) -> list["Future[Image]"]:
        """Occupies the backend with as many windows as it takes at once."""
        busy = []
        for _ in range(MAX_BATCHES_IN_FLIGHT):
            busy.append(pool.submit(one, backend, pixels(1, 1, 16, 16)))
            assert self.entered.acquire(timeout=10)
        return busy


def queued(backend: SharedBatches, count: int) -> None:
    end = time.monotonic() + 10
    while len(backend._waiting) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_for_the_gpu_becomes_one_batch() -> None:
    gate = Gate()
    network = FakeBackend(gate, batch=4)
    backend = SharedBatches(network)
    windows = [pixels(1, 1, 16, 16) + np.uint8(i) for i in range(5)] + [pixels(2, 1, 32, 16)]
    with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT + len(windows)) as pool:
        gate.block(backend, pool)
        waiting = []
        for window in windows:
            waiting.append(pool.submit(one, backend, window))
            queued(backend, sum(len(w) for w in windows[: len(waiting)]))
        gate.open.set()
        for window, answer in zip(windows, waiting, strict=True):
            np.testing.assert_array_equal(answer.result(), window)
    assert sorted(network.shapes[MAX_BATCHES_IN_FLIGHT:]) == [(1, 1, 16, 16), (2, 1, 32, 16), (4, 1, 16, 16)]
    backend.close()
    assert network.closed


def test_a_batch_that_fails_is_an_error_to_all_who_share_it_and_to_no_one_else() -> None:
    gate = Gate()

    def network(window: Image) -> NDArray[np.floating[Any]]:
        answer = gate(window)
        if window.max() == 0:
            raise DeviceError("out of memory")
        return answer

    backend = SharedBatches(FakeBackend(network, batch=2))
    with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT + 2) as pool:
        busy = gate.block(backend, pool)
        lost = [pool.submit(one, backend, np.zeros((1, 1, 16, 16), np.uint8)) for _ in range(2)]
        queued(backend, 2)
        gate.open.set()
        for answer in lost:
            with pytest.raises(DeviceError, match="out of memory"):
                answer.result()
        assert all(answer.result().any() for answer in busy)
    np.testing.assert_array_equal(one(backend, pixels(1, 1, 16, 16)), pixels(1, 1, 16, 16))


def test_who_leaves_takes_what_still_waits_along() -> None:
    gate = Gate()
    network = FakeBackend(gate)
    backend = SharedBatches(network)
    with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT) as pool:
        gate.block(backend, pool)

        def batches() -> Iterator[Image]:
            yield pixels(2, 1, 16, 16)
            raise DeviceError("the photograph ends here")

        with pytest.raises(DeviceError, match="ends here"):
            next(backend.infer(batches()))
        gate.open.set()
    backend.close()
    assert len(network.shapes) == MAX_BATCHES_IN_FLIGHT


@pytest.mark.parametrize("name", REAL)
def test_info_says_what_runs(name: str, identity_file: Path) -> None:
    info = REAL[name](identity_file, "f32", 1).info
    assert (info.backend, info.device, info.device_name) == (name, "cpu", cpu_name())
    assert (info.precision, info.threads) == ("f32", 1)
    assert info.version[0].isdigit()
    assert info.device_name


def test_info_as_text() -> None:
    assert str(Info("openvino", "2026.4.1", "cpu", "A Processor", "bf16", 2)) == (
        "cpu (A Processor, 2 threads), bf16, openvino 2026.4.1"
    )
    assert str(Info("tensorrt_rtx", "1.7", "cuda", "A GPU", "fp16", 0)) == "cuda (A GPU), fp16, tensorrt_rtx 1.7"


def test_openvino_computes_in_each_precision_that_it_offers(identity_file: Path) -> None:
    assert {"f32", "int8"} <= set(computed_precisions())
    window = pixels(1, 1, 64, 64)
    for precision in computed_precisions():
        taken = OpenVinoBackend(identity_file, precision, 1)
        assert taken.info.precision == precision
        # bf16 has 8 bits: a value of 0..255 may be off by one.
        assert np.abs(one(taken, window).astype(int) - window).max() <= (precision == "bf16")


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx avx2 fma\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx2 avx512_vnni amx_int8\n", True),
        ("vendor_id\t: GenuineIntel\nmodel name\t: avx2\nflags\t\t: fpu avx\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", False),  # ARM
        ("", False),  # not Linux
    ],
)
def test_who_gains_by_int8(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, expected: bool) -> None:
    monkeypatch.setattr(hardware, "_read_cpuinfo", lambda: cpuinfo)
    assert gains_by_int8() == expected


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t: avx512_bf16\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t: avx512_bf16 amx_bf16 amx_tile\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t: avx512_bf16\n", False),  # a virtual machine that hides AMX
        ("", True),  # not Linux
    ],
)
def test_who_gains_by_bf16(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, expected: bool) -> None:
    monkeypatch.setattr(hardware, "_read_cpuinfo", lambda: cpuinfo)
    assert gains_by_bf16() == expected


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_onnxruntime_refuses_what_it_does_not_compute(precision: Precision, identity_file: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        OnnxRuntimeBackend(identity_file, precision, 1)
    assert str(caught.value) == (
        f"ONNX Runtime on the CPU computes in f32 or int8, not {precision}. Use device cpu:openvino, or precision f32."
    )


def test_openvino_refuses_what_the_processor_does_not_compute(identity_file: Path) -> None:
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    with pytest.raises(DeviceError) as caught:
        OpenVinoBackend(identity_file, "fp16", 1)
    offered = "f32 or bf16 or int8" if has_bf16 else "f32 or int8"
    assert str(caught.value) == f"this processor ({cpu_name()}) does not compute in fp16. Use {offered}."


def test_probabilities_become_the_nearest_byte() -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    expected = levels.astype(np.uint8)
    for shift in (-0.49, 0, 0.49):
        found = to_bytes(np.clip((levels + np.float32(shift)) / np.float32(255), 0, 1))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    assert to_bytes(np.array([[[[0, 1, 1.5]]]], np.float32)).tolist() == [[[[0, 255, 255]]]]


def test_the_fake_remembers_its_windows() -> None:
    backend = FakeBackend(lambda window: identity(window)[:, :, ::-1], batch=3)
    window = pixels(2, 3, 16, 24)
    np.testing.assert_array_equal(one(backend, window), window[:, :1, ::-1])
    assert (backend.batch, backend.shapes, backend.closed) == (3, [(2, 3, 16, 24)], False)
    backend.close()
    assert backend.closed


def test_the_machine_has_a_name_and_a_core() -> None:
    assert cpu_name().strip() == cpu_name() != ""
    assert usable_cores() >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_models_that_were_closed_leave_no_broken_stack_for_signals(identity_file: Path) -> None:
    code = f"""
import gc, os, signal
from pathlib import Path
from vesselrt.runtime.backends.openvino import OpenVinoBackend, computed_precisions
from vesselrt.runtime.backends.shared import MAX_BATCHES_IN_FLIGHT, SharedBatches
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
first, second = (OpenVinoBackend(Path({str(identity_file)!r}), "f32", 1) for _ in range(2))
first.close(); del first; gc.collect()
second.close(); del second; gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
