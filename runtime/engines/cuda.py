"""The CUDA calls that the runtime needs: memory, streams and graphs.

Only this file of the runtime imports cuda-bindings.
"""

import ctypes
import math
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from cuda.bindings import runtime

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DeviceError


class Cuda:
    """The first GPU that this process sees.

    Device memory, streams and graphs are numbers; the caller frees what it creates. Every method raises MemoryError
    when memory runs out, and DeviceError for every other error of CUDA.
    """

    def __init__(self) -> None:
        _value_or_raise(runtime.cudaSetDevice(0))  # initialises CUDA: TensorRT uses the GPU before any other call here

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the GPU."""
        return int(_value_or_raise(runtime.cudaMalloc(size)))

    def free(self, address: int) -> None:
        _value_or_raise(runtime.cudaFree(address))

    def allocate_host(self, shape: tuple[int, ...]) -> Image:
        """A uint8 array in page-locked memory: the GPU copies from and to it while the processor goes on."""
        size = math.prod(shape)
        address = int(_value_or_raise(runtime.cudaMallocHost(size)))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).reshape(shape)

    def free_host(self, array: Image) -> None:
        """Frees an array from `allocate_host`, which must not be used after this."""
        _value_or_raise(runtime.cudaFreeHost(array.ctypes.data))

    def create_stream(self) -> int:
        """A new stream: its work runs in order, in parallel to other streams."""
        return int(_value_or_raise(runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking)))

    def destroy_stream(self, stream: int) -> None:
        _value_or_raise(runtime.cudaStreamDestroy(stream))

    def synchronize(self, stream: int) -> None:
        """Waits until everything on the stream is done."""
        _value_or_raise(runtime.cudaStreamSynchronize(stream))

    def copy_in(self, address: int, array: Image, stream: int) -> None:
        """Queues a copy from page-locked memory to the GPU."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        _value_or_raise(runtime.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, stream))

    def copy_out(self, array: Image, address: int, stream: int) -> None:
        """Queues a copy from the GPU to page-locked memory."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _value_or_raise(runtime.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, kind, stream))

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Captures what `work` puts on the stream, with its addresses, as a graph; nothing of it runs."""
        # Other threads may allocate meanwhile; in the global mode that would break the capture.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _value_or_raise(runtime.cudaStreamBeginCapture(stream, mode))
        try:
            work()
        finally:
            ended = runtime.cudaStreamEndCapture(stream)
        recorded = _value_or_raise(ended)
        try:
            return int(_value_or_raise(runtime.cudaGraphInstantiate(recorded, 0)))
        finally:
            runtime.cudaGraphDestroy(recorded)

    def launch(self, graph: int, stream: int) -> None:
        _value_or_raise(runtime.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: int) -> None:
        _value_or_raise(runtime.cudaGraphExecDestroy(graph))


def _value_or_raise(result: tuple[Any, ...]) -> Any:
    """The value that a call returned, or None. Raises MemoryError, DeviceError."""
    error, *values = result
    if error == runtime.cudaError_t.cudaSuccess:
        return values[0] if values else None
    if error == runtime.cudaError_t.cudaErrorMemoryAllocation:
        raise MemoryError("the GPU's memory is used up")
    if error == runtime.cudaError_t.cudaErrorInsufficientDriver:
        raise DeviceError(
            f"the NVIDIA driver is missing or too old for cuda-bindings {version('cuda-bindings')}. "
            "Version 13 needs driver 580; for older ones: pip install 'vesselrt[tensorrt-cu12]'"
        )
    name, text = (call(error)[1].decode() for call in (runtime.cudaGetErrorName, runtime.cudaGetErrorString))
    raise DeviceError(f"CUDA: {text} ({name}). See nvidia-smi for the driver and the GPU's state.")
