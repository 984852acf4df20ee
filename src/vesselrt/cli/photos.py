"""The photographs that a command line names: files, globs and folders."""

import glob
from pathlib import Path

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.formats import FORMATS, output_name
from vesselrt.runtime.photo.decoding import PHOTO_SUFFIXES


def expand_photos(photos: list[str], recursive: bool) -> dict[Path, Path]:
    """Photograph → the folder below the output that its file belongs to: the tree of `recursive` folders, else none.

    Files as named; the images of folders and of globs that the shell left alone. Raises OptionError for nothing.
    """
    found: dict[Path, Path] = {}
    for photo in photos:
        path = Path(photo)
        if path.is_dir():
            listed = path.rglob("*") if recursive else path.iterdir()
            inside = sorted(p for p in listed if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())
            if not inside:
                raise OptionError(f"{photo}: the folder holds no image ({', '.join(sorted(PHOTO_SUFFIXES))}).")
            # What an earlier run wrote beside its photographs is not a photograph.
            written = {p.parent / output_name(p.stem, form) for p in inside for form in FORMATS}
            for image in (p for p in inside if p not in written):
                found.setdefault(image, image.parent.relative_to(path))
        elif not path.exists() and glob.has_magic(photo):
            matches = sorted(p for p in map(Path, glob.iglob(photo, recursive=True)) if p.is_file())  # noqa: PTH207 - any pattern
            if not matches:
                raise OptionError(f"{photo}: no file matches.")
            for match in matches:
                found.setdefault(match, Path())
        else:
            found.setdefault(path, Path())
    return found
