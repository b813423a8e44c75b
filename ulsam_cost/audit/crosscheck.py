"""Many printed numbers at once: those of the papers, or of anyone's table, with their verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from ulsam_cost.audit.cells_file import check_cells
from ulsam_cost.audit.claims import check_claim
from ulsam_cost.audit.finding import CellOrClaim, Computed, Finding, Verdict
from ulsam_cost.audit.judging import check_cell
from ulsam_cost.audit.outcomes import Outcome, outcome_of
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.frames import Framed
from ulsam_cost.published import Cell, Claim, cost_cells, field_cells, published_claims
from ulsam_cost.units import AtLeast

AnyFinding = Finding[Cell] | Finding[Claim]
OPEN = (Verdict.UNEXPLAINED, Verdict.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class Crosscheck(Framed):
    """The verdicts on printed numbers, in their order.

    As a table (`to_frame()`) it has one row per printed number, with the keys of `ulsam-cost crosscheck --format json`.

    Example:
        >>> import ulsam_cost as uc
        >>> uc.crosscheck(source="ulsam").only("unexplained").findings
        ()
    """

    columns: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("id", "source", "table", "row", "model", "metric", "printed"), "string"),
        "computed": "object",
        **dict.fromkeys(("reading", "convention", "verdict", "outcome"), "string"),
        "complete": "boolean",
        "explanation": "string",
    }

    findings: tuple[AnyFinding, ...]

    def __iter__(self) -> Iterator[AnyFinding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a printed number."""
        return map(finding_record, self.findings)

    @property
    def passes(self) -> bool:
        """Whether every number is reproduced or explained."""
        return not any(finding.verdict in OPEN for finding in self.findings)

    def only(self, name: str) -> "Crosscheck":
        """The numbers of one verdict or one outcome.

        Raises:
            UnknownNameError: for a name that is neither.
        """
        accepted = {*Verdict, *Outcome}
        if name not in accepted:
            raise UnknownNameError.among("verdict or outcome", name, accepted)
        return Crosscheck(tuple(each for each in self.findings if name in (each.verdict, outcome_of(each))))


def crosscheck(
    *,
    source: str | None = None,
    table: str | None = None,
    claims: bool = False,
    cells: Path | str | None = None,
    allow_code: bool = True,
) -> Crosscheck:
    """Compare the printed costs of the papers, of other repositories, or of your own table with the computed ones.

    Args:
        source: only this source: a paper (`ulsam`, `ulsam_poster`, `aw` or `dca`), a repository such as `ecanet`, or
            a source of `cells`.
        table: only this table of the source, as in `Table 8`.
        claims: compare the numbers of the papers' text instead of their tables.
        cells: a CSV file with one row per printed cell and a MODEL column, as in `analyses/mobilenet_cells.csv`.
        allow_code: whether a MODEL of `cells` may be `FILE.py:NAME` or `package.module:NAME`, whose code is imported
            and run.

    Returns:
        A Crosscheck, with one finding per printed number.

    Raises:
        UnknownNameError: for a source or a table that prints none.
        CostError: for `cells` with `claims`, a file that cannot be read, and a model that cannot be costed.

    Example:
        >>> import ulsam_cost as uc
        >>> table = uc.crosscheck(source="ulsam", table="Table 8")
        >>> len(table), len(table.only("truncated")), table.passes
        (8, 4, True)
        >>> table.to_frame()[["printed", "computed", "verdict"]].head(2)
          printed   computed     verdict
        0    3.4M    3504872  last_digit
        1    300M  300774272   truncated
    """
    if cells is not None:
        if claims:
            raise CostError("cells or claims is accepted, not both")
        own = {finding.subject: finding for finding in check_cells(Path(cells), allow_code=allow_code)}
        return Crosscheck(tuple(own[cell] for cell in _chosen(list(own), source, table)))
    if claims:
        return Crosscheck(tuple(check_claim(claim) for claim in _chosen(published_claims(), source, table)))
    return Crosscheck(tuple(check_cell(cell) for cell in _chosen((*cost_cells(), *field_cells()), source, table)))


def finding_record(finding: AnyFinding) -> dict[str, Any]:
    """One verdict; keys as the command's JSON."""
    subject, computed = finding.subject, finding.computed
    record: dict[str, Any] = {"id": subject.id} if isinstance(subject, Claim) else {}
    return record | {
        "source": subject.source,
        "table": _place(subject),
        "row": subject.statement if isinstance(subject, Claim) else subject.row,
        "model": "" if isinstance(subject, Claim) else subject.model,
        "metric": subject.metric,
        "printed": subject.printed,
        "computed": computed and _number(computed),
        "reading": computed and computed.reading,
        "convention": computed and computed.convention,
        "verdict": str(finding.verdict),
        "outcome": str(outcome_of(finding)),
        "complete": finding.verdict is not Verdict.INCOMPLETE,
        "explanation": finding.explanation,
    }


def _number(computed: Computed) -> int | float:
    return AtLeast(computed.number) if computed.left_out else plain_number(computed.number)


def _chosen(subjects: Sequence[CellOrClaim], source: str | None, table: str | None) -> list[CellOrClaim]:
    """The printed numbers of a source and a table, of all where None stands.

    Raises:
        UnknownNameError: for a source or a table that prints none.
    """
    sources = {subject.source for subject in subjects}
    if source is not None and source not in sources:
        raise UnknownNameError.among("source", source, sources)
    of_source = [subject for subject in subjects if source in (None, subject.source)]
    tables = {_place(subject) for subject in of_source}
    if table is not None and table not in tables:
        raise UnknownNameError.among("table", table, tables)
    return [subject for subject in of_source if table in (None, _place(subject))]


def _place(subject: Cell | Claim) -> str:
    """Where a printed number stands: its table, or the section of a claim."""
    return subject.where if isinstance(subject, Claim) else subject.table


def plain_number(value: Fraction) -> int | float:
    """An int where the value is whole, else a float."""
    return value.numerator if value.denominator == 1 else float(value)
