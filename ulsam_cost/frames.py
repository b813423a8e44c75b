"""Results as tables: a pandas DataFrame, which is also what a notebook shows; pandas is loaded when it is asked for."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pandas import DataFrame


class Framed:
    """A result that is a table: `columns` names them with their dtypes, `rows` gives the values, None where unknown."""

    __slots__ = ()
    columns: ClassVar[Mapping[str, str]]

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """The table's rows, each with the columns as keys; a key that is not there is a value that is not known."""
        raise NotImplementedError

    def to_frame(self) -> "DataFrame":
        """The table as a pandas DataFrame; its class says what a row is.

        Counts are of dtype Int64, so that they are exact and what is not known is <NA>; those that are no 64-bit
        integers (arrays and symbols of closed forms) are objects. Times are float64, in milliseconds.
        """
        return frame_of(self.rows(), self.columns)

    def _repr_html_(self) -> str | None:
        html: str | None = self.to_frame()._repr_html_()  # type: ignore[operator]
        return html


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> "DataFrame":
    """Rows as a pandas DataFrame with these columns, named with their dtypes."""
    from pandas import DataFrame

    rows = list(rows)
    return DataFrame({name: _array([row.get(name) for row in rows], dtype) for name, dtype in columns.items()})


def frame_of_csv(path: Path, columns: Mapping[str, str]) -> "DataFrame":
    """A CSV file with these columns as a pandas DataFrame."""
    from pandas import read_csv

    return read_csv(path, dtype=dict(columns))


def frame_of_parquet(path: Path) -> "DataFrame":
    """A Parquet file, or a folder of them, as a pandas DataFrame."""
    from pandas import read_parquet

    frame: DataFrame = read_parquet(path)
    return frame


def _array(values: list[Any], dtype: str) -> Any:
    from pandas import array

    is_exact = all(value is None or (isinstance(value, int) and abs(value) < 2**63) for value in values)
    kind: Any = "object" if dtype == "Int64" and not is_exact else dtype
    return array(values, dtype=kind)
