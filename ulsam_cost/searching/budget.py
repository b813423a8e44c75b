"""What a search measures by, and the most that each of these may be."""

from collections.abc import Iterable, Mapping

import numpy as np

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.searching.front import MOST_SUM, Counts
from ulsam_cost.units import parse_whole

# metric -> what it counts; the columns of every table of costs, in this order
METRICS = {
    "macs": "MACs",
    "params": "parameters",
    "activations": "elements written by convolutions and matrix products",
    "traffic": "elements read and written",
}


def metrics_of(cost: Cost) -> tuple[int, ...]:
    """A cost in each of the metrics."""
    return cost.macs, cost.params, cost.activations, cost.reads + cost.writes


def chosen_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Metrics to minimise, each once.

    Raises:
        CostError: for one that does not exist, and for none.
    """
    chosen = tuple(dict.fromkeys(_known(name.strip(), "metric to minimise") for name in names))
    if not chosen:
        raise CostError(f"nothing to minimise: one or more of {', '.join(METRICS)} are accepted")
    return chosen


def parse_budget(text: str) -> dict[str, int]:
    """Read `macs=240M,params=3M`.

    Raises:
        CostError: for an unknown or repeated metric, and for a limit that is not a whole number above 0.
    """
    budget: dict[str, int] = {}
    for item in text.split(","):
        name, equals, limit = (part.strip() for part in item.partition("="))
        if not equals:
            raise CostError(f"budget {item.strip()!r}: METRIC=LIMIT is accepted, as in macs=240M,params=3M")
        _known(name, "metric of a budget")
        if name in budget:
            raise CostError(f"budget {text!r}: {name} is given twice")
        try:
            budget[name] = parse_whole(limit)
        except CostError as error:
            raise CostError(f"budget {item.strip()!r}: {error}") from error
    return checked_budget(budget)


def checked_budget(budget: Mapping[str, int]) -> dict[str, int]:
    """A budget by metric, in the metrics' order.

    Raises:
        CostError: for a metric that does not exist, and for a limit that is not above 0.
    """
    for name, limit in budget.items():
        _known(name, "metric of a budget")
        if not isinstance(limit, int) or not 0 < limit < MOST_SUM:
            raise CostError(f"budget {name}={limit}: a whole number from 1 to {MOST_SUM - 1:,} is accepted")
    return {name: budget[name] for name in METRICS if name in budget}


def limits_of(budget: Mapping[str, int], metrics: Iterable[str]) -> Counts:
    """The most that each metric may be; what the budget leaves out may be anything."""
    return np.array([budget.get(name, MOST_SUM) for name in metrics], dtype=np.int64)


def _known(name: str, what: str) -> str:
    if name not in METRICS:
        raise UnknownNameError.among(what, name, METRICS)
    return name
