"""The page of the field: what the repositories of other attention modules print, source by source."""

from collections.abc import Sequence

from ulsam_cost.audit import Finding
from ulsam_cost.audit.evidence import field_audit, network_cost
from ulsam_cost.audit.outcomes import Outcome, count_outcomes, outcome_of
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.published import Cell, field_sources
from ulsam_cost.report.document.model import Bullets, Grid, Page, Paragraph, Picture, Section, Text
from ulsam_cost.report.figures.audit import outcomes_figure
from ulsam_cost.report.formats import Column, Table, number, words
from ulsam_cost.report.site.findings import (
    explanations_table,
    metric_words,
    outcome_record,
    outcomes_sentence,
    shown_columns,
    source_title,
    words_of,
)

FIELD, FIELD_OUTCOMES = "field.md", "field_outcomes.png"
Findings = tuple[Finding[Cell], ...]


def field_sentence() -> Text:
    """The outcomes of all of them."""
    return outcomes_sentence(field_audit().cells, f"costs printed in {len(field_sources())} repositories")


def field_pictures() -> dict[str, bytes]:
    """The outcomes by source."""
    counts = {source_title(source): count_outcomes(own) for source, own in _by_source().items()}
    return {FIELD_OUTCOMES: outcomes_figure({"printed costs": counts}, "Outcomes by source")}


def field_page() -> Page:
    """Findings first, then what does not add up, how each source counted, and each source's cells."""
    findings = field_audit().cells
    judged = tuple(finding for finding in findings if finding.subject.is_held)
    return Page(
        FIELD,
        "The costs that repositories of attention modules print",
        (
            Paragraph(
                "The authors of other attention modules print costs in their repositories. This page compares each of "
                "them with the network that has the module in it, in plain MACs and under the rule by which the source "
                "counted, where that is known."
            ),
        ),
        (
            Section("What does not add up", (Grid(explanations_table(judged)),)),
            Section("How each source counted", (Grid(_sources_table()),)),
            Section("Networks that this project does not have", (Bullets(_not_held()),)),
            *(
                Section(source_title(source), (Paragraph(field_sources()[source].about), Grid(field_table(own))))
                for source, own in _by_source().items()
            ),
        ),
        verdict=(field_sentence(), _agreement(), *_rules(findings)),
        picture=Picture(FIELD_OUTCOMES, f"Outcomes of the {len(findings)} costs, by source."),
    )


def field_table(findings: Sequence[Finding[Cell]], *, leading: tuple[Column, ...] = ()) -> Table:
    """The outcomes of cells; without leading columns there is room for the network, as `ulsam-cost count` takes it."""
    columns = (
        *leading,
        words("metric", "metric"),  # narrow: it stays in sight beside the outcome, on a phone, too
        words("row", "row"),
        words("table", "table"),
        *(() if leading else (words("network", "network"),)),
        number("printed", "printed", str),
        number("computed", "computed", words_of),
        number("off", "off", words_of),
        words("outcome", "outcome"),
        words("reading", "reading"),
    )
    records = [
        {
            **{key: getattr(finding.subject, key) for key in ("table", "row", "network")},
            "source": source_title(finding.subject.source),
            "metric": metric_words(finding.subject.metric),
            **outcome_record(finding),
        }
        for finding in findings
    ]
    return shown_columns(columns, records)


def _by_source() -> dict[str, Findings]:
    return {name: tuple(f for f in field_audit().cells if f.subject.source == name) for name in field_sources()}


def _agreement() -> str:
    specs = field_audit().networks
    agreeing = sum(network_cost(spec).agrees for spec in specs)
    return f"Derived and counted costs are exactly equal in {agreeing} of the {len(specs)} networks in question."


def _rules(findings: Findings) -> list[Text]:
    own = [f for f in findings if outcome_of(f) is Outcome.COUNTING_RULE and f.computed]
    by_rule: dict[str, list[str]] = {}
    for finding in own:
        if finding.computed and finding.computed.convention != "macs":
            by_rule.setdefault(finding.computed.convention, []).append(source_title(finding.subject.source))
    return [
        f"{name} gives {len(sources)} numbers of {', '.join(dict.fromkeys(sources))}: {CONVENTIONS[name].counts}."
        for name, sources in by_rule.items()
    ]


def _not_held() -> tuple[Text, ...]:
    missing: dict[str, int] = {}
    for finding in field_audit().cells:
        if outcome_of(finding) is Outcome.NOT_HELD:
            missing[finding.subject.model] = missing.get(finding.subject.model, 0) + 1
    return tuple(f"{network}: {count} number{'s'[: count != 1]}" for network, count in missing.items())


def _sources_table() -> Table:
    records = [
        {
            "title": source.title,
            "conventions": ", ".join(("macs", *source.conventions)),
            "units": "M = 1024^2, G = 1024^3" if source.binary else "M = 10^6, G = 10^9",
            "counter": source.counter,
            "evidence": source.evidence,
        }
        for source in field_sources().values()
    ]
    columns = (
        words("title", "source"),
        words("conventions", "conventions tried"),
        words("units", "units"),
        words("counter", "what is known about how it counted"),
        words("evidence", "evidence, evaluated on every run"),
    )
    return Table(columns=columns, records=records)
