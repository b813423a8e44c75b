"""One table, five formats: terminal, Markdown, CSV, JSON, LaTeX."""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import tabulate

from ulsam_cost.plain_text import visible_json, visible_line
from ulsam_cost.units import format_exact, format_factor, format_mib, format_ms, format_ratio

exact = format_exact  # a count digit by digit, in most columns
FORMATS = ("table", "markdown", "csv", "json", "latex")
# What a spreadsheet takes for a formula, in letters of either width; printed numbers such as -3.4M are none.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_SIGNED_NUMBER = re.compile(r"[+-][0-9][0-9.,]*\s?[KMG%]?", re.ASCII)
_STYLES = {"table": "simple", "markdown": "pipe", "latex": "latex_booktabs"}


def signed(value: int | None) -> str:
    """A difference of counts; empty for what is absent."""
    return "" if value is None else f"{value:+,}"


def signed_pct(value: float | None) -> str:
    """A change in per cent, of two digits; empty for what is absent."""
    return "" if value is None else f"{value:+.2f}%"


def known(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """A way to show values that leaves a cell empty where there is none."""
    return lambda value: "" if value is None else show(value)


def fixed(digits: int) -> Callable[[Any], str]:
    """A number with so many digits after the point; empty for what is absent."""
    return known(lambda value: f"{value:.{digits}f}")


def text(value: Any) -> str:
    """A word, or nothing."""
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: the record's key, the heading, how a value is shown, and whether it stands in CSV alone."""

    key: str
    heading: str
    show: Callable[[Any], str] = text
    csv_only: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the column is set flush right."""
        return self.show is not text


def number(key: str, heading: str, show: Callable[[Any], str] = exact) -> Column:
    """A column of counts."""
    return Column(key=key, heading=heading, show=show)


def milliseconds(key: str, heading: str) -> Column:
    """A column of times."""
    return number(key, heading, known(format_ms))


def ratio(key: str, heading: str) -> Column:
    """A column of ratios."""
    return number(key, heading, known(format_ratio))


def factor(key: str, heading: str) -> Column:
    """A column of how many times something is another."""
    return number(key, heading, known(format_factor))


def mebibytes(key: str, heading: str) -> Column:
    """A column of sizes in memory."""
    return number(key, heading, known(format_mib))


def words(key: str, heading: str) -> Column:
    """A column of words."""
    return Column(key=key, heading=heading)


COMPLETE = Column(key="complete", heading="complete", csv_only=True)  # whether a row's numbers are whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Records and the columns that show them."""

    columns: tuple[Column, ...]
    records: Sequence[Mapping[str, Any]]

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that a reader sees."""
        return tuple(column for column in self.columns if not column.csv_only)


def render(table: Table, style: str, data: Any = None) -> str:
    """A table in one of FORMATS. CSV and JSON give raw values; JSON gives `data` instead, where there is one."""
    if style == "json":
        return to_json(list(table.records) if data is None else data)
    if style == "csv":
        return to_csv(table)
    escape = escape_markdown if style == "markdown" else str
    columns = table.shown
    rows = [
        [visible_line(escape(column.show(record.get(column.key)))) for column in columns] for record in table.records
    ]
    headings = [escape(column.heading if style == "table" else on_one_line(column.heading)) for column in columns]
    with _narrow_headings():
        return tabulate.tabulate(
            rows,
            headers=headings,
            tablefmt=_STYLES[style],
            colalign=[("right" if column.is_number else "left") for column in columns] if rows else None,
            disable_numparse=True,
        )


@contextmanager
def _narrow_headings() -> Iterator[None]:
    """Tabulate pads headings by two columns more than cells, which 100 columns have no room for."""
    kept, tabulate.MIN_PADDING = tabulate.MIN_PADDING, 0
    try:
        yield
    finally:
        tabulate.MIN_PADDING = kept


def on_one_line(text: str) -> str:
    """A heading without the line break that it has on the terminal."""
    return text.replace("\n", " ")


def prose(text: str, style: str) -> str:
    """Sentences between tables, as text of that format."""
    if style == "markdown":
        return "\n".join(map(escape_markdown, text.splitlines()))
    if style == "latex":
        return "".join(tabulate.LATEX_ESCAPE_RULES.get(character, character) for character in text)
    return text


def to_json(data: Any) -> str:
    """JSON with plain numbers, and no raw control character."""
    return visible_json(json.dumps(data, indent=2, default=_plain, ensure_ascii=False))


def to_csv(table: Table) -> str:
    """CSV with the records' keys as the header; a word that a spreadsheet would compute has an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.key for column in table.columns])
    for record in table.records:
        writer.writerow([_csv_cell(_plain(record.get(column.key))) for column in table.columns])
    return file.getvalue().rstrip("\n")


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    is_formula = _FORMULA.match(value) and not _SIGNED_NUMBER.fullmatch(value)
    lines = (f"'{value}" if is_formula else value).split("\n")  # which CSV quotes
    return "\n".join(map(visible_line, lines))


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, tuple | list):
        return "x".join(map(str, value))
    return value


def escape_markdown(value: str) -> str:
    """Text that Markdown shows as it stands: no character of it is read as markup, no line break is kept."""
    one_line = re.sub(r"\s*[\r\n]\s*", " ", html.escape(value, quote=False))
    return re.sub(r"([\\`*_|\[\]~$])", r"\\\1", one_line)
