"""The stories of printed numbers, and the rules that give them, as tables and sentences."""

from collections.abc import Sequence
from fractions import Fraction
from textwrap import fill, wrap

from ulsam_cost.audit import READINGS, Finding
from ulsam_cost.audit.crosscheck import plain_number
from ulsam_cost.audit.solve import CountingRule
from ulsam_cost.audit.story import ConventionNumber, KindChange, Story
from ulsam_cost.published import Cell
from ulsam_cost.report.formats import Table, exact, number, render, words


def story_text(finding: Finding[Cell]) -> str:
    """The verdict in a sentence."""
    cell, computed = finding.subject, finding.computed
    place = f"{cell.source}, {cell.table}, row {cell.row}: {cell.model}"
    if cell.positions:
        place += f", ULSAM at ({cell.positions})"
    said = f"{place}\nprinted {cell.metric}: {cell.printed} ({exact(plain_number(Fraction(cell.value)))} {cell.unit})"
    verdict = f"verdict: {finding.verdict.words}"
    if computed is None:
        verdict += ": no reading computes it"
    else:
        meaning = next(reading.meaning for reading in READINGS if reading.name == computed.reading)
        verdict += f", by {computed.reading} ({meaning})"
    return "\n".join((said, *(fill(line, 98) for line in (verdict, finding.explanation) if line)))


def readings_table(story: Story) -> Table:
    """Each reading with its number and how far it is."""
    columns = (
        words("reading", "reading"),
        number("number", "number"),
        number("off", "off by", lambda value: exact(value) if value <= 0 else f"+{exact(value)}"),
        number("last_digits", "in last digits", lambda value: f"{value:+.2f}"),
        words("verdict", "verdict"),
    )
    return Table(columns=columns, records=[reading.to_dict() for reading in story.readings])


def all_readings_table(stories: Sequence[Story]) -> Table:
    """The readings of several cells, for programs."""
    columns = (words("metric", "metric"), words("printed", "printed"), *readings_table(stories[0]).columns)
    records = [
        {"metric": story.finding.subject.metric, "printed": story.finding.subject.printed, **reading.to_dict()}
        for story in stories
        for reading in story.readings
    ]
    return Table(columns=columns, records=records)


def kinds_table(by_kind: Sequence[KindChange]) -> Table:
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
    return Table(columns=columns, records=[change.to_dict() for change in by_kind])


def conventions_table(numbers: Sequence[ConventionNumber]) -> Table:
    """What each convention gives."""
    columns = (words("convention", "convention"), number("number", "number"), words("verdict", "verdict"))
    return Table(columns=columns, records=[number.to_dict() for number in numbers])


def rules_table(rules: Sequence[CountingRule]) -> Table:
    """The rules that give printed numbers, the simplest first."""
    records = [
        {
            "convention": rule.convention,
            "rule": rule.words,
            "units": rule.units,
            "gives": rule.hits,
            "numbers": list(rule.numbers),
            "verdicts": list(rule.verdicts),
        }
        for rule in rules
    ]
    columns = (
        words("convention", "convention"),
        words("rule", "rule"),
        words("units", "units"),
        number("gives", "gives"),
        number("numbers", "numbers", lambda values: " ".join(map(exact, values))),
        words("verdicts", "verdicts"),
    )
    return Table(columns=columns, records=records)


def rules_text(rules: Sequence[CountingRule], models: Sequence[str], numbers: Sequence[str], most: int) -> str:
    """The rules for the terminal: each in words, then what it gives for each network."""
    if not rules:
        return "No known convention and no sum of kinds that was tried gives " + ", ".join(numbers)
    all_of = "" if rules[0].hits == len(numbers) else f"{rules[0].hits} of "
    found = "1 rule gives" if len(rules) == 1 else f"{len(rules)} rules give"
    parts = [f"{found} {all_of}{', '.join(numbers)}; the simplest:"]
    for rule in rules[:most]:
        name = f"{rule.convention}: " if rule.convention else ""
        units = f"; {rule.units}" if rule.units else ""
        parts.append("\n".join(wrap(f"{name}{rule.words}{units}", 98, initial_indent="* ", subsequent_indent="  ")))
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
