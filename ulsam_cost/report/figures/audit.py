"""Pictures of the audit: printed against computed, outcomes by source, printed accuracy against cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ulsam_cost.audit.evidence import Trained
from ulsam_cost.audit.outcomes import JUDGED, Outcome
from ulsam_cost.report.figures.style import (
    OUTCOME_COLOURS,
    PLAIN,
    STYLE,
    mechanism_colour,
    set_counts,
    set_grid,
    set_heading,
    to_png,
)

MARKERS = {
    Outcome.NETWORK: "o",
    Outcome.NETWORK_TRUNCATED: "v",
    Outcome.PRINTED_FORMULA: "P",
    Outcome.PAPERS_ARITHMETIC: "^",
    Outcome.COUNTING_RULE: "h",
    Outcome.LAST_DIGIT: "D",
    Outcome.EXPLAINED: "s",
    Outcome.UNEXPLAINED: "X",
}
LIGHT = (Outcome.NETWORK_TRUNCATED, Outcome.PAPERS_ARITHMETIC, Outcome.COUNTING_RULE, Outcome.LAST_DIGIT)
NETWORK_MARKERS = "os^Dv*Ph"
RINGS = {"aw": "black", "dca": "#2563eb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A printed number: which quantity it is, its last digit's weight, the computed value, and the outcome."""

    quantity: str
    printed: float
    resolution: float
    computed: float | None
    outcome: Outcome


def agreement_figure(dots: Sequence[Dot], title: str) -> bytes:
    """Every printed cost against the computed one, a panel a quantity, and below it how far apart the two are."""
    quantities = list(dict.fromkeys(dot.quantity for dot in dots))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            len(quantities),
            figsize=(11, 6.7),
            layout="constrained",
            sharex="col",
            squeeze=False,
            height_ratios=(3, 2),
        )
        for column, quantity in enumerate(quantities):
            own = [dot for dot in dots if dot.quantity == quantity]
            _agreement(axes[0][column], own, quantity)
            _distance(axes[1][column], own, quantity)
        axes[0][0].set_ylabel("computed")
        axes[1][0].set_ylabel("computed - printed,\nin units of the last printed digit")
        set_heading(figure, title)
        handles = [_handle(outcome.words, MARKERS[outcome], OUTCOME_COLOURS[outcome]) for outcome in JUDGED]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        return to_png(figure)


def _agreement(axis: Axes, dots: Sequence[Dot], quantity: str) -> None:
    values = [value for dot in dots for value in (dot.printed, dot.computed) if value]
    ends = (min(values) / 2, max(values) * 2)
    axis.plot(ends, ends, color=PLAIN, linewidth=1, zorder=0)
    _by_outcome(axis, [(dot, dot.computed) for dot in dots if dot.computed is not None])
    left_out = [(dot, ends[0]) for dot in dots if dot.computed is None]
    _by_outcome(axis, left_out)
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=f"{quantity}: {len(dots)} cells")
    set_counts(axis.xaxis, axis.yaxis)
    if left_out:
        axis.annotate(
            f"{len(left_out)} not computed (on this edge)",
            (0.98, 0.03),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color=OUTCOME_COLOURS[Outcome.UNEXPLAINED],
        )
    set_grid(axis, "both")


def _distance(axis: Axes, dots: Sequence[Dot], quantity: str) -> None:
    axis.axhspan(-0.5, 0.5, color=PLAIN, alpha=0.25, linewidth=0, zorder=0)
    steps = [(dot, (dot.computed - dot.printed) / dot.resolution) for dot in dots if dot.computed is not None]
    _by_outcome(axis, steps)
    farthest = max([2.0, *(abs(height) for _, height in steps)])
    axis.set_yscale("symlog", linthresh=1, linscale=1.5)
    axis.set_ylim(-2 * farthest, 2 * farthest)
    axis.yaxis.set_major_formatter(_signed_steps)
    axis.set_xlabel(f"{quantity}, printed")
    set_grid(axis, "both")


def _signed_steps(value: float, _place: float) -> str:
    return f"{value:+,.0f}" if value else "0"


def _by_outcome(axis: Axes, places: Sequence[tuple[Dot, float]]) -> None:
    for outcome in JUDGED:
        own = [(dot.printed, height) for dot, height in places if dot.outcome is outcome]
        if own:
            across, up = zip(*own, strict=True)
            axis.scatter(
                across,
                up,
                s=26,
                marker=MARKERS[outcome],
                color=OUTCOME_COLOURS[outcome],
                edgecolors="white",
                linewidths=0.4,
                clip_on=False,
                zorder=2 + list(Outcome).index(outcome),
            )


def outcomes_figure(counts: Mapping[str, Mapping[str, Counter[Outcome]]], title: str) -> bytes:
    """How many numbers of each source have which outcome: a panel of `counts`, a bar a source."""
    with plt.rc_context(STYLE):
        # panels above one another: the picture is read on a phone, too
        height = 1 + sum(0.5 + 0.3 * len(sources) for sources in counts.values())
        shown = [
            each for each in Outcome if each in JUDGED or any(c[each] for s in counts.values() for c in s.values())
        ]
        figure, axes = plt.subplots(len(counts), 1, figsize=(5.8, height), layout="constrained", squeeze=False)
        for axis, (name, sources) in zip(axes[:, 0], counts.items(), strict=True):
            _outcome_bars(axis, sources, shown)
            axis.set_title(f"{sum(count.total() for count in sources.values())} {name}")
        set_heading(figure, title)
        handles = [plt.Rectangle((0, 0), 1, 1, color=_colour(each), label=each.words) for each in shown]  # type: ignore[attr-defined]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return to_png(figure)


def _colour(outcome: Outcome) -> str:
    """Grey of what is not judged."""
    return OUTCOME_COLOURS.get(outcome, PLAIN)


def _ink(outcome: Outcome) -> str:
    return "black" if outcome in LIGHT or outcome not in OUTCOME_COLOURS else "white"


def _outcome_bars(axis: Axes, sources: Mapping[str, Counter[Outcome]], shown: Sequence[Outcome]) -> None:
    names = list(sources)
    widest = max(count.total() for count in sources.values())
    for place, count in enumerate(sources.values()):
        left = 0
        for outcome in shown:
            number = count[outcome]
            axis.barh(place, number, 0.7, left=left, color=_colour(outcome))
            if number > widest / 20:
                axis.text(
                    left + number / 2, place, str(number), ha="center", va="center", color=_ink(outcome), fontsize=8
                )
            left += number
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    set_grid(axis, "x")


def accuracy_figure(trained: Sequence[Trained], title: str) -> bytes:
    """Printed accuracy against MACs and against parameters, with the networks that none beats at less cost."""
    networks = list(dict.fromkeys(each.network for each in sorted(trained, key=lambda each: each.macs)))
    markers = dict(zip(networks, NETWORK_MARKERS, strict=False))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained", sharey=True)
        for axis, unit, label in zip(axes, ("macs", "params"), ("MACs, counted", "parameters, counted"), strict=True):
            for each in trained:
                axis.scatter(
                    getattr(each, unit),
                    each.accuracy,
                    s=80 if markers.get(each.network) == "*" else 34,
                    marker=markers.get(each.network, "o"),
                    color=mechanism_colour(_attends(each)),
                    edgecolors=RINGS.get(each.connection, "white"),
                    linewidths=0.9 if each.connection else 0.4,
                    zorder=2 if each.mechanism != "none" else 3,
                )
            front = pareto_front([(getattr(each, unit), each.accuracy) for each in trained])
            axis.step(*zip(*front, strict=True), where="post", color="black", linewidth=0.8, zorder=1)
            axis.set(xscale="log", xlabel=label)
            set_counts(axis.xaxis)
            set_grid(axis, "both")
        axes[0].set_ylabel("ImageNet-1K top-1 as printed, %")
        set_heading(figure, title)
        figure.legend(handles=_accuracy_legend(trained, markers), loc="outside right center", fontsize=8)
        return to_png(figure)


def _attends(each: Trained) -> str:
    return each.connection if each.mechanism == "none" and each.connection else each.mechanism


def _accuracy_legend(trained: Sequence[Trained], markers: Mapping[str, str]) -> list[Line2D]:
    handles = [_handle(network, marker, "black") for network, marker in markers.items()]
    mechanisms = dict.fromkeys(_attends(each) for each in trained)
    handles += [_handle("plain" if name == "none" else name, "o", mechanism_colour(name)) for name in mechanisms]
    for connection in dict.fromkeys(each.connection for each in trained if each.connection):
        ring = _handle(f"ringed: with {connection}", "o", "white")
        ring.set_markeredgecolor(RINGS.get(connection, "white"))
        handles.append(ring)
    handles.append(Line2D([], [], color="black", linewidth=0.8, label="Pareto front"))
    return handles


def _handle(label: str, marker: str, colour: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label, markersize=6)


def pareto_front(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The (cost, accuracy) points that no other one beats at the same cost or less, by cost."""
    front: list[tuple[int, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front
