"""Anyone's paper: a CSV file with the columns of `cells.csv` and a MODEL column, checked cell by cell."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from reprlib import repr as shortened

from ulsam_cost.audit.finding import Computed, Finding
from ulsam_cost.audit.judging import judge
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import layers_cost, network_layers
from ulsam_cost.formulas.networks.text import imports_code, names_spec, spec_from_text
from ulsam_cost.published import Cell
from ulsam_cost.units import FACTORS, PREFIXES, parse_printed

REQUIRED = ("source", "table", "row", "metric", "printed", "MODEL")
METRICS = ("params", "macs")
PLAIN_UNITS = ("", "1", "params", "MACs")
# as many digits as `parse_printed` reads, and an exponent that exact arithmetic can bear
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCell:
    """A printed cell of somebody's table, the model that it is about, and the shapes of the model's inputs."""

    line: int
    cell: Cell
    model: str
    inputs: tuple[str, ...]


def read_cells(path: Path) -> list[UserCell]:
    """The cells of a file; columns of `cells.csv` that are not needed may be left out.

    `printed` may end in K, M, G, Ki, Mi or Gi, or the column `unit` holds that for all of a table; where `value` and
    `resolution` are given, they are taken instead. A column `input` holds shapes, separated by spaces, for models that
    give none.

    Raises:
        CostError: with the line on which the row begins, for a row that the csv module does not read, a missing
            column, a number that cannot be read, a metric that is not one of METRICS, a cell that is given twice; and
            for a file that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CostError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    rows = _rows(path, text)
    line, header = next(rows, (1, []))
    if missing := [name for name in REQUIRED if name not in header]:
        raise CostError(
            f"{path} line {line}: no column {', '.join(missing)}; required columns are {', '.join(REQUIRED)}"
        )
    if repeated := [name for name in REQUIRED if header.count(name) > 1]:
        raise CostError(f"{path} line {line}: column {repeated[0]} is given twice")
    return list(_checked(path, header, rows))


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the line on which it begins: a quoted field may span several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise CostError(f"{path} line {line}: the row that begins here cannot be read as CSV: {error}") from error


def _checked(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[UserCell]:
    seen: dict[tuple[str, ...], int] = {}
    for line, fields_of_row in rows:
        try:
            user = _user_cell(line, _named(header, fields_of_row))
        except CostError as error:
            raise CostError(f"{path} line {line}: {error}") from error
        cell = user.cell
        key = (cell.source, cell.table, cell.row, cell.model, cell.metric, cell.dataset, cell.groups)
        if key in seen:
            twice = f"{cell.table} row {cell.row} {cell.metric} stands in line {seen[key]} too"
            raise CostError(f"{path} line {line}: {twice}")
        seen[key] = line
        yield user


def _named(header: list[str], row: list[str]) -> dict[str, str]:
    if any(row[len(header) :]):
        raise CostError(f"{len(row)} fields: the header names {len(header)}; quote a field that holds a comma")
    return dict.fromkeys(header, "") | dict(zip(header, row, strict=False))


def _user_cell(line: int, row: dict[str, str]) -> UserCell:
    if row["metric"] not in METRICS:
        raise CostError(f"metric {shortened(row['metric'])}: accepted values are {', '.join(METRICS)}")
    model = row["MODEL"].strip()
    if not model:
        raise CostError("MODEL is empty: a network's name, FILE.py:NAME or package.module:NAME is accepted")
    if not row.get("value", "").strip():
        row |= {"printed": row["printed"].strip() + _prefix(row.get("unit", "").strip())}
    value, resolution = _number(row)
    texts = {name: row.get(name, "") for name in {field.name for field in fields(Cell)} - {"value", "resolution"}}
    cell = Cell(**texts, value=value, resolution=resolution)
    return UserCell(line=line, cell=cell, model=model, inputs=tuple(row.get("input", "").split()))


def _prefix(unit: str) -> str:
    """The prefix that stands in the unit column, if it is not the plain unit."""
    if unit in PLAIN_UNITS:
        return ""
    if unit not in FACTORS:
        accepted = f"{PREFIXES}, and for numbers as they are {', '.join(filter(None, PLAIN_UNITS))} or nothing"
        raise CostError(f"unit {shortened(unit)}: accepted values are {accepted}")
    return unit


def _number(row: dict[str, str]) -> tuple[Decimal, Decimal]:
    """The printed number and the weight of its last digit."""
    if not row.get("value", "").strip():
        printed = parse_printed(row["printed"])
        return printed.value, printed.resolution
    value, resolution = _decimal("value", row["value"]), _decimal("resolution", row.get("resolution", ""))
    if resolution <= 0:
        raise CostError(f"resolution {resolution}: a positive number is accepted")
    if Fraction(value) % Fraction(resolution):
        raise CostError(f"value {value} is not a multiple of resolution {resolution}, the weight of its last digit")
    return value, resolution


def _decimal(column: str, text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text.strip()):
        raise CostError(
            f"{column} {shortened(text)}: a number of at most 30 digits on either side of the point, "
            "with an exponent of at most two digits, is accepted"
        )
    return Decimal(text)


def check_cells(path: Path, *, allow_code: bool = True) -> list[Finding[Cell]]:
    r"""The verdict on every cell of a file; the conventions are tried in turn, plain MACs first.

    Args:
        path: the CSV file.
        allow_code: whether a MODEL may be `FILE.py:NAME` or `package.module:NAME`, whose code is imported and run.

    Raises:
        CostError: as `read_cells`, and with the line for a model that cannot be costed or is not allowed.

    Example:
        >>> import pathlib, tempfile
        >>> import ulsam_cost as uc
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "cells.csv"
        ...     _ = file.write_text("source,table,row,metric,printed,MODEL\nmine,T,1,macs,569M,mv1\n")
        ...     [finding.verdict.words for finding in uc.check_cells(file)]
        ['match']
    """
    computed: dict[tuple[str, ...], dict[str, list[Computed]]] = {}
    findings = []
    for user in read_cells(path):
        key = (user.model, *user.inputs)
        if key not in computed:
            try:
                computed[key] = _computed(*_model_cost(user, allow_code=allow_code))
            except CostError as error:
                here = ", which is the column 'input' of this file" if "--input" in str(error) else ""
                raise CostError(f"{path} line {user.line}: {error}{here}") from error
        findings.append(judge(user.cell, computed[key][user.cell.metric]))
    return findings


def _model_cost(user: UserCell, *, allow_code: bool) -> tuple[Cost, Callable[[str], str]]:
    """The cost of a cell's model, and what says what its number under a convention leaves out."""
    if not allow_code and imports_code(user.model):
        raise CostError(f"MODEL {user.model!r} would import code: only a network's name, with its options, is allowed")
    if names_spec(user.model) and not user.inputs and not (spec := spec_from_text(user.model)).underived:
        return layers_cost(network_layers(spec)), lambda convention: ""
    from ulsam_cost.counting.loaded import count_loaded
    from ulsam_cost.counting.loading import load_to_count

    counted = count_loaded(load_to_count(user.model, inputs=user.inputs))
    return counted.cost, counted.left_out


def _computed(cost: Cost, left_out: Callable[[str], str]) -> dict[str, list[Computed]]:
    """What each reading gives for a model, by metric; parameters are whole, whatever is left out."""
    return {
        "params": [Computed(reading="network", convention="macs", number=Fraction(cost.params))],
        "macs": [
            Computed(
                reading="network" if name == "macs" else f"network under {name}",
                convention=name,
                number=Fraction(convention.number(cost)),
                left_out=left_out(name),
            )
            for name, convention in CONVENTIONS.items()
            if convention.counts_operations
        ],
    }
