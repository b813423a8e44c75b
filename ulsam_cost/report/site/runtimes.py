"""What the study of the runtimes (`python -m analyses.runtimes`) found, read from the record that it leaves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ulsam_cost.report.document.model import Link, Strong, Text
from ulsam_cost.units import format_ratio

WRITTEN_BY = "python -m analyses.runtimes"
# The paper's placements that save most: network, width, positions, subspaces.
HEADLINES = (("mv1", 1.0, "8:1,9:1,11", 4), ("mv2", 1.0, "13,14,16,17", 4))
Row = Mapping[str, Any]


def rows_of(record: Mapping[str, Any]) -> list[Row]:
    """The rows with their facts, and the name of the runtime as its makers write it."""
    titles = {name: runtime["title"] for name, runtime in record["runtimes"].items()}
    return [{**row["facts"], **row, "title": titles[row["facts"]["runtime"]]} for row in record["rows"]]


def headline(rows: Sequence[Row], wanted: tuple[str, float, str, int]) -> str | None:
    """What a placement does to the time in each runtime, in float32 and as few threads as were measured; or None."""
    own = _in_fewest_threads([row for row in rows if _place(row) == wanted])
    if not own:
        return None
    network, width, positions, groups = wanted
    times = ", ".join(f"{format_ratio(**row['latency']['ratio'])} in {row['title']}" for row in own)
    return (
        f"{network} x{width:g} with ULSAM at {positions} (g = {groups}), {own[0]['macs_pct']:+.2f}% MACs: its time "
        f"relative to the plain network's, in {_threads(own)}, is {times}."
    )


def saving_sentence(rows: Sequence[Row]) -> str | None:
    """How many of the placements that save MACs save time in each runtime, where `headline` looks; None for none."""
    own = _in_fewest_threads([row for row in rows if row["section"] == "placement" and row["macs_pct"] < 0])
    if not own:
        return None
    placements, faster = Counter(row["title"] for row in own), Counter(map(_faster_in, own))
    found = ", ".join(f"{faster[title]} of {total} in {title}" for title, total in placements.items())
    return f"Placements that save MACs and take less time, in {_threads(own)}: {found}."


def _faster_in(row: Row) -> str | None:
    return row["title"] if row["latency"]["verdict"] == "faster" else None


def _in_fewest_threads(rows: Sequence[Row]) -> list[Row]:
    """The rows in float32 that have a time, in as few threads as were measured."""
    timed = [row for row in rows if row.get("latency") and row["dtype"] == "float32"]
    fewest = min((row["threads"] for row in timed), default=0)
    return [row for row in timed if row["threads"] == fewest]


def _threads(rows: Sequence[Row]) -> str:
    threads = rows[0]["threads"]
    return f"{threads} thread{'s'[: threads != 1]}"


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("network", "width", "positions", "groups"))


def runtime_findings(record: Mapping[str, Any], page: str) -> Text | None:
    """What the paper's placements do to the time in each runtime, with a link to the page; None if none was timed."""
    rows = rows_of(record)
    found = [said for wanted in HEADLINES if (said := headline(rows, wanted))]
    found += filter(None, [saving_sentence(rows)])
    if not found:
        return None
    return (
        Strong("Whether a placement that saves MACs saves time depends on the runtime."),
        f" {' '.join(found).removesuffix('.')} (",
        Link("measured", page),
        ").",
    )
