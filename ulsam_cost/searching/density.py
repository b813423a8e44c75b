"""Where the costs of all placements lie, as counts on a grid: for a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ulsam_cost.searching.budget import limits_of
from ulsam_cost.searching.front import Counts
from ulsam_cost.searching.space import Branch

FINE, COARSE = 8, 128  # cells that the costs are rounded to in one that is drawn, and cells that are drawn a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """How many placements lie in each cell of a grid; `low` and `high` are its corners.

    Costs are rounded layer by layer to an eighth of a cell, the counts to 53 bits: it is a picture, not a count.
    """

    counts: NDArray[np.float64]
    low: tuple[float, float]
    high: tuple[float, float]


def density(branches: Sequence[Branch], metrics: tuple[str, str], budget: Mapping[str, int]) -> Density:
    """Where the placements lie that keep the budget of two metrics.

    Args:
        branches: at least one placement of them keeps the budget.
        metrics: those of the rows and of the columns.
        budget: limits of other metrics are not heeded.
    """
    tables = [branch.tables(metrics) for branch in branches]
    plain = [branch.plain_of(metrics) for branch in branches]
    starts = [at + sum(table.min(axis=0) for table in each) for at, each in zip(plain, tables, strict=True)]
    ends = [at + sum(table.max(axis=0) for table in each) for at, each in zip(plain, tables, strict=True)]
    low, limit = np.min(starts, axis=0), limits_of(budget, metrics)
    high = np.maximum(np.minimum(np.max(ends, axis=0), limit), low + 1)
    cell = (high - low) / (FINE * COARSE - 1)
    counts = np.zeros((FINE * COARSE, FINE * COARSE))
    for each, start in zip(tables, starts, strict=True):
        if (start <= high).all():
            row, column = np.rint((start - low) / cell).astype(int)
            part = _grid(each, cell, (len(counts) - row, len(counts) - column))
            counts[row : row + part.shape[0], column : column + part.shape[1]] += part
    coarse = counts.reshape(COARSE, FINE, COARSE, FINE).sum(axis=(1, 3))
    rows, columns = (int(np.flatnonzero(coarse.any(axis=axis)).max()) + 1 for axis in (1, 0))
    top, right = low + cell * FINE * (rows, columns)
    return Density(counts=coarse[:rows, :columns], low=(float(low[0]), float(low[1])), high=(float(top), float(right)))


def _grid(tables: Sequence[Counts], cell: NDArray[np.float64], most: tuple[int, int]) -> NDArray[np.float64]:
    """The sums of one row from each table, over the least, on a grid: what is beyond it cannot come back."""
    counts = np.ones((1, 1))
    for table in tables:
        shifts = np.rint((table - table.min(axis=0)) / cell).astype(int)
        rows, columns = np.minimum(counts.shape + shifts.max(axis=0), most)
        wider = np.zeros((rows, columns))
        for down, right in shifts:
            part = counts[: max(0, rows - down), : max(0, columns - right)]
            wider[down : down + part.shape[0], right : right + part.shape[1]] += part
        counts = wider
    return counts
