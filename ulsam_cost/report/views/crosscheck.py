"""The verdicts as tables, and their summary by source."""

from collections.abc import Iterable, Sequence
from typing import Any

from ulsam_cost.audit.crosscheck import AnyFinding, finding_record
from ulsam_cost.audit.outcomes import JUDGED, Outcome, count_outcomes
from ulsam_cost.published import Claim
from ulsam_cost.report.formats import COMPLETE, Table, number, words

SOURCES_WIDTH = 34  # what the summary's other columns leave of 100


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
        widths = {"table": 11, "reading": 12}
    records = [
        {**record, **{key: _cut(_short(key, record[key]), width) for key, width in widths.items()}}
        for record in full.records
    ]
    return Table(columns=tuple(column for column in full.columns if column.key in shown), records=records)


def _short(key: str, text: str | None) -> str | None:
    """A reading by its last word: `dcanet` of `network under dcanet`, `arithmetic` of `paper's arithmetic`."""
    return text.split()[-1] if text and key == "reading" else text


def _cut(text: str | None, width: int) -> str:
    text = text or ""
    return text if len(text) <= width else text[: width - 1] + "…"


def explanation_lines(findings: Iterable[AnyFinding]) -> list[str]:
    """The explanations, each once, with the numbers that they explain."""
    about: dict[str, list[str]] = {}
    for finding in findings:
        if finding.explanation:
            subject = finding.subject
            name = subject.id if isinstance(subject, Claim) else f"{subject.table} row {subject.row}, {subject.metric}"
            about.setdefault(finding.explanation, []).append(name)
    return [f"{'; '.join(names)}: {reason}" for reason, names in about.items()]


def summary_table(findings: Sequence[AnyFinding]) -> Table:
    """How many numbers have which outcome, by source where there are several and the columns find room."""
    sources = list(dict.fromkeys(finding.subject.source for finding in findings))
    if len(sources) == 1 or sum(len(source) + 2 for source in sources) > SOURCES_WIDTH:
        sources = []
    own = [(source, [finding for finding in findings if finding.subject.source == source]) for source in sources]
    return outcomes_table([*own, ("all", findings)])


def outcomes_table(groups: Iterable[tuple[str, Iterable[AnyFinding]]]) -> Table:
    """How many numbers of each group have which outcome, a row an outcome; the last row adds up to all of them."""
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
