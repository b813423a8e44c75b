"""Anyone's paper: a CSV file with the columns of `cells.csv` and a MODEL column, checked cell by cell."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from ulsam_cost.audit import Computed, Finding, judge
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import layers_cost, network_layers
from ulsam_cost.formulas.networks.text import names_network, spec_from_text
from ulsam_cost.published import Cell
from ulsam_cost.units import parse_printed

REQUIRED = ("source", "table", "row", "metric", "printed", "MODEL")
METRICS = ("params", "macs")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCell:
    """A printed cell of somebody's table, the model that it is about, and the shapes of the model's inputs."""

    line: int
    cell: Cell
    model: str
    inputs: tuple[str, ...]


def read_cells(path: Path) -> list[UserCell]:
    """The cells of a file; columns of `cells.csv` that are not needed may be left out.

    `printed` may end in K, M or G; where `value` and `resolution` stand they are taken instead. A column `input`
    holds shapes, separated by spaces, for models that give none.

    Raises:
        CostError: with the line, for a missing column, a number that cannot be read, a metric that is none, a
            cell that stands twice; and for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CostError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    reader = csv.DictReader(text.splitlines(), restval="")
    missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
    if missing:
        raise CostError(f"{path} line 1: no column {', '.join(missing)}; needed are {', '.join(REQUIRED)}")
    return list(_checked(path, reader))


def _checked(path: Path, reader: "csv.DictReader[str]") -> Iterator[UserCell]:
    seen: dict[tuple[str, ...], int] = {}
    for row in reader:
        line = reader.line_num
        try:
            cell = _cell(row)
        except CostError as error:
            raise CostError(f"{path} line {line}: {error}") from error
        key = (cell.source, cell.table, cell.row, cell.model, cell.metric, cell.dataset, cell.groups)
        if key in seen:
            twice = f"{cell.table} row {cell.row} {cell.metric} stands in line {seen[key]} too"
            raise CostError(f"{path} line {line}: {twice}")
        seen[key] = line
        yield UserCell(line=line, cell=cell, model=row["MODEL"].strip(), inputs=tuple((row.get("input") or "").split()))


def _cell(row: dict[str, str]) -> Cell:
    if row["metric"] not in METRICS:
        raise CostError(f"metric {row['metric']!r}: accepted are {', '.join(METRICS)}")
    if not row["MODEL"].strip():
        raise CostError("MODEL is empty: a network's name, FILE.py:NAME or package.module:NAME is accepted")
    printed = parse_printed(row["printed"]) if not row.get("value") else None
    value = printed.value if printed else _decimal("value", row["value"])
    resolution = printed.resolution if printed else _decimal("resolution", row.get("resolution", ""))
    if resolution <= 0:
        raise CostError(f"resolution {resolution}: a positive number is accepted")
    texts = {name: row.get(name) or "" for name in {field.name for field in fields(Cell)} - {"value", "resolution"}}
    return Cell(**texts, value=value, resolution=resolution)


def _decimal(column: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise CostError(f"{column} {text!r} is no number") from error
    if not number.is_finite():
        raise CostError(f"{column} {text!r} is no number")
    return number


def check_cells(path: Path) -> list[Finding[Cell]]:
    """The verdict on every cell of a file: each convention is a reading, plain MACs first.

    Raises:
        CostError: as `read_cells`, and with the line for a model that cannot be costed.
    """
    costs: dict[tuple[str, ...], Cost] = {}
    findings = []
    for user in read_cells(path):
        key = (user.model, *user.inputs)
        if key not in costs:
            try:
                costs[key] = _model_cost(user)
            except CostError as error:
                raise CostError(f"{path} line {user.line}: {error}") from error
        findings.append(judge(user.cell, _computed(user.cell, costs[key])))
    return findings


def _model_cost(user: UserCell) -> Cost:
    if names_network(user.model) and not user.inputs:
        return layers_cost(network_layers(spec_from_text(user.model)))
    from ulsam_cost.nn.loading import load_model
    from ulsam_cost.profiler.trace import count

    loaded = load_model(user.model, inputs=user.inputs)
    return count(loaded.model, loaded.inputs).cost


def _computed(cell: Cell, cost: Cost) -> list[Computed]:
    if cell.metric == "params":
        return [Computed(reading="network", convention="macs", number=Fraction(cost.params))]
    return [
        Computed(
            reading="network" if name == "macs" else f"network under {name}",
            convention=name,
            number=Fraction(convention.number(cost)),
        )
        for name, convention in CONVENTIONS.items()
    ]
