"""What every command says and writes: lines on the error stream, progress, files."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vesselrt.runtime.errors import MissingExtraError
from vesselrt.runtime.files import atomic_write

# No markup: paths and 'vesselrt[train]' hold brackets that are meant.
console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
STDOUT = Path("-")


def fail(message: str) -> NoReturn:
    """One red line, -q or not, and exit code 1."""
    console.quiet = False
    console.print(f"error: {message}", style="bold red")
    sys.exit(1)


@contextlib.contextmanager
def needs_extra(doing: str, extra: str) -> Iterator[None]:
    """Turns a missing package into the line that installs it; a broken vesselrt import stays what it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of(doing, extra) from None


@contextlib.contextmanager
def photo_progress(count: int) -> Iterator[Callable[[], None]]:
    """A bar on the error stream, for many photographs on a terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=count < 3 or not console.is_terminal) as bar:
        task = bar.add_task("", total=count)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def training_progress() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, float], None]]]:
    """Training's output: report lines, and a bar with the loss."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, loss=0.0)
        yield (
            console.print,
            lambda step, total, loss: bar.update(task, completed=step, total=total, loss=loss),
        )


def write_output(path: Path, content: bytes) -> None:
    """The whole file or nothing of it; of the path `-`, on the standard output."""
    if path == STDOUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    with atomic_write(path) as name:
        name.write_bytes(content)
