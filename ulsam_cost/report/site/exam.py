"""The page of the public exam: every row of timm's table of costs, as it is printed and as it was counted."""

from collections.abc import Sequence

from ulsam_cost.published.exam import OF_THE_TABLE, PRINTED, ExamRow, exam_rows, later_rows
from ulsam_cost.report.document.model import Grid, Page, Paragraph, Section, Strong, Text, bullets
from ulsam_cost.report.formats import Column, Table, number, words

TABLE = "results/benchmark-infer-amp-nchw-pt291-cu128-4090.csv"
# What is counted: its name in a sentence, its heading, and what it is printed in.
NAMES = {
    "params": ("parameters", "parameters", "M"),
    "fvcore": ("GMACs", "MACs", "G"),
    "fvcore_activations": ("activations", "activations", "M"),
}
# Why a later release gives another number, by what is in a model's name.
_DEFINED_ANEW = {
    "ecaresnext50t": "it has 16 blocks now; it had 8, as ecaresnext26t_32x4d, whose printed numbers are the same",
    "rope_mixed": "frequencies times positions are products of elements now; they were matrix products, whose results "
    "fvcore counts as activations",
}
_SHORT = {"parameters": "params"}  # so that the table is as wide as a page


def exam_page() -> Page:
    """How many rows agree first, then how they were counted, what differs, and every row."""
    rows, later = exam_rows(), later_rows()
    different = [row for row in rows if row.differs]
    return Page(
        "timm_exam.md",
        "A public exam: the costs that timm prints of its networks",
        (
            Paragraph(
                "timm publishes the parameters, GMACs and activations of its networks as fvcore counts them, in M and "
                f"G with two decimals ({TABLE} of its repository). Here the same networks were counted on the meta "
                "device, under the conventions fvcore and fvcore_activations."
            ),
        ),
        (
            Section("How they were counted", bullets(_HOW)),
            *((Section("Rows that differ", (Grid(_rows_table(different)),)),) if different else ()),
            Section("What a later release defines anew", _defined_anew(later)),
            Section("Every row", (Grid(_rows_table(rows)),)),
        ),
        verdict=_verdict(rows, later),
    )


_HOW: tuple[Text, ...] = (
    f"timm {OF_THE_TABLE}, which has all networks of the table, each built to be scriptable, as timm counts them.",
    "With attention as two matrix products (set_fused_attn(False) of timm): fvcore does not see fused attention.",
    "With the branches merged that can be merged for inference (reparameterize_model of timm).",
    "At batch 1, and without values in the weights. Numbers are rounded as timm rounds them, to two decimals.",
    "analyses/timm_exam.py counts all of it again.",
)


def _verdict(rows: Sequence[ExamRow], later: Sequence[ExamRow]) -> tuple[Text, ...]:
    agreeing = {name: sum(name not in row.differs for row in rows) for name in PRINTED}
    each = ", ".join(f"{NAMES[name][0]} of {count:,}" for name, count in agreeing.items())
    whole = sum(not row.differs for row in rows)
    networks = len({row.model for row in rows})
    said: tuple[Text, ...] = (
        (
            Strong(f"{whole:,} of {len(rows):,} rows agree in all three numbers"),
            f", to the last digit that timm prints of {networks:,} networks: {each}.",
        ),
    )
    if later:
        said += (f"At least {len(later)} rows differ with timm {later[0].release}, which defines their networks anew.",)
    return said


def _defined_anew(later: Sequence[ExamRow]) -> tuple[Grid, ...]:
    records = [
        {
            "model": row.model,
            "size": row.size,
            "what": NAMES[name][0],
            "printed": row.printed[name],
            "counted": row.rounded(name),
            "why": next((why for part, why in _DEFINED_ANEW.items() if part in row.model), ""),
        }
        for row in later
        for name in row.differs
    ]
    columns = (
        words("model", "network"),
        number("size", "size", str),
        words("what", "number"),
        number("printed", "printed", str),
        number("counted", f"with timm {later[0].release}" if later else "counted", str),
        words("why", "why"),
    )
    return (Grid(Table(columns=columns, records=records)),)


def _rows_table(rows: Sequence[ExamRow]) -> Table:
    records = [
        {
            "model": row.model,
            "size": row.size,
            **row.counted,
            **{f"printed_{name}": value for name, value in row.printed.items()},
            "verdict": " and ".join(NAMES[name][0] for name in row.differs) + " differ" if row.differs else "match",
        }
        for row in rows
    ]
    columns: list[Column] = [words("model", "network"), number("size", "size", str)]
    for name, (_, heading, unit) in NAMES.items():
        short = _SHORT.get(heading, heading)
        columns += [number(f"printed_{name}", f"{unit} {short} printed", str), number(name, f"{short} counted")]
    return Table(columns=(*columns, words("verdict", "verdict")), records=records)
