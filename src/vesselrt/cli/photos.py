"""The photographs that a command line names: files, globs and folders."""

import glob
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from vesselrt.runtime.errors import OptionError, VesselrtError, first_line
from vesselrt.runtime.output.formats import FORMATS, output_name
from vesselrt.runtime.photo.decoding import PHOTO_SUFFIXES
from vesselrt.runtime.photo.dicom import is_dicom
from vesselrt.runtime.photo.photograph import Frame, list_frames


def expand_photos(photos: list[str], recursive: bool, *, stores: bool = False) -> dict[Path, Path]:
    """Photograph → the folder below the output that its file belongs to: the tree of `recursive` folders, else none.

    Files as named; the images of folders and of globs that the shell left alone. `stores`: addresses too, such as
    s3://bucket/folder, of whatever fsspec knows. Raises OptionError for nothing, MissingExtraError.
    """
    found: dict[Path, Path] = {}
    for photo in photos:
        if "://" in photo:
            inside = _list_store(photo, recursive, stores)
        elif not (path := Path(photo)).exists() and glob.has_magic(photo):
            inside = _list_matches(photo)
        else:
            inside = _list_folder(path, recursive) if path.is_dir() else {path: Path()}
        for image, below in inside.items():
            found.setdefault(image, below)
    return found


def split_frames(photos: Mapping[Path, Path]) -> dict[Path | Frame, Path]:
    """The same, with each photograph of a DICOM file that holds several. What can't be read is told when it is used."""
    found: dict[Path | Frame, Path] = {}
    for path, below in photos.items():
        frames = list[Frame]()
        with suppress(VesselrtError, OSError):
            if isinstance(path, Path) and _begins_as_dicom(path):  # those of a store are fetched when it is their turn
                frames = list_frames(path)
        found.update(dict.fromkeys(frames if len(frames) > 1 else [path], below))
    return found


def _begins_as_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file.read(132))


def path_of(photo: Path | Frame) -> Path:
    """Of its file."""
    return photo.path if isinstance(photo, Frame) else photo


def stem_of(photo: Path | Frame) -> str:
    """What the names of its results begin with."""
    return f"{photo.path.stem}-frame-{photo.number}" if isinstance(photo, Frame) else photo.stem


def _list_matches(pattern: str) -> dict[Path, Path]:
    matches = sorted(p for p in map(Path, glob.iglob(pattern, recursive=True)) if p.is_file())  # noqa: PTH207 - any pattern
    if not matches:
        raise OptionError(f"{pattern}: no file matches.")
    return dict.fromkeys(matches, Path())


def _list_folder(folder: Path, recursive: bool) -> dict[Path, Path]:
    listed = folder.rglob("*") if recursive else folder.iterdir()
    inside = sorted(p for p in listed if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())
    if not inside:
        raise OptionError(f"{folder}: the folder holds no image ({', '.join(sorted(PHOTO_SUFFIXES))}).")
    return {image: Path(*image.parts[len(folder.parts) : -1]) for image in _without_results(inside)}


def _without_results(photos: list[Path]) -> list[Path]:
    """Those that no earlier run wrote beside its photographs."""
    stems = {(photo.parent, photo.stem) for photo in photos}
    endings = "|".join(re.escape(output_name("", form)) for form in FORMATS)

    def is_result(photo: Path) -> bool:
        found = re.fullmatch(rf"(.+?)(-frame-\d+)?({endings})", photo.name)
        return found is not None and (photo.parent, found[1]) in stems

    return [photo for photo in photos if not is_result(photo)]


def _list_store(address: str, recursive: bool, allowed: bool) -> dict[Path, Path]:
    """A file or folder of a store, whose paths have the methods of Path."""
    if not allowed:
        raise OptionError(f"{address} is an address, and photographs of addresses are read with --ray alone.")
    try:
        from upath import UPath

        place = cast(Path, UPath(address))
        return _list_folder(place, recursive) if place.is_dir() else {place: Path()}
    except OptionError:
        raise
    except Exception as error:  # noqa: BLE001 - every store has errors of its own, and so has one that isn't installed
        raise OptionError(f"{address}: {first_line(error)}. Check the address, and that fsspec knows it.") from None
