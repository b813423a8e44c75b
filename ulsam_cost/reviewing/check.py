"""What differs between the costs that were accepted and those of now: counts have no noise, so nothing is allowed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.reviewing.costs import Costs, Numbers
from ulsam_cost.reviewing.differences import LayerDifference, layer_differences
from ulsam_cost.reviewing.review import SCHEMA, Review

COSTS_FILE = "costs.json"


class Status(StrEnum):
    """What became of a model's accepted costs."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The costs of a `costs.json`: the baseline's first, each with its limits."""

    versions: Mapping[str, str]
    machine: Mapping[str, Any] | None
    costs: tuple[Costs, ...]
    limits: Mapping[str, Mapping[str, int | float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A model's accepted costs beside those of now; `given` names what the design says otherwise than it did."""

    name: str
    status: Status
    before: Costs | None = None
    now: Costs | None = None
    given: tuple[str, ...] = ()

    @property
    def numbers(self) -> Numbers | None:
        """The differences of the totals; None of what is not on both sides."""
        return self.now.totals - self.before.totals if self.now and self.before else None

    @property
    def layers(self) -> tuple[LayerDifference, ...]:
        """The layers that differ; none of what is not on both sides."""
        return layer_differences(self.before.layers, self.now.layers) if self.now and self.before else ()

    @property
    def uncounted(self) -> int:
        """How many more operations have no rule."""
        return (self.now.uncounted_calls if self.now else 0) - (self.before.uncounted_calls if self.before else 0)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "name": self.name,
            "status": str(self.status),
            "given": list(self.given),
            "numbers": self.numbers and self.numbers._asdict(),
            "uncounted": self.uncounted,
            "layers": [layer.to_dict() for layer in self.layers],
        }


def read_accepted(path: Path) -> Accepted:
    """Read a `costs.json`.

    Raises:
        CostError: for a file that is not there, or that `review` did not write.
    """
    try:
        record = json.loads(path.read_bytes())
        if record["schema"] != SCHEMA:
            raise CostError(f"{path} has the schema {record['schema']!r}: {SCHEMA} is accepted; write it anew")
        return Accepted(
            versions=record["versions"],
            machine=record["machine"],
            costs=tuple(map(Costs.from_dict, (record["baseline"], *record["candidates"]))),
            limits={
                each["name"]: {judged["metric"]: judged["limit"] for judged in each["budget"]}
                for each in record["candidates"]
            },
        )
    except OSError as error:
        raise CostError(
            f"cannot read {path}: {error.strerror or error}; ulsam-cost review without --check writes it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CostError):
            raise
        raise CostError(
            f"{path} is not what ulsam-cost review writes: write it anew, or give its folder with --out"
        ) from error


def check_review(review: Review, accepted: Accepted) -> tuple[Change, ...]:
    """What became of every model, the baseline's first."""
    before = {costs.name: costs for costs in accepted.costs}
    failed = {failure.name for failure in review.failures}
    changes = [_change(review.baseline, before.pop(review.baseline.name, None), False)]
    for each in review.candidates:
        other_budget = accepted.limits.get(each.name) != each.budget
        changes.append(_change(each.costs, before.pop(each.name, None), other_budget))
    for name in failed:
        changes.append(Change(name=name, status=Status.FAILED, before=before.pop(name, None)))
    gone = (Change(name=name, status=Status.GONE, before=costs) for name, costs in before.items())
    return (*changes, *gone)


def passes(review: Review, changes: Sequence[Change]) -> bool:
    """Whether nothing changed and no limit is broken."""
    return not review.is_over and all(change.status is Status.UNCHANGED for change in changes)


def with_accepted_times(review: Review, accepted: Accepted) -> Review:
    """The review with the accepted times of every candidate that costs what it did, if the baseline does, too."""
    before = {costs.name: costs for costs in accepted.costs}

    def is_same(now: Costs) -> bool:
        return now.name in before and _same_costs(now, before[now.name])

    if not is_same(review.baseline):  # every ratio was one to another baseline
        return review
    candidates = tuple(each.timed_as(before[each.name]) if is_same(each.costs) else each for each in review.candidates)
    machine = accepted.machine if any(each.costs.latency for each in candidates) else None
    return replace(review, candidates=candidates, machine=machine)


def _change(now: Costs, before: Costs | None, other_budget: bool) -> Change:
    if before is None:
        return Change(name=now.name, status=Status.NEW, now=now)
    given = [key for key in ("model", "accuracy") if getattr(now, key) != getattr(before, key)]
    given += ["budget"] if other_budget else []
    given += ["conventions"] if list(now.conventions) != list(before.conventions) else []
    same = not given and _same_costs(now, before)
    status = Status.UNCHANGED if same else Status.CHANGED
    return Change(name=now.name, status=status, before=before, now=now, given=tuple(given))


def _same_costs(now: Costs, before: Costs) -> bool:
    both = now.conventions.keys() & before.conventions.keys()
    return (now.totals, now.layers, now.uncounted) == (before.totals, before.layers, before.uncounted) and all(
        now.conventions[name] == before.conventions[name] for name in both
    )
