"""The picture of layers under a roofline."""

from collections.abc import Sequence
from itertools import product

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.transforms import BboxBase

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, plain_label, set_counts, set_heading, to_png
from ulsam_cost.report.views.measured import Panel, Point

NEAR = 1.15


def roofline_figure(panels: Sequence[Panel], title: str) -> bytes:
    """Layers under their devices' roofs: FLOPs a byte against FLOPs a second, both logarithmic."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4.5), layout="constrained", squeeze=False)
        for axis, panel in zip(axes[0], panels, strict=True):
            _draw(axis, panel)
        set_heading(figure, f"{title}: the layers under the roofline")
        figure.draw_without_rendering()  # now it is known which label would cover which
        for axis, panel in zip(axes[0], panels, strict=True):
            _label(axis, panel)
        return to_png(figure)


def _draw(axis: Axes, panel: Panel) -> None:
    top, slope = panel.flops_per_second, panel.bytes_per_second
    ridge = top / slope
    intensities = [*(point.intensity for point in panel.points), ridge]
    ends = [min(intensities) / 2, max(intensities) * 4]
    axis.plot([ends[0], ridge, ends[1]], [ends[0] * slope, top, top], color=PLAIN, label="roofline")
    for cluster in _clusters(panel.points):
        first = cluster[0]
        place = (first.intensity, first.flops_per_second)
        axis.scatter(*place, s=24, color=CHANGED if first.kind in REGISTERED else "black")
    axis.set_xscale("log")
    axis.set_yscale("log")
    set_counts(axis.xaxis, axis.yaxis)
    axis.set_xlabel("FLOPs per byte (2 FLOPs per MAC)")
    axis.set_ylabel("FLOPs per second")
    axis.set_title(panel.title)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)


def _label(axis: Axes, panel: Panel) -> None:
    """Names beside the points, each at the first of some places where it covers no other."""
    taken: list[BboxBase] = []
    for cluster in _clusters(panel.points):
        first = cluster[0]
        names = plain_label(", ".join(point.layer for point in cluster))
        for right, up in product((4, -4), (3, -9, 11, -17, 19, -25)):
            label = axis.annotate(
                names,
                (first.intensity, first.flops_per_second),
                textcoords="offset points",
                xytext=(right, up),
                horizontalalignment="left" if right > 0 else "right",
                fontsize=7,
            )
            label.set_in_layout(False)
            box = label.get_window_extent()
            if not box.count_overlaps(taken):
                break
            label.remove()
        else:  # no room: the point stays without a name
            continue
        taken.append(box)


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
