"""Writing files so that nobody ever finds half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: what is there when the block ends takes the place of `path`, whole.

    When the block fails, nothing is left and an old file stays as it was. The folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # its own: two processes may write one file
    try:
        yield name
        name.replace(path)
    finally:
        name.unlink(missing_ok=True)
