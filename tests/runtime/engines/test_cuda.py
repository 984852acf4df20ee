"""The driver layer over cuda-bindings that notes its calls, in a process of its own.

So that NVIDIA's library is not loaded beside those that other tests load and fork with.
"""

import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselrt.runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[3]
ALONE = bool(os.environ.get("VESSELRT_ALONE"))


class Runtime:
    """cuda.bindings.runtime that notes its calls; `fails` names the one that does."""

    def __init__(self, real: Any, fails: dict[str, str] | None = None) -> None:
        self.real, self.fails, self.calls = real, fails or {}, list[str]()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)  # so that a name which this release lacks is an error
        if not callable(real) or isinstance(real, type) or name.startswith("cudaGetError"):
            return real

        def call(*_: object) -> tuple[Any, ...]:
            self.calls.append(name)
            error = getattr(self.real.cudaError_t, self.fails.get(name, "cudaSuccess"))
            return (error, 7) if name in {"cudaMalloc", "cudaStreamCreateWithFlags"} or "Graph" in name else (error,)

        return call


@pytest.fixture
def cudart() -> Any:
    if not ALONE:
        pytest.skip("runs in a process of its own")
    return pytest.importorskip("cuda.bindings.runtime", reason="needs the extra of a GPU")


def test_in_a_process_of_its_own() -> None:
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("cuda-bindings is not installed")
    if not ALONE:
        command = [sys.executable, "-m", "pytest", "-q", "--no-cov", "-p", "no:cacheprovider", __file__]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "VESSELRT_ALONE": "1"}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "skipped" in done.stdout) == (0, False), done.stdout


def cuda_of(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> Any:
    from vesselrt.runtime.engines import cuda

    monkeypatch.setattr(cuda, "runtime", runtime)
    return cuda.Cuda()


def test_a_capture_is_ended_whatever_happens_in_it(monkeypatch: pytest.MonkeyPatch, cudart: Any) -> None:
    runtime = Runtime(cudart)
    cuda = cuda_of(monkeypatch, runtime)
    monkeypatch.setattr(runtime, "cudaStreamEndCapture", lambda _: (cudart.cudaError_t.cudaSuccess, 5), raising=False)
    assert cuda.capture(3, lambda: runtime.calls.append("work")) == 7
    assert runtime.calls == [
        "cudaSetDevice",
        "cudaStreamBeginCapture",
        "work",
        "cudaGraphInstantiate",
        "cudaGraphDestroy",
    ]

    ended: list[int] = []

    def invalidated(stream: int) -> tuple[Any, None]:
        ended.append(stream)
        return cudart.cudaError_t.cudaErrorStreamCaptureInvalidated, None

    monkeypatch.setattr(runtime, "cudaStreamEndCapture", invalidated, raising=False)
    with pytest.raises(ZeroDivisionError):
        cuda.capture(3, lambda: print(1 / 0))
    assert ended == [3]
    with pytest.raises(DeviceError, match=r"^CUDA: .*capture.* \(cudaErrorStreamCaptureInvalidated\)\. See nvidia-smi"):
        cuda.capture(3, lambda: None)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("cudaErrorMemoryAllocation", MemoryError, "the GPU's memory is used up"),
        ("cudaErrorInsufficientDriver", DeviceError, r"^the NVIDIA driver is missing or too old for cuda-bindings 13"),
        ("cudaErrorIllegalAddress", DeviceError, r"^CUDA: an illegal memory access .* \(cudaErrorIllegalAddress\)"),
    ],
)
def test_what_cuda_complains_of(
    monkeypatch: pytest.MonkeyPatch, cudart: Any, code: str, error: type[Exception], message: str
) -> None:
    cuda = cuda_of(monkeypatch, Runtime(cudart, {"cudaMalloc": code}))
    with pytest.raises(error, match=message):
        cuda.allocate(10)


def test_every_call_is_one_that_cuda_has(monkeypatch: pytest.MonkeyPatch, cudart: Any) -> None:
    runtime = Runtime(cudart)
    cuda, array = cuda_of(monkeypatch, runtime), np.zeros((2, 3), np.uint8)
    assert (cuda.allocate(10), cuda.create_stream()) == (7, 7)
    cuda.copy_in(1, array, 3)
    cuda.copy_out(array, 1, 3)
    cuda.launch(1, 3)
    cuda.synchronize(3)
    cuda.destroy_graph(1)
    cuda.destroy_stream(3)
    cuda.free_host(array)
    cuda.free(1)
    memory = ctypes.create_string_buffer(b"x" * 25)
    monkeypatch.setattr(
        runtime, "cudaMallocHost", lambda _: (cudart.cudaError_t.cudaSuccess, ctypes.addressof(memory)), raising=False
    )
    locked = cuda.allocate_host((2, 3, 4))
    locked[:] = ord("y")
    assert (locked.dtype, locked.shape, memory.raw) == (np.uint8, (2, 3, 4), b"y" * 24 + b"x" + b"\0")
    assert runtime.calls == [
        *(
            "cudaSetDevice",
            "cudaMalloc",
            "cudaStreamCreateWithFlags",
            "cudaMemcpyAsync",
            "cudaMemcpyAsync",
            "cudaGraphLaunch",
        ),
        *("cudaStreamSynchronize", "cudaGraphExecDestroy", "cudaStreamDestroy", "cudaFreeHost", "cudaFree"),
    ]
