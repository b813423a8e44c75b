"""The page of Table 1: printed formulas, real modules, and where the two part."""

from typing import Any

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.report.document.model import Bullets, Grid, Link, Page, Paragraph, Picture, Section, Strong
from ulsam_cost.report.formats import Table, factor, number, words
from ulsam_cost.report.views.table1 import TABLE1_NOTE, table1_letters, table1_records, table1_table

OVERHEADS = "overheads.png"


def records_of_table1() -> list[dict[str, Any]]:
    """The six mechanisms at the paper's setting: printed, exact, counted."""
    return table1_records(table1_letters(512, 14, 14), with_exact=True, with_counted=True)


def table1_page(records: list[dict[str, Any]]) -> Page:
    """The page."""
    formulas = [{k: v for k, v in r.items() if not k.startswith(("exact", "counted"))} for r in records]
    return Page(
        "table1.md",
        "Table 1: overheads of attention modules",
        (
            Paragraph(
                "The formulas that the ULSAM paper prints for six attention modules on 512 channels of 14 x 14 "
                "positions, with t = 64 maps, reduction r = 16 and dilation 4, beside what the real modules cost."
            ),
            Picture(OVERHEADS, "Costs of the six modules, as printed and of the real module; logarithmic."),
        ),
        (
            Section("Printed formulas", (Grid(table1_table(formulas)), Paragraph(f"{TABLE1_NOTE}."))),
            Section("Printed, exact and counted", (Grid(_beside(records)),)),
            Section(
                "Why they differ",
                (Bullets(tuple((Strong(record["mechanism"]), f": {record['why']}.") for record in records)),),
            ),
            Section("Where the modules come from", (Grid(_sources(records)),)),
            Section(
                "Cell by cell",
                (
                    Paragraph(
                        ("The outcomes of the printed cells are on ", Link("the paper's page", "ulsam.md#table-1"), ".")
                    ),
                ),
            ),
        ),
    )


def _beside(records: list[dict[str, Any]]) -> Table:
    columns = [words("mechanism", "mechanism")]
    for unit, called in (("params", "parameters"), ("macs", "MACs")):
        columns += [
            number(f"printed_{unit}", f"{called}, printed"),
            number(f"exact_{unit}", f"{called}, exact"),
            number(f"counted_{unit}", f"{called}, counted"),
            factor(f"exact_{unit}_ratio", f"{called}, exact / printed"),
        ]
    return Table(columns=tuple(columns), records=records)


def _sources(records: list[dict[str, Any]]) -> Table:
    rows = [
        {"name": record["mechanism"], "title": get_mechanism(record["mechanism"]).title, **record} for record in records
    ]
    columns = (words("name", "mechanism"), words("title", "title"), words("source", "source"))
    return Table(columns=columns, records=rows)
