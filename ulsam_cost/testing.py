"""For tests of your own: assert that a model keeps a budget.

>>> import torch
>>> from ulsam_cost.testing import assert_within
>>> assert_within(torch.nn.Linear(6, 4), torch.empty(1, 6), macs=24, params="0.028K", uncounted=0)
"""

from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.report.formats import Column, Table, fixed, number, render, words
from ulsam_cost.reviewing.budget import UNCOUNTED, Judgement, Verdict, judge_budget, parse_limit
from ulsam_cost.reviewing.costs import Costs, costs_of

MOST_LAYERS = 10


def assert_within(
    model: Any,
    inputs: Any,
    *,
    macs: int | str | None = None,
    params: int | str | None = None,
    activations: int | str | None = None,
    traffic: int | str | None = None,
    uncounted: int | None = None,
) -> None:
    """Count a model as `ulsam_cost.count` does, and assert that no count is over its limit.

    Args:
        model: a torch.nn.Module, which is left as found.
        inputs: as for `count`.
        macs: the most multiply-accumulates, as a whole number or a text such as `150M`.
        params: the most parameters.
        activations: the most elements that convolutions and matrix products may write.
        traffic: the most elements that may be read and written.
        uncounted: the most operations without a rule.

    Raises:
        AssertionError: where a limit is broken, or where an incomplete count cannot tell; it says by how much, and
            which layers cost most.
        CostError: for a limit that is not a count, and without any limit.

    Example:
        >>> import torch
        >>> from ulsam_cost.testing import assert_within
        >>> assert_within(torch.nn.Conv2d(3, 8, 3), torch.empty(1, 3, 10, 10), macs="20K", uncounted=0)
    """
    from ulsam_cost.counting.count import count
    from ulsam_cost.counting.modules import module_labels

    given = {"macs": macs, "params": params, "activations": activations, "traffic": traffic, UNCOUNTED: uncounted}
    budget = {metric: _limit(metric, value) for metric, value in given.items() if value is not None}
    if not budget:
        raise CostError(f"no limit is given: one or more of {', '.join(given)} are accepted")
    name = type(model).__name__
    costs = costs_of(module_labels(model), count(model, inputs), name=name, model=name)
    broken = [judged for judged in judge_budget(budget, costs) if judged.verdict is not Verdict.WITHIN]
    if broken:
        raise AssertionError("\n\n".join(f"{_sentence(judged, costs)}\n{_where(judged, costs)}" for judged in broken))


def _limit(metric: str, value: int | str) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if metric == UNCOUNTED or isinstance(value, str):
        return parse_limit(metric, value)
    raise CostError(f"{metric} = {value!r}: a whole number from 0 on, or a text such as '150M', is accepted")


def _sentence(judged: Judgement, costs: Costs) -> str:
    value, limit = int(judged.value or 0), int(judged.limit)
    if judged.verdict is Verdict.UNDECIDED:
        least = f"{costs.name} has at least {value:,} {judged.words}"
        return f"{least}; whether more than {limit:,} is not known: {judged.why}"
    return f"{costs.name} has {value:,} {judged.words}, {value - limit:,} over {limit:,}"


def _where(judged: Judgement, costs: Costs) -> str:
    """The layers that cost most in a metric, all others in one row; of uncounted operations, each."""
    if judged.metric == UNCOUNTED or judged.verdict is Verdict.UNDECIDED:
        left = [operation.to_dict() | {"path": operation.path or "(the model)"} for operation in costs.uncounted]
        return _table(left, words("operator", "operation"), number("calls", "calls"))
    total = costs.number(judged.metric)
    costly = sorted(costs.layers, key=lambda layer: -getattr(layer.numbers, judged.metric))
    records = [
        {"path": layer.path or "(the model)", "value": getattr(layer.numbers, judged.metric)} for layer in costly
    ]
    shown, rest = records[:MOST_LAYERS], sum(record["value"] for record in records[MOST_LAYERS:])
    shown += [{"path": f"{len(records) - MOST_LAYERS} others", "value": rest}] if rest else []
    shared = [{**record, "share": 100 * record["value"] / total} for record in shown]
    return _table(shared, number("value", judged.words), number("share", "%", fixed(1)))


def _table(records: list[dict[str, Any]], *columns: Column) -> str:
    return render(Table(columns=(words("path", "layer"), *columns), records=records), "table")
