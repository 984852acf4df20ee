"""The photographs that a command line names: files, globs and folders."""

import glob
from pathlib import Path
from typing import cast

from vesselrt.runtime.errors import OptionError, first_line
from vesselrt.runtime.output.formats import FORMATS, output_name
from vesselrt.runtime.photo.decoding import PHOTO_SUFFIXES


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
    # What an earlier run wrote beside its photographs is not a photograph.
    written = {p.parent / output_name(p.stem, form) for p in inside for form in FORMATS}
    return {image: Path(*image.parts[len(folder.parts) : -1]) for image in inside if image not in written}


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
