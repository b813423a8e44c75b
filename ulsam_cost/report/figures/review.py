"""The pictures of a review: the budget, the layers, and cost against time and accuracy."""

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ulsam_cost.report.figures.audit import pareto_front
from ulsam_cost.report.figures.style import (
    PLAIN,
    STYLE,
    numbered_colour,
    plain_label,
    set_counts,
    set_grid,
    set_heading,
    to_png,
)
from ulsam_cost.report.views.review import Spot, grouped_layers, short, spots, timed_rows
from ulsam_cost.reviewing.budget import UNITS, Verdict
from ulsam_cost.reviewing.review import Review, Reviewed
from ulsam_cost.units import format_count, format_ms

VERDICT_COLOURS = {
    Verdict.WITHIN: "#0f766e",
    Verdict.OVER: "#c81e1e",
    Verdict.UNDECIDED: "#d9a520",
    None: "#6b7f99",
}
SHOWN = ("macs", "params")
MARKERS = "osD^vPX<>*"
MOST_STACKED = 18  # bars in panels above one another
ROOM_FOR_NUMBERS = 1.45  # the panel's width over the longest bar


def budget_figure(review: Review) -> bytes:
    """Bars for the baseline and each candidate in what the budget limits, each with its limit."""
    metrics = _limited(review) or list(SHOWN)
    names = ["baseline", *(each.name for each in review.candidates)]
    with plt.rc_context(STYLE):
        if len(metrics) * len(names) <= MOST_STACKED:  # the picture is read on a phone, too
            rows, columns, size = len(metrics), 1, (5.8, 0.9 + len(metrics) * (0.6 + 0.28 * len(names)))
        else:
            rows, columns, size = 1, len(metrics), (10.0, 1.7 + 0.36 * len(names))
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", sharey=True, squeeze=False)
        for axis, metric in zip(axes.flat, metrics, strict=True):
            _budget_panel(axis, review, metric)
        axes[0][0].set_yticks(range(len(names)), [_label(name) for name in names])
        axes[0][0].invert_yaxis()
        set_heading(figure, "Costs and limits" if review.verdict else "Costs")
        used = dict.fromkeys(
            judged.verdict for each in review.candidates for judged in each.judgements if judged.metric in metrics
        )
        handles = [Line2D([], [], linewidth=6, color=VERDICT_COLOURS[verdict], label=str(verdict)) for verdict in used]
        handles += [Line2D([], [], color="black", linewidth=2, label="limit")] if used else []
        if handles:
            figure.legend(handles=handles, loc="outside lower right", ncols=len(handles))
        return to_png(figure)


def _limited(review: Review) -> list[str]:
    """The metrics that a budget limits, and of which there is a number."""
    judged = {judged.metric for each in review.candidates for judged in each.judgements if judged.value is not None}
    return [metric for metric in UNITS if metric in judged and metric != "uncounted"]


def _budget_panel(axis: Axes, review: Review, metric: str) -> None:
    is_time = metric == "latency"
    values: list[float] = [0.0 if is_time else review.baseline.number(metric)]
    limits: list[float] = []
    colours = [PLAIN]
    for place, each in enumerate(review.candidates, 1):
        judged = next((judged for judged in each.judgements if judged.metric == metric), None)
        values.append(_value(each, metric))
        colours.append(VERDICT_COLOURS[judged.verdict if judged else None])
        if judged:
            limits.append(judged.limit)
            axis.plot([judged.limit] * 2, [place - 0.45, place + 0.45], color="black", linewidth=2, zorder=3)
    axis.barh(range(len(values)), values, 0.7, color=colours, zorder=2)
    for place, value in enumerate(values):
        words = f"{format_ms(value)} ms" if is_time else format_count(int(value))
        if value or not is_time:
            axis.text(1, place, words, transform=axis.get_yaxis_transform(), ha="right", va="center", fontsize=8)
    axis.set_xlim(0, ROOM_FOR_NUMBERS * max(*values, *limits, 1e-9))
    axis.set_title(f"{UNITS[metric]}, ms" if is_time else UNITS[metric])
    _count_axis(axis.xaxis, is_time)
    set_grid(axis, "x")


def _value(each: Reviewed, metric: str) -> float:
    if metric == "latency":
        return each.costs.first_latency.network.median_ms if each.costs.first_latency else 0.0
    return each.costs.number(metric)


def _count_axis(axis: Any, is_time: bool = False) -> None:
    axis.set_major_locator(MaxNLocator(nbins=4))
    if not is_time:
        set_counts(axis)


def layers_figure(review: Review) -> bytes:
    """The baseline's MACs and parameters by layer, and below, what each candidate has more or less in each."""
    groups, columns = grouped_layers(review)
    rows = [("baseline", PLAIN), *((each.name, numbered_colour(at)) for at, each in enumerate(review.candidates))]
    with plt.rc_context(STYLE):
        height = 1.6 + 1.05 * len(rows) + 0.06 * max(map(len, groups), default=0)
        figure, axes = plt.subplots(
            len(rows), 2, figsize=(11, height), layout="constrained", sharex=True, squeeze=False
        )
        for row, (name, colour) in enumerate(rows):
            for column, metric in enumerate(SHOWN):
                axis = axes[row][column]
                axis.bar(range(len(groups)), columns[row][metric], color=colour, zorder=2)
                axis.axhline(0, color="black", linewidth=0.6)
                axis.set_title(f"{_label(name)}: {'' if row == 0 else 'change of '}{UNITS[metric]}", fontsize=9)
                _count_axis(axis.yaxis)
                set_grid(axis, "y")
        for axis in axes[-1]:
            axis.set_xticks(range(len(groups)), [plain_label(group) for group in groups], rotation=90, fontsize=7)
        set_heading(figure, "Layer by layer")
        return to_png(figure)


def trade_offs_figure(review: Review) -> bytes | None:
    """MACs against time and against accuracy, with the front that nothing beats; None where neither is known."""
    panels = spots(review)
    if not panels:
        return None
    names = list(dict.fromkeys(spot.name for panel in panels.values() for spot in panel))
    looks = {name: _look(review, name) for name in names}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(4.2 * len(panels) + 2.4, 4), layout="constrained", squeeze=False
        )
        for axis, (heading, panel) in zip(axes[0], panels.items(), strict=True):
            _trade_off_panel(axis, heading, panel, looks)
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=colour, label=_label(name))
            for name, (colour, marker) in looks.items()
        ]
        handles.append(Line2D([], [], color="black", linewidth=0.8, label="Pareto front"))
        figure.legend(handles=handles, loc="outside right upper", fontsize=8)
        set_heading(figure, "MACs against time and accuracy")
        return to_png(figure)


def _look(review: Review, name: str) -> tuple[str, str]:
    places = {each.name: at for at, each in enumerate(review.candidates)}
    if name not in places:
        return PLAIN, "s"
    return numbered_colour(places[name]), MARKERS[places[name] % len(MARKERS)]


def _trade_off_panel(axis: Axes, heading: str, panel: Sequence[Spot], looks: dict[str, tuple[str, str]]) -> None:
    sign = -1 if panel[0].less_is_better else 1
    front = [(x, sign * y) for x, y in pareto_front([(spot.macs, sign * spot.value) for spot in panel])]
    axis.step(*zip(*front, strict=True), where="post", color="black", linewidth=0.8, zorder=1)
    for spot in panel:
        colour, marker = looks[spot.name]
        spread = None if spot.low is None else [[spot.value - spot.low], [(spot.high or spot.value) - spot.value]]
        on_front = (spot.macs, spot.value) in front
        axis.errorbar(
            spot.macs, spot.value, yerr=spread, fmt=marker, color=colour, markersize=8, capsize=3, zorder=3,
            markeredgecolor="black" if on_front else "white",
        )  # fmt: skip
    axis.margins(0.12)
    axis.set(xlabel="MACs", ylabel=heading.replace(", ", "\n", 1))
    _count_axis(axis.xaxis)
    set_grid(axis, "both")


def ratios_figure(review: Review) -> bytes | None:
    """Each candidate's time over the baseline's with its interval; None where nothing was measured."""
    rows = timed_rows(review)
    if not rows:
        return None
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9, 1.3 + 0.36 * len(rows)), layout="constrained")
        for place, (each, timed) in enumerate(rows):
            ratio, sure = timed.ratio, not timed.busy
            spread = [[ratio.median - ratio.low], [ratio.high - ratio.median]]
            colour = numbered_colour(review.candidates.index(each)) if sure else PLAIN
            axis.errorbar(ratio.median, place, xerr=spread, fmt="o" if sure else "x", color=colour, capsize=3)
        labels = [f"{_label(each.name)}, {timed.where}{', busy' if timed.busy else ''}" for each, timed in rows]
        axis.set_yticks(range(len(rows)), labels)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_xlabel("time relative to the baseline (median of the pairs, 95 % interval)")
        set_grid(axis, "x")
        set_heading(figure, "Time")
        return to_png(figure)


def _label(name: str) -> str:
    return plain_label(short(name))
