"""Functions timed in turn, round after round, until their medians are precise enough. No torch: any process may."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, perf_counter_ns

from ulsam_cost.counting.collector import no_collection
from ulsam_cost.errors import CostError, require_size
from ulsam_cost.measuring.samples import Timing, ratio_interval

Progress = Callable[[float], None]
Run = Callable[[], object]
Stopwatch = Callable[[Run], float]  # runs a function, and says for how many milliseconds

FEWEST_RUNS = 11  # before an interval may end the runs: the first number at which it drops the two extremes
WARM_UP_SHARE = 0.25  # of the time allowed
WARM_UP_ROUNDS = 3  # whose median is compared with that of as many before
STABLE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """When to stop: after so many runs, or at a width of the interval over its median, or after so many seconds.

    The seconds do not count before there are `fewest` runs.
    """

    repeats: int | None = None
    precision: float = 0.01
    max_seconds: float = 10.0
    fewest: int = 1


def make_effort(*, repeats: int | None = None, precision: float = 0.01, max_seconds: float = 10.0) -> Effort:
    """A checked Effort.

    Raises:
        SizeError: for repeats that are not a positive whole number.
        CostError: for a precision or a time that is not positive.
    """
    if repeats is not None:
        require_size("repeats", repeats)
    if not 0 < precision < 1:
        raise CostError(f"precision {precision:g}: a share between 0 and 1 is accepted, 0.01 for 1%")
    if not 0 < max_seconds < float("inf"):
        raise CostError(f"max-seconds {max_seconds:g}: a positive number of seconds is accepted")
    return Effort(repeats=repeats, precision=precision, max_seconds=max_seconds)


def take_rounds(
    runs: Sequence[Run],
    stopwatch: Stopwatch,
    effort: Effort,
    times: Sequence[list[float]],
    progress: Progress | None = None,
    after_round: Callable[[], object] = lambda: None,
) -> None:
    """Run functions in turn, after a warm-up, and append the times of each to its list, in milliseconds.

    The lists are the caller's, so that an interrupt loses nothing. `after_round` is called when each has been
    timed once more and the device is idle.
    """
    tell = progress or (lambda share: None)
    gc.collect()
    with no_collection():
        _warm_up(runs, stopwatch, effort.max_seconds * WARM_UP_SHARE)
        started, next_check = perf_counter(), FEWEST_RUNS
        while True:
            for run, column in zip(runs, times, strict=True):
                column.append(stopwatch(run))
            after_round()
            done, seconds = len(times[0]), perf_counter() - started
            if effort.repeats:
                tell(done / effort.repeats)
                if done >= effort.repeats:
                    return
                continue
            tell(min(1.0, seconds / effort.max_seconds))
            if seconds >= effort.max_seconds and done >= effort.fewest:
                return
            if done >= next_check:
                next_check = done + max(1, done // 4)
                if _is_precise(times, effort.precision):
                    tell(1.0)
                    return


def _is_precise(times: Sequence[list[float]], precision: float) -> bool:
    intervals = [Timing(times_ms=tuple(column)).interval for column in times]
    intervals += [ratio_interval(column, times[0]) for column in times[1:]]
    return all(interval.relative_width <= precision for interval in intervals)


def _warm_up(runs: Sequence[Run], stopwatch: Stopwatch, seconds: float) -> None:
    """Run until the rounds take the same time as those before, once at least, not longer than `seconds`."""
    started = perf_counter()
    rounds: list[float] = []
    while not rounds or perf_counter() - started < seconds:
        rounds.append(sum(stopwatch(run) for run in runs))
        before, last = rounds[-2 * WARM_UP_ROUNDS : -WARM_UP_ROUNDS], rounds[-WARM_UP_ROUNDS:]
        if len(before) == WARM_UP_ROUNDS and abs(median(last) / median(before) - 1) < STABLE:
            return


def wall_clock(run: Run) -> float:
    """The milliseconds that a function takes."""
    start = perf_counter_ns()
    run()
    return (perf_counter_ns() - start) / 1e6
