"""Whether a model that was measured several times took the same time: a machine has slower and faster states.

A clock that changes, or a neighbour on the same processor, can slow every run of some minutes by half. Networks that
run in turn are slowed alike, and their ratio hides it; the times of a table then come from two machines, as it were.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

TOLERANCE = 0.1


def slowdowns(rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """By how much the plain network of each row of a study was slower than in the row in which it was fastest.

    Args:
        rows: rows of the study's record. Those of one network, width, batch and mode have the same plain network.

    Returns:
        A factor for each row, above 1 + TOLERANCE; None for a row within it, or without a plain network.
    """
    times = [_plain_ms(row) for row in rows]
    by_network: defaultdict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row, time in zip(rows, times, strict=True):
        if time is not None:
            by_network[_plain_network(row)].append(time)
    factors = [
        None if time is None else time / min(by_network[_plain_network(row)])
        for row, time in zip(rows, times, strict=True)
    ]
    return [factor if factor is not None and factor > 1 + TOLERANCE else None for factor in factors]


def _plain_network(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row["facts"].get(key) for key in ("network", "width", "batch", "mode"))


def _plain_ms(row: Mapping[str, Any]) -> float | None:
    timed = {"placement": "baseline", "network": "network"}.get(row["facts"].get("section"))
    return row["latency"][timed]["median_ms"] if timed and row.get("latency") else None
