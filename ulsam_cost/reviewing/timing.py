"""Candidates timed in turn with the baseline, each on inputs of its own."""

from collections.abc import Callable
from typing import Any

from ulsam_cost.measuring.device import machine_state
from ulsam_cost.measuring.memory import require_memory_for
from ulsam_cost.measuring.rounds import make_effort
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.samples import Timing
from ulsam_cost.measuring.sweep import MeasuredModel, measured_model
from ulsam_cost.measuring.timing import PairTiming, measure_in_turn
from ulsam_cost.reviewing.costs import Latency, Ratio, Times
from ulsam_cost.reviewing.design import Candidate, Wish


class Stopwatch:
    """What times candidates as a design wishes, and the machine on which it does."""

    def __init__(self, wish: Wish, baseline: Candidate) -> None:
        self._batches = wish.batches
        self._setting, self._effort = make_setting(device=wish.device), make_effort(repeats=wish.repeats)
        self._baseline = _measured(baseline)
        self._plain = self._baseline.build()
        self.machine: dict[str, Any] = machine_state(self._setting.device) | {"allocator": self._setting.allocator}

    def times(self, candidate: Candidate, progress: Callable[[float], None]) -> tuple[Latency, ...]:
        """The times of a candidate, at each batch size.

        Raises:
            CostError: for a model that cannot be timed, or does not fit into the memory.
        """
        subject = _measured(candidate)
        model = subject.build()
        found = []
        for place, batch in enumerate(self._batches):
            for one, made in ((self._plain, self._baseline), (model, subject)):
                require_memory_for(one, made.inputs(batch, "meta"), self._setting)

            def heard(share: float, place: int = place) -> None:
                progress((place + share) / len(self._batches))

            timed = measure_in_turn(
                self._plain,
                model,
                subject.inputs(batch, "cpu"),
                baseline_inputs=self._baseline.inputs(batch, "cpu"),
                setting=self._setting,
                effort=self._effort,
                progress=heard,
            )
            found.append(_latency(timed))
        return tuple(found)


def _measured(candidate: Candidate) -> MeasuredModel:
    return measured_model(candidate.model, otherwise=candidate.inputs)


def _latency(timed: PairTiming) -> Latency:
    where = timed.setting.to_dict(batch=timed.batch, dtype=timed.dtype)
    return Latency(
        device=where["device"],
        batch=timed.batch,
        dtype=where["dtype"],
        network=_times(timed.network),
        baseline=_times(timed.baseline),
        ratio=Ratio(**timed.ratio.to_dict()),
        verdict=timed.verdict,
        busy=timed.busy,
    )


def _times(timing: Timing) -> Times:
    return Times(**timing.to_dict(), supported=timing.interval.is_supported)  # type: ignore[arg-type]
