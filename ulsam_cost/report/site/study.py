"""What the study of a device (`python -m analyses.latency`) found, read from the record that it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ulsam_cost.report.document.model import Link, Strong, Text

WRITTEN_BY = "python -m analyses.latency"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MechanismTimes:
    """The median time of each mechanism by itself, at batch 1 and eager, on a device; `page` shows more of it."""

    device: str
    page: str
    median_ms: dict[str, float]


def mechanism_times(record: Mapping[str, Any], page: str) -> MechanismTimes | None:
    """What a record says of the mechanisms by themselves; None if none was timed."""
    rows = [{**row["facts"], **row} for row in record["rows"]]
    own = [row for row in rows if row["section"] == "mechanism" and row.get("latency")]
    times = {
        row["mechanism"]: row["latency"]["network"]["median_ms"]
        for row in own
        if row["batch"] == 1 and row["mode"] == "eager"
    }
    return MechanismTimes(device=record["machine"]["name"], page=page, median_ms=times) if times else None


def slower_placements(record: Mapping[str, Any], page: str) -> Text | None:
    """How many placements that save MACs cost time, one operation after another (eager); None if none was timed.

    Args:
        record: of the study on one device.
        page: the file in which its numbers stand.
    """
    rows = [{**row["facts"], **row} for row in record["rows"]]
    timed = [row for row in rows if row["section"] == "placement" and row.get("latency")]
    by_batch = grouped([row for row in timed if row["mode"] == "eager" and row["macs_pct"] < 0], "batch")
    if not by_batch:
        return None
    counts = {batch: slower_of(group) for (batch,), group in sorted(by_batch.items())}
    (first, counted), *others = counts.items()
    rest = "".join(f", {count} at batch {batch}" for batch, count in others)
    return (
        Strong(f"{counted} placements of ULSAM that save MACs take more time"),
        f" than the plain network on {record['machine']['name']} at batch {first}{rest} (",
        Link("measured", page),
        ").",
    )


def slower_of(rows: Sequence[Row]) -> str:
    """How many of them are slower than their plain networks."""
    return f"{sum(row['latency']['verdict'] == 'slower' for row in rows)} of {len(rows)}"


def grouped(rows: Sequence[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """The rows by what they hold under some keys."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups
