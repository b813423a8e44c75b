"""What is said of a printed number: how it can be read, what was computed for it, and the verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Generic, TypeVar

from ulsam_cost.published import Cell, Claim

CellOrClaim = TypeVar("CellOrClaim", Cell, Claim)


class Verdict(StrEnum):
    """How well a computed number agrees with the printed one, best first.

    `incomplete` and `not_held` are not judgements: the count leaves something out, or the project lacks the network.

    Example:
        >>> import ulsam_cost as uc
        >>> [verdict.words for verdict in uc.Verdict][:3]
        ['match', 'truncated', 'last digit']
    """

    MATCH = "match"
    TRUNCATED = "truncated"
    LAST_DIGIT = "last_digit"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    INCOMPLETE = "incomplete"
    NOT_HELD = "not_held"

    @property
    def words(self) -> str:
        """The verdict as a person writes it."""
        return self.replace("_", " ")


EXACT_VERDICTS = (Verdict.MATCH, Verdict.TRUNCATED)
DIGIT_VERDICTS = (*EXACT_VERDICTS, Verdict.LAST_DIGIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to compute a cell: its name, its convention, its meaning, and a function that gives the number or None.

    `compute` takes a Cell, and returns an exact number in the cell's base unit, or None where it does not apply.

    Example:
        >>> import ulsam_cost as uc
        >>> from ulsam_cost.audit import READINGS
        >>> isinstance(READINGS[0], uc.Reading), READINGS[0].convention
        (True, 'macs')
    """

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
class Finding(Generic[CellOrClaim]):
    """A printed number's verdict, and the computed number that it rests on.

    `computed` is None if nothing can be computed for the printed number; `explanation` is empty if the printed number
    is reproduced.

    Example:
        >>> import ulsam_cost as uc
        >>> finding = next(iter(uc.crosscheck(source="ulsam", table="Table 8")))
        >>> finding.subject.printed, int(finding.computed.number), finding.verdict.words
        ('3.4M', 3504872, 'last digit')
    """

    subject: CellOrClaim
    verdict: Verdict
    computed: Computed | None
    explanation: str = ""
