"""What a study of times is made of: tasks, and a record in which each is a row, that is taken up where it ended."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from ulsam_cost.cli.options import progress_bar
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.report.files import write_file
from ulsam_cost.report.formats import to_json

FEWEST_SECONDS = 0.02
WIDEST_INTERVAL = 0.1
FEWEST_RUNS = 6  # give a median an interval of 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One measurement: what it is of, its share of the time, and how to make it."""

    facts: dict[str, Any]
    run: Callable[[Effort], dict[str, Any]]
    weight: float = 1.0

    @property
    def key(self) -> str:
        """What tells it from the others."""
        return key_of(self.facts)


def key_of(facts: Mapping[str, Any]) -> str:
    """What tells a row from the others."""
    return json.dumps(facts, sort_keys=True)


def take(
    tasks: Sequence[Task],
    record: dict[str, Any],
    seconds: float,
    save: Callable[[], None],
    *,
    kept: set[str],
    known: Callable[[dict[str, Any]], dict[str, Any]],
    share: float,
    most_seconds: float,
) -> None:
    """Measure the tasks whose rows are not kept, sharing out the seconds that are left.

    Args:
        tasks: in the order in which they are measured.
        record: has the list `rows`; each row is written to its place, or behind the others.
        seconds: for all of them.
        save: called after each row.
        kept: the keys of the rows that stay.
        known: what is known of a task without measuring, from its facts.
        share: of a task's time that goes into sampling.
        most_seconds: of sampling in one task.
    """
    deadline = perf_counter() + seconds
    places = {key_of(row["facts"]): index for index, row in enumerate(record["rows"])}
    todo = [task for task in tasks if task.key not in kept]
    weight = sum(task.weight for task in todo)
    click.echo(f"{len(todo)} of {len(tasks)} measurements to take", err=True)
    with progress_bar("Measuring") as progress:
        for index, task in enumerate(todo):
            left = deadline - perf_counter()
            if left <= 0:
                break
            allowed = share * left * task.weight / weight
            weight -= task.weight
            effort = Effort(max_seconds=min(max(allowed, FEWEST_SECONDS), most_seconds), fewest=FEWEST_RUNS)
            row: dict[str, Any] = {"facts": task.facts, **known(task.facts)}
            try:
                row |= task.run(effort)
            except CostError as error:
                row["error"] = str(error)
            place = places.get(task.key, len(record["rows"]))
            record["rows"][place : place + 1] = [row]
            save()
            progress((index + 1) / len(todo))


def is_wanting(row: Mapping[str, Any]) -> bool:
    """Whether a row failed, the machine was busy, or its ratio is known no better than to a tenth."""
    timed = row.get("latency") or row
    if "error" in row or timed.get("busy"):
        return True
    paired = timed.get("ratio")
    return paired is not None and paired["high"] - paired["low"] > WIDEST_INTERVAL


def resumed(path: Path, empty: dict[str, Any], same: Sequence[str]) -> dict[str, Any]:
    """The record that stands, if these facts of its machine are those of the empty one; else the empty one."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        is_same = all(found["machine"].get(key) == empty["machine"][key] for key in same)
    except (OSError, ValueError, KeyError):
        return empty
    return found if is_same else empty


def save_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record, whole."""
    write_file(path, to_json(record).encode())
