"""The picture of a sweep: each model's cost on two axes, by family, and the models on the Pareto front."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ulsam_cost.report.figures.style import (
    CHANGED,
    PLAIN,
    STYLE,
    numbered_colour,
    plain_label,
    set_counts,
    set_grid,
    set_heading,
    to_png,
)
from ulsam_cost.report.views.sweep import heading
from ulsam_cost.sweeping.summary import Point, Summary

MOST_FAMILIES, MOST_LABELS, MOST_LETTERS = 8, 14, 40


def sweep_figure(summary: Summary) -> bytes:
    """All models on logarithmic axes, the largest families in colour, the front labelled beside.

    Args:
        summary: a sweep.
    """
    across, up = summary.axes
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(11, 5.5), layout="constrained")
        points = [point for point in summary.points if point.across > 0 and point.up > 0]
        if points:
            _clouds(axis, points, [family.family for family in summary.families[:MOST_FAMILIES]])
            _front(axis, [point for point in summary.front if point in points])
        for side, name in ((axis.xaxis, across), (axis.yaxis, up)):
            side.set_label_text(heading(name))
        axis.set(xscale="log", yscale="log")
        set_counts(axis.xaxis, axis.yaxis)
        set_grid(axis, "both")
        left_out = summary.rows - len(points)
        missing = f" ({left_out:,} without both, or with a cost of 0, are left out)" if left_out else ""
        set_heading(figure, f"{len(points):,} models: {heading(across)} and {heading(up)}{missing}")
        return to_png(figure)


def _clouds(axis: Axes, points: Sequence[Point], families: Sequence[str]) -> None:
    for family in (None, *families):
        chosen = [point for point in points if (point.family if point.family in families else None) == family]
        if chosen:
            axis.scatter(
                [point.across for point in chosen],
                [point.up for point in chosen],
                s=14,
                alpha=0.6,
                linewidths=0,
                color=PLAIN if family is None else numbered_colour(families.index(family)),
                label=plain_label(f"{family or 'others'} ({len(chosen):,})"),
            )
    axis.legend(loc="upper left", fontsize=8)


def _front(axis: Axes, front: Sequence[Point]) -> None:
    axis.plot(
        [point.across for point in front],
        [point.up for point in front],
        color=CHANGED,
        linewidth=1,
        marker="o",
        markersize=5,
        markerfacecolor="none",
    )
    chosen = np.unique(np.linspace(0, len(front) - 1, min(len(front), MOST_LABELS)).astype(int))
    lines = []
    for number, point in enumerate((front[at] for at in chosen), 1):
        axis.annotate(str(number), (point.across, point.up), xytext=(5, 5), textcoords="offset points", color=CHANGED)
        lines.append(f"{number:>2}  {_label(point.model)}")
    more = [f"     {len(front) - len(chosen):,} more on the line"] if len(chosen) < len(front) else []
    said = "\n".join(["Pareto-optimal:", *lines, *more])
    axis.text(1.02, 1, said, transform=axis.transAxes, va="top", fontsize=8, linespacing=1.6, color=CHANGED)


def _label(model: str) -> str:
    """A model in few letters, without the file that it is in."""
    name = model.rpartition(":")[2] if ":" in model.split(maxsplit=1)[0] else model
    return plain_label(name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}\u2026")
