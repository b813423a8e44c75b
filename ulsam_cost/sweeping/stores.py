"""Where the rows of a sweep are kept as they come: in memory, in a CSV file, or in a folder of Parquet files.

Rows are appended in order, so that what is kept is always the beginning of the sweep.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ulsam_cost.errors import CostError, OutputError, first_line
from ulsam_cost.frames import frame_of, frame_of_csv, frame_of_parquet

if TYPE_CHECKING:
    from pandas import DataFrame

NAMING = ("row", "model", "input", "way")  # the columns that say what a row is about
_SCRATCH = ".writing-"
Record = Mapping[str, Any]


class Store(Protocol):
    """Rows that are kept."""

    def kept(self) -> Iterator[Record]:
        """The rows that are there, in order, with the columns NAMING alone."""

    def append(self, records: Sequence[Record]) -> None:
        """Keep further rows."""

    def frame(self) -> "DataFrame":
        """All rows as a DataFrame."""


def open_store(out: str | os.PathLike[str] | None, columns: Mapping[str, str]) -> Store:
    """The place of a sweep's rows.

    Args:
        out: `FILE.csv`; `FOLDER.parquet`, which pandas.read_parquet reads; None for memory.
        columns: the columns with their dtypes.

    Raises:
        CostError: for another name, and for a place that holds something else.
    """
    if out is None:
        return MemoryStore(columns)
    path = Path(out)
    if path.suffix not in (".csv", ".parquet"):
        raise CostError(f"{path}: a name that ends in .csv or .parquet is accepted")
    if not path.absolute().parent.is_dir():
        raise CostError(f"{path}: there is no folder {path.absolute().parent}")
    return CsvStore(path, columns) if path.suffix == ".csv" else ParquetStore(path, columns)


class MemoryStore:
    """Rows in a list."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns, self._records = columns, list[Record]()

    def kept(self) -> Iterator[Record]:
        """None: a sweep into memory begins anew."""
        return iter(())

    def append(self, records: Sequence[Record]) -> None:
        """Keep further rows."""
        self._records += records

    def frame(self) -> "DataFrame":
        """All rows as a DataFrame."""
        return frame_of(self._records, self._columns)


class CsvStore:
    """Rows in a CSV file, each a line."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path, self._columns = path, columns
        if path.is_dir():
            raise CostError(f"{path} is a folder: a file is accepted")
        with _sentences(path):
            if path.exists() and path.stat().st_size:
                self._drop_half_a_line()
                self._require_columns()
            else:
                path.write_text(_line(list(columns)), encoding="utf-8")

    def _drop_half_a_line(self) -> None:
        """Remove a last line that an interrupt cut off."""
        with self._path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
                end -= 1
            file.truncate(end)

    def _require_columns(self) -> None:
        with self._path.open(encoding="utf-8", newline="") as file:
            found = next(csv.reader(file), [])
        if found != list(self._columns):
            raise _another_sweep(self._path, found, list(self._columns))

    def kept(self) -> Iterator[Record]:
        """The rows that are there."""
        with self._path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: row[name] or None for name in NAMING} | {"row": int(row["row"])}

    def append(self, records: Sequence[Record]) -> None:
        """Add a line a row."""
        lines = "".join(_line([record.get(name) for name in self._columns]) for record in records)
        with _sentences(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(lines)

    def frame(self) -> "DataFrame":
        """All rows as a DataFrame."""
        return frame_of_csv(self._path, self._columns)


class ParquetStore:
    """Rows in a folder of Parquet files, one for each time that rows were appended."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        try:
            import pyarrow as pa
        except ImportError as error:
            raise CostError(
                f"{path} needs pyarrow: pip install 'ulsam-cost[sweep]', or give a name that ends in .csv"
            ) from error
        types = {"Int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
        self._path, self._columns = path, columns
        self._types = pa.schema([(name, types[dtype]) for name, dtype in columns.items()])
        if path.exists() and not path.is_dir():
            raise CostError(f"{path} is a file: a folder, which holds a dataset, or a new name is accepted")
        with _sentences(path):
            path.mkdir(exist_ok=True)
            for left in path.glob(f"{_SCRATCH}*"):
                left.unlink()
        for part in self._parts()[:1]:
            found = self._read(part, None).schema.names
            if found != self._types.names:
                raise _another_sweep(path, found, self._types.names)

    def _parts(self) -> list[Path]:
        return sorted(self._path.glob("*.parquet"))

    def _read(self, part: Path, columns: list[str] | None) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.read_table(part, columns=columns)
        except Exception as error:
            raise CostError(f"{part} is not a table of a sweep: {first_line(error)}") from error

    def kept(self) -> Iterator[Record]:
        """The rows that are there."""
        return chain.from_iterable(self._read(part, list(NAMING)).to_pylist() for part in self._parts())

    def append(self, records: Sequence[Record]) -> None:
        """Write a file with the rows, whole or not at all; its name has the first row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        name = f"rows-{records[0]['row']:09}.parquet"
        with _sentences(self._path):
            table = pa.Table.from_pandas(frame_of(records, self._columns), schema=self._types, preserve_index=False)
            pq.write_table(table, self._path / f"{_SCRATCH}{name}")
            os.replace(self._path / f"{_SCRATCH}{name}", self._path / name)

    def frame(self) -> "DataFrame":
        """All rows as a DataFrame."""
        return frame_of_parquet(self._path)


def _line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _another_sweep(path: Path, found: Sequence[str], wanted: Sequence[str]) -> CostError:
    parts = [
        f"{verb} {', '.join(names)}"
        for verb, names in (
            ("lacks", [name for name in wanted if name not in found]),
            ("has", [name for name in found if name not in wanted]),
        )
        if names
    ]
    return CostError(f"{path} is not of this sweep: it {' and '.join(parts) or 'has its columns in another order'}")


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise CostError(f"{path} is not a result of a sweep: it is not text in UTF-8") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
