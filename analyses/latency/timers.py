"""The package's times beside those of other timers, taken in turn: torch.utils.benchmark, and Triton's on CUDA."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer

from ulsam_cost.counting.preserve import preserves_state
from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import Run, Setting, in_force, prepare
from ulsam_cost.measuring.samples import Timing
from ulsam_cost.measuring.timing import GroupTiming, take_times

TIMER, DO_BENCH = "torch.utils.benchmark.Timer", "triton.testing.do_bench"
DO_BENCH_MS = 25  # of repeats in one call


def timer_of(device: torch.device) -> str:
    """The other timer that fits a device."""
    return DO_BENCH if device.type == "cuda" else TIMER


@preserves_state
def compare_timers(model: nn.Module, inputs: Any, *, setting: Setting, effort: Effort | None = None) -> GroupTiming:
    """Time a model by this package and by the timer of `timer_of`, a time of each in every round.

    Returns:
        The package's times, and the other timer's as the only other.

    Raises:
        DeviceError: on a CUDA device without Triton.
    """
    ready = prepare(model, inputs, setting)
    other = _do_bench(ready.run) if setting.device.type == "cuda" else _timer(ready.run)
    own: list[list[float]] = [[]]
    others: list[float] = []
    with in_force(setting):
        take_times([ready.run], setting.device, effort or Effort(), own, after_round=lambda: others.append(other()))
    return GroupTiming(model=Timing(times_ms=tuple(own[0])), others=(Timing(times_ms=tuple(others)),))


def _timer(run: Run) -> Callable[[], float]:
    timer = Timer(stmt="run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return lambda: 1e3 * timer.timeit(1).median


def _do_bench(run: Run) -> Callable[[], float]:
    try:
        from triton.testing import do_bench
    except ImportError:
        raise DeviceError(f"{DO_BENCH} needs Triton, which is not installed") from None
    return lambda: float(do_bench(run, warmup=DO_BENCH_MS, rep=DO_BENCH_MS, return_mode="median"))
