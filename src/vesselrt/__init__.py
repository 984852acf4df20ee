"""Segments blood vessels in eye photographs.

>>> import vesselrt
>>> mask = vesselrt.load().segment("photo.jpg").mask(0.5)      # (H, W) bool
>>> mask.dtype, vesselrt.__version__.count(".")
(dtype('bool'), 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import vesselrt.runtime  # noqa: F401 - it turns telemetry off, before other libraries can be imported

if TYPE_CHECKING:
    from vesselrt.client import AsyncClient, Client
    from vesselrt.exchange import Answer
    from vesselrt.runtime.backends import Info
    from vesselrt.runtime.errors import (
        DataError,
        DeviceError,
        EngineError,
        ExportError,
        FieldOfViewError,
        ForkError,
        ImageDecodeError,
        ImageError,
        ImageNotFoundError,
        ImageTooLargeError,
        ManifestError,
        MissingExtraError,
        ModelError,
        ModelNotFoundError,
        OptionError,
        SegmenterClosedError,
        VesselrtError,
    )
    from vesselrt.runtime.manifest import Manifest
    from vesselrt.runtime.measures.figures import CalibreEquivalents, Measurements, VesselMeasures
    from vesselrt.runtime.measures.zones import Disc
    from vesselrt.runtime.modelfile import list_models as models
    from vesselrt.runtime.photo.decoding import Limits
    from vesselrt.runtime.photo.photograph import Frame
    from vesselrt.runtime.photo.photograph import list_frames as frames
    from vesselrt.runtime.photo.quality import Quality
    from vesselrt.runtime.photo.views import Box, Scale
    from vesselrt.runtime.segmentation import Segmentation
    from vesselrt.runtime.segmenter import Segmenter, load

    __version__: str

_HOMES = {
    "vesselrt.client": ("AsyncClient", "Client"),
    "vesselrt.exchange": ("Answer",),
    "vesselrt.runtime.backends": ("Info",),
    "vesselrt.runtime.manifest": ("Manifest",),
    "vesselrt.runtime.measures.figures": ("CalibreEquivalents", "Measurements", "VesselMeasures"),
    "vesselrt.runtime.measures.zones": ("Disc",),
    "vesselrt.runtime.modelfile": ("models",),
    "vesselrt.runtime.photo.decoding": ("Limits",),
    "vesselrt.runtime.photo.photograph": ("Frame", "frames"),
    "vesselrt.runtime.photo.quality": ("Quality",),
    "vesselrt.runtime.photo.views": ("Box", "Scale"),
    "vesselrt.runtime.segmentation": ("Segmentation",),
    "vesselrt.runtime.segmenter": ("Segmenter", "load"),
}
"""Module → public names. All others are errors."""
_NAMES_THERE = {"models": "list_models", "frames": "list_frames"}
"""Public name → its name in that module, where they differ."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Answer",
    "AsyncClient",
    "Box",
    "CalibreEquivalents",
    "Client",
    "DataError",
    "DeviceError",
    "Disc",
    "EngineError",
    "ExportError",
    "FieldOfViewError",
    "ForkError",
    "Frame",
    "ImageDecodeError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "Info",
    "Limits",
    "Manifest",
    "ManifestError",
    "Measurements",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "OptionError",
    "Quality",
    "Scale",
    "Segmentation",
    "Segmenter",
    "SegmenterClosedError",
    "VesselMeasures",
    "VesselrtError",
    "__version__",
    "frames",
    "load",
    "models",
]


if not TYPE_CHECKING:  # for type checkers there is no name but those above

    def __getattr__(name: str) -> Any:
        """A public name when first asked for: a decoder process or `vesselrt --help` needs none of the engines."""
        if name == "__version__":
            from importlib.metadata import version  # itself one of the slower imports

            return version("vesselrt")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(_HOME_OF.get(name, "vesselrt.runtime.errors"))
        value = globals()[name] = getattr(module, _NAMES_THERE.get(name, name))
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
