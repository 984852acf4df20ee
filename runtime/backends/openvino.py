"""OpenVINO on the CPU: the fastest there, in INT8 or bf16 where the model has it and the processor gains by it.

The library itself is used and not its plug-in for ONNX Runtime, which refuses every processor that is not
Intel's (microsoft/onnxruntime#31981); on Intel both take the same time.

A model is compiled once, for windows of every shape. What was compiled is kept in the cache of engines: it holds the
network and nothing of a photograph, since it is written before the first one comes.
"""

import hashlib
import io
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import vesselrt.runtime.backends.openvino_import  # noqa: F401 - before OpenVINO itself

# isort: split
import openvino
from openvino import opset13, properties
from openvino.properties import hint

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.engines.cache import EngineCache
from vesselrt.runtime.errors import DeviceError, EngineError
from vesselrt.runtime.hardware import cpu_features, cpu_name
from vesselrt.runtime.lifetime import start_library
from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.modelfile import sha256, unusable_model

logger = logging.getLogger(__name__)

_TYPES: dict[Precision, openvino.Type] = {
    "f32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "int8": openvino.Type.f32,  # of what the graph leaves in floating point
}
# One for the process, never given back. Its CPU plug-in gives the thread that makes it a stack for signals, and when
# it ends restores the one it found. Of two that end in the order they were made, the second restores the stack of the
# first, which is gone: the next signal ends the process with a segmentation fault (openvino#11894, so in 2026.4.1).
_CORE = openvino.Core()
_ACTIVATION = ("Add", "Multiply", "Sigmoid", "Subtract")
_COMPILED = 1
"""Version of how a model is changed before it is compiled: what another version left in the cache is not used."""


def computed_precisions() -> tuple[Precision, ...]:
    """Those that OpenVINO has instructions for on this processor."""
    start_library("OpenVINO", _CORE)
    has_bf16 = "BF16" in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(precision for precision in _TYPES if has_bf16 or precision != "bf16")


class OpenVinoBackend:
    """One request that owns all threads: two at once would only share the same cores."""

    batch = 1

    def __init__(self, path: Path, precision: Precision, threads: int, *, once: bool = False) -> None:
        """`int8` is for a graph that is INT8, and no other. `once`: of a file that will not be opened again, so what is
        compiled is not kept in the cache.

        Raises DeviceError for a precision that the processor lacks, ModelError for a graph that OpenVINO can't use.
        """
        start_library("OpenVINO", _CORE)  # in a forked child it would wait for the threads of its parent
        if precision not in computed_precisions():
            offered = " or ".join(computed_precisions())
            raise DeviceError(f"this processor ({cpu_name()}) does not compute in {precision}. Use {offered}.")
        version = openvino.__version__.split("-")[0]
        info = Info("openvino", version, "cpu", cpu_name(), precision, threads)
        compiled, written = _load(path, info, None if once else EngineCache())
        obtained = compiled.get_property(hint.inference_precision())
        if obtained != _TYPES[precision]:
            raise DeviceError(f"OpenVINO was told to compute in {precision} and took {obtained}. Use f32.")
        self._begin(compiled, written, info)

    def _begin(self, compiled: openvino.CompiledModel, written: bytes, info: Info) -> None:
        self.info, self._written, self._lock = info, written, threading.Lock()
        self._request = compiled.create_infer_request()

    def with_threads(self, threads: int) -> "OpenVinoBackend":
        """As `DivisibleBackend.with_threads`: of the model as it was compiled, whatever became of its file."""
        other = object.__new__(OpenVinoBackend)
        info = replace(self.info, threads=threads)
        # OpenVINO 2026.4 can't write again what it read: so the bytes are kept.
        other._begin(_read_compiled(self._written, info), self._written, info)
        return other

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        answers = []
        with self._lock:  # each answer is read before the next call may overwrite it
            for window in pixels:
                answer = self._request.infer([window[None]], share_inputs=True, share_outputs=True)
                answers.append(to_bytes(answer[0]).reshape(1, -1, *window.shape[1:]))
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def close(self) -> None:
        with self._lock:
            vars(self).pop("_request", None)
            vars(self).pop("_written", None)


def _load(path: Path, info: Info, cache: EngineCache | None) -> tuple[openvino.CompiledModel, bytes]:
    """From the cache, or compiled and kept there; and the bytes that are kept. Raises ModelError."""
    name = _cache_name(path, info)
    kept = None if cache is None else cache.read_compiled(name)
    if kept is not None:
        try:
            return _read_compiled(kept, info), kept
        except RuntimeError as error:
            logger.info("what was kept of %s is compiled again: %s", path.name, _reason(error))
    try:
        model = _CORE.read_model(path)
        _open_shapes(model)
        compiled = _CORE.compile_model(model, "CPU", _options(info))
    except RuntimeError as error:
        raise unusable_model(path, _reason(error)) from None
    stream = io.BytesIO()
    compiled.export_model(stream)
    written = stream.getvalue()
    if cache is not None:
        try:
            cache.keep_compiled(name, written)
        except EngineError as error:  # it costs the next start a second, and nothing else
            logger.debug("what was compiled is not kept: %s", error)
    return compiled, written


def _read_compiled(written: bytes, info: Info) -> openvino.CompiledModel:
    """Raises RuntimeError for bytes that OpenVINO does not take."""
    return _CORE.import_model(io.BytesIO(written), "CPU", _options(info))


def _cache_name(path: Path, info: Info) -> str:
    """Of everything that the compiled model depends on. The threads are told anew each time."""
    facts = ("openvino", _COMPILED, openvino.__version__, cpu_name(), cpu_features(), info.precision)
    return hashlib.sha256(repr((*facts, sha256(path))).encode()).hexdigest()[:32]


def _options(info: Info) -> dict[str, object]:
    return {
        # Pinned: OpenVINO's own default changes with the processor.
        hint.inference_precision(): _TYPES[info.precision],
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        properties.num_streams(): 1,
        properties.inference_num_threads(): info.threads,
        # Bound to cores, one thread of every model and of every process would share the first of them
        # (openvino#32444).
        hint.enable_cpu_pinning(): False,
    }


def _open_shapes(model: openvino.Model) -> None:
    """One window at once, of every shape that the graph takes.

    Where a graph of every shape ends with a pixel shuffle, its activation is given one row. The shuffle leaves the one
    channel innermost, and there OpenVINO would compute pixel by pixel: 14 % of the time of an INT8 `fundus` (2026.4).
    """
    shape = model.input().partial_shape
    shape[0] = 1
    model.reshape(shape)
    node, following = model.get_results()[0].input_value(0).get_node(), None
    while node.get_type_name() in _ACTIVATION:
        following, node = node, node.input_value(0).get_node()
    if following is not None and node.get_type_name() == "DepthToSpace" and shape.is_dynamic:
        row = opset13.reshape(node, np.array([0, 0, -1]), special_zero=True)  # (1, 1, h, w) to (1, 1, h × w)
        following.input(0).replace_source_output(row.output(0))
        model.validate_nodes_and_infer_types()


def _reason(error: RuntimeError) -> str:
    """What OpenVINO says last: before it stand the places in its source."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
