"""The file of a table of measurements: rows are kept one by one, so that nothing done is lost."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.files import atomic_write, check_writable
from vesselrt.runtime.measures.rows import COUNTS, LENGTHS, Cell, Columns, Row

PARQUET = ".parquet"
_ALIKE = ("model", "model_version", "precision", "threshold")
"""Columns in which all rows of a file are alike: figures of two models can't be compared."""


class RowFile:
    """A CSV file that grows by whole rows, or a Parquet file that is made of one at the end.

    Each row is one write of the system. Half a row, which is all that a kill can leave, is cut off when the file is
    opened again with `resume`. The rows of results.parquet stand in results.parquet.csv until `finish`.
    """

    def __init__(self, path: Path, columns: Columns, alike: Mapping[str, Cell], *, resume: bool = False) -> None:
        """`alike`: the cells that all rows share, such as the model.

        Raises OptionError for a file that is there already, unless `resume`, and for one that has other columns or is
        of another model; MissingExtraError for Parquet where the extra `parquet` is not installed.
        """
        self._path, self._columns, self._alike = path, columns, dict(alike)
        self._arrow = _import_arrow() if path.suffix == PARQUET else None
        self._csv = path.with_name(f"{path.name}.csv") if self._arrow else path
        self.done: set[str] = set()
        """The photographs that have a row, be it an error."""
        there = next((file for file in (self._csv, path) if file.exists()), None)
        if there is not None and not resume:
            raise OptionError(f"{there} is there already. Go on with --resume, or name another file.")
        check_writable(path)
        if there is None:
            _write_whole(self._csv, [columns.names])
        elif there == self._csv:
            self._take_up(*_whole_rows(there))
        else:
            assert self._arrow is not None  # noqa: S101 - the two files differ
            self._take_up(*self._arrow.read(path))
        self._file = self._csv.open("ab", buffering=0)

    def write(self, row: Row) -> None:
        """Adds a row."""
        cells = self._alike | row
        self._file.write(_line([_text(cells.get(name, "")) for name in self._columns.names]))
        self.done.add(str(row["file"]))

    def finish(self) -> None:
        """Makes the Parquet file, where there is to be one."""
        if self._arrow is not None:
            header, rows = _whole_rows(self._csv)
            self._arrow.write(self._path, header, rows, self._columns)
            self._csv.unlink()

    def _take_up(self, header: Sequence[str], rows: list[list[str]]) -> None:
        """Goes on with rows of an earlier run, written anew without what a kill cut off. Raises OptionError."""
        if tuple(header) != self._columns.names:
            raise OptionError(f"{self._path} has other columns. Go on with the same options, or name another file.")
        for row in rows:
            cells = dict(zip(header, row, strict=True))
            for name in _ALIKE:
                if cells[name] != _text(self._alike[name]):
                    raise OptionError(
                        f"{self._path} has rows with {name} {cells[name]}, and this run has {self._alike[name]}. Go on "
                        "with the same one, or name another file."
                    )
            self.done.add(cells["file"])
        _write_whole(self._csv, [header, *rows])

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_whole(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with atomic_write(path) as name:
        name.write_bytes(b"".join(map(_line, rows)))


def _whole_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file that `RowFile` wrote, without half a row at its end. Raises OptionError."""
    try:
        whole, _, _ = path.read_bytes().decode("utf-8", "surrogateescape").rpartition("\n")
        header, *rows = csv.reader(io.StringIO(whole), strict=True)
    except (ValueError, csv.Error):
        raise OptionError(f"{path} is no table of measurements. Name another file.") from None
    if any(len(row) != len(header) for row in rows):
        raise OptionError(f"{path} has rows of different lengths: it was changed. Name another file.")
    return header, rows


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([" ".join(cell.splitlines()) for cell in cells])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.7g}"
    return str(cell)


def _import_arrow() -> "_Arrow":
    try:
        return _Arrow()
    except ModuleNotFoundError:
        raise MissingExtraError.of("writing Parquet", "parquet") from None


class _Arrow:
    """Parquet, by pyarrow."""

    def __init__(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._pa, self._parquet = pa, parquet

    def read(self, path: Path) -> tuple[list[str], list[list[str]]]:
        table = self._parquet.read_table(path)
        rows = [["" if cell is None else _text(cell) for cell in row.values()] for row in table.to_pylist()]
        return table.column_names, rows

    def write(self, path: Path, header: list[str], rows: list[list[str]], columns: Columns) -> None:
        """Words are strings, sizes whole numbers, figures floating point; what is missing is null."""
        kinds: dict[str, Any] = dict.fromkeys((*columns.figures, *LENGTHS), self._pa.float64())
        kinds |= dict.fromkeys(COUNTS, self._pa.int64())
        convert = {self._pa.float64(): float, self._pa.int64(): int}
        filled = {}
        for name, cells in zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True):
            kind = kinds.get(name, self._pa.string())
            read = convert.get(kind, str)
            filled[name] = self._pa.array([read(cell) if cell else None for cell in cells], kind)
        with atomic_write(path) as temporary:
            self._parquet.write_table(self._pa.table(filled), temporary)
