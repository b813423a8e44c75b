"""The picture of a search: all costs as density, and the front point by point."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ulsam_cost.formulas.networks import MIX, NetworkSpec
from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, mechanism_colour, plain_label, set_heading, to_png
from ulsam_cost.searching.budget import METRICS
from ulsam_cost.searching.density import density
from ulsam_cost.searching.search import Answer, SearchResult
from ulsam_cost.searching.space import PlacedModel
from ulsam_cost.units import FACTORS

MOST_LABELS, MOST_LETTERS, MOST_TICKS = 14, 44, 4
SEVERAL = "#475569"  # where several mechanisms stand


def search_figure(result: SearchResult) -> bytes:
    """All placements that keep the budget in the first two metrics, as density, and the front, labelled.

    Args:
        result: a search with a front, of two metrics or more.
    """
    across, up = result.minimise[:2]
    with plt.rc_context(STYLE):
        figure, (whole, near) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", width_ratios=(1, 1.05))
        _density_panel(whole, result, across, up)
        _front_panel(near, result.front, across, up)
        for axis in (whole, near):
            axis.set_xlabel(METRICS[across])
            axis.set_ylabel(METRICS[up])
            _set_ticks(axis.xaxis)
            _set_ticks(axis.yaxis)
        network, count = result.branches[0].plain.network, len(result.front)
        placements = "the placement that costs least" if count == 1 else f"the {count:,} that are Pareto-optimal"
        set_heading(figure, f"{network}: {result.considered:,} placements, and {placements}")
        return to_png(figure)


def _set_ticks(side: Axis) -> None:
    """Few ticks in K, M or G, with as many digits as tell neighbours apart."""
    low, high = sorted(side.get_view_interval())
    unit = max(1, 1000 ** int(np.log10(max(high, 1)) // 3))
    digits = max(0, 1 - int(np.floor(np.log10((high - low) / MOST_TICKS / unit))))
    suffix = next(suffix for suffix, factor in FACTORS.items() if factor == unit)
    side.set_major_locator(MaxNLocator(MOST_TICKS))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:.{digits}f}{suffix}"))


def _density_panel(axis: Axes, result: SearchResult, across: str, up: str) -> None:
    found = density(result.branches, (up, across), result.budget)
    counts = np.ma.masked_less(found.counts, 0.5)
    extent = (found.low[1], found.high[1], found.low[0], found.high[0])
    image = axis.imshow(
        counts, origin="lower", aspect="auto", extent=extent, cmap="Blues", norm=LogNorm(vmin=0.3, vmax=counts.max())
    )
    axis.figure.colorbar(image, ax=axis, label="placements per cell", shrink=0.8)
    axis.plot(
        [answer.costs[across] for answer in result.front],
        [answer.costs[up] for answer in result.front],
        color=CHANGED,
        marker="o",
        markersize=4,
        linestyle="",
        clip_on=False,
    )
    kept = [name for name in (across, up) if name in result.budget]
    axis.set_title(f"all within the budget of {' and '.join(kept)}" if kept else "all placements")
    axis.margins(0.04)
    _mark_limits(axis, result, across, up)


def _mark_limits(axis: Axes, result: SearchResult, across: str, up: str) -> None:
    for name, line in ((across, axis.axvline), (up, axis.axhline)):
        if name in result.budget:
            line(result.budget[name], color=PLAIN, linestyle="--", linewidth=1)


def _front_panel(axis: Axes, front: Sequence[Answer], across: str, up: str) -> None:
    """The front alone, its labels in a column beside it, in the order of the points from the top down."""
    points = [(answer.costs[across], answer.costs[up]) for answer in front]
    for answer, (x, y) in zip(front, points, strict=True):
        axis.plot(x, y, marker="o", markersize=5, color=_colour(answer))
    axis.margins(0.12)
    axis.set_title("the front")
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    labelled = np.unique(np.linspace(0, len(front) - 1, min(len(front), MOST_LABELS)).round().astype(int))
    ordered = sorted(labelled, key=lambda at: -points[at][1])
    heights = np.linspace(0.98, 0.02, len(ordered)) if len(ordered) > 1 else [0.5]
    for at, height in zip(ordered, heights, strict=True):
        axis.annotate(
            _label(front[at]),
            points[at],
            xytext=(1.04, height),
            textcoords="axes fraction",
            fontsize=7.5,
            va="center",
            color=_colour(front[at]),
            arrowprops={"arrowstyle": "-", "color": PLAIN, "linewidth": 0.6, "shrinkB": 3, "relpos": (0, 0.5)},
        )
    if len(labelled) < len(front):
        axis.set_title(f"the front, {len(labelled)} of {len(front):,} labelled")


def _colour(answer: Answer) -> str:
    return SEVERAL if MIX in answer.spec.attention else mechanism_colour(answer.spec.attention)


def _label(answer: Answer) -> str:
    """What stands where, in two short lines: `se, ulsam  x0.75, 192` and `se 9,10,11  ulsam 16,17`."""
    spec = answer.spec
    names, size = spec.attention.split(MIX), _size(spec)
    items = str(spec.placement).split(",")
    if len(names) > 1:
        at = {name: [item for item, each in zip(items, names, strict=True) if each == name] for name in names}
        where = "  ".join(f"{name} {','.join(at[name])}" for name in at)
    else:
        where = ",".join(items)
    short = where if len(where) <= MOST_LETTERS else f"{where[: MOST_LETTERS - 1]}\u2026"
    first = f"{', '.join(dict.fromkeys(names))}  {size}" if spec.placement else f"plain  {size}"
    return "\n".join(map(plain_label, (first, short if spec.placement else "")))


def _size(spec: NetworkSpec | PlacedModel) -> str:
    if isinstance(spec, PlacedModel):
        return ""
    height, width = spec.resolution
    return f"x{spec.width:g}, {height}" + (f"x{width}" if width != height else "")
