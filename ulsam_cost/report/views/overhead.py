"""What the attention mechanisms add to a network, swept over channels and map sizes."""

from collections.abc import Iterator, Sequence

from ulsam_cost.counting.overheads import OverheadRow
from ulsam_cost.report.formats import Table, number, words

MOST_NOTES = 12


def overhead_table(rows: Sequence[OverheadRow]) -> Table:
    """The rows as a table; the whole cost stands beside what is added where the two differ."""
    columns = [number("m", "m"), number("h", "h"), number("w", "w")]
    columns += [words("mechanism", "mechanism"), words("group", "group")]
    columns += [number("params", "params"), number("macs", "MACs")]
    if any(row.replaces_convolution for row in rows):
        columns += [number("whole_params", "with the\nconvolution"), number("whole_macs", "with the\nconvolution")]
    return Table(columns=tuple(columns), records=[row._asdict() for row in rows])


def overhead_note(rows: Sequence[OverheadRow]) -> str:
    """What a reader of the table must know: what is counted over a convolution, and what is not possible."""
    names = dict.fromkeys(row.mechanism for row in rows if row.replaces_convolution)
    over = [f"{', '.join(names)}: what is added to the plain convolution that it replaces"] if names else []
    return "\n".join([*over, *(row.refused for row in rows if row.refused)][:MOST_NOTES])


def swept_lines(rows: Sequence[OverheadRow], unit: str) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each mechanism's line: its name, where it is known, and its cost there; over m, or over h w where m is one."""
    over_channels = len({row.m for row in rows}) > 1
    for name in dict.fromkeys(row.mechanism for row in rows):
        points = sorted(
            (row.m if over_channels else row.h * row.w, getattr(row, unit))
            for row in rows
            if row.mechanism == name and not row.refused
        )
        yield name, [place for place, _ in points], [cost for _, cost in points]
