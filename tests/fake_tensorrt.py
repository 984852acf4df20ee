"""TensorRT and its engines without a GPU: a stand-in that can fail at every call, on the GPU of fake_cuda.py.

The network is an inversion, so answers are known. What must not be touched while it is in use is asserted not to be.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fake_cuda import FakeCuda
from manifests import make_manifest

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.tensorrt import TensorRtBackend
from vesselrt.runtime.engines.enginefile import Engine, Flavour, Profile, proof_from_probability, proof_window
from vesselrt.runtime.hardware import Gpu
from vesselrt.runtime.manifest import Manifest, Precision

TILE = 32
CARD = Gpu("RTX 2080 Ti", "sm75")


class Context:
    """One of TensorRT's execution contexts."""

    def __init__(self, trt: "FakeTensorRt") -> None:
        self.trt, self.addresses, self.memory = trt, dict[str, int](), 0
        self.shape: tuple[int, ...] = ()
        self.captured = False

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert index == 0
        return self.trt.does("profile") and stream in self.trt.cuda.streams

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "image"
        assert not self.captured, "a graph of this context is in use"
        self.shape = shape
        return self.trt.does("shape")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "probability"
        batch, _, height, width = self.shape
        return batch, self.trt.output_channels, height, width

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert not self.captured
        self.addresses[name] = address
        return self.trt.does("address")

    def update_device_memory_size_for_shapes(self) -> int:
        return 1000 * self.shape[0]

    def set_device_memory(self, address: int, size: int) -> None:
        assert not self.captured
        assert len(self.trt.cuda.device[address]) >= size >= 1000 * self.shape[0]
        self.memory = address

    def is_stream_capturable(self, stream: int) -> bool:
        return self.trt.capturable and stream in self.trt.cuda.streams

    def execute_async_v3(self, stream: int) -> bool:
        if not self.trt.does("run"):
            return False
        assert self.memory in self.trt.cuda.device
        self.captured = self.trt.cuda.capturing is not None
        self.trt.cuda.calls.append(f"run {self.shape[0]}")

        def work() -> None:
            device = self.trt.cuda.device
            pixels = device[self.addresses["image"]][: math.prod(self.shape)].reshape(self.shape)
            found = answer_of(self.trt.network(pixels[:, :1]), self.trt.output_channels)
            output = device[self.addresses["probability"]]
            assert found.size <= output.size, "written beyond the memory that is there"
            output[: found.size] = found.reshape(-1)

        self.trt.cuda.put(stream, work)
        return True


class FakeTensorRt:
    """A TensorRT module of either flavour, as far as it is asked."""

    __version__ = "1.2.3.4"
    DataType = SimpleNamespace(UINT8="uint8", FLOAT="float")
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    class ILogger:
        ERROR, INTERNAL_ERROR, WARNING = 1, 0, 2

    class Logger:
        INTERNAL_ERROR = 0

        def __init__(self, severity: int) -> None:
            pass

    def __init__(
        self, cuda: FakeCuda, flavour: Flavour = "tensorrt_rtx", broken: str = "", fails_at: int | None = None
    ) -> None:
        """`broken` names the call that fails; `fails_at` is the number of the one call that does, counted from 0."""
        self.cuda, self.rtx, self.broken = cuda, flavour == "tensorrt_rtx", broken
        self.fails_at, self.asked = fails_at, list[str]()
        self.capturable, self.kernels, self.configs = True, b"kernels for sm75", list[SimpleNamespace]()
        self.output, self.output_channels = "uint8", 1

    def does(self, call: str) -> bool:
        """Whether a call works; TensorRT tells by None or False that one does not."""
        works = call != self.broken and len(self.asked) != self.fails_at
        self.asked.append(call)
        if not works:
            self.complain(f"no {call}")
        return works

    def network(self, pixels: Image) -> Image:
        return np.zeros_like(pixels) if self.broken == "result" else 255 - pixels

    def complain(self, message: str) -> None:
        self.logger.log(self.ILogger.WARNING, "by the way")
        self.logger.log(self.ILogger.ERROR, message + ".\n ")

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        self.logger = logger
        if not self.does("runtime"):
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    def _deserialize(self, plan: bytes) -> Any:
        assert plan == b"a plan"
        if not self.does("plan"):
            return None
        kinds = {"image": ("in", "uint8"), "probability": ("out", self.output)}
        return SimpleNamespace(
            num_io_tensors=2,
            get_tensor_name=lambda i: list(kinds)[i],
            get_tensor_mode=lambda name: kinds[name][0],
            get_tensor_dtype=lambda name: kinds[name][1],
            create_runtime_config=self._config,
            create_execution_context=self._context,
        )

    def _config(self) -> Any:
        if not self.does("config"):
            return None
        config = SimpleNamespace(strategy="", set_execution_context_allocation_strategy=None)
        config.set_execution_context_allocation_strategy = partial(setattr, config, "strategy")
        if self.rtx:
            cache = SimpleNamespace(
                deserialize=lambda found: found == self.kernels,
                serialize=lambda: self.kernels if self.does("serialize") else None,
            )
            config.create_runtime_cache = lambda: cache if self.does("cache") else None
            config.set_runtime_cache = lambda _: self.does("set cache")
        self.configs.append(config)
        return config

    def _context(self, config: Any) -> Context | None:
        assert config.strategy == "user"
        if not self.does("context"):
            return None
        return Context(self)


def answer_of(inverted: Image, classes: int) -> Image:
    """(N, 1, h, w) → (N, classes, h, w) uint8: each class is half as probable as the one before."""
    return np.concatenate([inverted >> place for place in range(classes)], axis=1)


def manifest_of(precision: Precision = "fp16", **fields: Any) -> Manifest:
    """Of the inversion."""
    tile = {"size": TILE, "multiple": 4, "margin": 4, "fixed": precision == "fp16"}
    return make_manifest(name="tiny", version="0.1", precision=precision, tile=tile, **fields)


def engine_of(
    most: int = 4,
    flavour: Flavour = "tensorrt_rtx",
    least: int = 1,
    classes: tuple[str, ...] = ("vessel",),
    **known: Any,
) -> Engine:
    answer = answer_of(255 - proof_window(1, TILE)[None], len(classes))[0]
    fields = {
        "flavour": flavour,
        "version": FakeTensorRt.__version__,
        "targets": (CARD.target,),
        "profile": Profile(tile=TILE, batch=(least, least, most)),
        "model_sha256": "ab" * 32,
        "proof": proof_from_probability(answer).tobytes().hex(),
        **known,
    }
    return Engine.of(b"a plan", manifest_of(classes=classes), **fields)


def backend_of(trt: FakeTensorRt, engine: Engine | None = None, kernels: Path | None = None) -> TensorRtBackend:
    return TensorRtBackend(engine or engine_of(), CARD, trt, trt.cuda, kernels)  # type: ignore[arg-type]


def windows(*counts: int) -> list[Image]:
    random = np.random.default_rng(counts)
    return [random.integers(0, 256, (count, 1, TILE, TILE), np.uint8) for count in counts]


def within_10_s(do: Callable[[], Any]) -> Any:
    """What `do` gives, in a thread: one that waits for ever is a failure, and not a test that hangs."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(do).result(timeout=10)
    finally:
        pool.shutdown(wait=False)
