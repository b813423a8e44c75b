"""What a search found, as a table and sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.report.formats import Column, Table, exact, number, signed, signed_pct, words
from ulsam_cost.searching.budget import METRICS
from ulsam_cost.searching.search import Answer, SearchResult
from ulsam_cost.searching.space import PlacedModel
from ulsam_cost.units import format_ratio

HEADINGS = {"macs": "MACs", "params": "params", "activations": "activations", "traffic": "traffic"}
MOST_NOTES = 5  # of layers that refuse a mechanism
ONLY_COST = (
    "Only costs are computed: an accuracy is one that a paper printed for that placement, and none is estimated."
)


def front_table(result: SearchResult, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The front, one row per placement, with its difference to the plain network of its size.

    Args:
        result: the search.
        rows: those of its JSON's front that are shown.
    """
    used = [name for name in METRICS if name in (*result.minimise, *result.budget)]
    sizes = [number("width", "width", "{:g}".format), words("size", "input")]
    columns = sizes if any(row["width"] for row in rows) else []
    columns += [words("attention", "attention"), words("positions", "positions")]
    for name in METRICS:
        heading, hidden = HEADINGS[name], name not in used
        columns.append(Column(key=name, heading=heading, show=exact, csv_only=hidden))
        columns.append(Column(key=f"delta_{name}", heading=f"{heading}, vs plain", show=signed, csv_only=True))
        columns.append(Column(key=f"pct_{name}", heading="vs plain", show=signed_pct, csv_only=hidden))
    columns.append(Column(key="counted", heading="counted", csv_only=True))
    if any(row["printed_accuracy"] for row in rows):
        columns.append(words("accuracy", "printed accuracy"))
    if any(row.get("latency") for row in rows):
        columns += [words("ratio", "time / plain"), words("verdict", "verdict")]
    return Table(columns=tuple(columns), records=[_record(row) for row in rows])


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    size, latency = row["resolution"], row.get("latency")
    record = {
        **row,
        "size": "x".join(map(str, size)) if isinstance(size, list) else size,
        "accuracy": _accuracy(row["printed_accuracy"] or ()),
        "ratio": format_ratio(**latency["ratio"]) if latency else None,
        "verdict": latency["verdict"] if latency else None,
    }
    for name in METRICS:
        delta = row["delta"][name]
        record |= {f"delta_{name}": delta, f"pct_{name}": 100 * delta / (row[name] - delta)}
    return record


def _accuracy(printed: Sequence[Mapping[str, str]]) -> str:
    """The first accuracy that a paper printed, and how many more there are."""
    if not printed:
        return ""
    first, more = printed[0], len(printed) - 1
    said = f"{first['printed'].removesuffix('%')}% {first['metric']} {first['dataset']} ({first['source']})"
    return said + (f" and {more} more" if more else "")


def summary(result: SearchResult, shown: int) -> str:
    """How many placements there are and keep the budget, and what the front is."""
    if result.feasible is None:
        keep = "how many keep the budget is unknown, because they have too many different costs to count"
    elif result.budget:
        keep = f"{result.feasible:,} keep {budget_text(result.budget)}"
    else:
        keep = "without a budget"
    goals = " and ".join(filter(None, (", ".join(result.minimise[:-1]), result.minimise[-1])))
    count = len(result.front)
    lines = [f"{result.considered:,} placements considered, {keep}."]
    best = f"1 of them has the least {goals}" if count == 1 else f"{count:,} of them are Pareto-optimal in {goals}"
    lines.append(f"{best}{f'; the first {shown} are shown' if shown < count else ''}.")
    return "\n".join(lines)


def notes(result: SearchResult) -> str:
    """What a reader of the table must know."""
    lines = [f"The placements shown were also {_checked(result)} counted, with the same numbers.", ONLY_COST]
    said = sorted(
        f"{name} cannot be placed at layer {layer}{_at_width(branch.plain)}"
        for branch in result.branches
        for name, layer in branch.refused
    )
    if said:
        more = f", and {len(said) - MOST_NOTES} more" if len(said) > MOST_NOTES else ""
        lines.append(f"Left out: {'; '.join(said[:MOST_NOTES])}{more}.")
    return "\n".join(lines)


def _checked(result: SearchResult) -> str:
    plain = result.branches[0].plain
    if isinstance(plain, PlacedModel):
        return "built and"
    derived = all(get_mechanism(name).cost is not None for name in result.mechanisms)
    return "derived again as networks and" if derived else "built as networks and"


def nothing_found(result: SearchResult) -> str:
    """The sentence for a budget that nothing keeps: the nearest placement and what it misses by.

    Args:
        result: a search without a front.
    """
    assert result.nearest is not None
    misses = " and ".join(
        f"{name} by {excess:,} ({100 * excess / result.budget[name]:.2f}%)" for name, excess in result.excess.items()
    )
    return (
        f"none of {result.considered:,} placements keeps {budget_text(result.budget)}: the nearest, "
        f"{answer_text(result.nearest)}, exceeds {misses}"
    )


def answer_text(answer: Answer) -> str:
    """A placement in a few words."""
    spec = answer.spec
    what = f"{spec.attention} at {spec.placement}" if spec.placement else "plain"
    if isinstance(spec, PlacedModel):
        return f"{spec.network}, {what}"
    height, width = spec.resolution
    size = str(height) if height == width else f"{height}x{width}"
    return f"{spec.network} x{spec.width:g} at {size}, {what}"


def _at_width(plain: NetworkSpec | PlacedModel) -> str:
    return "" if isinstance(plain, PlacedModel) else f" at width {plain.width:g}"


def budget_text(budget: Mapping[str, int]) -> str:
    """A budget in one line."""
    return ", ".join(f"{name} <= {limit:,}" for name, limit in budget.items())
