"""How long a model takes, and how long it takes compared with another one.

Several models are run in turn, ABAB, so that whatever slows the machine slows them alike; the ratio is taken
pair by pair. On a CPU the wall clock is read around a run; on a CUDA device two events are recorded around it
on an idle stream, and nothing waits inside the run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from ulsam_cost.counting.preserve import preserves_state
from ulsam_cost.frames import Framed
from ulsam_cost.measuring.busy import BUSY, Load, ProcessorTime, busy_reason, load_between
from ulsam_cost.measuring.device import refusals_in_a_sentence
from ulsam_cost.measuring.rounds import Effort, Progress, take_rounds, wall_clock
from ulsam_cost.measuring.runner import Ready, Run, Setting, forget_compiled, in_force, on_device, prepare
from ulsam_cost.measuring.runtimes.exported import Exported
from ulsam_cost.measuring.samples import Interval, Timing, ratio_interval

Result = TypeVar("Result")


class Latency(Framed):
    """What was measured: as a table (`to_frame()`) one row per model, its times in milliseconds."""

    __slots__ = ()
    columns: ClassVar[dict[str, str]] = {
        "model": "string",
        "device": "string",
        "batch": "Int64",
        **dict.fromkeys(("dtype", "memory_format", "mode"), "string"),
        "train": "boolean",
        "allocator": "string",
        **dict.fromkeys(("median_ms", "p10_ms", "p90_ms", "low_ms", "high_ms"), "float64"),
        "runs": "Int64",
        **dict.fromkeys(("ratio", "ratio_low", "ratio_high"), "float64"),
        **dict.fromkeys(("verdict", "busy"), "string"),
        "runtime": "string",
        "threads": "Int64",
    }

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        raise NotImplementedError

    def rows(self) -> Iterator[dict[str, Any]]:
        """The baseline's row, where there is one, and the network's, with the ratio of their times."""
        latency = self.to_dict()
        baseline, network, ratio, verdict = (latency.pop(key) for key in ("baseline", "network", "ratio", "verdict"))
        if baseline:
            yield latency | baseline | {"model": "baseline"}
            latency |= {"ratio": ratio["median"], "ratio_low": ratio["low"], "ratio_high": ratio["high"]}
        yield latency | network | {"model": "network", "verdict": verdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTiming(Latency):
    """The times of one model, and under which setting they were taken; a pair's attributes are None."""

    baseline: ClassVar[None] = None
    ratio: ClassVar[None] = None
    verdict: ClassVar[None] = None

    setting: Setting
    batch: int
    dtype: torch.dtype
    network: Timing
    load: Load | None = None
    exported: Exported | None = None

    @property
    def busy(self) -> str | None:
        """Why the machine was too busy for the times to mean something; None where it was not."""
        return busy_reason({"the model": self.network}, self.load)

    def beside(self, baseline: Timing) -> "PairTiming":
        """The pair of it and the baseline that was timed in turn with it."""
        return PairTiming(
            setting=self.setting,
            batch=self.batch,
            dtype=self.dtype,
            network=self.network,
            baseline=baseline,
            load=self.load,
            exported=self.exported,
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON of one model's latency, with the keys of a pair's."""
        return _latency_dict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTiming(Latency):
    """The times of a network and its baseline, taken in turn, and the network's over the baseline's."""

    setting: Setting
    batch: int
    dtype: torch.dtype
    network: Timing
    baseline: Timing
    load: Load | None = None
    exported: Exported | None = None

    @property
    def ratio(self) -> Interval:
        """Time of the network over the baseline's, pair by pair."""
        return ratio_interval(self.network.times_ms, self.baseline.times_ms)

    @property
    def busy(self) -> str | None:
        """Why the machine was too busy for a verdict; None where it was not."""
        return busy_reason({"the network": self.network, "the baseline": self.baseline}, self.load)

    @property
    def verdict(self) -> str:
        """What the interval of the ratio shows, `faster`, `slower` or `no difference shown`, or why there is none."""
        return BUSY if self.busy else verdict_of(self.ratio)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `profile`'s latency."""
        return _latency_dict(self)


def _latency_dict(timed: ModelTiming | PairTiming) -> dict[str, Any]:
    return {
        **timed.setting.to_dict(batch=timed.batch, dtype=timed.dtype),
        "network": timed.network.to_dict(),
        "baseline": timed.baseline and timed.baseline.to_dict(),
        "ratio": timed.ratio and timed.ratio.to_dict(),
        "verdict": timed.verdict,
        "busy": timed.busy,
        "exported": timed.exported and timed.exported.to_dict(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTiming:
    """The times of a model and of several others, taken in turn."""

    model: Timing
    others: tuple[Timing, ...]
    load: Load | None = None

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """The times under these names, and the model's over each, pair by pair."""
        others = dict(zip(names, self.others, strict=True))
        ratios = {name: ratio_interval(self.model.times_ms, other.times_ms) for name, other in others.items()}
        busy = busy_reason({"the model": self.model, **others}, self.load)
        return {
            "model": self.model.to_dict(),
            **{name: other.to_dict() for name, other in others.items()},
            **{
                f"over_{name}": {**ratio.to_dict(), "verdict": BUSY if busy else verdict_of(ratio)}
                for name, ratio in ratios.items()
            },
            "busy": busy,
        }


def verdict_of(ratio: Interval) -> str:
    """What the interval of a ratio of times shows."""
    if not ratio.is_supported:
        return "too few runs to say"
    if not ratio.shows_difference_from(1.0):
        return "no difference shown"
    return "faster" if ratio.median < 1 else "slower"


class InterruptedMeasurement(KeyboardInterrupt):
    """The caller stopped a measurement in which every model had been timed at least once.

    `partial` is the result of the runs until then.
    """

    def __init__(self, partial: Any) -> None:
        super().__init__()
        self.partial = partial


@preserves_state
def measure_alone(
    model: nn.Module,
    inputs: Any,
    *,
    setting: Setting,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> ModelTiming:
    """Time a model; errors as in `measure`."""
    forget_compiled()
    ready = prepare(model, inputs, setting)

    def result(times: list[Timing], load: Load | None) -> ModelTiming:
        return ModelTiming(setting=setting, batch=ready.batch, dtype=ready.dtype, network=times[0], load=load)

    return _measure([ready], setting, effort or Effort(), progress, result)


@preserves_state
def measure_in_turn(
    baseline: nn.Module,
    network: nn.Module,
    inputs: Any,
    *,
    setting: Setting,
    baseline_inputs: Any = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> PairTiming:
    """Time a network and its baseline in turn, on the same inputs or each on its own; errors as in `measure`."""
    forget_compiled()
    own = inputs if baseline_inputs is None else baseline_inputs
    readies = [prepare(baseline, own, setting), prepare(network, inputs, setting)]

    def result(times: list[Timing], load: Load | None) -> PairTiming:
        first, (plain, changed) = readies[0], times
        return PairTiming(
            setting=setting, batch=first.batch, dtype=first.dtype, baseline=plain, network=changed, load=load
        )

    return _measure(readies, setting, effort or Effort(), progress, result)


@preserves_state
def measure_together(
    model: nn.Module, others: Sequence[nn.Module], inputs: Any, *, setting: Setting, effort: Effort | None = None
) -> GroupTiming:
    """Time a model and several others on the same inputs, in turn; errors as in `measure`."""
    forget_compiled()
    readies = [prepare(one, inputs, setting) for one in (model, *others)]

    def result(times: list[Timing], load: Load | None) -> GroupTiming:
        return GroupTiming(model=times[0], others=tuple(times[1:]), load=load)

    return _measure(readies, setting, effort or Effort(), None, result)


def _measure(
    readies: Sequence[Ready],
    setting: Setting,
    effort: Effort,
    progress: Progress | None,
    result: Callable[[list[Timing], Load | None], Result],
) -> Result:
    times: list[list[float]] = [[] for _ in readies]
    start = ProcessorTime.now()

    def so_far(rounds: int | None = None) -> Result:
        load = load_between(start, ProcessorTime.now(), threads=setting.threads_used)
        return result([Timing(times_ms=tuple(column[:rounds])) for column in times], load)

    try:
        with refusals_in_a_sentence(setting.device, str(setting)), in_force(setting):
            take_times([ready.run for ready in readies], setting.device, effort, times, progress)
    except KeyboardInterrupt:
        rounds = min(map(len, times))
        if not rounds:
            raise
        raise InterruptedMeasurement(so_far(rounds)) from None
    return so_far()


def take_times(
    runs: Sequence[Run],
    device: torch.device,
    effort: Effort,
    times: Sequence[list[float]],
    progress: Progress | None = None,
    after_round: Callable[[], object] = lambda: None,
) -> None:
    """Time functions that run on a device in turn; arguments as in `take_rounds`."""
    with on_device(device):
        take_rounds(runs, _stopwatch(device), effort, times, progress, after_round)


def _stopwatch(device: torch.device) -> Callable[[Run], float]:
    """A function that runs another and says for how many milliseconds."""
    if device.type != "cuda":
        return wall_clock
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def events(run: Run) -> float:
        torch.cuda.synchronize(device)
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return events
