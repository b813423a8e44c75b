"""Hold printed numbers against computed ones: by which reading a number comes out, and how exactly.

A printed number can be computed in more than one honest way; each way is a `Reading`, and the order of
`READINGS` is the order in which they are tried, strictest first. The printed digits decide: there is no tolerance.
A number that no reading reproduces is explained, by an entry of `explanations.csv` whose evidence holds, or it
stands as unexplained.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Generic, TypeVar

from ulsam_cost.published import Cell, Claim

Subject = TypeVar("Subject", Cell, Claim)


class Verdict(StrEnum):
    """How a computed number meets the printed one, best first; none is held against a number that is incomplete."""

    MATCH = "match"
    TRUNCATED = "truncated"
    LAST_DIGIT = "last_digit"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    INCOMPLETE = "incomplete"

    @property
    def words(self) -> str:
        """The verdict as a person writes it."""
        return self.replace("_", " ")


EXACT_VERDICTS = (Verdict.MATCH, Verdict.TRUNCATED)
DIGIT_VERDICTS = (*EXACT_VERDICTS, Verdict.LAST_DIGIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One honest way to compute a cell: its name, its convention, what it means, and the number or None."""

    name: str
    convention: str
    meaning: str
    compute: Callable[[Cell], Fraction | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a reading gives for a printed number.

    `left_out` is what the number leaves out, as in `64 operations without a rule`; empty where it is whole.
    """

    reading: str
    convention: str
    number: Fraction
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Generic[Subject]):
    """A printed number's verdict, and the computed number that it rests on."""

    subject: Subject
    verdict: Verdict
    computed: Computed | None
    explanation: str = ""


READINGS: list[Reading] = []


def register_reading(reading: Reading) -> Reading:
    """Add a way to compute a cell; it is tried after those that stand.

    Raises:
        ValueError: if its name is taken.
    """
    if any(reading.name == other.name for other in READINGS):
        raise ValueError(f"reading {reading.name!r} is registered already")
    READINGS.append(reading)
    return reading


def meets(printed: Fraction, resolution: Fraction, computed: Fraction) -> Verdict | None:
    """Whether a number rounds to the printed one, truncates to it, or misses its last digit by one."""
    target = printed / resolution
    whole, rest = divmod(computed, resolution)
    rounded = whole + (2 * rest >= resolution)
    if rounded == target:
        return Verdict.MATCH
    if whole == target:
        return Verdict.TRUNCATED
    return Verdict.LAST_DIGIT if abs(rounded - target) == 1 else None


def judge(subject: Subject, tried: Iterable[Computed]) -> Finding[Subject]:
    """The best verdict that any computed number gives, the strictest reading first among equals.

    A number that is incomplete is not judged: where no other gives the printed one, the verdict is that.
    """
    printed, resolution = Fraction(subject.value), Fraction(subject.resolution)
    tried = list(tried)
    verdicts = [(meets(printed, resolution, each.number), each) for each in tried if not each.left_out]
    unjudged = next((computed for computed in tried if computed.left_out), None)
    for verdict in DIGIT_VERDICTS if unjudged is None else EXACT_VERDICTS:
        for found, computed in verdicts:
            if found is verdict:
                return Finding(subject=subject, verdict=verdict, computed=computed)
    if unjudged is not None:
        reason = f"not judged, because the count is incomplete: {unjudged.left_out}"
        return Finding(subject=subject, verdict=Verdict.INCOMPLETE, computed=unjudged, explanation=reason)
    nearest = min((computed for _, computed in verdicts), key=lambda c: abs(c.number - printed), default=None)
    return Finding(subject=subject, verdict=Verdict.UNEXPLAINED, computed=nearest)


def compute_cell(cell: Cell) -> list[Computed]:
    """What each reading that applies gives for a cell, in the order in which they are tried."""
    numbers = ((reading, reading.compute(cell)) for reading in READINGS)
    return [
        Computed(reading=reading.name, convention=reading.convention, number=number)
        for reading, number in numbers
        if number is not None
    ]


def check_cell(cell: Cell) -> Finding[Cell]:
    """The verdict on a printed cell."""
    return explained(judge(cell, compute_cell(cell)))


def explained(finding: Finding[Subject]) -> Finding[Subject]:
    """The finding, with the explanation of a number that is not reproduced, or only but for its last digit."""
    if finding.verdict in EXACT_VERDICTS:
        return finding
    reason = explanation_of(finding.subject)
    verdict = Verdict.EXPLAINED if reason and finding.verdict is Verdict.UNEXPLAINED else finding.verdict
    return replace(finding, verdict=verdict, explanation=reason)


from ulsam_cost.audit import readings as _readings  # noqa: E402, F401  registers the built-in readings
from ulsam_cost.audit.explanations import explanation_of  # noqa: E402
