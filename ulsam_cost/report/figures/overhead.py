"""The picture of a sweep: one line a mechanism, named at its end, both axes logarithmic."""

from collections.abc import Sequence
from math import log10
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from ulsam_cost.counting.overheads import OverheadRow
from ulsam_cost.errors import SizeError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.report.figures.style import (
    GROUP_COLOURS,
    STYLE,
    mechanism_colour,
    set_counts,
    set_heading,
    to_png,
)
from ulsam_cost.report.views.overhead import swept_lines

MOST_PANELS, MOST_MARKERS, MOST_TICKS = 6, 20, 9
MOST_COLOURS = 10  # lines that colours of their own tell apart; of more than these, groups have colours
Line = tuple[str, list[int], list[int]]  # a mechanism, and its costs at some places
NAME_HEIGHT = 0.125  # inches that a line's name needs
UNITS = {"params": "parameters", "macs": "MACs"}


def sweep_figure(points: Sequence[OverheadRow], title: str) -> bytes:
    """Parameters and MACs that each mechanism adds, over the channels, or over the positions where those are one.

    Where channels and map sizes are both swept, each map size has a row of its own.

    Raises:
        SizeError: for more map sizes beside several numbers of channels than the picture has room for.
    """
    sizes = list(dict.fromkeys((point.h, point.w) for point in points))
    by_channels = len({point.m for point in points}) > 1
    rows = [list(points)]
    if by_channels:
        rows = [[point for point in points if (point.h, point.w) == size] for size in sizes]
    if len(rows) > MOST_PANELS:
        raise SizeError(f"a picture of {len(rows)} map sizes over channels: {MOST_PANELS} or fewer are accepted")
    names = list(dict.fromkeys(point.mechanism for point in points))
    height = max(3.4, 0.8 + NAME_HEIGHT * len(names))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows), 2, figsize=(11, 0.8 + height * len(rows)), layout="constrained", squeeze=False, sharex=True
        )
        for row, panels in zip(rows, axes, strict=True):
            where = f"{row[0].h} x {row[0].w}" if by_channels else f"m = {row[0].m}"
            for axis, (unit, label) in zip(panels, UNITS.items(), strict=True):
                _sweep_panel(axis, row, unit, _colours(names), NAME_HEIGHT / (height - 0.7))
                axis.set_title(f"{label} added, {where}")
        for axis in axes[-1]:
            axis.set_xlabel("channels m" if by_channels else "positions h w")
        set_heading(figure, title)
        if len(names) > MOST_COLOURS:
            shown = {group: colour for group, colour in GROUP_COLOURS.items() if colour in _colours(names).values()}
            handles = [Line2D([], [], color=colour, label=group) for group, colour in shown.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return to_png(figure)


def _colours(names: Sequence[str]) -> dict[str, str]:
    if len(names) > MOST_COLOURS:
        return {name: GROUP_COLOURS[get_mechanism(name).group] for name in names}
    return {name: mechanism_colour(name) for name in names}


def _sweep_panel(axis: Axes, points: Sequence[OverheadRow], unit: str, colours: dict[str, str], gap: float) -> None:
    lines = list(swept_lines(points, unit))
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    for index, (name, places, costs) in enumerate(lines):
        marker = "o" if len(places) <= MOST_MARKERS else ""
        # a line of the same cost shows through the gaps of those drawn over it
        gaps: Any = (0, (8, 0.6 * (index % MOST_COLOURS))) if index else "-"
        size = max(4 - 0.3 * index, 1.5)
        axis.plot(places, costs, color=colours[name], label=name, marker=marker, markersize=size, linestyle=gaps)
    _name_lines(axis, lines, colours, gap)
    places = sorted({place for _, places, _ in lines for place in places})
    if len(places) <= MOST_TICKS:
        axis.set_xticks(places)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    set_counts(axis.yaxis)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)


def _name_lines(axis: Axes, lines: Sequence[Line], colours: dict[str, str], gap: float) -> None:
    """Each line's name beside its end, apart from the others'; in the corner those that a logarithm cannot show."""
    drawn = sorted((line for line in lines if line[2] and line[2][-1] > 0), key=lambda line: line[2][-1])
    if drawn:
        logarithms = [log10(cost) for *_, costs in drawn for cost in costs if cost > 0]
        low, high = min(logarithms), max(logarithms)
        margin = 0.05 * (high - low) or 1
        axis.set_ylim(10 ** (low - margin), 10 ** (high + margin))
        wanted = [(log10(costs[-1]) - low + margin) / (high - low + 2 * margin) for *_, costs in drawn]
        for (name, places, costs), height in zip(drawn, spread(wanted, gap), strict=True):
            axis.annotate(
                name,
                (places[-1], costs[-1]),
                (1.05, height),
                textcoords="axes fraction",
                va="center",
                fontsize=8,
                color=colours[name],
                arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
            )
    if left := [name for name, _, costs in lines if costs and costs[-1] <= 0]:
        text = f"0 or less, not drawn: {', '.join(left)}"
        axis.annotate(text, (0.02, 0.98), xycoords="axes fraction", va="top", fontsize=8, color="#52606d")


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Rising places, each at least a gap from the next and as near as that allows to where it is wanted."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap) if places else place)
    limit = max(1.0, gap * (len(places) - 1))
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return places
