"""Judge a printed number by the numbers that were computed for it."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from ulsam_cost.audit import readings  # noqa: F401  registers the built-in readings
from ulsam_cost.audit.explanations import explanation_of
from ulsam_cost.audit.finding import DIGIT_VERDICTS, EXACT_VERDICTS, CellOrClaim, Computed, Finding, Verdict
from ulsam_cost.audit.registry import READINGS
from ulsam_cost.published import Cell


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


def judge(subject: CellOrClaim, tried: Iterable[Computed]) -> Finding[CellOrClaim]:
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
    """What each reading that applies gives for a cell, in the order in which they are tried; none if it is not held."""
    if not cell.is_held:
        return []
    numbers = ((reading, reading.compute(cell)) for reading in READINGS)
    return [
        Computed(reading=reading.name, convention=reading.convention, number=number)
        for reading, number in numbers
        if number is not None
    ]


def check_cell(cell: Cell) -> Finding[Cell]:
    """The verdict on a printed cell.

    Args:
        cell: one of `cost_cells()` or of `field_cells()` of `ulsam_cost.published`.

    Returns:
        A Finding; its computed number is in the cell's base unit: parameters, MACs or a ratio.

    Example:
        >>> import ulsam_cost as uc
        >>> from ulsam_cost.published import cost_cells
        >>> cell = next(cell for cell in cost_cells() if cell.table == "Table 8" and cell.metric == "macs")
        >>> cell.printed, uc.check_cell(cell).verdict.words
        ('300M', 'truncated')
    """
    if not cell.is_held:
        reason = f"{cell.model} is not a network of the project"
        return Finding(subject=cell, verdict=Verdict.NOT_HELD, computed=None, explanation=reason)
    return explained(judge(cell, compute_cell(cell)))


def explained(finding: Finding[CellOrClaim]) -> Finding[CellOrClaim]:
    """The finding, with the explanation of a number that is not reproduced, or only but for its last digit."""
    if finding.verdict in EXACT_VERDICTS:
        return finding
    reason = explanation_of(finding.subject)
    verdict = Verdict.EXPLAINED if reason and finding.verdict is Verdict.UNEXPLAINED else finding.verdict
    return replace(finding, verdict=verdict, explanation=reason)
