"""The picture of the mechanisms in each runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt

from ulsam_cost.report.figures.style import STYLE, mechanism_colour, set_heading, to_png


def mechanisms_figure(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """The time of each mechanism, a panel for each runtime with its number format.

    A row has `mechanism`, `panel`, the title of its own, and `ms`.
    """
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    names = list(dict.fromkeys(row["mechanism"] for row in rows))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(max(2.6 * len(panels), 6), 0.2 * len(names) + 1.5),
            sharex=True, sharey=True, layout="constrained", squeeze=False,
        )  # fmt: skip
        for axis, panel in zip(axes[0], panels, strict=True):
            own = [row for row in rows if row["panel"] == panel]
            colours = [mechanism_colour(row["mechanism"]) for row in own]
            axis.barh([names.index(row["mechanism"]) for row in own], [row["ms"] for row in own], color=colours)
            axis.set_xscale("log")
            axis.set_xlabel("ms")
            axis.set_title(panel, fontsize=9)
            axis.grid(axis="x", alpha=0.3)
            axis.set_axisbelow(True)
        axes[0][0].set_yticks(range(len(names)), names)
        axes[0][0].invert_yaxis()
        set_heading(figure, title)
        return to_png(figure)
