"""What the audit found, as the report's pages want it: tables of outcomes, explanations, sentences."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from ulsam_cost.audit import Computed, Finding
from ulsam_cost.audit.claims import claim_expressions
from ulsam_cost.audit.evidence import network_cost
from ulsam_cost.audit.explanations import explanations, key_of
from ulsam_cost.audit.outcomes import Outcome, count_outcomes, outcome_of
from ulsam_cost.audit.readings import cell_spec
from ulsam_cost.published import Cell, Claim, field_sources
from ulsam_cost.report.document.model import Shown, Strong, Text
from ulsam_cost.report.formats import Column, Table, number, words
from ulsam_cost.report.views.crosscheck import outcomes_table
from ulsam_cost.units import FACTORS, parse_printed

AnyFinding = Finding[Cell] | Finding[Claim]
# source -> what the report calls it, and what it is
SOURCES = {
    "ulsam": (
        "ULSAM",
        "Saini, Jha, Das, Mittal, Mohan: ULSAM: Ultra-Lightweight Subspace Attention Module for Compact "
        "Convolutional Neural Networks, WACV 2020.",
    ),
    "ulsam_poster": ("ULSAM poster", "The poster of the ULSAM paper, WACV 2020."),
    "aw": (
        "AW-convolution",
        "Zhu, Hofstee, Lee, Al-Ars: An Attention Module for Convolutional Neural Networks, ICANN 2021.",
    ),
    "dca": ("DCANet", "Deep Connected Attention Learning for Image Classification, CVPR submission (DCANet, draft)."),
}

# after "are the network's own cost, rounded"; each begins with its verb
PHRASES = {
    Outcome.NETWORK_TRUNCATED: "are the network's own cost, truncated",
    Outcome.PRINTED_FORMULA: "follow the printed formula",
    Outcome.PAPERS_ARITHMETIC: "follow from the paper's own rounded numbers",
    Outcome.COUNTING_RULE: "need a named counting rule",
    Outcome.LAST_DIGIT: "are off by one in the last digit",
    Outcome.EXPLAINED: "disagree for a known reason",
    Outcome.UNEXPLAINED: "are unexplained",
    Outcome.NOT_HELD: "are not judged, because this project does not have the network",
}


SINGULAR = {"are": "is"}


def source_title(source: str) -> str:
    """What the report calls a source."""
    if source in SOURCES:
        return SOURCES[source][0]
    return field_sources()[source].title if source in field_sources() else source


def outcomes_sentence(findings: Sequence[AnyFinding], what: str) -> Text:
    """How many are the network's own cost, rounded, and the outcomes of the others, so that all add up."""
    others = count_outcomes(findings)
    first = others.pop(Outcome.NETWORK, 0)
    others[Outcome.UNEXPLAINED] += 0  # said where there are none
    return (
        Strong(f"{first} of {len(findings)} {what} are the network's own cost, rounded"),
        f"; {outcome_phrases(others)}.",
    )


def outcome_phrases(counts: Mapping[Outcome, int]) -> str:
    """The outcomes counted, best first: `44 follow the printed formula; 57 need a named counting rule`."""
    return "; ".join(f"{counts[each]} {_phrase(each, counts[each])}" for each in Outcome if each in counts)


def _phrase(outcome: Outcome, count: int) -> str:
    verb, rest = PHRASES[outcome].split(" ", 1)
    return f"{SINGULAR.get(verb, f'{verb}s') if count == 1 else verb} {rest}"


def names_of(findings: Iterable[AnyFinding]) -> str:
    """Printed numbers in a few words: `Table 1, rows 8, 10, parameters; claim c06, Sec. 4.1`."""
    places: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        subject = finding.subject
        if isinstance(subject, Claim):
            places[f"claim {subject.id}", subject.where] = []
        else:
            places.setdefault((subject.table, metric_words(subject.metric)), []).append(subject.row)
    return "; ".join(f"{place}, {_rows(rows)}{what}" for (place, what), rows in places.items())


def _rows(rows: list[str]) -> str:
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(dict.fromkeys(rows))}, " if rows else ""


def metric_words(metric: str) -> str:
    """A metric as a person writes it."""
    unit, _, rest = metric.partition("_")
    return {"macs": "MACs", "params": "parameters"}.get(unit, metric) + (" ratio" if rest == "norm" else "")


def by_reason(findings: Iterable[AnyFinding]) -> dict[str, list[AnyFinding]]:
    """The explained numbers by their explanation."""
    groups: dict[str, list[AnyFinding]] = {}
    for finding in findings:
        if finding.explanation:
            groups.setdefault(finding.explanation, []).append(finding)
    return groups


def cells_table(findings: Sequence[Finding[Cell]], *, leading: tuple[Column, ...] = ()) -> Table:
    """The outcomes of cells, with the derived and the counted cost of the network that a cell is about."""
    columns = (
        words("model", "model"),
        *leading,
        number("row", "row"),
        words("connection", "connection"),
        words("positions", "positions"),
        words("metric", "metric"),
        number("printed", "printed", str),
        number("computed", "computed", words_of),
        number("off", "off", words_of),
        number("derived", "derived"),
        number("counted", "counted"),
        words("reading", "reading"),
        words("outcome", "outcome"),
    )
    return shown_columns(columns, [_cell_record(finding) for finding in findings])


def shown_columns(columns: tuple[Column, ...], records: Sequence[dict[str, Any]]) -> Table:
    """A table without the columns that are empty."""
    used = (column for column in columns if any(record.get(column.key) not in (None, "") for record in records))
    return Table(columns=tuple(used), records=records)


def words_of(value: Shown | None) -> str:
    """A table's value in words, nothing where there is none."""
    return "" if value is None else str(value)


def _cell_record(finding: Finding[Cell]) -> dict[str, Any]:
    cell = finding.subject
    spec = cell_spec(cell)
    return {
        **{key: getattr(cell, key) for key in ("table", "model", "connection", "positions")},
        "row": int(cell.row) if cell.row.isdigit() else None,
        "source": source_title(cell.source),
        "metric": metric_words(cell.metric),
        "derived": spec and getattr(network_cost(spec).derived, cell.metric),
        "counted": spec and network_cost(spec).counted_number(cell.metric),
        **outcome_record(finding),
    }


def outcome_record(finding: AnyFinding) -> dict[str, Any]:
    """What a row says of a printed number's outcome."""
    subject, computed = finding.subject, finding.computed
    printed, outcome = Fraction(subject.value), outcome_of(finding)
    off = _off(computed.number / printed - 1) if computed and printed else None
    return {
        "printed": Shown(printed_words(subject), float(printed)),
        "computed": computed and _computed(computed, Fraction(subject.resolution)),
        "off": off,
        "reading": computed and computed.reading,
        "outcome": Shown(outcome.words, list(Outcome).index(outcome)),
    }


def printed_words(subject: Cell | Claim) -> str:
    """The printed digits, with the unit that stands in the head of the paper's column."""
    if isinstance(subject, Claim):
        return f"{subject.printed or 'equal'}{'%' if subject.unit == '%' else ''}"
    factor = subject.value / parse_printed(subject.printed).value
    unit = next((suffix for suffix, value in FACTORS.items() if suffix and value == factor), "")
    return f"{subject.printed} [{unit}]" if unit else subject.printed


def _computed(computed: Computed, resolution: Fraction) -> Shown:
    """A computed number, with two digits more than the printed one where it is not a whole number."""
    value, digits = computed.number, 2
    if value.denominator == 1:
        return Shown(f"{value.numerator:,}", value.numerator)
    while resolution < Fraction(1, 10 ** (digits - 2)):
        digits += 1
    return Shown(f"{float(value):,.{digits}f}", float(value))


def _off(share: Fraction) -> Shown:
    said = f"{float(100 * share):+.2f}%"
    return Shown("0.00%" if said in ("+0.00%", "-0.00%") else said, float(share))


def claims_table(findings: Sequence[Finding[Claim]]) -> Table:
    """The outcomes of claims, with the expression that computes each."""
    columns = (
        words("id", "claim"),
        words("where", "where"),
        words("statement", "statement"),
        number("printed", "printed", str),
        number("computed", "computed", words_of),
        words("expression", "computed as"),
        words("outcome", "outcome"),
    )
    return shown_columns(columns, [_claim_record(finding) for finding in findings])


def _claim_record(finding: Finding[Claim]) -> dict[str, Any]:
    claim = finding.subject
    expressions = dict(claim_expressions().get(claim.id, ()))
    return {
        **{key: getattr(claim, key) for key in ("id", "where", "statement")},
        "expression": finding.computed and expressions.get(finding.computed.reading),
        **outcome_record(finding),
    }


def explanations_table(findings: Iterable[AnyFinding]) -> Table:
    """The explained numbers, one row per reason, with the evidence that must hold."""
    records = []
    for reason, group in by_reason(findings).items():
        shown = [outcome_record(finding) for finding in group]
        records.append(
            {
                "numbers": names_of(group),
                "printed": _joined(record["printed"] for record in shown),
                "computed": _joined(record["computed"] for record in shown),
                "reason": reason,
                "evidence": explanations()[key_of(group[0].subject)].evidence,
            }
        )
    columns = (
        words("numbers", "number"),
        number("printed", "printed", str),
        number("computed", "computed", words_of),
        words("reason", "why"),
        words("evidence", "evidence, evaluated on every run"),
    )
    return Table(columns=columns, records=records)


def _joined(values: Iterable[Shown | None]) -> Shown | None:
    """Different values in one place, which sorts by the first."""
    different = list(dict.fromkeys(value for value in values if value is not None))
    return Shown("; ".join(map(str, different)), different[0].order) if different else None


def summary_table(findings: Sequence[AnyFinding]) -> Table:
    """The outcomes by source."""
    sources = dict.fromkeys(finding.subject.source for finding in findings)
    own = [(source_title(source), [f for f in findings if f.subject.source == source]) for source in sources]
    return outcomes_table([*own, ("all", findings)])
