"""A review: every candidate of a design counted, measured where that is asked for, and compared with its budget."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from platform import python_version
from typing import Any

import ulsam_cost
from ulsam_cost.counting.loaded import count_loaded
from ulsam_cost.counting.loading import load_to_count
from ulsam_cost.counting.severity import Shapes
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.calibration import Calibration, load_calibration
from ulsam_cost.reviewing.budget import Budget, Judgement, Verdict, judge_budget, verdict_of
from ulsam_cost.reviewing.costs import Costs, Latency, Numbers, Untimed, costs_of
from ulsam_cost.reviewing.design import Candidate, Design, Failure
from ulsam_cost.reviewing.differences import LayerDifference, layer_differences
from ulsam_cost.units import at_least, difference

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A candidate: what it costs, beside what the baseline does, and whether it keeps its budget."""

    costs: Costs
    baseline: Costs
    budget: Budget

    def timed(self, latency: tuple[Latency, ...], untimed: tuple[Untimed, ...] = ()) -> "Reviewed":
        """The candidate with its times, and where it has none."""
        return replace(self, costs=replace(self.costs, latency=latency, untimed=untimed))

    def timed_as(self, other: Costs) -> "Reviewed":
        """The candidate with the times of others' costs."""
        return self.timed(other.latency, other.untimed)

    @property
    def name(self) -> str:
        """The name that the design gives it."""
        return self.costs.name

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """A verdict on each limit."""
        return judge_budget(self.budget, self.costs)

    @property
    def verdict(self) -> Verdict | None:
        """Over if one limit is broken, else undecided if one is; None without a budget."""
        return verdict_of(self.judgements)

    @property
    def is_over(self) -> bool:
        """Whether a limit is broken."""
        return self.verdict is Verdict.OVER

    @property
    def broken(self) -> tuple[Judgement, ...]:
        """The limits that it breaks."""
        return tuple(each for each in self.judgements if each.verdict is Verdict.OVER)

    @property
    def layers(self) -> tuple[LayerDifference, ...]:
        """The layers that differ from the baseline's."""
        return layer_differences(self.baseline.layers, self.costs.layers)

    def delta(self, metric: str) -> int | None:
        """What it has more than the baseline; None where either leaves something out."""
        costs = (
            at_least(each.number(metric), unless=not each.left_out(metric)) for each in (self.costs, self.baseline)
        )
        return difference(*costs)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            **self.costs.to_dict(),
            "budget": [judgement.to_dict() for judgement in self.judgements],
            "verdict": self.verdict and str(self.verdict),
            "delta": {metric: self.delta(metric) for metric in Numbers._fields},
            "differences": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All candidates of a design, those that failed, and where the times were taken, if any were."""

    title: str
    baseline: Costs
    candidates: tuple[Reviewed, ...]
    conventions: tuple[str, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, Any] | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """Over if one candidate is, else undecided if one is; None without a budget."""
        return verdict_of(tuple(judgement for each in self.candidates for judgement in each.judgements))

    @property
    def is_over(self) -> bool:
        """Whether a limit is broken."""
        return self.verdict is Verdict.OVER

    def to_dict(self) -> dict[str, Any]:
        """The JSON: `costs.json`."""
        return {
            "title": self.title,
            "schema": SCHEMA,
            "verdict": self.verdict and str(self.verdict),
            "versions": self.versions,
            "machine": self.machine,
            "conventions": list(self.conventions),
            "baseline": self.baseline.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "failed": [{"name": failure.name, "error": failure.error} for failure in self.failures],
        }


def count_design(design: Design, *, keep_going: bool = False) -> Review:
    """Count the baseline and every candidate of a design, and compare each with its budget.

    Raises:
        CostError: for a model that cannot be loaded or counted, or gives another shape than the baseline, with its
            line; with `keep_going` a candidate's is a failure of the review.
    """
    with chdir(design.folder):
        with _in_its_line(design, design.baseline):
            baseline, wanted = _counted(design, design.baseline)
        candidates: list[Reviewed] = []
        failures = list(design.failures)
        for candidate in design.candidates:
            try:
                with _in_its_line(design, candidate):
                    costs, outputs = _counted(design, candidate)
                    _require_outputs(outputs, wanted)
            except CostError as error:
                if not keep_going:
                    raise
                failures.append(Failure(name=candidate.name, error=str(error)))
                continue
            candidates.append(Reviewed(costs=costs, baseline=baseline, budget=candidate.budget))
    versions = {"ulsam_cost": ulsam_cost.__version__, "torch": version("torch"), "python": python_version()}
    return Review(
        title=design.title,
        baseline=baseline,
        candidates=tuple(candidates),
        conventions=design.conventions,
        versions=versions,
        failures=tuple(failures),
    )


def measure_design(review: Review, design: Design, *, progress: Callable[[float], None]) -> Review:
    """The review with each candidate's times, taken in turn with the baseline's, and the verdicts that rest on them.

    Raises:
        CostError: for a device that is not there, and for a candidate that cannot be timed.
    """
    from ulsam_cost.reviewing.timing import Stopwatch

    if design.wish is None:
        return review
    by_name = {candidate.name: candidate for candidate in design.candidates}
    measured = []
    with chdir(design.folder):
        stopwatch = Stopwatch(design.wish, design.baseline, _calibration(design, design.wish.calibration))
        for place, each in enumerate(review.candidates):

            def heard(share: float, place: int = place) -> None:
                progress((place + share) / len(review.candidates))

            candidate = by_name[each.name]
            with _in_its_line(design, candidate):
                measured.append(each.timed(*stopwatch.times(candidate, heard)))
    return replace(review, candidates=tuple(measured), machine=stopwatch.machine)


def _calibration(design: Design, given: str | Calibration | None) -> Calibration | None:
    """What int8 is calibrated with, loaded."""
    if not isinstance(given, str):
        return given
    try:
        return load_calibration(given)
    except CostError as error:
        raise design.file.error(("measure", "calibration"), str(error)) from error


def _counted(design: Design, candidate: Candidate) -> tuple[Costs, Shapes]:
    """What a candidate costs, and the shapes that it gives."""
    loaded = load_to_count(candidate.model, otherwise=candidate.inputs)
    count = count_loaded(loaded)
    costs = costs_of(
        loaded.labels,
        count,
        name=candidate.name,
        model=candidate.model,
        conventions=design.conventions,
        accuracy=candidate.accuracy,
    )
    return costs, count.outputs


def _require_outputs(given: Shapes, wanted: Shapes) -> None:
    if given != wanted:
        said, accepted = (" and ".join("x".join(map(str, shape)) for shape in each) for each in (given, wanted))
        raise CostError(
            f"the model gives {said or 'no tensor'}: {accepted or 'no tensor'}, as the baseline, is accepted"
        )


@contextmanager
def _in_its_line(design: Design, candidate: Candidate) -> Iterator[None]:
    """Say in which line of the design the candidate stands of which an error speaks."""
    try:
        yield
    except CostError as error:
        keys = candidate.keys if candidate is design.baseline else (*candidate.keys, "model")
        raise design.file.error(keys, f"{candidate.name}: {error}") from error
