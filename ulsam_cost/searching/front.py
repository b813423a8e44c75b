"""Exact Pareto fronts of sums: one choice a layer, and costs that add up.

Source: Kung, Luccio and Preparata, *On finding the maxima of a set of vectors*, J. ACM 1975 (a front by sorting);
Nemhauser and Ullmann, *Discrete dynamic programming and capital allocation*, Management Science 1969 (the front of
a sum from the fronts of its parts: what a part's front does not hold cannot be on the whole's).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulsam_cost.errors import CostError

Counts = NDArray[np.int64]
MOST_SUM = 2**62  # what the sums of a space may reach, so that int64 never wraps
_PAIRS = 2**22  # compared at once
_BLOCK = 2**13  # sums at once, so that they stay in a processor's cache


def as_counts(rows: Sequence[Sequence[int]]) -> Counts:
    """Exact whole numbers as an array.

    Raises:
        CostError: for one that a sum in int64 has no room for.
    """
    if any(abs(value) >= MOST_SUM // 2**16 for row in rows for value in row):
        raise CostError("a layer that costs more than 7e13 is too large for a search: smaller sizes are accepted")
    return np.array(rows, dtype=np.int64)


def pareto(points: Counts) -> NDArray[np.intp]:
    """Which points no other point dominates, in lexicographic order; of equal points, the first.

    A point dominates another if it is at most as large in every column and smaller in one.

    Args:
        points: [n, d].
    """
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    undominated: NDArray[np.intp] = order[new][_undominated(ordered[new])]
    return undominated


def _undominated(ordered: Counts) -> Any:
    """Which of different points in lexicographic order no other dominates: only one before it could."""
    columns = ordered.shape[1]
    if len(ordered) <= 1 or columns == 1:
        return slice(0, 1)
    if columns == 2:
        keeps = np.ones(len(ordered), dtype=bool)
        keeps[1:] = ordered[1:, 1] < np.minimum.accumulate(ordered[:-1, 1])
        return keeps
    undominated = np.empty(0, dtype=np.intp)
    start = 0
    while start < len(ordered):
        block = np.arange(start, min(len(ordered), start + max(16, _PAIRS // (len(undominated) + 256))))
        start = block[-1] + 1
        block = block[~_at_most(ordered[undominated], ordered[block]).any(axis=0)]
        later = np.tri(len(block), k=-1, dtype=bool)
        below = _at_most(ordered[block], ordered[block]) & later.T
        undominated = np.concatenate([undominated, block[~below.any(axis=0)]])
    return undominated


def _at_most(points: Counts, others: Counts) -> NDArray[np.bool_]:
    """[i, j]: whether point i is at most other j in every column but the first, in which they are ordered."""
    result = points[:, None, 1] <= others[None, :, 1]
    for column in range(2, points.shape[1]):
        result &= points[:, None, column] <= others[None, :, column]
    return result


def front_of_sums(tables: Sequence[Counts], limits: Counts | None = None) -> tuple[Counts, NDArray[np.uint8]]:
    """The Pareto front of all sums of one row from each table, and the rows that give it.

    Args:
        tables: [choices, d] each.
        limits: [d], what a sum may be in each column at most; None for no limit.

    Returns:
        the sums [n, d] in lexicographic order, and the choices [n, tables].
    """
    columns = tables[0].shape[1]
    sums, chosen = np.zeros((1, columns), dtype=np.int64), np.zeros((1, 0), dtype=np.uint8)
    still_to_come = sum((table.min(axis=0) for table in tables), np.zeros(columns, dtype=np.int64))
    for table in tables:
        still_to_come = still_to_come - table.min(axis=0)
        choices = len(table)
        sums = (sums[:, None] + table[None]).reshape(-1, columns)
        within = np.arange(len(sums))
        if limits is not None:
            within = within[(sums + still_to_come <= limits).all(axis=1)]
        undominated = within[pareto(sums[within])]
        sums, choice = sums[undominated], (undominated % choices).astype(np.uint8)
        chosen = np.concatenate([chosen[undominated // choices], choice[:, None]], axis=1)
    return sums, chosen


def sums_of(tables: Sequence[Counts], chosen: NDArray[Any]) -> Counts:
    """The sums of explicit choices, all of them at once.

    Args:
        tables: [choices, d] each.
        chosen: [n, tables].
    """
    total = np.zeros((len(chosen), tables[0].shape[1]), dtype=np.int64)
    for start in range(0, len(chosen), _BLOCK):
        part = total[start : start + _BLOCK]
        rows = np.ascontiguousarray(chosen[start : start + _BLOCK].T, dtype=np.intp)
        for table, row in zip(tables, rows, strict=True):
            part += table.take(row, axis=0)
    return total
