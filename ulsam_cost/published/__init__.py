"""What the papers print: every cost and accuracy cell, and the claims of their text, as data.

`cells.csv` has a row a printed cell; `printed` is its text, `value` the same in base units, `resolution` the
weight of its last digit. `claims.csv` has a row a number that a paper states in its text.
"""

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

COST_METRICS = ("params", "macs", "params_norm", "macs_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A printed cell: where it stands, what it is about, and its number."""

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

    @property
    def is_cost(self) -> bool:
        """Whether the cell prints a cost, not an accuracy."""
        return self.metric in COST_METRICS


@lru_cache
def published_cells() -> tuple[Cell, ...]:
    """Every printed cell, in the order of the papers."""
    lines = (files(__name__) / "cells.csv").read_text(encoding="utf-8").splitlines()
    return tuple(_cell(row) for row in csv.DictReader(lines))


def _cell(row: dict[str, str]) -> Cell:
    numbers = {name: Decimal(row.pop(name)) for name in ("value", "resolution")}
    return Cell(**row, **numbers)  # type: ignore[arg-type]


def cost_cells(source: str, *tables: str) -> tuple[Cell, ...]:
    """The cost cells of a source, of these tables only if any are named."""
    return tuple(
        cell
        for cell in published_cells()
        if cell.is_cost and cell.source == source and (not tables or cell.table in tables)
    )
