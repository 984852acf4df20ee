"""Running engines, on a GPU that is a few dictionaries (fake_cuda.py).

The network is an inversion, so answers are known; what must not be touched while it is in use is asserted not to be.
"""

import importlib.util
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fake_cuda import FakeCuda
from onnx import TensorProto, helper

from vesselrt.export.modelfile import write
from vesselrt.runtime import devices
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.lanes import LANES, batch_sizes
from vesselrt.runtime.backends.tensorrt import TensorRtBackend
from vesselrt.runtime.engines import preflight
from vesselrt.runtime.engines.enginefile import Engine, Flavour, Profile, proof_from_probability, proof_window
from vesselrt.runtime.errors import DeviceError, EngineError, ExportError, OptionError, VesselrtError
from vesselrt.runtime.hardware import Gpu
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import read_manifest, sha256
from vesselrt.runtime.segmenter import Segmenter, load

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
            found = self.trt.network(pixels[:, :1]).repeat(self.trt.output_channels, 1)
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

    def __init__(self, cuda: FakeCuda, flavour: Flavour = "tensorrt_rtx", broken: str = "") -> None:
        """`broken` names the call that fails."""
        self.cuda, self.rtx, self.broken = cuda, flavour == "tensorrt_rtx", broken
        self.capturable, self.kernels, self.configs = True, b"kernels for sm75", list[SimpleNamespace]()
        self.output, self.output_channels = "uint8", 1

    def does(self, call: str) -> bool:
        if self.broken == call:
            self.complain(f"no {call}")
        return self.broken != call

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


def manifest_of(precision: Precision = "fp16") -> Manifest:
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "An inversion.",
            "preparation": {"channels": "green"},
            "input": {"mean": [0.0], "std": [1.0]},
            "precision": precision,
            "tile": {"size": TILE, "multiple": 4, "margin": 4, "fixed": precision == "fp16"},
        },
        source="test",
    )


def engine_of(most: int = 4, flavour: Flavour = "tensorrt_rtx", least: int = 1, **known: Any) -> Engine:
    fields = {
        "flavour": flavour,
        "version": FakeTensorRt.__version__,
        "targets": (CARD.target,),
        "profile": Profile(tile=TILE, batch=(least, least, most)),
        "model_sha256": "ab" * 32,
        "proof": proof_from_probability(255 - proof_window(1, TILE)[0]).tobytes().hex(),
        **known,
    }
    return Engine.of(b"a plan", manifest_of(), **fields)


def backend_of(trt: FakeTensorRt, engine: Engine | None = None, kernels: Path | None = None) -> TensorRtBackend:
    return TensorRtBackend(engine or engine_of(), CARD, trt, trt.cuda, kernels)  # type: ignore[arg-type]


def windows(*counts: int) -> list[Image]:
    random = np.random.default_rng(counts)
    return [random.integers(0, 256, (count, 1, TILE, TILE), np.uint8) for count in counts]


def reusing_one_array(batches: Iterable[Image]) -> Iterator[Image]:
    buffer = np.zeros((16, 1, TILE, TILE), np.uint8)
    for batch in batches:
        buffer[: len(batch)] = batch
        yield buffer[: len(batch)]
        buffer[:] = 55


@pytest.fixture
def trt() -> FakeTensorRt:
    return FakeTensorRt(FakeCuda())


@pytest.mark.parametrize("flavour", ["tensorrt_rtx", "tensorrt"])
def test_batches_come_back_in_order(flavour: Flavour) -> None:
    trt = FakeTensorRt(FakeCuda(), flavour)
    backend = backend_of(trt, engine_of(flavour=flavour))
    assert str(backend.info) == f"cuda (RTX 2080 Ti), fp16, {flavour} 1.2.3.4"
    given = windows(4, 1, 3, 2, 4, 4, 1)
    answers = list(backend.infer(reusing_one_array(given)))
    assert [a.shape for a in answers] == [b.shape for b in given]
    for answer, batch in zip(answers, given, strict=True):
        np.testing.assert_array_equal(answer, 255 - batch)
    backend.close()
    backend.close()
    assert trt.cuda.in_use == 0


def test_threads_share_the_lanes(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    calls = [windows(*(1 + (i + j) % 4 for j in range(5))) for i in range(40)]
    with ThreadPoolExecutor(9) as pool:
        for given, answers in zip(
            calls, pool.map(lambda c: list(backend.infer(reusing_one_array(c))), calls), strict=True
        ):
            for answer, batch in zip(answers, given, strict=True):
                np.testing.assert_array_equal(answer, 255 - batch)
    backend.close()
    assert trt.cuda.in_use == 0


def test_each_size_runs_once_before_it_is_captured_in_a_context_of_its_own(trt: FakeTensorRt) -> None:
    backend_of(trt)
    # In a graph: copy in, network, copy out.
    lane = [call for size in (1, 2, 4) for call in (f"run {size}", "wait", f"run {size}", "capture of 3")]
    assert trt.cuda.calls[: len(lane) * LANES] == lane * LANES
    # then the proof, and nothing is captured any more
    assert trt.cuda.calls[len(lane) * LANES :] == ["launch", "wait"]
    assert trt.configs[0].dynamic_shapes_kernel_specialization_strategy == "eager"


def test_the_next_batch_is_on_its_way_before_the_answer_is_waited_for(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    trt.cuda.calls.clear()
    answers = backend.infer(windows(1, 1, 1, 1))
    assert trt.cuda.calls == []
    next(answers)
    assert trt.cuda.calls == ["launch", "launch", "wait", "launch"]
    assert len(list(answers)) == 3
    assert trt.cuda.calls[4:] == ["wait", "launch", "wait", "wait"]


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (1, 1, [1]),
        (1, 2, [1, 2]),
        (1, 4, [1, 2, 4]),
        (1, 6, [1, 2, 4, 6]),
        (2, 3, [2, 3]),
        (3, 3, [3]),
        (1, 9, [1, 2, 4, 8, 9]),
    ],
)
def test_sizes_that_are_kept_ready(least: int, most: int, expected: list[int]) -> None:
    assert batch_sizes(least, most) == expected


def test_a_batch_between_two_sizes_runs_as_the_larger(trt: FakeTensorRt) -> None:
    backend = backend_of(trt, engine_of(6, least=2))
    for given in windows(1, 2, 3, 5, 6):
        (answer,) = backend.infer([given])
        np.testing.assert_array_equal(answer, 255 - given)


def test_a_caller_that_leaves_gives_its_lanes_back(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    for taken in range(4):
        answers = backend.infer(windows(1, 2, 3, 4))
        for _ in range(taken):
            next(answers)
        answers.close()  # type: ignore[attr-defined]

    def breaks_off() -> Iterator[Image]:
        yield from windows(1, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(backend.infer(breaks_off()))
    assert backend._lanes.free == LANES
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_photograph_through_tiles_is_the_whole_photograph(trt: FakeTensorRt) -> None:
    random = np.random.default_rng(3)
    photo = random.integers(0, 256, (150, 101, 3), np.uint8)
    with Segmenter(manifest_of(), backend_of(trt)) as segmenter:
        np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])


@pytest.mark.parametrize("shape", [(5, 1, 32, 32), (1, 1, 16, 32), (1, 1, 64, 64), (1, 3, 32, 32)])
def test_windows_that_the_engine_does_not_take(trt: FakeTensorRt, shape: tuple[int, ...]) -> None:
    backend = backend_of(trt)
    with pytest.raises(OptionError, match=r"^\d windows of .* at once\. This engine takes up to 4 of 32 × 32 pi"):
        list(backend.infer([np.zeros(shape, np.uint8)]))
    assert backend._lanes.free == LANES


def test_tensorrt_has_what_is_asked_of_it() -> None:
    """The stand-ins above have no name that the real ones lack."""
    real = pytest.importorskip("tensorrt_rtx")
    for stand_in, kind in ((Context, real.IExecutionContext), (FakeTensorRt, real)):
        names = {name for name in vars(stand_in) if not name.startswith("_")}
        assert {name for name in names if not hasattr(kind, name)} <= {"network", "complain", "does"}
    assert hasattr(real.DataType, "UINT8")
    assert hasattr(real.TensorIOMode, "INPUT")
    assert hasattr(real.ExecutionContextAllocationStrategy, "USER_MANAGED")
    assert hasattr(real.DynamicShapesKernelSpecializationStrategy, "EAGER")
    for kind, names in {
        real.Runtime: {"deserialize_cuda_engine", "get_engine_validity", "engine_header_size"},
        real.ICudaEngine: {"num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"}
        | {"create_runtime_config", "create_execution_context"},
        real.IRuntimeConfig: {"set_execution_context_allocation_strategy", "create_runtime_cache", "set_runtime_cache"}
        | {"dynamic_shapes_kernel_specialization_strategy"},
        real.IRuntimeCache: {"serialize", "deserialize"},
    }.items():
        assert {name for name in names if not hasattr(kind, name)} == set()


# Memory: of a lane 2 × batch × 32 × 32 bytes for the windows, 1000 × batch for the network.
LANE = 2 * TILE * TILE + 1000


def test_a_batch_that_does_not_fit_is_halved_once_for_each_size(caplog: pytest.LogCaptureFixture) -> None:
    trt = FakeTensorRt(FakeCuda(2 * LANE * LANES))
    trt.cuda.room = trt.cuda.memory = 2 * LANE  # one lane of two windows
    backend = backend_of(trt, engine_of(8))
    assert backend.batch == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "the GPU's memory does not hold batches of 8: halved to 4",
        "the GPU's memory does not hold batches of 4: halved to 2",
        f"the GPU's memory holds 1 of {LANES} lanes",
    ]
    (answer,) = backend.infer(windows(2))
    np.testing.assert_array_equal(answer, 255 - windows(2)[0])
    assert len(list(backend.infer(windows(1, 2, 1, 2)))) == 4  # by the one lane that there is
    with pytest.raises(OptionError, match="takes up to 2 of"):
        list(backend.infer(windows(3)))
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_gpu_without_room_for_one_window_is_named_and_left_as_it_was() -> None:
    trt = FakeTensorRt(FakeCuda(LANE - 1))
    with pytest.raises(DeviceError, match=r"^the GPU's memory does not suffice for 1 window\(s\) of 32 px\. See"):
        backend_of(trt)
    assert trt.cuda.in_use == 0


def test_a_network_that_can_not_be_captured_runs_without_graphs_and_says_so(
    trt: FakeTensorRt, caplog: pytest.LogCaptureFixture
) -> None:
    trt.capturable = False
    backend = backend_of(trt)
    (answer,) = backend.infer(windows(3))
    np.testing.assert_array_equal(answer, 255 - windows(3)[0])
    assert "it runs without CUDA graphs" in caplog.text
    assert trt.cuda.graphs == {}


# What TensorRT refuses


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("plan", r"^TensorRT for RTX 1\.2\.3\.4 does not load the engine: no plan\. Compile the model again\.$"),
        ("config", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no config\. Compile the model again\.$"),
        ("cache", r"^TensorRT for RTX 1\.2\.3\.4 can't keep kernels: no cache\."),
        ("set cache", r"^TensorRT for RTX 1\.2\.3\.4 can't keep kernels: no set cache\."),
        ("context", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no context\."),
        ("profile", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no profile\."),
        ("shape", r"^TensorRT for RTX 1\.2\.3\.4 takes no windows of shape \(1, 1, 32, 32\): no shape\."),
        ("address", r"^TensorRT for RTX 1\.2\.3\.4 can't prepare the engine: no address\."),
        ("run", r"^TensorRT for RTX 1\.2\.3\.4 can't run the engine: no run\."),
        ("result", r"^this RTX 2080 Ti gives other probabilities .* 256 of 256 differ by more than 0\.05\. .*f32\.$"),
    ],
)
def test_an_engine_that_does_not_do_what_it_should(broken: str, message: str) -> None:
    trt = FakeTensorRt(FakeCuda(), broken=broken)
    with pytest.raises(EngineError, match=message):
        backend_of(trt)
    assert trt.cuda.in_use == 0


def test_tensorrt_that_does_not_start() -> None:
    trt = FakeTensorRt(FakeCuda(), broken="runtime")
    with pytest.raises(DeviceError, match=r"^TensorRT for RTX 1\.2\.3\.4 does not start: no runtime\. See nvidia-smi"):
        backend_of(trt)


def test_an_output_of_more_channels_is_refused_before_it_is_written(trt: FakeTensorRt) -> None:
    trt.output_channels = 2
    with pytest.raises(EngineError, match=r"^of windows of shape \(1, 1, 32, 32\) the engine gives \(1, 2, 32, 32\)\."):
        backend_of(trt)
    assert not any(call.startswith("run") for call in trt.cuda.calls)
    assert trt.cuda.in_use == 0


def test_an_engine_that_gives_no_bytes(trt: FakeTensorRt) -> None:
    trt.output = "float"
    with pytest.raises(EngineError, match=r"^the engine does not take and give bytes\. Compile the model again"):
        backend_of(trt)


def test_a_few_steep_places_may_be_off_and_not_more(trt: FakeTensorRt) -> None:
    proof = bytearray(proof_from_probability(255 - proof_window(1, TILE)[0]).tobytes())
    for place in range(5):
        proof[place] ^= 0x80
    backend_of(trt, engine_of(proof=proof.hex()))
    proof[5] ^= 0x80
    with pytest.raises(EngineError, match=r"6 of 256 differ by more than 0\.05\."):
        backend_of(trt, engine_of(proof=proof.hex()))


# Kernels that TensorRT for RTX compiles


def test_kernels_are_compiled_once(trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kernels = tmp_path / "new" / "a.kernels"
    backend_of(trt, kernels=kernels)
    assert kernels.read_bytes() == trt.kernels
    assert caplog.messages == ["compiling kernels for this GPU, once"]
    caplog.clear()
    written = kernels.stat().st_mtime_ns
    backend_of(trt, kernels=kernels)
    assert caplog.messages == []
    assert kernels.stat().st_mtime_ns == written


def test_kernels_that_do_not_serve_are_compiled_again(
    trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernels = tmp_path / "a.kernels"
    kernels.write_bytes(b"kernels for sm86")
    backend_of(trt, kernels=kernels)
    assert kernels.read_bytes() == trt.kernels
    assert "kernels of another GPU or driver, or damaged" in caplog.text


def test_kernels_that_can_not_be_kept_only_cost_time(
    trt: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    backend = backend_of(trt, kernels=tmp_path / "file" / "a.kernels")
    assert len(list(backend.infer(windows(1)))) == 1
    assert "compiled kernels are not kept" in caplog.text


def test_kernels_that_tensorrt_does_not_give_only_cost_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = backend_of(FakeTensorRt(FakeCuda(), broken="serialize"), kernels=tmp_path / "a.kernels")
    assert len(list(backend.infer(windows(1)))) == 1
    assert "compiled kernels are not kept" in caplog.text
    assert list(tmp_path.iterdir()) == []


# A GPU that fails


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


def ends(do: Callable[[], Any]) -> Any:
    """What `do` gives, in a thread: one that waits for ever is a failure, and not a test that hangs."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(do).result(timeout=10)
    finally:
        pool.shutdown(wait=False)


def life_of(at: int, error: type[Exception], *, dead: bool) -> tuple[Failing, list[str]]:
    """Loads, infers twice and closes; what failed."""
    cuda, failures = Failing(at, error, dead=dead), list[str]()
    try:
        backend = TensorRtBackend(engine_of(), CARD, FakeTensorRt(cuda.real), cuda)  # type: ignore[arg-type]
    except (VesselrtError, error) as refused:
        return cuda, [str(refused)]
    given = windows(*(min(count, backend.batch) for count in (4, 1, 3)))
    for _ in range(2):
        try:
            answers = ends(lambda: list(backend.infer(given)))
        except DeviceError as failed:
            failures.append(str(failed))
        else:
            for answer, batch in zip(answers, given, strict=True):
                np.testing.assert_array_equal(answer, 255 - batch)
    assert backend._lanes.free == len(cuda.real.streams)
    backend.close()
    backend.close()
    return cuda, failures


@pytest.mark.parametrize("dead", [True, False], ids=["for good", "once"])
@pytest.mark.parametrize("error", [DeviceError, MemoryError, RuntimeError])
def test_whichever_call_fails_nothing_is_lost_and_nobody_waits(error: type[Exception], dead: bool) -> None:
    calls, seen = life_of(1 << 40, error, dead=dead)[0].count, set()
    assert calls > 100
    for at in range(calls):
        cuda, failures = life_of(at, error, dead=dead)
        assert cuda.real.in_use == 0, at
        assert len(set(failures)) <= 1, failures  # once broken it stays so, for the same reason
        seen |= set(failures)
    assert (
        "The RTX 2080 Ti failed: synchronize failed. It is not used any more in this process: start that again." in seen
    )


def test_those_who_wait_for_a_lane_learn_that_the_gpu_failed(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    holding = [backend.infer(windows(1, 1, 1)) for _ in range(LANES // 2)]
    for answers in holding:
        next(answers)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(lambda: list(backend.infer(windows(1)))) for _ in range(3)]
        trt.cuda.fails = True
        with pytest.raises(DeviceError, match="The RTX 2080 Ti failed: it fell off the bus"):
            next(holding[0])
        for one in waiting:
            with pytest.raises(DeviceError, match="The RTX 2080 Ti failed: it fell off the bus"):
                one.result(timeout=10)
    holding[1].close()  # type: ignore[attr-defined]
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_model_that_is_closed_gives_each_lane_back_when_it_is_done(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    answers = backend.infer(windows(1, 1))
    next(answers)
    backend.close()
    assert trt.cuda.in_use > 0
    assert len(list(answers)) == 1
    assert trt.cuda.in_use == 0
    with pytest.raises(DeviceError, match=r"^The model was closed: load it again\.$"):
        ends(lambda: list(backend.infer(windows(1))))


# From a file to an answer: load() on a machine that seems to have a GPU


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trt: FakeTensorRt) -> FakeTensorRt:
    """With a 2080 Ti, TensorRT for RTX and an empty cache."""
    trt.EngineValidity = SimpleNamespace(INVALID=2)  # type: ignore[attr-defined]
    for module in (devices, preflight):
        monkeypatch.setattr(module, "find_gpu", lambda: CARD)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    # In its place, and cuda-bindings is not loaded: see test_cuda.py.
    monkeypatch.setitem(sys.modules, "vesselrt.runtime.engines.cuda", SimpleNamespace(Cuda=lambda: trt.cuda))
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "cache"))
    find_spec = importlib.util.find_spec
    known = {"tensorrt_rtx": ModuleSpec("tensorrt_rtx", None), "tensorrt": None}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: known[name] if name in known else find_spec(name))
    return trt


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file: 1 - image / 255."""
    axes: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["real", "most"], ["share"]),
            helper.make_node("Sub", ["one", "share"], ["probability"]),
        ],
        "inversion",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, axes)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, axes)],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("most", 255.0), ("one", 1.0))],
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    write(made, manifest_of("f32"), tmp_path / "inversion.onnx")
    return tmp_path / "inversion.onnx"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the compiler was asked for."""
    asked: list[tuple[Any, ...]] = []

    def compiler(path: Path, targets: list[str], precision: str, max_batch: int, flavour: Flavour) -> Engine:
        asked.append((path, targets, precision, max_batch, flavour))
        return engine_of(max_batch, flavour, model_sha256=sha256(path))

    monkeypatch.setattr("vesselrt.runtime.engines.cache.installed_compiler", lambda: compiler)
    return asked


def test_a_model_file_is_compiled_once_and_then_found(
    machine: FakeTensorRt, model: Path, compiled: list[Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "vesselrt")
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    for device in ("cuda", "cuda:tensorrt_rtx", "auto"):
        with load(model, device=device) as segmenter:
            assert str(segmenter.info) == "cuda (RTX 2080 Ti), fp16, tensorrt_rtx 1.2.3.4"
            assert segmenter.manifest.tile.fixed
            np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert compiled == [(model, ["sm75"], "fp16", 4, "tensorrt_rtx")]
    assert caplog.messages[0] == "compiling tiny 0.1 to fp16 for sm75 by TensorRT for RTX 1.2.3.4, once"
    assert caplog.messages[1].startswith("compiled in ")
    kinds = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert kinds == ["", ".engine", ".kernels"]  # the first is the lock


def test_an_engine_file_runs(machine: FakeTensorRt, tmp_path: Path) -> None:
    engine_of().write(tmp_path / "a.engine")
    for device in ("auto", "cuda", "cuda:tensorrt_rtx"):
        with load(tmp_path / "a.engine", device=device, precision="fp16") as segmenter:
            assert segmenter.info.device == "cuda"
    assert (tmp_path / "a.kernels").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, r"a\.engine is an engine for device cuda:tensorrt_rtx, not cpu\. Name its model file"),
        ({"device": "cuda:tensorrt"}, r"is an engine for device cuda:tensorrt_rtx, not cuda:tensorrt\."),
        ({"precision": "f32"}, r"a\.engine is an engine in fp16, not f32\. Compile the model again for another\.$"),
    ],
)
def test_an_engine_file_is_what_it_is(
    machine: FakeTensorRt, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    engine_of().write(tmp_path / "a.engine")
    with pytest.raises(DeviceError, match=message):
        load(tmp_path / "a.engine", **options)  # type: ignore[arg-type]


def test_an_engine_for_another_machine_is_refused_before_it_is_loaded(machine: FakeTensorRt, tmp_path: Path) -> None:
    engine_of(targets=("sm86",)).write(tmp_path / "a.engine")
    with pytest.raises(DeviceError, match=r"a\.engine does not run here: The GPU here .* is sm75, .* for sm86\. Run:"):
        load(tmp_path / "a.engine")
    assert machine.cuda.calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda", "precision": "bf16"}, r"^device cuda:tensorrt_rtx computes in fp16 or f32, not bf16\."),
        ({"device": "cuda:tensorrt"}, r"^TensorRT can't be imported \(.*\)\. Run: pip install tensorrt$"),
        (
            {"device": "cuda:onnxruntime", "precision": "fp16"},
            r"computes in what the graph of .* names, f32, not fp16\.",
        ),
        ({"device": "cuda:onnxruntime"}, r"^this onnxruntime .* is the one without CUDA\. Run: pip uninstall onnxr"),
        ({"device": "cuda:onnxruntime-rtx"}, r"^the plug-in of TensorRT for RTX is not installed\. Run: pip install"),
    ],
)
def test_what_cuda_lacks_is_named(
    machine: FakeTensorRt, model: Path, compiled: list[Any], options: dict[str, str], message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        load(model, **options)  # type: ignore[arg-type]


# ONNX Runtime on a GPU: a session on the processor stands in for the one there


@pytest.fixture
def onnxruntime_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """onnxruntime-gpu as far as it is asked: what a session was made with."""
    made: dict[str, Any] = {"starts": True}
    real = onnxruntime.InferenceSession

    class Session(real):  # type: ignore[misc, valid-type]
        def __init__(self, path: Path, options: Any = None, providers: Any = None) -> None:
            made["providers"] = providers
            super().__init__(path, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"] if made["starts"] else ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    return made


def test_onnxruntime_on_cuda(machine: FakeTensorRt, model: Path, onnxruntime_gpu: dict[str, Any]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    with load(model, device="cuda:onnxruntime", precision="f32") as segmenter:
        assert str(segmenter.info) == f"cuda (RTX 2080 Ti), f32, onnxruntime {onnxruntime.__version__}"
        np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert onnxruntime_gpu["providers"] == [
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
    ]


def test_onnxruntime_whose_gpu_fails(
    machine: FakeTensorRt, model: Path, onnxruntime_gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered\nand where")

    with load(model, device="cuda:onnxruntime") as segmenter:
        monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fails)
        with pytest.raises(DeviceError, match=r"^the RTX 2080 Ti failed: CUDA failure 700: .* was encountered$"):
            segmenter.segment(np.full((40, 40, 3), 99, np.uint8))


def test_onnxruntime_that_falls_back_to_the_processor_is_refused(
    machine: FakeTensorRt, model: Path, onnxruntime_gpu: dict[str, Any]
) -> None:
    onnxruntime_gpu["starts"] = False
    with pytest.raises(DeviceError, match=r"^onnxruntime-gpu .* can't start CUDA here\. It needs CUDA and cuDNN: pip"):
        load(model, device="cuda:onnxruntime")


class Plugin:
    """The module onnxruntime_ep_nv_tensorrt_rtx, and ONNX Runtime's list of devices."""

    def __init__(self, *, starts: bool = True, serves: bool = True) -> None:
        self.starts, self.serves, self.devices = starts, serves, list[SimpleNamespace]()
        self.options: dict[str, str] = {}
        self.entries: dict[str, str] = {}

    def get_ep_name(self) -> str:
        return "NvTensorRTRTXExecutionProvider"

    def get_library_path(self) -> str:
        return "plugin.so"

    def register(self, name: str, path: str) -> None:
        assert (name, path) == ("onnxruntime_ep_nv_tensorrt_rtx", "plugin.so")
        if not self.starts:
            raise RuntimeError("libcuda.so.1: cannot open shared object file\nand more")
        if self.serves:
            self.devices.append(SimpleNamespace(ep_name=self.get_ep_name()))

    def session_options(self) -> Any:
        def add(devices: list[Any], options: dict[str, str]) -> None:
            assert devices == self.devices[:1]
            self.options = options

        return SimpleNamespace(add_provider_for_devices=add, add_session_config_entry=self.entries.__setitem__)


takes_plugins = pytest.mark.skipif(not hasattr(onnxruntime, "get_ep_devices"), reason="onnxruntime before 1.23")


def use(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def session(path: Path, options: Any = None, providers: Any = None) -> Any:
        plain = None if isinstance(options, SimpleNamespace) else options
        return real(path, plain, providers=providers or ["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: plugin.devices)
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", plugin.register)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)


@takes_plugins
def test_onnxruntime_with_the_plug_in(
    machine: FakeTensorRt, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = Plugin()
    use(plugin, monkeypatch)
    read = read_manifest(model)  # with real options, before they are replaced
    monkeypatch.setattr(devices, "read_manifest", lambda path: read)
    monkeypatch.setattr(onnxruntime, "SessionOptions", plugin.session_options)
    photo = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    for _ in range(2):  # the plug-in is registered once
        with load(model, device="cuda:onnxruntime-rtx") as segmenter:
            assert segmenter.info.backend == "onnxruntime with tensorrt_rtx"
            np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])
    assert len(plugin.devices) == 1
    kernels = tmp_path / "cache" / f"onnxruntime-{sha256(model)[:32]}"
    assert kernels.is_dir()
    assert plugin.options == {
        "nv_profile_min_shapes": "image:1x1x4x4",
        "nv_profile_opt_shapes": "image:1x1x32x32",
        "nv_profile_max_shapes": "image:4x1x32x32",
        "nv_runtime_cache_path": str(kernels),
    }
    assert plugin.entries == {"session.disable_cpu_ep_fallback": "1"}


@takes_plugins
def test_onnxruntime_with_the_plug_in_and_no_place_for_its_kernels(
    machine: FakeTensorRt,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin = Plugin()
    use(plugin, monkeypatch)
    read = read_manifest(model)
    monkeypatch.setattr(devices, "read_manifest", lambda path: read)
    monkeypatch.setattr(onnxruntime, "SessionOptions", plugin.session_options)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "file" / "cache"))
    load(model, device="cuda:onnxruntime-rtx").close()
    assert "nv_runtime_cache_path" not in plugin.options
    assert "compiled kernels are not kept, the next start compiles them again: the cache of engines" in caplog.text


def test_onnxruntime_that_takes_no_plug_ins(
    machine: FakeTensorRt, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", Plugin())
    monkeypatch.delattr(onnxruntime, "get_ep_devices", raising=False)
    with pytest.raises(
        DeviceError, match=r"^onnxruntime .* takes no plug-ins\. Run: pip install 'onnxruntime>=1\.23'$"
    ):
        load(model, device="cuda:onnxruntime-rtx")


@takes_plugins
@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Plugin(starts=False), r"^onnxruntime_ep_nv_tensorrt_rtx does not start here: libcuda\.so\.1: .* file$"),
        (
            Plugin(serves=False),
            r"^onnxruntime_ep_nv_tensorrt_rtx finds no GPU that it serves: an RTX card of the Turing",
        ),
    ],
)
def test_a_plug_in_that_does_not_serve(
    machine: FakeTensorRt, model: Path, monkeypatch: pytest.MonkeyPatch, plugin: Plugin, message: str
) -> None:
    use(plugin, monkeypatch)
    with pytest.raises(DeviceError, match=message):
        load(model, device="cuda:onnxruntime-rtx")


def test_auto_says_why_a_gpu_is_not_used(
    machine: FakeTensorRt, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: object) -> Engine:
        raise ExportError("Det (node determinant) is not known.")

    monkeypatch.setattr("vesselrt.runtime.engines.cache.installed_compiler", lambda: refuses)
    with load(model, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"
    assert caplog.messages[-1] == "the RTX 2080 Ti is not used: Det (node determinant) is not known."
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with load(model, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"
    assert caplog.messages[-1] == (
        "the RTX 2080 Ti is not used: TensorRT is not installed. Run: pip install 'vesselrt[tensorrt]'"
    )


def test_without_a_gpu_cuda_is_an_error_and_auto_the_processor(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.hardware._load_driver", lambda: None)
    for device in ("cuda", "cuda:tensorrt_rtx", "cuda:tensorrt", "cuda:onnxruntime", "cuda:onnxruntime-rtx"):
        with pytest.raises(DeviceError, match=r"^no NVIDIA driver here"):
            load(model, device=device)
    with load(model, threads=1) as segmenter:
        assert segmenter.info.device == "cpu"


def test_the_compiler_that_is_installed_is_ours() -> None:
    from vesselrt.export.engine import build
    from vesselrt.runtime.engines.cache import installed_compiler

    assert installed_compiler() is build


@pytest.mark.gpu
def test_on_a_real_gpu(fundus_photo: Callable[[int, int, int], tuple[Image, Any]]) -> None:
    pytest.importorskip("tensorrt_rtx")
    photo, _ = fundus_photo(700, 720, 0)
    with load(device="cuda") as gpu, load(device="cpu:onnxruntime") as cpu:
        one, other = gpu.segment(photo).mask(), cpu.segment(photo).mask()
    assert (one != other).mean() < 0.001


def test_the_graph_that_is_compiled_gives_the_bytes_of_the_model(model: Path) -> None:
    """What the compiler appends does what `to_bytes` does."""
    from vesselrt.export.engine import deployed
    from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend

    session = onnxruntime.InferenceSession(
        deployed(onnx.load(model), 256).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    window = np.arange(256 * 256).astype(np.uint8).reshape(1, 1, 256, 256)
    (levels,) = session.run(None, {"image": window})
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, next(OnnxRuntimeBackend(model, "f32", 1).infer([window])))
    assert read_manifest(model).precision == "f32"
