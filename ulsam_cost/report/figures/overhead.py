"""The picture of a sweep: one line a mechanism, both axes logarithmic."""

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from ulsam_cost.errors import SizeError
from ulsam_cost.report.figures.style import STYLE, mechanism_colour, set_counts, set_heading, to_png
from ulsam_cost.report.views.overhead import swept_lines

MOST_PANELS, MOST_MARKERS, MOST_TICKS = 6, 20, 9
UNITS = {"params": "parameters", "macs": "MACs"}


def sweep_figure(records: Sequence[dict[str, Any]], title: str) -> bytes:
    """Parameters and MACs that each mechanism adds, over the channels, or over the positions where those are one.

    Where channels and map sizes are both swept, each map size has a row of its own.

    Raises:
        SizeError: for more map sizes beside several numbers of channels than the picture has room for.
    """
    sizes = list(dict.fromkeys((record["h"], record["w"]) for record in records))
    by_channels = len({record["m"] for record in records}) > 1
    rows: list[list[dict[str, Any]]] = [list(records)]
    if by_channels:
        rows = [[record for record in records if (record["h"], record["w"]) == size] for size in sizes]
    if len(rows) > MOST_PANELS:
        raise SizeError(f"a picture of {len(rows)} map sizes over channels: {MOST_PANELS} or fewer are accepted")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows), 2, figsize=(10, 0.8 + 3.4 * len(rows)), layout="constrained", squeeze=False, sharex=True
        )
        for row, panels in zip(rows, axes, strict=True):
            where = "{h} x {w}".format(**row[0]) if by_channels else "m = {m}".format(**row[0])
            for axis, (unit, label) in zip(panels, UNITS.items(), strict=True):
                _sweep_panel(axis, row, unit)
                axis.set_title(f"{label} added, {where}")
        for axis in axes[-1]:
            axis.set_xlabel("channels m" if by_channels else "positions h w")
        set_heading(figure, title)
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right upper")
        return to_png(figure)


def _sweep_panel(axis: Axes, records: Sequence[dict[str, Any]], unit: str) -> None:
    lines = list(swept_lines(records, unit))
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    for index, (name, places, costs) in enumerate(lines):
        marker = "o" if len(places) <= MOST_MARKERS else ""
        # a line of the same cost shows through the gaps of those drawn over it
        gaps: Any = (0, (8, 0.6 * index)) if index else "-"
        colour = mechanism_colour(name)
        axis.plot(places, costs, color=colour, label=name, marker=marker, markersize=4 - 0.3 * index, linestyle=gaps)
    places = sorted({place for _, places, _ in lines for place in places})
    if len(places) <= MOST_TICKS:
        axis.set_xticks(places)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    set_counts(axis.yaxis)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
