"""The story of a printed number: each reading with its distance, the costs by kind, the conventions that give it."""

from collections.abc import Sequence
from fractions import Fraction
from textwrap import fill, wrap
from typing import Any

from ulsam_cost.audit import READINGS, Finding, check_cell, compute_cell, meets
from ulsam_cost.audit.crosscheck import finding_record, plain_number
from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.audit.solve import Rule
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import UnknownNameError
from ulsam_cost.published import Cell, cost_cells
from ulsam_cost.report.formats import Table, exact, number, render, words


def row_cells(source: str, table: str, row: str) -> list[Cell]:
    """The cost cells of a row.

    Raises:
        UnknownNameError: for a source, table or row that prints no cost.
    """
    cells: Sequence[Cell] = cost_cells()
    for what, attribute, given in (("source", "source", source), ("table", "table", table), ("row", "row", row)):
        names = dict.fromkeys(getattr(cell, attribute) for cell in cells)
        if given not in names:
            raise UnknownNameError.among(what, given, names)
        cells = [cell for cell in cells if getattr(cell, attribute) == given]
    return list(cells)


def cell_story(cell: Cell) -> dict[str, Any]:
    """Everything that is known about a printed cell."""
    finding = check_cell(cell)
    printed, resolution = Fraction(cell.value), Fraction(cell.resolution)
    story: dict[str, Any] = {
        **finding_record(finding),
        "readings": [
            {
                "reading": computed.reading,
                "number": plain_number(computed.number),
                "off": plain_number(computed.number - printed),
                "last_digits": float((computed.number - printed) / resolution),
                "verdict": meets(printed, resolution, computed.number),
            }
            for computed in compute_cell(cell)
        ],
    }
    spec = cell_spec(cell)
    if spec is not None:
        plain = spec_cost(spec.plain())
        story["by_kind"] = kind_records(spec_cost(spec), plain)
        if cell.metric == "macs":
            story["conventions"] = convention_records(spec_cost(spec), printed, resolution)
    return story


def kind_records(cost: Cost, plain: Cost) -> list[dict[str, Any]]:
    """A record a kind: the network's MACs, parameters and elements, and what the plain network has of them."""
    after, before = cost.by_kind(), plain.by_kind()
    records = []
    for kind in dict.fromkeys((*before, *after)):
        now, was = after.get(kind, Cost()), before.get(kind, Cost())
        records.append(
            {
                "kind": str(kind),
                "params": now.params,
                "params_change": now.params - was.params,
                "macs": now.macs,
                "macs_change": now.macs - was.macs,
                "elements": _elements(now),
                "elements_change": _elements(now) - _elements(was),
            }
        )
    return records


def _elements(cost: Cost) -> int:
    return sum(op.elements for op in cost if op.kind is not OpKind.UNUSED)


def convention_records(cost: Cost, printed: Fraction, resolution: Fraction) -> list[dict[str, Any]]:
    """A record a convention: its number, and how it meets the printed one."""
    return [
        {
            "convention": name,
            "number": (value := convention.number(cost)),
            "verdict": meets(printed, resolution, Fraction(value)),
        }
        for name, convention in CONVENTIONS.items()
    ]


def story_text(finding: Finding[Cell]) -> str:
    """The verdict in a sentence."""
    cell, computed = finding.subject, finding.computed
    place = f"{cell.source}, {cell.table}, row {cell.row}: {cell.model}"
    if cell.positions:
        place += f", ULSAM at ({cell.positions})"
    said = f"{place}\nprinted {cell.metric}: {cell.printed} ({exact(plain_number(Fraction(cell.value)))} {cell.unit})"
    if computed is None:
        return f"{said}\nverdict: {finding.verdict.words}: no reading computes it"
    meaning = next(reading.meaning for reading in READINGS if reading.name == computed.reading)
    verdict = f"verdict: {finding.verdict.words}, by {computed.reading} ({meaning})"
    return "\n".join((said, *(fill(line, 98) for line in (verdict, finding.explanation) if line)))


def readings_table(story: dict[str, Any]) -> Table:
    """Each reading with its number and how far it is."""
    columns = (
        words("reading", "reading"),
        number("number", "number"),
        number("off", "off by", lambda value: exact(value) if value <= 0 else f"+{exact(value)}"),
        number("last_digits", "in last digits", lambda value: f"{value:+.2f}"),
        words("verdict", "verdict"),
    )
    return Table(columns=columns, records=story["readings"])


def all_readings_table(stories: Sequence[dict[str, Any]]) -> Table:
    """The readings of several cells, for programs."""
    columns = (words("metric", "metric"), words("printed", "printed"), *readings_table(stories[0]).columns)
    records = [
        {"metric": story["metric"], "printed": story["printed"], **reading}
        for story in stories
        for reading in story["readings"]
    ]
    return Table(columns=columns, records=records)


def kinds_table(story: dict[str, Any]) -> Table:
    """The costs by kind, and their change from the plain network."""
    columns = (
        words("kind", "kind"),
        number("macs", "MACs"),
        number("macs_change", "change", _change),
        number("params", "params"),
        number("params_change", "change", _change),
        number("elements", "elements"),
        number("elements_change", "change", _change),
    )
    return Table(columns=columns, records=story["by_kind"])


def conventions_table(story: dict[str, Any]) -> Table:
    """What each convention gives."""
    columns = (words("convention", "convention"), number("number", "number"), words("verdict", "verdict"))
    return Table(columns=columns, records=story["conventions"])


def rules_table(rules: Sequence[Rule]) -> Table:
    """The rules that give printed numbers, the plainest first."""
    records = [
        {
            "convention": rule.convention,
            "rule": rule.words,
            "gives": rule.hits,
            "numbers": list(rule.numbers),
            "verdicts": list(rule.verdicts),
        }
        for rule in rules
    ]
    columns = (
        words("convention", "convention"),
        words("rule", "rule"),
        number("gives", "gives"),
        number("numbers", "numbers", lambda values: " ".join(map(exact, values))),
        words("verdicts", "verdicts"),
    )
    return Table(columns=columns, records=records)


def rules_text(rules: Sequence[Rule], models: Sequence[str], numbers: Sequence[str], most: int) -> str:
    """The rules for the terminal: each in words, then what it gives for each network."""
    if not rules:
        return "No known convention and no sum of kinds that was tried gives " + ", ".join(numbers)
    all_of = "" if rules[0].hits == len(numbers) else f"{rules[0].hits} of "
    parts = [f"{len(rules)} rules give {all_of}{', '.join(numbers)}; the plainest:"]
    for rule in rules[:most]:
        name = f"{rule.convention}: " if rule.convention else ""
        parts.append("\n".join(wrap(f"{name}{rule.words}", 98, initial_indent="* ", subsequent_indent="  ")))
    first = rules[0]
    records = [
        {"model": model, "printed": said, "number": value, "verdict": verdict or "no"}
        for model, said, value, verdict in zip(models, numbers, first.numbers, first.verdicts, strict=True)
    ]
    columns = (words("model", "model"), number("printed", "printed", str), number("number", "first rule"))
    table = Table(columns=(*columns, words("verdict", "verdict")), records=records)
    return "\n".join(parts) + "\n\n" + render(table, "table")


def _change(value: int) -> str:
    return f"{value:+,}" if value else ""
