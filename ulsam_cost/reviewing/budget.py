"""The most that a candidate may cost, and whether it keeps to that."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.reviewing.costs import Costs
from ulsam_cost.units import FACTORS, format_ms, parse_ms, parse_whole

LATENCY, UNCOUNTED = "latency", "uncounted"
# metric -> what is counted, in sentences
UNITS = {
    "macs": "MACs",
    "params": "parameters",
    "activations": "activations",
    "traffic": "elements read and written",
    LATENCY: "latency",
    UNCOUNTED: "uncounted operations",
}
Budget = Mapping[str, int | float]


class Verdict(StrEnum):
    """Whether a budget is kept; `undecided` where what is known does not tell."""

    WITHIN = "within"
    OVER = "over"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A limit, what a candidate costs in that metric, and the verdict, with why there is none where it is undecided."""

    metric: str
    limit: int | float
    value: int | float | None
    verdict: Verdict
    why: str = ""

    @property
    def words(self) -> str:
        """What is limited."""
        return UNITS[self.metric]

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return asdict(self) | {"verdict": str(self.verdict)}


def parse_limit(metric: str, value: Any) -> int | float:
    """Read a limit with its unit: `150M` of what is counted, `12 ms` of the latency, a whole number of `uncounted`.

    Raises:
        CostError: for a metric that does not exist, and for a limit with another unit or none.
    """
    if metric not in UNITS:
        raise UnknownNameError.among("metric of a budget", metric, UNITS)
    given = f"{metric} = {value!r}"
    if metric == UNCOUNTED:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise CostError(f"{given}: a whole number from 0 on is accepted")
        return value
    example = "a time such as '12 ms'" if metric == LATENCY else "a number with K, M, G or T such as '150M'"
    if not isinstance(value, str):
        raise CostError(f"{given} has no unit: {example} is accepted")
    try:
        limit: int | float = parse_ms(value) if metric == LATENCY else parse_whole(value)
    except CostError as error:
        raise CostError(f"{given}: {example} is accepted") from error
    if metric != LATENCY and not value.strip().endswith(tuple(filter(None, FACTORS))):
        raise CostError(f"{given} has no unit: {example} is accepted")
    if limit <= 0:
        raise CostError(f"{given}: a limit above 0 is accepted")
    return limit


def judge_budget(budget: Budget, costs: Costs) -> tuple[Judgement, ...]:
    """The verdict on each limit of a budget, in the metrics' order."""
    return tuple(_judged(metric, budget[metric], costs) for metric in UNITS if metric in budget)


def verdict_of(judgements: tuple[Judgement, ...]) -> Verdict | None:
    """One verdict of several: over if one is, else undecided if one is; None without a budget."""
    found = {judgement.verdict for judgement in judgements}
    return next((verdict for verdict in (Verdict.OVER, Verdict.UNDECIDED, Verdict.WITHIN) if verdict in found), None)


def _judged(metric: str, limit: int | float, costs: Costs) -> Judgement:
    if metric == LATENCY:
        return _latency_judged(float(limit), costs)
    value = costs.uncounted_calls if metric == UNCOUNTED else costs.number(metric)
    why = ""
    if value > limit:
        verdict = Verdict.OVER
    elif left_out := costs.left_out(metric):
        verdict, why = Verdict.UNDECIDED, f"the count is incomplete: {left_out}"
    else:
        verdict = Verdict.WITHIN
    return Judgement(metric=metric, limit=limit, value=value, verdict=verdict, why=why)


def _latency_judged(limit: float, costs: Costs) -> Judgement:
    first = costs.first_latency
    if first is None:
        why = next((each.error for each in costs.untimed if each.is_first), "no time was measured")
        return Judgement(metric=LATENCY, limit=limit, value=None, verdict=Verdict.UNDECIDED, why=why)
    times = first.network
    verdict, why = Verdict.UNDECIDED, ""
    if first.busy:
        why = f"the machine was busy: {first.busy}"
    elif not times.supported:
        why = f"{times.runs} runs are too few for an interval"
    elif times.low_ms > limit:
        verdict = Verdict.OVER
    elif times.high_ms <= limit:
        verdict = Verdict.WITHIN
    else:
        low, high = format_ms(times.low_ms), format_ms(times.high_ms)
        why = f"the interval of the median, {low} to {high} ms, holds the limit"
    return Judgement(metric=LATENCY, limit=limit, value=times.median_ms, verdict=verdict, why=why)
