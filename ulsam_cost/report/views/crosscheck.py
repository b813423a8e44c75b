"""The verdicts as tables, and their summary by source."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ulsam_cost.audit.crosscheck import AnyFinding, finding_record
from ulsam_cost.audit.finding import Verdict
from ulsam_cost.audit.outcomes import JUDGED, Outcome, count_outcomes
from ulsam_cost.published import Cell, Claim, field_sources
from ulsam_cost.report.formats import COMPLETE, Column, Table, number, words

WIDTH = 100
SOURCES_WIDTH = 34  # what the summary's other columns leave of them
LEAST = 8  # of a row's name, whatever the others take


def findings_table(findings: Iterable[AnyFinding]) -> Table:
    """The verdicts, cell by cell."""
    records = [finding_record(finding) for finding in findings]
    columns = (
        *([words("id", "id")] if any("id" in record for record in records) else []),
        words("source", "source"),
        words("table", "table"),
        words("row", "row"),
        words("model", "model"),
        words("metric", "metric"),
        number("printed", "printed", str),
        number("computed", "computed"),
        words("reading", "reading"),
        words("convention", "convention"),
        words("verdict", "verdict"),
        words("outcome", "outcome"),
        words("explanation", "explanation"),
        COMPLETE,
    )
    return Table(columns=columns, records=records)


def terminal_table(findings: Sequence[AnyFinding]) -> Table:
    """The verdicts in 100 columns: what is long is cut."""
    full = findings_table(findings)
    shown: tuple[str, ...]
    if any("id" in record for record in full.records):
        shown, widths = ("id", "source", "row", "printed", "computed", "verdict"), {"row": 44}
    else:
        shown = ("source", "table", "row", "metric", "printed", "computed", "reading", "verdict")
        widths = {"table": 9, "reading": 12}
    columns = tuple(column for column in full.columns if column.key in shown)
    records = [_cut_to(widths, record) for record in full.records]
    if "row" not in widths:
        others = sum(_width(column, records) + 2 for column in columns if column.key != "row")
        records = [_cut_to({"row": max(WIDTH - others, LEAST)}, record) for record in records]
    return Table(columns=columns, records=records)


def _width(column: Column, records: Sequence[dict[str, Any]]) -> int:
    return max(len(column.heading), *(len(column.show(record[column.key])) for record in records), 0)


def _cut_to(widths: dict[str, int], record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, **{key: _cut(_short(key, record[key]), width) for key, width in widths.items()}}


def _short(key: str, text: str | None) -> str | None:
    """A reading by its last word: `dcanet` of `network under dcanet`, `arithmetic` of `paper's arithmetic`."""
    return text.split()[-1] if text and key == "reading" else text


def _cut(text: str | None, width: int) -> str:
    text = text or ""
    return text if len(text) <= width else text[: width - 1] + "…"


def explanation_lines(findings: Iterable[AnyFinding]) -> list[str]:
    """The explanations, each once, with the numbers that they explain; and the networks that are not held."""
    about: dict[str, list[str]] = {}
    lacking: Counter[str] = Counter()
    for finding in findings:
        if finding.verdict is Verdict.NOT_HELD and isinstance(finding.subject, Cell):
            lacking[finding.subject.model] += 1
        elif finding.explanation:
            subject = finding.subject
            name = subject.id if isinstance(subject, Claim) else f"{subject.table} row {subject.row}, {subject.metric}"
            about.setdefault(finding.explanation, []).append(name)
    lines = [f"{'; '.join(names)}: {reason}" for reason, names in about.items()]
    if lacking:
        networks = ", ".join(f"{model} ({count})" for model, count in lacking.items())
        lines.append(f"Not held, because the project does not have the network (numbers of each): {networks}")
    return lines


def summary_table(findings: Sequence[AnyFinding]) -> Table:
    """How many numbers have which outcome, by source where there are several and the columns find room.

    Otherwise there is one column for the papers and one for the repositories.
    """
    by_source: dict[str, list[AnyFinding]] = {}
    apart: dict[str, list[AnyFinding]] = {}
    for finding in findings:
        source = finding.subject.source
        by_source.setdefault(source, []).append(finding)
        apart.setdefault("repositories" if source in field_sources() else "papers", []).append(finding)
    groups = by_source if sum(len(source) + 2 for source in by_source) <= SOURCES_WIDTH else apart
    return outcomes_table([*(groups.items() if len(groups) > 1 else ()), ("all", findings)])


def outcomes_table(groups: Iterable[tuple[str, Iterable[AnyFinding]]]) -> Table:
    """How many numbers of each group have which outcome, one row per outcome; the last row adds up to all of them."""
    names, counts = zip(*((name, count_outcomes(findings)) for name, findings in groups), strict=True)
    records: list[dict[str, Any]] = [
        {"outcome": outcome.words, "meaning": outcome.meaning, **_numbered(count[outcome] for count in counts)}
        for outcome in Outcome
        if outcome in JUDGED or any(count[outcome] for count in counts)
    ]
    records.append({"outcome": "all", **_numbered(count.total() for count in counts)})
    columns = (
        words("outcome", "outcome"),
        *(number(str(place), name) for place, name in enumerate(names)),
        words("meaning", "what gives the printed number"),
    )
    return Table(columns=columns, records=records)


def _numbered(values: Iterable[int]) -> dict[str, int]:
    return {str(place): value for place, value in enumerate(values)}
