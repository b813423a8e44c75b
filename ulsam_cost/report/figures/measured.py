"""The picture of layers under a roofline."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, plain_label, set_heading, to_png

NEAR = 1.15


def roofline_figure(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """The layers of each row under its device's roof: FLOPs a byte against FLOPs a second, both logarithmic."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(rows), figsize=(6 * len(rows), 4.5), layout="constrained", squeeze=False)
        for axis, row in zip(axes[0], rows, strict=True):
            _roofline_panel(axis, row)
        set_heading(figure, f"{title}: the layers under the roofline")
        return to_png(figure)


def _roofline_panel(axis: Axes, row: Mapping[str, Any]) -> None:
    roof = row["layers"]["roof"]
    top, slope = roof["flops_per_second"] / 1e9, roof["bytes_per_second"] / 1e9
    layers = [layer for layer in row["layers"]["rows"] if layer.get("intensity") and layer["median_ms"] > 0]
    intensities = [layer["intensity"] for layer in layers]
    rates = [2 * layer["macs"] / layer["median_ms"] / 1e6 for layer in layers]
    ridge = top / slope
    ends = [min([*intensities, ridge]) / 2, max([*intensities, ridge]) * 4]
    axis.plot([ends[0], ridge, ends[1]], [ends[0] * slope, top, top], color=PLAIN, label="roofline")
    for names, intensity, rate, attends in _clusters(layers, intensities, rates):
        axis.scatter(intensity, rate, s=24, color=CHANGED if attends else "black")
        axis.annotate(
            plain_label(", ".join(names)), (intensity, rate), textcoords="offset points", xytext=(4, 3), fontsize=7
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("FLOPs a byte (2 FLOPs a MAC)")
    axis.set_ylabel("GFLOP/s")
    axis.set_title(f"{row['device']}, batch {row['batch']}, {row['dtype']}")
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)


def _clusters(
    layers: Sequence[Mapping[str, Any]], intensities: Sequence[float], rates: Sequence[float]
) -> list[tuple[list[str], float, float, bool]]:
    """Layers whose points lie on one another under one label, at the first one's place."""
    clusters: list[tuple[list[str], float, float, bool]] = []
    for layer, intensity, rate in zip(layers, intensities, rates, strict=True):
        attends = layer.get("kind") in REGISTERED
        for names, x, y, attended in clusters:
            if attended == attends and max(intensity / x, x / intensity) < NEAR and max(rate / y, y / rate) < NEAR:
                names.append(layer["layer"])
                break
        else:
            clusters.append(([layer["layer"]], intensity, rate, attends))
    return clusters
