"""What this processor computes and moves at most, by measurement.

- Operations: three 3 × 3 convolutions of 256 to 256 channels on 64 × 64 pixels, one after the other, through the
  backend that runs the models, so in its kernels and on its threads. Each value is read 2304 times, so memory is no
  limit. In `int8` the graph holds QuantizeLinear and DequantizeLinear, as converted models do.
- Memory: the triad a = b + s × c of STREAM (McCalpin), of float64, in two steps, since numpy has no multiply-add: a is
  written twice and read once. As in STREAM, bytes are those that the program names.

Of several runs the fastest counts: a limit is what was possible once.
"""

import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesselrt.runtime.backends.openvino import OpenVinoBackend, computed_precisions
from vesselrt.runtime.errors import MissingExtraError
from vesselrt.runtime.manifest import Precision

CHANNELS, SIDE, CONVOLUTIONS = 256, 64, 3
OPERATIONS = CONVOLUTIONS * 2 * SIDE * SIDE * CHANNELS * CHANNELS * 9
_LEAST_ARRAY = 64 * 2**20  # bytes, or four times the largest cache, as STREAM asks


@dataclass(frozen=True)
class Peaks:
    """The most that was reached."""

    threads: int
    operations: dict[Precision, float]
    """A second, on all threads; of the precisions that the processor computes in."""
    bandwidth: float
    """Bytes a second, on all threads."""
    bandwidth_alone: float
    """The same on one thread, which decodes, prepares and encodes."""


def measure_peaks(threads: int, runs: int = 7) -> Peaks:
    """Takes seconds. Raises MissingExtraError without onnx."""
    rates = {precision: _measure_rate(precision, threads, runs) for precision in computed_precisions()}
    return Peaks(threads, rates, measure_bandwidth(threads, runs), measure_bandwidth(1, runs))


def measure_bandwidth(threads: int, runs: int, size: int | None = None) -> float:
    """Bytes a second of the triad; `size`: of each of its three arrays, bytes."""
    each = (size or _array_size()) // 8 // threads
    arrays = [tuple(np.full(each, value) for value in (0.0, 1.0, 2.0)) for _ in range(threads)]  # written: in memory

    def triad(thread: int) -> None:
        a, b, c = arrays[thread]
        np.multiply(c, 3.0, out=a)
        np.add(a, b, out=a)

    with ThreadPoolExecutor(threads) as pool:
        seconds = _least_seconds(lambda: list(pool.map(triad, range(threads))), runs)
    assert all(a[-1] == 7.0 for a, _, _ in arrays)
    return 5 * 8 * each * threads / seconds


def _array_size() -> int:
    caches = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [int(text[:-1]) * 1024 for file in caches if (text := file.read_text("ascii").strip()).endswith("K")]
    return max([_LEAST_ARRAY, *(4 * size for size in sizes)])


def _measure_rate(precision: Precision, threads: int, runs: int) -> float:
    """Operations a second."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, CHANNELS, SIDE, SIDE), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_convolutions(Path(folder) / "convolutions.onnx", quantized=precision == "int8")
        backend = OpenVinoBackend(path, precision, threads, once=True)
        seconds = _least_seconds(lambda: list(backend.infer([pixels])), runs)
        backend.close()
    return OPERATIONS / seconds


def write_convolutions(path: Path, *, quantized: bool) -> Path:
    """The graph: (1, CHANNELS, SIDE, SIDE) uint8 → (1, 1, SIDE, SIDE) float32. Raises MissingExtraError."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ModuleNotFoundError:
        raise MissingExtraError.of("measuring the peak of a processor", "engines") from None
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (CHANNELS, CHANNELS, 3, 3), np.int8)
    constants: dict[str, Any] = {"weights": weights if quantized else weights * np.float32(1e-4)}
    if quantized:
        constants |= {"scale": np.float32(0.02), "zero": np.uint8(0), "fine": np.float32(1e-4), "none": np.int8(0)}
    nodes, last = [helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT)], "pixels"
    if quantized:
        nodes.append(helper.make_node("DequantizeLinear", ["weights", "fine", "none"], ["wide"]))
    for number in range(CONVOLUTIONS):
        if quantized:
            nodes.append(helper.make_node("QuantizeLinear", [last, "scale", "zero"], [f"q{number}"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"q{number}", "scale", "zero"], [f"d{number}"]))
            last = f"d{number}"
        nodes.append(helper.make_node("Conv", [last, "wide" if quantized else "weights"], [f"c{number}"], pads=[1] * 4))
        last = f"c{number}"
    nodes.append(helper.make_node("ReduceMax", [last, "channel"], ["probability"], keepdims=1))
    shape, single = [1, CHANNELS, SIDE, SIDE], [1, 1, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, single)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        + [numpy_helper.from_array(np.array([1], np.int64), "channel")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _least_seconds(call: Callable[[], object], runs: int) -> float:
    """Of `runs` calls, after one that does not count."""
    call()
    least = math.inf
    for _ in range(runs):
        started = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - started)
    return least
