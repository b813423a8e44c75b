"""What the attention mechanisms add to a network, swept over channels and map sizes."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, SizeError
from ulsam_cost.formulas.attention import attention_cost
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.report.formats import Table, number, words
from ulsam_cost.report.views.table1 import table1_letters

MOST_ROWS = 20_000
MOST_NOTES = 12


def overhead_records(
    chosen: Sequence[Mechanism],
    channels: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    *,
    t: int | None = None,
    r: int | None = None,
    g: int | None = None,
    style: str = "equation",
) -> list[dict[str, Any]]:
    """A record for each number of channels, map size and mechanism, in this order; keys as the command's JSON.

    `params` and `macs` are what the mechanism adds: where it stands in place of a convolution, its own cost less
    that one's. `whole_params` and `whole_macs` are its own cost.

    Args:
        chosen: the mechanisms.
        channels: every m.
        sizes: every (h, w).
        t: attention maps of A2-Net, as in `table1_letters`.
        r: reduction, as in `table1_letters`.
        g: subspaces of ULSAM, as in `table1_letters`.
        style: of ULSAM.

    Raises:
        CostError: for more than 20,000 records, and with the mechanism's name for maps none of which it can take.
    """
    rows = len(chosen) * len(channels) * len(sizes)
    if rows > MOST_ROWS:
        raise SizeError(f"a sweep of {rows:,} rows: {MOST_ROWS:,} or fewer are accepted, with a larger step")
    records = [
        _record(mechanism, table1_letters(m, *size, t=t, r=r, g=g), style)
        for m, size, mechanism in product(channels, sizes, chosen)
    ]
    if all(record["refused"] for record in records):
        raise CostError(records[0]["refused"])
    return records


def _record(mechanism: Mechanism, letters: dict[str, int], style: str) -> dict[str, Any]:
    options = mechanism.from_table1(**letters, style=style)
    m, h, w = (letters[letter] for letter in "mhw")
    sizes = {"channels": m, "height": h, "width": w}
    row = {"mechanism": mechanism.name, "group": mechanism.group, "m": m, "h": h, "w": w}
    replaces = {"replaces_convolution": mechanism.replaces is not None}
    try:
        cost = _cost(mechanism, sizes, options)
    except CostError as error:
        costs = dict.fromkeys(("params", "macs", "whole_params", "whole_macs"))
        return row | costs | replaces | {"refused": f"{mechanism.name} on {m} x {h} x {w}: {error}"}
    plain = mechanism.replaces(**sizes, **options) if mechanism.replaces else Cost()
    costs = {
        "params": cost.params - plain.params,
        "macs": cost.macs - plain.macs,
        "whole_params": cost.params,
        "whole_macs": cost.macs,
    }
    return row | costs | replaces | {"refused": None}


def _cost(mechanism: Mechanism, sizes: dict[str, int], options: dict[str, Any]) -> Cost:
    """The derived cost of a mechanism; that of a reader's, which has no closed form, is counted."""
    if mechanism.cost is not None:
        return attention_cost(mechanism.name, **sizes, **options)
    from ulsam_cost.counting.networks import count_mechanism

    counted = count_mechanism(mechanism.name, **sizes, **options)
    if not counted.complete:
        raise CostError(f"its count is incomplete ({counted.left_out()})")
    return counted.cost


def overhead_table(records: Sequence[dict[str, Any]]) -> Table:
    """The records as a table; the whole cost stands beside what is added where the two differ."""
    columns = [number("m", "m"), number("h", "h"), number("w", "w")]
    columns += [words("mechanism", "mechanism"), words("group", "group")]
    columns += [number("params", "params"), number("macs", "MACs")]
    if any(record["replaces_convolution"] for record in records):
        columns += [number("whole_params", "with the\nconvolution"), number("whole_macs", "with the\nconvolution")]
    return Table(columns=tuple(columns), records=records)


def overhead_note(records: Sequence[dict[str, Any]]) -> str:
    """What a reader of the table must know: what is counted over a convolution, and what is not possible."""
    names = dict.fromkeys(record["mechanism"] for record in records if record["replaces_convolution"])
    over = [f"{', '.join(names)}: over the plain convolution in whose place it stands"] if names else []
    return "\n".join([*over, *(record["refused"] for record in records if record["refused"])][:MOST_NOTES])


def swept_lines(records: Sequence[dict[str, Any]], unit: str) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each mechanism's line: its name, where it is known, and its cost there; over m, or over h w where m is one."""
    over_channels = len({record["m"] for record in records}) > 1
    for name in dict.fromkeys(record["mechanism"] for record in records):
        points = sorted(
            (record["m"] if over_channels else record["h"] * record["w"], record[unit])
            for record in records
            if record["mechanism"] == name and not record["refused"]
        )
        yield name, [place for place, _ in points], [cost for _, cost in points]
