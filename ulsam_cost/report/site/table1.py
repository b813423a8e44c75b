"""The page of Table 1: printed formulas, real modules, and where the two part."""

from collections.abc import Sequence
from dataclasses import replace

from ulsam_cost.counting.overheads import Table1Row
from ulsam_cost.report.document.model import Bullets, Grid, Link, Page, Paragraph, Picture, Section, Strong
from ulsam_cost.report.formats import Table, factor, number, words
from ulsam_cost.report.views.table1 import TABLE1_NOTE, table1_table

OVERHEADS = "overheads.png"


def table1_page(rows: Sequence[Table1Row]) -> Page:
    """The page."""
    formulas = [replace(row, derived=None, counted=None) for row in rows]
    return Page(
        "table1.md",
        "Table 1: overheads of attention modules",
        (
            Paragraph(
                "The formulas that the ULSAM paper prints for six attention modules, compared with the costs of the "
                "real modules, on 512 channels of 14 x 14 positions with t = 64 maps, reduction r = 16 and dilation 4."
            ),
            Picture(OVERHEADS, "Costs of the six modules, as printed and of the real modules, on a logarithmic scale."),
        ),
        (
            Section("Printed formulas", (Grid(table1_table(formulas)), Paragraph(f"{TABLE1_NOTE}."))),
            Section("Printed, exact and counted", (Grid(_beside(rows)),)),
            Section(
                "Why they differ",
                (
                    Paragraph("How each printed formula differs from the exact cost of the module:"),
                    Bullets(tuple((Strong(row.mechanism.name), f": {row.why}.") for row in rows)),
                ),
            ),
            Section("Where the modules come from", (Grid(_sources(rows)),)),
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


def _beside(rows: Sequence[Table1Row]) -> Table:
    columns = [words("mechanism", "mechanism")]
    for unit, called in (("params", "parameters"), ("macs", "MACs")):
        columns += [
            number(f"printed_{unit}", f"{called}, printed"),
            number(f"exact_{unit}", f"{called}, exact"),
            number(f"counted_{unit}", f"{called}, counted"),
            factor(f"exact_{unit}_ratio", f"{called}, exact / printed"),
        ]
    return Table(columns=tuple(columns), records=[row.to_dict() for row in rows])


def _sources(rows: Sequence[Table1Row]) -> Table:
    columns = (words("name", "mechanism"), words("title", "title"), words("source", "source"))
    names = [column.key for column in columns]
    return Table(columns=columns, records=[{name: getattr(row.mechanism, name) for name in names} for row in rows])
