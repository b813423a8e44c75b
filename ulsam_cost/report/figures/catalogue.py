"""The picture of the catalogue: MACs, and passes over the map, of every mechanism."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import pyplot as plt

from ulsam_cost.report.figures.style import GROUP_COLOURS, STYLE, set_grid, set_heading, to_png
from ulsam_cost.units import format_count


class Bar(NamedTuple):
    """A mechanism: its group, its MACs, and the elements that it reads and writes, as multiples of the map's."""

    name: str
    group: str
    macs: int
    passes: float


def catalogue_figure(bars: Sequence[Bar], title: str) -> bytes:
    """A row a mechanism, by group and then by passes: on the left its MACs, logarithmic, on the right its passes."""
    groups = list(GROUP_COLOURS)
    rows = sorted(bars, key=lambda bar: (groups.index(bar.group), bar.passes))
    places, colours = range(len(rows)), [GROUP_COLOURS[bar.group] for bar in rows]
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(10, 1.2 + 0.25 * len(rows)), layout="constrained", sharey=True
        )
        left.barh(list(places), [bar.macs for bar in rows], 0.7, color=colours)
        left.set_xscale("symlog", linthresh=1000, linscale=0.3)
        left.set_xlim(0, max(bar.macs for bar in rows) * 30)
        left.set_xticks([0, 10**4, 10**6, 10**8], ["0", "10K", "1M", "100M"])
        left.set_title("MACs")
        right.barh(list(places), [bar.passes for bar in rows], 0.7, color=colours)
        right.set_xlim(0, max(bar.passes for bar in rows) * 1.12)
        right.set_title("(reads + writes) / elements of the map")
        for place, bar in zip(places, rows, strict=True):
            left.text(bar.macs, place, f" {format_count(bar.macs, 1) if bar.macs else 'none'}", va="center", fontsize=8)
            right.text(bar.passes, place, f" {bar.passes:.1f}", va="center", fontsize=8)
        left.set_yticks(list(places), [bar.name for bar in rows])
        left.margins(y=0.01)
        left.invert_yaxis()
        for group in dict.fromkeys(bar.group for bar in rows):
            own = [place for place, bar in zip(places, rows, strict=True) if bar.group == group]
            right.text(
                0.99, sum(own) / len(own), group, color=GROUP_COLOURS[group], ha="right", va="center",
                transform=right.get_yaxis_transform(), fontweight="bold",
            )  # fmt: skip
            if own[0]:
                for axis in (left, right):
                    axis.axhline(own[0] - 0.5, color="#bbbbbb", linewidth=0.8)
        for axis in (left, right):
            set_grid(axis, "x")
        set_heading(figure, title)
        return to_png(figure)
