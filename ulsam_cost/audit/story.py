"""The story of a printed number: each reading with its distance, the costs by kind, the conventions that give it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ulsam_cost.audit.crosscheck import finding_record, plain_number
from ulsam_cost.audit.finding import Computed, Finding, Verdict
from ulsam_cost.audit.judging import check_cell, compute_cell, meets
from ulsam_cost.audit.readings import cell_cost, cell_spec, part_cost
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import UnknownNameError
from ulsam_cost.published import Cell, cost_cells, field_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNumber:
    """What a reading gives, how far that is from the printed number, and how it meets it."""

    computed: Computed
    off: Fraction
    last_digits: Fraction
    verdict: Verdict | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "reading": self.computed.reading,
            "number": plain_number(self.computed.number),
            "off": plain_number(self.off),
            "last_digits": float(self.last_digits),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KindChange:
    """The network's cost of a kind, and the plain network's."""

    kind: OpKind
    cost: Cost
    plain: Cost

    def to_dict(self) -> dict[str, Any]:
        """The JSON: MACs, parameters and elements, and their changes."""
        record: dict[str, Any] = {"kind": str(self.kind)}
        for unit, now, was in (
            ("params", self.cost.params, self.plain.params),
            ("macs", self.cost.macs, self.plain.macs),
            ("elements", _elements(self.cost), _elements(self.plain)),
        ):
            record |= {unit: now, f"{unit}_change": now - was}
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class ConventionNumber:
    """The number under a convention, and how it meets the printed one."""

    convention: str
    number: int
    verdict: Verdict | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {"convention": self.convention, "number": self.number, "verdict": self.verdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that is known about a printed cell.

    `by_kind` is None for a cell that is not about a network of the registry, `conventions` also for one that prints no
    MACs.
    """

    finding: Finding[Cell]
    readings: tuple[ReadNumber, ...]
    by_kind: tuple[KindChange, ...] | None = None
    conventions: tuple[ConventionNumber, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON; what is None has no key."""
        record = finding_record(self.finding) | {"readings": [reading.to_dict() for reading in self.readings]}
        if self.by_kind is not None:
            record["by_kind"] = [change.to_dict() for change in self.by_kind]
        if self.conventions is not None:
            record["conventions"] = [number.to_dict() for number in self.conventions]
        return record


def row_cells(source: str, table: str, row: str) -> list[Cell]:
    """The cost cells of a row.

    Raises:
        UnknownNameError: for a source, table or row that prints no cost.
    """
    cells: Sequence[Cell] = (*cost_cells(), *field_cells())
    for what, attribute, given in (("source", "source", source), ("table", "table", table), ("row", "row", row)):
        names = dict.fromkeys(getattr(cell, attribute) for cell in cells)
        if given not in names:
            raise UnknownNameError.among(what, given, names)
        cells = [cell for cell in cells if getattr(cell, attribute) == given]
    return list(cells)


def cell_story(cell: Cell) -> Story:
    """The story of a cell that prints a cost."""
    printed, resolution = Fraction(cell.value), Fraction(cell.resolution)
    readings = tuple(
        ReadNumber(
            computed=computed,
            off=computed.number - printed,
            last_digits=(computed.number - printed) / resolution,
            verdict=meets(printed, resolution, computed.number),
        )
        for computed in compute_cell(cell)
    )
    finding, spec, cost = check_cell(cell), cell_spec(cell), cell_cost(cell)
    if spec is None or cost is None:
        return Story(finding=finding, readings=readings)
    return Story(
        finding=finding,
        readings=readings,
        by_kind=_changes(cost, part_cost(spec.plain(), cell.part)),
        conventions=_numbers(cost, printed, resolution) if cell.metric == "macs" else None,
    )


def _changes(cost: Cost, plain: Cost) -> tuple[KindChange, ...]:
    after, before = cost.by_kind(), plain.by_kind()
    return tuple(
        KindChange(kind=kind, cost=after.get(kind, Cost()), plain=before.get(kind, Cost()))
        for kind in dict.fromkeys((*before, *after))
    )


def _elements(cost: Cost) -> int:
    return sum(op.elements for op in cost if op.kind is not OpKind.UNUSED)


def _numbers(cost: Cost, printed: Fraction, resolution: Fraction) -> tuple[ConventionNumber, ...]:
    numbers = {name: rule.number(cost) for name, rule in CONVENTIONS.items() if rule.counts_operations}
    return tuple(
        ConventionNumber(convention=name, number=value, verdict=meets(printed, resolution, Fraction(value)))
        for name, value in numbers.items()
    )
