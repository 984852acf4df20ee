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
    ├── DeviceError                   the device or precision asked for is not available here, or the device failed
    ├── SegmenterClosedError          the Segmenter was closed
    ├── CallCancelledError            the caller's CancelToken ended the call
    ├── ForkError                     a model that was loaded before this process was forked
    ├── OptionError                   an argument is out of range (threshold, format, ...); a ValueError too
    ├── DataError                     a data set, recipe or annotation can't be used
    ├── ExportError                   the exported file does not do what the network does
    └── MissingExtraError             an optional dependency is not installed; an ImportError too

Each message says what came, what was expected and what to do next. Every error is made of its message alone, so that
it can be pickled and comes out of another process unchanged.
"""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class VesselrtError(Exception):
    """Every error that vesselrt raises on purpose.

    >>> try:
    ...     vesselrt.load("absent")
    ... except vesselrt.VesselrtError as error:
    ...     print(error)
    no model absent: neither a file nor a built-in model. Built-in: fundus, fundus@2.0.0-rc.3.
    """


class ImageError(VesselrtError):
    """The photograph can't be used.

    >>> segmenter = vesselrt.load()
    >>> for photo in ("photo.jpg", "absent.jpg"):
    ...     try:
    ...         mask = segmenter.segment(photo).mask()
    ...     except vesselrt.ImageError as error:
    ...         print(f"left out: {error}")
    left out: absent.jpg: can't be read (No such file or directory). Check the path.
    """


class ImageNotFoundError(ImageError, FileNotFoundError):
    """No such file.

    >>> vesselrt.load().segment("absent.jpg")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ImageNotFoundError: absent.jpg: can't be read (No such file or directory). Check the path.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOENT


class ImageDecodeError(ImageError):
    """Not an image, truncated, or of an unsupported kind.

    >>> vesselrt.load().segment(b"%PDF-1.7")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ImageDecodeError: the file is PDF, which is not read. Save the photograph in it as PNG ...
    """


class ImageTooLargeError(ImageError):
    """Over the limit on bytes or pixels.

    >>> vesselrt.load(limits=vesselrt.Limits(bytes=1000)).segment("photo.jpg")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ImageTooLargeError: photo.jpg: the file has more than 1,000 bytes, the limit. Send a ...
    """


class FieldOfViewError(ImageError):
    """Nothing to see: no field of view in the photograph.

    >>> vesselrt.load().segment(numpy.zeros((600, 600, 3), numpy.uint8))
    Traceback (most recent call last):
    vesselrt.runtime.errors.FieldOfViewError: the photograph is black: 95 % of its pixels are at or below 0 of 255. ...
    """


class ModelError(VesselrtError):
    """The model file can't be used.

    >>> vesselrt.load("photo.jpg")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ModelError: photo.jpg: not a usable ONNX model, or damaged (...). Export or copy it again.
    """


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No such file or built-in model.

    >>> vesselrt.load("absent.onnx")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ModelNotFoundError: no model absent.onnx: neither a file nor a built-in model. Built-in: ...
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOENT


class ManifestError(ModelError):
    """The manifest is missing, damaged, or of a newer schema.

    >>> vesselrt.Manifest.from_json('{"schema_version": 99}', source="my.onnx")
    Traceback (most recent call last):
    vesselrt.runtime.errors.ManifestError: my.onnx: its manifest has schema 99, this vesselrt reads up to 2. Run: ...
    """


class EngineError(ModelError):
    """The engine file is damaged or of a newer format.

    >>> from vesselrt.runtime.engines.enginefile import read_engine
    >>> read_engine(pathlib.Path("photo.jpg"))
    Traceback (most recent call last):
    vesselrt.runtime.errors.EngineError: photo.jpg: not an engine file, or damaged. Make engine files with: ...
    """


class DeviceError(VesselrtError):
    """The device or precision asked for is not available here, or the device failed at work.

    >>> vesselrt.load(device="abacus")
    Traceback (most recent call last):
    vesselrt.runtime.errors.DeviceError: unknown device 'abacus'. Expected one of: auto, cpu, cpu:openvino, ...
    """


class SegmenterClosedError(VesselrtError):
    """The Segmenter was closed.

    >>> with vesselrt.load() as segmenter:
    ...     mask = segmenter.segment("photo.jpg").mask()
    >>> segmenter.segment("photo.jpg")
    Traceback (most recent call last):
    vesselrt.runtime.errors.SegmenterClosedError: this Segmenter was closed. Load the model again with vesselrt.load().
    """


class CallCancelledError(VesselrtError):
    """The caller's CancelToken ended the call."""


class ForkError(VesselrtError):
    """A model that was loaded before this process was forked: threads of its library stayed with the parent.

    Processes of this context are not forked; each loads its own model, in the initializer of a pool for example:

    >>> import multiprocessing
    >>> multiprocessing.get_context("spawn").get_start_method()
    'spawn'
    """


class OptionError(VesselrtError, ValueError):
    """An argument is out of range.

    >>> vesselrt.load().segment("photo.jpg").mask(threshold=1.5)
    Traceback (most recent call last):
    vesselrt.runtime.errors.OptionError: threshold 1.5 is not within 0 to 1.
    """


class DataError(VesselrtError):
    """A data set, recipe or annotation can't be used.

    >>> from vesselrt.training.data.finding import resolve_kind
    >>> resolve_kind("auto", pathlib.Path("absent"))
    Traceback (most recent call last):
    vesselrt.runtime.errors.DataError: absent: no data set of a known layout (...). Name a folder that holds one.
    """


class ExportError(VesselrtError):
    """The exported file does not do what the network does.

    >>> try:
    ...     raise vesselrt.ExportError("the largest difference is 0.2. Expected 0.0001 or less.")
    ... except vesselrt.VesselrtError as error:
    ...     print(error)
    the largest difference is 0.2. Expected 0.0001 or less.
    """


class MissingExtraError(VesselrtError, ImportError):
    """An optional dependency is not installed.

    >>> print(vesselrt.MissingExtraError.of("vesselrt train", "train"))
    vesselrt train needs packages that are not installed. Run: pip install 'vesselrt[train]'
    """

    @classmethod
    def of(cls, doing: str, extra: str) -> "MissingExtraError":
        """What `doing` needs comes with `vesselrt[extra]`."""
        return cls(f"{doing} needs packages that are not installed. Run: pip install 'vesselrt[{extra}]'")


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where the message is empty: for errors of other libraries."""
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def as_command() -> Iterator[None]:
    """Around the main function of a module: errors become one line and exit code 1."""
    try:
        yield
    except (VesselrtError, OSError) as error:
        sys.exit(f"error: {error}")
