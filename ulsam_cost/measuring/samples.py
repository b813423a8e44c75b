"""Repeated measurements: their median, their spread, and the interval in which the median lies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, floor, sqrt
from statistics import median

from ulsam_cost.units import format_ratio

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964  # of 1 - (1 - CONFIDENCE) / 2
MOST_EXACT = 1000  # runs; the binomial's normal limit gives the same rank from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A median and the order statistics around it.

    Source: the distribution-free interval of a median, Hahn and Meeker, Statistical Intervals, 5.2.
    `confidence` is the probability that the interval covers the median of independent runs: 0.95 or more from
    6 runs on; fewer give the range that was seen, and its lower probability.
    """

    median: float
    low: float
    high: float
    confidence: float

    @property
    def relative_width(self) -> float:
        """Width of the interval over the median; infinite where too few runs support it."""
        return (self.high - self.low) / self.median if self.is_supported and self.median else float("inf")

    @property
    def is_supported(self) -> bool:
        """Whether there were enough runs for the interval to mean something."""
        return self.confidence >= CONFIDENCE

    def shows_difference_from(self, value: float) -> bool:
        """Whether the interval is supported and does not hold `value`."""
        return self.is_supported and not self.low <= value <= self.high

    def __str__(self) -> str:
        return format_ratio(self.median, self.low, self.high)

    def to_dict(self) -> dict[str, float]:
        """The JSON of a ratio."""
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one model, in milliseconds, in the order in which they were taken."""

    times_ms: tuple[float, ...]

    @property
    def runs(self) -> int:
        """Number of times taken."""
        return len(self.times_ms)

    @property
    def median_ms(self) -> float:
        """The median."""
        return median(self.times_ms)

    @property
    def p10_ms(self) -> float:
        """The 10th percentile."""
        return quantile(self.times_ms, 0.1)

    @property
    def p90_ms(self) -> float:
        """The 90th percentile."""
        return quantile(self.times_ms, 0.9)

    @property
    def interval(self) -> Interval:
        """The median's interval."""
        return median_interval(self.times_ms)

    def to_dict(self) -> dict[str, float | int]:
        """The numbers of the JSON contract, and the interval's ends."""
        interval = self.interval
        return {
            "median_ms": interval.median,
            "p10_ms": self.p10_ms,
            "p90_ms": self.p90_ms,
            "low_ms": interval.low,
            "high_ms": interval.high,
            "runs": self.runs,
        }


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def median_interval(values: Sequence[float]) -> Interval:
    """The median of values and its interval."""
    ordered, (rank, confidence) = sorted(values), _rank(len(values))
    return Interval(median=median(ordered), low=ordered[rank], high=ordered[-1 - rank], confidence=confidence)


def ratio_interval(values: Sequence[float], references: Sequence[float]) -> Interval:
    """The median of the ratios, pair by pair, and its interval: drift that moves both leaves it alone."""
    return median_interval([value / reference for value, reference in zip(values, references, strict=True)])


@lru_cache(maxsize=4096)
def _rank(runs: int) -> tuple[int, float]:
    # The median lies between the values of rank r and runs - 1 - r (from 0) unless at most r of the runs fall on
    # one side of it: twice the sum of comb(runs, i) for i = 0 ... r, of 2 ** runs.
    if runs > MOST_EXACT:
        return floor(runs / 2 - NORMAL_QUANTILE * sqrt(runs) / 2) - 1, CONFIDENCE
    rank, outside = 0, 2
    while (wider := outside + 2 * comb(runs, rank + 1)) <= (1 - CONFIDENCE) * 2**runs:
        rank, outside = rank + 1, wider
    return rank, 1 - outside / 2**runs
