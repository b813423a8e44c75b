"""What the papers print: every cost and accuracy cell, and the claims of their text, as data.

`cells.csv` has one row per printed cell; `printed` is its text, `value` the same in base units, `resolution` the
weight of its last digit. `claims.csv` has one row per number that a paper states in its text. `field_cells.csv` has one
row per cost that the authors of other attention modules print; `field_sources.toml` says how each of them counted.
`claim_expressions.toml` and the explanations are what the audit says of them, in its language of expressions.
"""

import csv
import io
import tomllib
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ulsam_cost.units import parse_printed

COST_METRICS = ("params", "macs", "params_norm", "macs_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A printed cell: where it stands, what it is about, and its number.

    A cell of the field names its `network` with its options, nothing where the project does not have it, and the `part`
    of it that is meant: `backbone`, `modules`, or all of it where that is empty.
    """

    source: str
    table: str
    row: str
    model: str
    backbone: str
    width: str
    attention: str
    connection: str
    positions: str
    groups: str
    dataset: str
    metric: str
    printed: str
    unit: str
    value: Decimal
    resolution: Decimal
    note: str
    network: str = ""
    part: str = ""

    @property
    def is_held(self) -> bool:
        """Whether the project has the network that a cell of the field is about."""
        return bool(self.network) or self.source not in field_sources()

    @property
    def is_cost(self) -> bool:
        """Whether the cell prints a cost, not an accuracy."""
        return self.metric in COST_METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSource:
    """A repository of the field: what the report calls it, what it is, and how it counted.

    `conventions` are those under which its MACs are read beside plain ones, as long as the `evidence` holds.
    """

    name: str
    title: str
    about: str
    conventions: tuple[str, ...]
    counter: str
    binary: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A number that a paper states in its text; a claim of equality prints none, and stands for 1, true."""

    id: str
    source: str
    where: str
    statement: str
    metric: str
    printed: str
    unit: str

    @property
    def value(self) -> Fraction:
        """The number in base units, a per cent as it is written."""
        if not self.printed:
            return Fraction(1)
        return Fraction(self.printed) if "/" in self.printed else Fraction(parse_printed(self.printed).value)

    @property
    def resolution(self) -> Fraction:
        """The weight of the last printed digit; of `1/16`, what tells it from 1/15 and 1/17."""
        if not self.printed:
            return Fraction(1)
        if "/" in self.printed:
            return self.value / Fraction(self.printed).denominator
        return Fraction(parse_printed(self.printed).resolution)


@lru_cache
def published_cells() -> tuple[Cell, ...]:
    """Every printed cell, in the order of the papers."""
    return tuple(make_cell(row) for row in read_rows("cells.csv"))


@lru_cache
def field_cells() -> tuple[Cell, ...]:
    """Every cost that the field's sources print, in the order of the sources."""
    return tuple(make_cell(row) for row in read_rows("field_cells.csv"))


@lru_cache
def field_sources() -> dict[str, FieldSource]:
    """The field's sources by name."""
    rows = read_toml("field_sources.toml")["source"]
    return {row["name"]: FieldSource(**row | {"conventions": tuple(row["conventions"])}) for row in rows}


@lru_cache
def published_claims() -> tuple[Claim, ...]:
    """Every claim, in the order of the papers."""
    return tuple(Claim(**row) for row in read_rows("claims.csv"))


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of one of the package's CSV files."""
    return list(csv.DictReader(io.StringIO(_read(name))))


def read_toml(name: str) -> dict[str, Any]:
    """What one of the package's TOML files holds."""
    return tomllib.loads(_read(name))


def _read(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")


def make_cell(row: dict[str, str]) -> Cell:
    """A cell from a row with columns of `cells.csv`; those that are left out are empty."""
    texts = {field.name: row.get(field.name, "") for field in fields(Cell) if field.type is str or field.type == "str"}
    return Cell(**texts, value=Decimal(row["value"]), resolution=Decimal(row["resolution"]))


def cost_cells(*sources: str, tables: tuple[str, ...] = ()) -> tuple[Cell, ...]:
    """The cost cells, of these sources and tables only if any are named."""
    return tuple(
        cell
        for cell in published_cells()
        if cell.is_cost and (not sources or cell.source in sources) and (not tables or cell.table in tables)
    )
