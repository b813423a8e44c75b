"""How many sums keep a budget, exactly, without enumerating them.

The layers are halved. The different sums of each half are listed once with how many choices give each; a pair of them
keeps the budget if one is at most the budget less the other, and such pairs are counted all at once.

Source: Horowitz and Sahni, *Computing partitions with applications to the knapsack problem*, J. ACM 1974 (the
halves); Bentley, *Multidimensional divide-and-conquer*, Comm. ACM 1980 (counting the points below each of many).
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulsam_cost.errors import CostError
from ulsam_cost.searching.front import Counts

MOST_STATES = 4_000_000
Weights = NDArray[Any]  # int64, or Python integers where the choices are too many for it


class TooManySumsError(CostError):
    """More different sums than memory should hold."""


def count_within(tables: Sequence[Counts], limits: Counts) -> int:
    """How many choices of one row from each table have a sum within the limits.

    Args:
        tables: [choices, d] each.
        limits: [d].

    Raises:
        TooManySumsError: where the halves have more different sums than memory should hold.
    """
    total = prod(map(len, tables))
    least, most = (_total(tables, extreme) for extreme in (np.min, np.max))
    if (least > limits).any():
        return 0
    binding = most > limits
    if not binding.any():
        return total
    tables, limits = [table[:, binding] for table in tables], limits[binding]
    tables = [*tables, np.zeros_like(tables[0][:1])]  # no half is empty
    middle = _middle(tables)
    weight = np.int64 if total < 2**63 else object
    left, left_weights = distribution(tables[:middle], weight)
    right, right_weights = distribution(tables[middle:], weight)
    below = weights_below(left, left_weights, limits - right)
    return int(np.dot(below, right_weights))


def _total(tables: Sequence[Counts], extreme: Any) -> Counts:
    result: Counts = np.sum([extreme(table, axis=0) for table in tables], axis=0)
    return result


def _middle(tables: Sequence[Counts]) -> int:
    """Where to halve the tables, so that both halves have about as many sums."""
    logs = np.cumsum(np.log([len(table) for table in tables]))
    return int(np.searchsorted(logs[:-2], logs[-1] / 2)) + 1


def distribution(tables: Sequence[Counts], weight: Any = np.int64) -> tuple[Counts, Weights]:
    """The different sums of one row from each table, and how many choices give each.

    Raises:
        TooManySumsError: where they are more than memory should hold.
    """
    sums, weights = np.zeros((1, tables[0].shape[1]), dtype=np.int64), np.ones(1, dtype=weight)
    for table in tables:
        if len(sums) * len(table) > MOST_STATES:
            raise TooManySumsError(f"more than {MOST_STATES:,} different sums")
        sums = (sums[:, None] + table[None]).reshape(-1, table.shape[1])
        sums, weights = merged(sums, np.repeat(weights, len(table)))
    return sums, weights


def merged(points: Counts, weights: Weights) -> tuple[Counts, Weights]:
    """Equal points as one, with the sum of their weights."""
    order = np.lexsort(points.T[::-1])
    points = points[order]
    new = np.ones(len(points), dtype=bool)
    new[1:] = (points[1:] != points[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    return points[starts], np.add.reduceat(weights[order], starts)


def weights_below(points: Counts, weights: Weights, queries: Counts) -> Weights:
    """For each query, the weight of all points that are at most as large in every column.

    Args:
        points: [n, d].
        weights: [n].
        queries: [m, d].
    """
    ranks, below = np.empty_like(points), np.empty_like(queries)
    for column in range(points.shape[1]):
        values, ranks[:, column] = np.unique(points[:, column], return_inverse=True)
        below[:, column] = np.searchsorted(values, queries[:, column], side="right")
    whole = np.zeros(len(points), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
    return _below_in_groups(ranks, weights, below, *whole)


def _below_in_groups(ranks: Counts, weights: Weights, below: Counts, groups: Counts, query_groups: Counts) -> Weights:
    """The same among the points of a query's own group; `below` is the first rank that is too large.

    The points of a group stand in order of the first column, and those before a query's place in it are cut into
    blocks whose sizes are different powers of two: a block is a group for the columns that remain.
    """
    base = len(ranks) + 1  # above any rank
    key = groups * base + ranks[:, 0]
    order = np.argsort(key, kind="stable")
    key, ranks, weights, groups = key[order], ranks[order], weights[order], groups[order]
    starts = np.searchsorted(key, query_groups * base)
    ends = np.searchsorted(key, query_groups * base + below[:, 0])
    if ranks.shape[1] == 1:
        so_far = np.concatenate([np.zeros(1, dtype=weights.dtype), np.cumsum(weights)])
        return so_far[ends] - so_far[starts]  # type: ignore[no-any-return]
    places = np.arange(len(key)) - np.searchsorted(key, groups * base)
    lengths = ends - starts
    total = np.zeros(len(below), dtype=weights.dtype)
    for level in range(int(lengths.max(initial=0)).bit_length()):
        asks = np.flatnonzero((lengths >> level) & 1)
        blocks = groups * base + (places >> level)
        asked = query_groups[asks] * base + (lengths[asks] >> level) - 1
        names, block = np.unique(blocks, return_inverse=True)
        total[asks] += _below_in_groups(
            ranks[:, 1:], weights, below[asks, 1:], block.astype(np.int64), np.searchsorted(names, asked)
        )
    return total
