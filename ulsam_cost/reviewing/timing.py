"""Candidates timed in turn with the baseline, each on inputs of its own, in each runtime."""

from collections.abc import Callable
from itertools import product
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.device import dtype_name, machine_state
from ulsam_cost.measuring.memory import require_memory_for
from ulsam_cost.measuring.rounds import make_effort
from ulsam_cost.measuring.runner import Setting, make_setting
from ulsam_cost.measuring.runtimes.calibration import Calibration
from ulsam_cost.measuring.runtimes.measured import measure_models
from ulsam_cost.measuring.runtimes.registry import TORCH
from ulsam_cost.measuring.samples import Timing
from ulsam_cost.measuring.sweep import MeasuredModel, measured_model
from ulsam_cost.measuring.timing import PairTiming
from ulsam_cost.reviewing.costs import Latency, Ratio, Times, Untimed
from ulsam_cost.reviewing.design import Candidate, Wish


class Stopwatch:
    """What times candidates as a design wishes, and the machine on which it does."""

    def __init__(self, wish: Wish, baseline: Candidate, calibration: Calibration | None) -> None:
        device = "cpu" if wish.device == "auto" and set(wish.runtimes) != {TORCH} else wish.device
        settings = [
            make_setting(device=device, runtime=runtime, dtype=dtype, threads=wish.threads, calibration=calibration)
            for runtime, dtype in product(wish.runtimes, wish.dtypes)
        ]
        self._places = list(product(settings, wish.batches))
        self._effort = make_effort(repeats=wish.repeats)
        self._baseline = _measured(baseline)
        self._plain = self._baseline.build()
        first = settings[0]
        state = {"threads": first.threads_used, "allocator": first.allocator}
        self.machine: dict[str, Any] = machine_state(first.device) | state

    def times(
        self, candidate: Candidate, progress: Callable[[float], None]
    ) -> tuple[tuple[Latency, ...], tuple[Untimed, ...]]:
        """The times of a candidate, in each runtime and data type at each batch size, and where there are none.

        Raises:
            CostError: for a model that has no time at all, not even in PyTorch.
        """
        subject = _measured(candidate)
        model = subject.build()
        found: list[Latency] = []
        untimed: list[Untimed] = []
        refused: CostError | None = None
        for place, (setting, batch) in enumerate(self._places):

            def heard(share: float, place: int = place) -> None:
                progress((place + share) / len(self._places))

            try:
                found.append(self._time(subject, model, setting, batch, heard))
            except CostError as error:
                refused = refused or (error if setting.in_torch else None)
                dtype = dtype_name(setting.dtype) if setting.dtype else None
                untimed.append(Untimed(setting.runtime, batch, str(error), is_first=place == 0, dtype=dtype))
        if refused and not found:
            raise refused
        return tuple(found), tuple(untimed)

    def _time(
        self, subject: MeasuredModel, model: Any, setting: Setting, batch: int, progress: Callable[[float], None]
    ) -> Latency:
        for one, made in ((self._plain, self._baseline), (model, subject)):
            require_memory_for(one, made.inputs(batch, "meta"), setting)
        timed = measure_models(
            self._plain,
            model,
            subject.inputs(batch, "cpu"),
            baseline_inputs=self._baseline.inputs(batch, "cpu"),
            setting=setting,
            effort=self._effort,
            progress=progress,
        )
        assert isinstance(timed, PairTiming)
        return _latency(timed)


def _measured(candidate: Candidate) -> MeasuredModel:
    return measured_model(candidate.model, otherwise=candidate.inputs)


def _latency(timed: PairTiming) -> Latency:
    where = timed.setting.to_dict(batch=timed.batch, dtype=timed.dtype)
    return Latency(
        **{key: where[key] for key in ("device", "batch", "dtype", "runtime", "threads")},
        network=_times(timed.network),
        baseline=_times(timed.baseline),
        ratio=Ratio(**timed.ratio.to_dict()),
        verdict=timed.verdict,
        busy=timed.busy,
        exported=None if timed.exported is None else timed.exported.to_dict(),
    )


def _times(timing: Timing) -> Times:
    return Times(**timing.to_dict(), supported=timing.interval.is_supported)  # type: ignore[arg-type]
