"""Tables of every measurement, in Markdown: as they are on a terminal, so they can be pasted into a document."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import StringIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

_WIDTH = 10_000  # characters: no cell is wrapped


def render_table(titles: Iterable[str], rows: Iterable[Iterable[object]], texts: int = 1) -> str:
    """A whole table. The first `texts` columns are aligned to the left, the others, of numbers, to the right."""
    table = _empty_table(titles, texts)
    for row in rows:
        table.add_row(*map(str, row))
    text = StringIO()
    Console(file=text, width=_WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


@contextmanager
def growing_table(*titles: str, texts: int = 1) -> Iterator[Callable[..., None]]:
    """As `render_table`, on the standard output: the function that adds a row, one argument for each cell.

    A terminal shows each row at once. Elsewhere the table is written when the block ends, after an error or Ctrl+C too.
    """
    table = _empty_table(titles, texts)
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_WIDTH)
    with Live(table, console=console, auto_refresh=False, vertical_overflow="visible") as live:

        def add_row(*cells: object) -> None:
            table.add_row(*map(str, cells))
            live.refresh()

        yield add_row


def _empty_table(titles: Iterable[str], texts: int) -> Table:
    table = Table(box=box.MARKDOWN, highlight=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < texts else "right", overflow="fold")
    return table
