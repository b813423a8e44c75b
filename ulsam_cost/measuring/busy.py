"""Whether the machine was busy with other work while it was measured: then nothing is concluded from the times."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import psutil

from ulsam_cost.measuring.samples import Timing, quantile

BUSY = "no verdict: the machine was busy"
WIDEST_SPREAD = 2.0  # 90th percentile over median
LOAD_TOLERANCE = 0.5  # cores: what the programs of an idle machine use now and then
SHORTEST_SECONDS = 0.2  # the system counts hundredths of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What other programs took of the processor on average, in cores, beside a measurement with so many threads."""

    others: float
    cores: int
    threads: int

    @property
    def free_cores(self) -> int:
        """The cores that the measurement leaves to others."""
        return max(self.cores - self.threads, 0)


def busy_reason(timings: Mapping[str, Timing], load: Load | None) -> str | None:
    """Why the times say nothing about the models: the load, or the spread of the times; None where they do.

    Args:
        timings: what was measured together, by name.
        load: beside it; None where it is not known, and the times alone decide.
    """
    if load is not None and load.others > load.free_cores + LOAD_TOLERANCE:
        return (
            f"other programs used {load.others:.1f} of {load.cores} cores, and the measurement runs "
            f"{load.threads} thread{'s'[: load.threads != 1]}"
        )
    for name, timing in timings.items():
        p90, median = quantile(timing.times_ms, 0.9), timing.median_ms
        if p90 > WIDEST_SPREAD * median:
            return f"a tenth of the runs of {name} took over {p90 / median:.1f} times the median"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorTime:
    """Seconds of all cores since the system and this process began: what all programs used, and this one."""

    clock: float
    everyone: float
    own: float

    @classmethod
    def now(cls) -> "ProcessorTime":
        """As the system counts it at this moment."""
        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        # guest time is a part of user time; steal, which other virtual machines took, stays in the sum
        apart = sum(getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
        return cls(clock=perf_counter(), everyone=sum(times) - apart, own=own.user + own.system)


def load_between(start: ProcessorTime, end: ProcessorTime, *, threads: int) -> Load | None:
    """The load from one moment to another; None where the time is too short for it, or the system does not count."""
    seconds, everyone, own = end.clock - start.clock, end.everyone - start.everyone, end.own - start.own
    if seconds < SHORTEST_SECONDS or everyone <= 0:
        return None
    return Load(others=max(everyone - own, 0.0) / seconds, cores=psutil.cpu_count() or 1, threads=threads)
