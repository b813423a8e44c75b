"""A page a paper: its outcomes cell by cell, its claims, and what of it does not add up."""

from collections import Counter

from ulsam_cost.audit import READINGS, Finding, Verdict
from ulsam_cost.audit.evidence import Audit
from ulsam_cost.audit.outcomes import JUDGED
from ulsam_cost.published import Cell
from ulsam_cost.report.document.model import Bullets, Grid, Inline, Link, Page, Paragraph, Section, Strong, Text
from ulsam_cost.report.formats import Table, number, words
from ulsam_cost.report.site.findings import (
    SOURCES,
    cells_table,
    claims_table,
    explanations_table,
    outcomes_sentence,
    source_title,
)

HOW_TO_READ: tuple[Inline, ...] = (
    Strong("Outcome"),
    " says what gives the printed number. ",
    *(part for each in JUDGED for part in (Strong(each.words), f": {each.meaning}. ")),
    Strong("Computed"),
    " is the number behind the outcome, from the reading that fits best; ",
    Strong("off"),
    " is how far it is from the printed one; ",
    Strong("derived"),
    " is the closed form of the real network (MACs or parameters); ",
    Strong("counted"),
    " is the real model, operation by operation.",
)


def paper_page(source: str, audit: Audit) -> Page:
    """The page of one source; `audit` holds its findings alone."""
    opening = (Paragraph(SOURCES[source][1]),) if source in SOURCES else ()
    return Page(
        f"{source}.md",
        f"{source_title(source)}: cell by cell",
        opening,
        (
            *_not_adding_up(audit),
            *_tables(audit.cells),
            *_claims(audit),
            Section("How to read these tables", (Paragraph(HOW_TO_READ),)),
            *_readings(audit),
        ),
        verdict=_summary(audit),
    )


def _summary(audit: Audit) -> tuple[Text, ...]:
    named = ((audit.cells, "printed cost cells"), (audit.claims, "numbers in the text"))
    return tuple(outcomes_sentence(findings, what) for findings, what in named if findings)


def _not_adding_up(audit: Audit) -> tuple[Section, ...]:
    explained = explanations_table((*audit.cells, *audit.claims))
    sections = []
    if explained.records:
        sections.append(Section("What does not add up", (Grid(explained),)))
    if left := unexplained_items(audit.cells):
        sections.append(Section("Unexplained numbers", (Bullets(left),)))
    return tuple(sections)


def unexplained_items(cells: tuple[Finding[Cell], ...]) -> tuple[str, ...]:
    """Which tables have cells that are not explained."""
    left = [finding for finding in cells if finding.verdict is Verdict.UNEXPLAINED]
    tables = Counter((finding.subject.source, finding.subject.table) for finding in left)
    missing = Counter((f.subject.source, f.subject.table) for f in left if f.computed is None)
    return tuple(
        f"{source_title(source)}, {table}: {count} cells"
        + (f", {missing[source, table]} of which no reading can compute." if missing[source, table] else ".")
        for (source, table), count in tables.items()
    )


def _tables(cells: tuple[Finding[Cell], ...]) -> tuple[Section, ...]:
    tables: dict[str, list[Finding[Cell]]] = {}
    for finding in cells:
        tables.setdefault(finding.subject.table, []).append(finding)
    return tuple(
        Section(table[:1].upper() + table[1:], (Grid(cells_table(findings)),)) for table, findings in tables.items()
    )


def _claims(audit: Audit) -> tuple[Section, ...]:
    if not audit.claims:
        return ()
    return (Section("Numbers in the text", (Grid(claims_table(audit.claims)),)),)


def _readings(audit: Audit) -> tuple[Section, ...]:
    used = Counter(finding.computed.reading for finding in audit.cells if finding.computed)
    records = [
        {
            "reading": reading.name,
            "meaning": reading.meaning,
            "convention": reading.convention,
            "cells": used[reading.name],
        }
        for reading in READINGS
        if used[reading.name]
    ]
    columns = (
        words("reading", "reading"),
        words("meaning", "what it computes"),
        words("convention", "convention"),
        number("cells", "cells"),
    )
    opening = Paragraph(
        (
            "A reading is one way to compute a printed number. Readings are tried in this order, strictest first, and "
            "each cell gets the first of those that fit it best. See ",
            Link("the counters", "conventions.md"),
            " for what each convention counts.",
        )
    )
    return (Section("Readings", (opening, Grid(Table(columns=columns, records=records)))),) if records else ()
