"""Segments blood vessels in eye photographs.

import vesselrt
mask = vesselrt.load().segment("photo.jpg").mask(0.5)      # (H, W) bool
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import (
    DataError,
    DeviceError,
    EngineError,
    ExportError,
    FieldOfViewError,
    ImageDecodeError,
    ImageError,
    ImageTooLargeError,
    ManifestError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    OptionError,
    VesselrtError,
)
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import models
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.segmenter import Segmentation, Segmenter, load

if TYPE_CHECKING:
    from vesselrt.client import Client

__version__ = _version("vesselrt")

__all__ = [
    "Client",
    "DataError",
    "DeviceError",
    "EngineError",
    "ExportError",
    "FieldOfViewError",
    "ImageDecodeError",
    "ImageError",
    "ImageTooLargeError",
    "Info",
    "Limits",
    "Manifest",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "OptionError",
    "Segmentation",
    "Segmenter",
    "VesselrtError",
    "__version__",
    "load",
    "models",
]


def __getattr__(name: str) -> Any:
    if name == "Client":  # its library is an extra
        from vesselrt.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
