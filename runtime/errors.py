"""The one error tree of vesselrt.

    VesselrtError                     every error that vesselrt raises on purpose
    ├── ImageError                    the photograph can't be used
    │   ├── ImageNotFoundError        no such file; a FileNotFoundError too
    │   ├── ImageDecodeError          not an image, truncated, or of an unsupported kind
    │   ├── ImageTooLargeError        over the limit on bytes or pixels
    │   └── FieldOfViewError          nothing to see: no field of view in the photograph
    ├── ModelError                    the model file can't be used
    │   ├── ModelNotFoundError        no such file or built-in model; a FileNotFoundError too
    │   ├── ManifestError             the manifest is missing, damaged, or of a newer schema
    │   └── EngineError               the engine file is damaged or of a newer format
    ├── DeviceError                   the device or precision asked for is not to be had here, or the device failed
    ├── SegmenterClosedError          the Segmenter was closed
    ├── ForkError                     a model that was loaded before this process was forked
    ├── OptionError                   an argument is out of range (threshold, format, ...); a ValueError too
    ├── DataError                     a data set, recipe or annotation can't be used
    ├── ExportError                   the exported file does not do what the network does
    └── MissingExtraError             an optional dependency is not installed; an ImportError too

Each message says what came, what was expected and what to do next. Every error is made of its message alone, so that
it comes whole out of another process: it can be pickled.
"""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class VesselrtError(Exception):
    """Every error that vesselrt raises on purpose."""


class ImageError(VesselrtError):
    """The photograph can't be used."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """No such file."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOENT


class ImageDecodeError(ImageError):
    """Not an image, truncated, or of an unsupported kind."""


class ImageTooLargeError(ImageError):
    """Over the limit on bytes or pixels."""


class FieldOfViewError(ImageError):
    """Nothing to see: no field of view in the photograph."""


class ModelError(VesselrtError):
    """The model file can't be used."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No such file or built-in model."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOENT


class ManifestError(ModelError):
    """The manifest is missing, damaged, or of a newer schema."""


class EngineError(ModelError):
    """The engine file is damaged or of a newer format."""


class DeviceError(VesselrtError):
    """The device or precision asked for is not to be had here, or the device failed at work."""


class SegmenterClosedError(VesselrtError):
    """The Segmenter was closed."""


class ForkError(VesselrtError):
    """A model that was loaded before this process was forked: threads of its library stayed with the parent."""


class OptionError(VesselrtError, ValueError):
    """An argument is out of range."""


class DataError(VesselrtError):
    """A data set, recipe or annotation can't be used."""


class ExportError(VesselrtError):
    """The exported file does not do what the network does."""


class MissingExtraError(VesselrtError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, doing: str, extra: str) -> "MissingExtraError":
        """What `doing` needs comes with `vesselrt[extra]`."""
        return cls(f"{doing} needs packages that are not installed. Run: pip install 'vesselrt[{extra}]'")


def first_line(error: Exception) -> str:
    """Of what code of others raised: the first line of its message, or its kind where it has none."""
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def as_command() -> Iterator[None]:
    """Around what `python -m` of a module does: errors become one line and exit code 1."""
    try:
        yield
    except (VesselrtError, OSError) as error:
        sys.exit(f"error: {error}")
