"""Whether this machine can run an engine, checked before the engine is loaded."""

from contextlib import suppress
from typing import Any

from vesselrt.runtime.engines.enginefile import FLAVOUR_NAMES, Engine, Header, import_tensorrt
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.hardware import find_gpu

_PACKAGES = {"tensorrt_rtx": "tensorrt-rtx-cu13", "tensorrt": "tensorrt"}
_REASONS = {
    "VERSION_MISMATCH": "it was made by another release",
    "UNSUPPORTED_CC": "it was made for other GPUs",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old: install a newer one",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory",
    "MALFORMED_ENGINE": "the plan is malformed",
    "CUDA_ERROR": "CUDA does not work here: see nvidia-smi",
}
"""TensorRT's own diagnostics, in words."""


def find_obstacles(engine: Engine) -> list[str]:
    """Why this machine can't run the engine, one sentence each; empty: no obstacle is known before it is loaded."""
    header, elsewhere, found, library = engine.header, "", [], None
    name = FLAVOUR_NAMES[header.flavour]
    with suppress(DeviceError):  # reported below, with the release that is needed
        library = import_tensorrt(header.flavour)
    try:
        gpu = find_gpu()
    except DeviceError as error:
        found.append(str(error))
    else:
        if gpu.target not in header.targets:
            elsewhere = (
                f"The GPU here ({gpu.name}) is {gpu.target}, the engine is for {', '.join(header.targets)}. "
                f"{_advise_compiling(header, library, gpu.target)}"
            )
    if library is None:
        found.append(f"{name} is not installed. Run: {_install_command(header)}")
    elif library.__version__ != header.version:
        found.append(
            f"{name} here is {library.__version__}, the engine needs exactly {header.version}. "
            f"Compile the model again, or run: {_install_command(header)}"
        )
    elif not found and hasattr(library.Runtime, "get_engine_validity"):
        found = _ask_tensorrt(library, engine)
        if not found:
            return []  # also on a GPU that the file does not name: TensorRT knows best what runs where
    return [elsewhere, *found] if elsewhere else found


def _advise_compiling(header: Header, library: Any, target: str) -> str:
    """How to get an engine for this GPU. TensorRT for RTX 1.7 builds none for sm90, the H100."""
    capabilities = getattr(library, "ComputeCapability", None)
    if capabilities is None or hasattr(capabilities, target.upper()):
        return f"Run: vesselrt compile --target {target}"
    return f"{FLAVOUR_NAMES[header.flavour]} builds none for {target}. Run there: vesselrt compile --builder tensorrt"


def _install_command(header: Header) -> str:
    return f"pip install '{_PACKAGES[header.flavour]}=={header.version}'"


def _ask_tensorrt(library: Any, engine: Engine) -> list[str]:
    """What TensorRT says about the plan's first bytes."""
    try:
        runtime = library.Runtime(library.Logger(library.Logger.INTERNAL_ERROR))
    except TypeError:  # how pybind11 says that nothing was made
        name = FLAVOUR_NAMES[engine.header.flavour]
        return [f"{name} does not start: see nvidia-smi for the driver and the GPU's state."]
    validity, diagnostics = runtime.get_engine_validity(engine.plan[: runtime.engine_header_size])
    if validity != library.EngineValidity.INVALID:
        return []
    members = library.EngineInvalidityDiagnostics.__members__
    reasons = [words for name, words in _REASONS.items() if name in members and diagnostics & int(members[name])]
    return [f"{FLAVOUR_NAMES[engine.header.flavour]} refuses it: {'; '.join(reasons) or 'no reason given'}."]
