"""What a check found: the changes of accepted costs, as sentences and as a table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ulsam_cost.report.formats import Table, words
from ulsam_cost.report.views.review import CHANGES, difference_columns, difference_record
from ulsam_cost.reviewing.check import Accepted, Change, Status
from ulsam_cost.reviewing.findings import broken_sentence
from ulsam_cost.reviewing.review import Review

TOTAL = "total"


def check_sentences(review: Review, changes: Sequence[Change], accepted: Accepted) -> list[str]:
    """The verdict first, then what changed, model by model, and every limit that is broken."""
    differing = [change for change in changes if change.status is not Status.UNCHANGED]
    said = [_verdict(review, changes)]
    said += (broken_sentence(each, judged) for each in review.candidates for judged in each.broken)
    said += (_sentence(change, review) for change in differing)
    if any(change.status is Status.CHANGED for change in differing) and accepted.versions != review.versions:
        then, now = map(_versions, (accepted.versions, review.versions))
        said.append(f"The costs were accepted under {then}; now it is {now}.")
    return said


def changes_table(changes: Sequence[Change]) -> Table:
    """The layers that changed, and below those of a model their sum; nothing that did not change."""
    records = [
        {"name": change.name, "status": change.status, **row}
        for change in changes
        if change.status is not Status.UNCHANGED
        for row in _rows(change)
    ]
    return Table(
        columns=(words("name", "candidate"), words("status", "status"), *difference_columns(records)), records=records
    )


def _rows(change: Change) -> list[dict[str, Any]]:
    """The layers of a model that changed and their sum, or the totals of one that is new or gone."""
    rows = [difference_record(layer) for layer in change.layers if not layer.is_moved]
    what = ", ".join(change.given)
    if change.numbers is None:
        costs = change.now or change.before
        return [{"path": TOTAL, **(costs.totals._asdict() if costs else {})}]
    return [*rows, {"path": TOTAL, "what": what, **change.numbers._asdict()}]


def _verdict(review: Review, changes: Sequence[Change]) -> str:
    found = Counter(change.status for change in changes)
    over = sum(each.is_over for each in review.candidates)
    parts = [f"{over} over budget"] if over else []
    parts += [f"{found[status]} {status}" for status in Status if status is not Status.UNCHANGED and found[status]]
    if not parts:
        return f"{review.title}: unchanged, and nothing is over the budget."
    unchanged = [f"{found[Status.UNCHANGED]} unchanged"] if found[Status.UNCHANGED] else []
    return f"{review.title}: {', '.join((*parts, *unchanged))}."


def _sentence(change: Change, review: Review) -> str:
    if change.status is Status.FAILED:
        error = next(failure.error for failure in review.failures if failure.name == change.name)
        return f"{change.name} failed: {error}."
    if change.status is not Status.CHANGED:
        costs = change.now or change.before
        macs = costs.totals.macs if costs else 0
        return f"{change.name} is {change.status}: {macs:,} MACs."
    numbers = change.numbers._asdict() if change.numbers else {}
    parts = [f"{value:+,} {CHANGES[key]}" for key, value in numbers.items() if value]
    if change.uncounted:
        parts.append(f"{change.uncounted:+,} operations without a rule")
    parts += [f"the design gives another {key}" for key in change.given]
    places = [_place(layer.path) for layer in change.layers if not layer.is_moved]
    where = f" in {', '.join(places)}" if places else ""
    moved = len(change.layers) - len(places)
    parts += [f"{moved} layer{'s'[: moved != 1]} moved to other paths"] if moved else []
    return f"{change.name} changed{where}: {', '.join(parts) or 'its operations, and none of its numbers'}."


def _place(path: str) -> str:
    return path or "the model itself"


def _versions(versions: Any) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
