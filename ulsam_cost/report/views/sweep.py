"""What a sweep found, as tables, sentences and a page."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ulsam_cost.report.formats import Table, fixed, number, prose, render, words
from ulsam_cost.sweeping.row import TIMES
from ulsam_cost.sweeping.summary import Failure, Point, Summary
from ulsam_cost.units import format_count, format_ms

MOST_ROWS = 20  # of a table in the terminal
HEADINGS = {"macs": "MACs", "params": "params", "activations": "activations", TIMES[0]: "time (ms)"}


def _shown(axis: str) -> Callable[[Any], str]:
    return format_ms if axis == TIMES[0] else lambda value: format_count(int(value))


def heading(axis: str) -> str:
    """What a column of the sweep is called in tables and pictures."""
    return HEADINGS.get(axis, axis.replace("_", " "))


def front_table(summary: Summary, most: int | None = None) -> Table:
    """The models on the Pareto front of both axes."""
    across, up = summary.axes
    columns = (
        number("row", "row"),
        words("model", "model"),
        number("across", heading(across), _shown(across)),
        number("up", heading(up), _shown(up)),
    )
    return Table(columns=columns, records=[asdict(point) for point in summary.front[:most]])


def family_table(summary: Summary, most: int | None = None) -> Table:
    """The costs of each family on the first axis."""
    show = _shown(summary.axes[0])
    name = heading(summary.axes[0])
    columns = (
        words("family", "family"),
        number("models", "models"),
        *(number(key, f"{key} {name}", show) for key in ("least", "median", "most")),
    )
    return Table(columns=columns, records=[asdict(family) for family in summary.families[:most]])


def failure_table(failures: tuple[Failure, ...], width: int | None = None) -> Table:
    """The rows without costs, and why; `width` is the most letters of a reason."""
    records = [asdict(failure) | {"error": _cut(failure.error, width)} for failure in failures]
    return Table(columns=(number("row", "row"), words("model", "model"), words("error", "why")), records=records)


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else f"{text[: width - 1]}\u2026"


def sentences(summary: Summary) -> str:
    """How many rows there are, how many failed, and what the counts lack."""
    failed = len(summary.failures)
    without = f"{failed:,} without" if failed else "none without"
    lines = [
        f"{summary.rows:,} model{'s' * (summary.rows != 1)}: {summary.rows - failed:,} with all their costs, {without}."
    ]
    if summary.incomplete:
        lower = "an operation that looks like a product has no rule"
        lines.append(f"{summary.incomplete:,} counts are lower bounds: {lower}.")
    if summary.points:
        across, up = map(heading, summary.axes)
        lines.append(f"{len(summary.front):,} of {len(summary.points):,} are Pareto-optimal in {across} and {up}.")
    lines.append(f"The work took {fixed(1)(summary.seconds)} s in total over all workers.")
    return "\n".join(lines)


def shown_in_terminal(summary: Summary, style: str) -> str:
    """The sentences, the front and the failures."""
    parts = [sentences(summary) if style == "table" else prose(sentences(summary), style)]
    if summary.front:
        parts.append(render(front_table(summary, MOST_ROWS), style))
    if summary.failures:
        parts.append(render(failure_table(summary.failures[:MOST_ROWS], 60 if style == "table" else None), style))
        if len(summary.failures) > MOST_ROWS:
            parts.append(prose(f"... and {len(summary.failures) - MOST_ROWS:,} more, in the column error.", style))
    return "\n\n".join(parts)


def page(summary: Summary, name: str, picture: str | None) -> str:
    """A Markdown page of a sweep.

    Args:
        summary: the sweep.
        name: what its rows are kept in.
        picture: the file of its picture, where there is one.
    """
    across, up = map(heading, summary.axes)
    parts = [f"# {summary.rows:,} models: {across} and {up}", *sentences(summary).splitlines()]
    parts.append(f"All rows are in `{name}`.")
    if picture:
        parts.append(f"![{up} over {across}, by family]({picture})")
    if summary.front:
        parts += ["## Pareto front", render(front_table(summary), "markdown")]
    if summary.families:
        parts += ["## By family", render(family_table(summary), "markdown")]
    if summary.failures:
        parts += ["## Models without all of their costs", render(failure_table(summary.failures), "markdown")]
    return "\n\n".join(parts) + "\n"


def to_dict(summary: Summary, name: str) -> dict[str, Any]:
    """The JSON."""
    return {
        "out": name,
        "rows": summary.rows,
        "failed": [asdict(failure) for failure in summary.failures],
        "incomplete": summary.incomplete,
        "seconds": summary.seconds,
        "axes": list(summary.axes),
        "front": [_point(point) for point in summary.front],
        "families": [_plain(asdict(family)) for family in summary.families],
    }


def _point(point: Point) -> dict[str, Any]:
    return _plain({key: value for key, value in asdict(point).items() if key != "on_front"})


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """NumPy's numbers as Python's."""
    return {key: value.item() if hasattr(value, "item") else value for key, value in record.items()}
