"""The picture of published times: what attention adds to networks, and what it takes of their speed."""

from collections.abc import Sequence

from matplotlib import pyplot as plt

from ulsam_cost.published.times import Setting, TimedPair
from ulsam_cost.report.figures.style import CHANGED, PLAIN, STYLE, set_grid, set_heading, to_png

# one for each published table
MARKS = (("o", "#332288"), ("s", CHANGED), ("^", "#117733"), ("D", "#aa4499"))


def published_times_figure(pairs: Sequence[TimedPair], settings: Sequence[Setting], title: str) -> bytes:
    """On the left what attention adds, counted; on the right the published change of speed, a mark a setting."""
    places = range(len(pairs))
    with plt.rc_context(STYLE):
        figure, (added, speed) = plt.subplots(
            1, 2, figsize=(10, 1.6 + 0.27 * len(pairs)), layout="constrained", sharey=True, width_ratios=(2, 3)
        )
        added.barh([place - 0.19 for place in places], [p.traffic_pct for p in pairs], 0.36, color=CHANGED)
        added.barh([place + 0.19 for place in places], [p.macs_pct for p in pairs], 0.36, color=PLAIN)
        added.text(0.98, 0.98, "reads and writes", color=CHANGED, transform=added.transAxes, ha="right", va="top")
        added.text(0.98, 0.94, "MACs", color="#66707a", transform=added.transAxes, ha="right", va="top")
        added.set_title("added, % (counted)")
        for setting, (marker, colour) in zip(settings, MARKS, strict=True):
            known = [(pair.speed_pct(setting), place) for place, pair in enumerate(pairs) if setting in pair.speeds]
            speed.scatter(*zip(*known, strict=True), marker=marker, color=colour, s=22, label=setting.title, alpha=0.85)
        speed.axvline(0, color="#444444", linewidth=0.8)
        speed.set_title("images per second, % (published, not measured here)")
        added.set_yticks(list(places), [f"{pair.plain} + {pair.attention}" for pair in pairs])
        added.invert_yaxis()
        for axis in (added, speed):
            set_grid(axis, "both")
        set_heading(figure, title)
        figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        return to_png(figure)
