"""What a check found: the changes of accepted costs, as sentences and as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ulsam_cost.report.formats import Table, words
from ulsam_cost.report.views.review import CHANGES, difference_columns, difference_record
from ulsam_cost.reviewing.check import Accepted, Change, Status
from ulsam_cost.reviewing.costs import Numbers
from ulsam_cost.reviewing.differences import LayerDifference
from ulsam_cost.reviewing.findings import broken_sentence, row_of_names
from ulsam_cost.reviewing.review import Review

TOTAL = "total"
LAYERS_NAMED = 3
LAYERS_SHOWN = 10
COUNTS_SHOWN = 3
SECONDARY = ("activations", "traffic")  # what a terminal has no room for
PATH_WIDTH = 40


def check_sentences(review: Review, changes: Sequence[Change], accepted: Accepted) -> list[str]:
    """The verdict first, then every limit that is broken and what changed; models that changed alike are one."""
    said = [_verdict(review, changes)]
    said += (broken_sentence(each, judged) for each in review.candidates for judged in each.broken)
    said += (_sentence(names, change, review) for names, change in _alike(changes))
    if any(change.status is Status.CHANGED for change in changes) and accepted.versions != review.versions:
        then, now = map(_versions, (accepted.versions, review.versions))
        said.append(f"The costs were accepted with {then}; this run uses {now}.")
    return said


def changes_table(changes: Sequence[Change], *, every: bool) -> Table:
    """The layers that changed and their sum; those that changed most, and others in one row, unless `every` is asked.

    Nothing that did not change stands in it. Models that changed alike are one.
    """
    records = [
        {"name": name, "status": change.status, **row}
        for names, change in _alike(changes)
        for name in (names if every else [row_of_names(names)])
        for row in _rows(change, every=every)
    ]
    columns = (words("name", "candidate"), words("status", "status"), *difference_columns(records))
    return Table(columns=columns, records=records)


def narrow_changes_tables(changes: Sequence[Change]) -> list[Table]:
    """The same for a terminal: a table for each, with as many costs as it has room for."""
    return [_narrow(_rows(change, every=False)) for _, change in _alike(changes) if change.numbers]


def _narrow(rows: Sequence[dict[str, Any]]) -> Table:
    columns = difference_columns(rows)
    counts = [column for column in columns if column.is_number]
    left_out = {column.key for column in counts if column.key in SECONDARY} if len(counts) > COUNTS_SHOWN else set()
    cut = [{**row, "path": row["path"][-PATH_WIDTH:]} for row in rows]
    return Table(columns=tuple(column for column in columns if column.key not in left_out), records=cut)


def _alike(changes: Sequence[Change]) -> list[tuple[list[str], Change]]:
    """What changed, and the names of the models in which that is so."""
    found: dict[Any, tuple[list[str], Change]] = {}
    for change in changes:
        if change.status is not Status.UNCHANGED:
            alike = change.layers and (change.given, change.uncounted, change.layers)
            found.setdefault(alike or change.name, ([], change))[0].append(change.name)
    return list(found.values())


def _rows(change: Change, *, every: bool) -> list[dict[str, Any]]:
    """The layers of a model that changed and their sum, or the totals of one that is new or gone."""
    if change.numbers is None:
        costs = change.now or change.before
        return [{"path": TOTAL, **costs.totals._asdict()}] if costs and change.status is not Status.FAILED else []
    layers = _changed(change)
    shown = layers if every else _most(layers, LAYERS_SHOWN)
    rows = [difference_record(layer) for layer in layers if layer in shown]
    if others := [layer.numbers for layer in layers if layer not in shown]:
        rows.append({"path": f"{len(others)} others with smaller changes", **sum(others, Numbers())._asdict()})
    return [*rows, {"path": TOTAL, "what": ", ".join(change.given), **change.numbers._asdict()}]


def _changed(change: Change) -> list[LayerDifference]:
    """The layers that do something else than they did."""
    return [layer for layer in change.layers if not layer.is_moved]


def _most(layers: Sequence[LayerDifference], number: int) -> list[LayerDifference]:
    """Those that changed most, first in operations, then in what they move."""
    return sorted(layers, key=lambda layer: (-abs(layer.numbers.operations), -abs(layer.numbers.traffic)))[:number]


def _verdict(review: Review, changes: Sequence[Change]) -> str:
    found = Counter(change.status for change in changes)
    over = sum(each.is_over for each in review.candidates)
    parts = [f"{over} over budget"] if over else []
    parts += [f"{found[status]} {status}" for status in Status if status is not Status.UNCHANGED and found[status]]
    if not parts:
        return f"{review.title}: unchanged, and nothing is over budget."
    unchanged = [f"{found[Status.UNCHANGED]} unchanged"] if found[Status.UNCHANGED] else []
    return f"{review.title}: {', '.join((*parts, *unchanged))}."


def _sentence(names: Sequence[str], change: Change, review: Review) -> str:
    if change.status is Status.FAILED:
        error = next(failure.error for failure in review.failures if failure.name == change.name)
        return f"{change.name} failed: {error}."
    if change.status is not Status.CHANGED:
        costs = change.now or change.before
        return f"{change.name} is {change.status}: {costs.totals.macs if costs else 0:,} MACs."
    numbers = change.numbers._asdict() if change.numbers else {}
    parts = [f"{value:+,} {CHANGES[key]}" for key, value in numbers.items() if value]
    if change.uncounted:
        parts.append(f"{change.uncounted:+,} operations without a rule")
    layers = _changed(change)
    if moved := len(change.layers) - len(layers):
        parts.append(f"{moved} layer{'s'[: moved != 1]} moved to other paths")
    parts += [f"the design gives a different {key}" for key in change.given]
    what = ", ".join(parts) or "its operations, but none of its totals"
    return f"{row_of_names(names)} changed{_where(layers)}: {what}."


def _where(layers: Sequence[LayerDifference]) -> str:
    if not layers:
        return ""
    places = [layer.path or "the model itself" for layer in _most(layers, LAYERS_NAMED)]
    others = [f"{len(layers) - len(places)} more layers"] if len(layers) > len(places) else []
    return f" in {row_of_names((*places, *others))}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
