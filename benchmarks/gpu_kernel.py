"""A network for GPUs that needs no library beside CUDA: one kernel, in PTX, which the driver compiles itself.

It gives 255 - the pixel, so every answer is known, and before that it computes for a while, so that there is something
to overlap.
"""

import ctypes
from typing import Any

from cuda.bindings import driver, runtime

from vesselrt.runtime.errors import DeviceError

BLOCKS, THREADS = 32, 256
"""A quarter of an H100 or half of an RTX 2080 Ti, so that several run beside each other."""

PTX = b"""
.version 6.3
.target sm_75
.address_size 64

.visible .entry invert(.param .u64 source, .param .u64 target, .param .u64 count, .param .u64 cycles)
{
    .reg .pred %p<3>;
    .reg .b32 %r<8>;
    .reg .b64 %d<12>;

    ld.param.u64 %d1, [source];
    ld.param.u64 %d2, [target];
    ld.param.u64 %d3, [count];
    ld.param.u64 %d4, [cycles];
    cvta.to.global.u64 %d1, %d1;
    cvta.to.global.u64 %d2, %d2;

    mov.u64 %d5, %clock64;
COMPUTE:
    mov.u64 %d6, %clock64;
    sub.u64 %d6, %d6, %d5;
    setp.lt.u64 %p1, %d6, %d4;
    @%p1 bra COMPUTE;

    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mov.u32 %r4, %nctaid.x;
    mad.lo.u32 %r5, %r1, %r2, %r3;
    mul.lo.u32 %r6, %r2, %r4;
    cvt.u64.u32 %d7, %r5;
    cvt.u64.u32 %d8, %r6;
PIXEL:
    setp.ge.u64 %p2, %d7, %d3;
    @%p2 bra DONE;
    add.u64 %d9, %d1, %d7;
    add.u64 %d10, %d2, %d7;
    ld.global.u8 %r7, [%d9];
    sub.u32 %r7, 255, %r7;
    st.global.u8 [%d10], %r7;
    add.u64 %d7, %d7, %d8;
    bra PIXEL;
DONE:
    ret;
}
\0"""


class Inversion:
    """The kernel, loaded on the first GPU. It must be called in the thread that made it."""

    def __init__(self) -> None:
        """Raises DeviceError when the driver does not take it."""
        _value_or_raise(runtime.cudaSetDevice(0))
        self._module = _value_or_raise(driver.cuModuleLoadData(PTX))
        self._function = _value_or_raise(driver.cuModuleGetFunction(self._module, b"invert"))

    def __call__(self, source: int, target: int, count: int, cycles: int, stream: int) -> None:
        """Puts it on the stream: `count` bytes at `source` to `target`, after so many `cycles` of the GPU's clock."""
        kinds = (ctypes.c_uint64,) * 4
        arguments = ((source, target, count, cycles), kinds)
        _value_or_raise(driver.cuLaunchKernel(self._function, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream, arguments, 0))


def free_memory() -> int:
    """Bytes of the GPU that nobody uses."""
    error, free, _ = runtime.cudaMemGetInfo()
    _value_or_raise((error, free))
    return int(free)


def _value_or_raise(result: tuple[Any, ...]) -> Any:
    error, *values = result
    if int(error):
        raise DeviceError(f"CUDA: {error.name}. See nvidia-smi for the driver and the GPU's state.")
    return values[0] if values else None
