"""The pictures of the study: FLOPs saved against time saved, and the mechanisms side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, mechanism_colour, set_heading, to_png


def savings_figure(points: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """FLOPs saved against time saved, a point a placement with the interval of its ratio, and its panels side by side.

    A point has `panel`, the title of its own, `network`, and `macs_pct`, `time_pct`, `time_low_pct` and
    `time_high_pct`: changes in per cent.
    """
    panels = list(dict.fromkeys(point["panel"] for point in points))
    networks = list(dict.fromkeys(point["network"] for point in points))
    markers = dict(zip(networks, "os^Dv*P", strict=False))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(max(4 * len(panels), 6), 4.5), sharey=True, layout="constrained", squeeze=False
        )
        for axis, panel in zip(axes[0], panels, strict=True):
            for network in networks:
                own = [point for point in points if point["panel"] == panel and point["network"] == network]
                _savings(axis, own, markers.get(network, "o"), network)
            axis.axline((0, 0), slope=1, color=PLAIN, linestyle="--", linewidth=1, label="time follows FLOPs")
            axis.axhline(0, color="black", linewidth=0.6)
            axis.axvline(0, color="black", linewidth=0.6)
            axis.set_xlabel("change of FLOPs, %")
            axis.set_title(panel)
            axis.grid(alpha=0.3)
            axis.set_axisbelow(True)
        axes[0][0].set_ylabel("change of time, %")
        axes[0][0].legend(fontsize=8)
        set_heading(figure, title)
        return to_png(figure)


def _savings(axis: Axes, points: Sequence[Mapping[str, Any]], marker: str, label: str) -> None:
    middle = [point["time_pct"] for point in points]
    below = [point["time_pct"] - point["time_low_pct"] for point in points]
    above = [point["time_high_pct"] - point["time_pct"] for point in points]
    axis.errorbar(
        [point["macs_pct"] for point in points],
        middle,
        yerr=[below, above],
        fmt=marker,
        color=CHANGED if marker == "o" else "black",
        markersize=4,
        elinewidth=0.8,
        label=label,
    )


def mechanisms_figure(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Measured time and roofline estimate of each mechanism, a panel a batch.

    A row has `mechanism`, `batch`, `ms` and `least_ms`, the estimate.
    """
    batches = sorted({row["batch"] for row in rows})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(batches), figsize=(6 * len(batches), 4), layout="constrained", squeeze=False)
        for axis, batch in zip(axes[0], batches, strict=True):
            own = [row for row in rows if row["batch"] == batch]
            names = [str(row["mechanism"]) for row in own]
            axis.barh(names, [row["ms"] for row in own], color=[mechanism_colour(name) for name in names])
            axis.scatter(
                [row["least_ms"] for row in own], names, marker="|", s=160, color="black", label="roofline estimate"
            )
            axis.set_xscale("log")
            axis.invert_yaxis()
            axis.set_xlabel("ms")
            axis.set_title(f"batch {batch}")
            axis.grid(axis="x", alpha=0.3)
            axis.set_axisbelow(True)
        axes[0][0].legend(fontsize=8)
        set_heading(figure, title)
        return to_png(figure)
