"""The ULSAM paper's Table 1 for any map: printed formulas beside exact costs and counted modules."""

from collections.abc import Sequence

from ulsam_cost.counting.overheads import Table1Row
from ulsam_cost.report.formats import COMPLETE, Column, Table, factor, number, words

TABLE1_NOTE = "ratio: relative to the printed cost of ULSAM"
EXACT_NOTE = "ratio: exact cost / printed cost"


def table1_table(rows: Sequence[Table1Row]) -> Table:
    """The rows as a table: with formulas, or with exact and counted costs in their place."""
    derived, counted = rows[0].derived is not None, rows[0].counted is not None
    columns: list[Column] = [words("mechanism", "mechanism")]
    records = [row.to_dict() for row in rows]
    if not (derived or counted):
        columns += [words("params_formula", "params formula"), words("macs_formula", "MACs formula")]
        columns += [number("printed_params", "params"), number("printed_macs", "MACs")]
        columns += [number("params_ratio", "params\nratio"), number("macs_ratio", "MACs\nratio")]
        return Table(columns=tuple(columns), records=records)
    for unit, word in (("params", "params"), ("macs", "MACs")):
        columns.append(number(f"printed_{unit}", f"printed\n{word}"))
        if derived:
            columns += [
                number(f"exact_{unit}", f"exact\n{word}"),
                factor(f"exact_{unit}_ratio", f"{word}\nratio"),
            ]
        if counted:
            columns.append(number(f"counted_{unit}", f"counted\n{word}"))
    if counted:
        columns.append(COMPLETE)
    return Table(columns=tuple(columns), records=records)


def explanations(rows: Sequence[Table1Row]) -> str:
    """The explanations, a line each; mechanisms of which the same is said share one."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.why is not None:
            names.setdefault(row.why, []).append(row.mechanism.name)
    return "\n".join(f"{', '.join(same)}: {why}" for why, same in names.items())


def incomplete_lines(rows: Sequence[Table1Row]) -> str:
    """The modules whose counted MACs leave products out, a line each."""
    return "\n".join(
        f"{row.mechanism.name} is incomplete: {row.counted.left_out}"
        for row in rows
        if row.counted is not None and row.counted.left_out
    )
