"""The picture of layers under a roofline."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, plain_label, set_heading, to_png
from ulsam_cost.report.views.measured import Panel, Point

NEAR = 1.15


def roofline_figure(panels: Sequence[Panel], title: str) -> bytes:
    """Layers under their devices' roofs: FLOPs a byte against FLOPs a second, both logarithmic."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4.5), layout="constrained", squeeze=False)
        for axis, panel in zip(axes[0], panels, strict=True):
            _draw(axis, panel)
        set_heading(figure, f"{title}: the layers under the roofline")
        return to_png(figure)


def _draw(axis: Axes, panel: Panel) -> None:
    top, slope = panel.flops_per_second / 1e9, panel.bytes_per_second / 1e9
    ridge = top / slope
    intensities = [*(point.intensity for point in panel.points), ridge]
    ends = [min(intensities) / 2, max(intensities) * 4]
    axis.plot([ends[0], ridge, ends[1]], [ends[0] * slope, top, top], color=PLAIN, label="roofline")
    for cluster in _clusters(panel.points):
        first = cluster[0]
        place = (first.intensity, first.flops_per_second / 1e9)
        axis.scatter(*place, s=24, color=CHANGED if first.kind in REGISTERED else "black")
        names = plain_label(", ".join(point.layer for point in cluster))
        axis.annotate(names, place, textcoords="offset points", xytext=(4, 3), fontsize=7)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("FLOPs a byte (2 FLOPs a MAC)")
    axis.set_ylabel("GFLOP/s")
    axis.set_title(panel.title)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)


def _clusters(points: Sequence[Point]) -> list[list[Point]]:
    """Points that lie on one another under one label, at the first one's place."""
    clusters: list[list[Point]] = []
    for point in points:
        for cluster in clusters:
            if _is_near(cluster[0], point):
                cluster.append(point)
                break
        else:
            clusters.append([point])
    return clusters


def _is_near(first: Point, second: Point) -> bool:
    intensity, rate = second.intensity / first.intensity, second.flops_per_second / first.flops_per_second
    alike = (first.kind in REGISTERED) == (second.kind in REGISTERED)
    return alike and max(intensity, 1 / intensity) < NEAR and max(rate, 1 / rate) < NEAR
