"""Pictures of costs: the overheads of Table 1, and where in a network the cost stands."""

from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ulsam_cost.counting.overheads import Table1Row
from ulsam_cost.report.figures.style import STYLE, mechanism_colour, set_counts, set_grid, set_heading, to_png
from ulsam_cost.units import format_count

CROWDED = 30  # labels on one axis


def overheads_figure(rows: Sequence[Table1Row], title: str) -> bytes:
    """Table 1 as a picture: printed and exact costs of each mechanism, log scale."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
        for axis, unit, label in zip(axes, ("params", "macs"), ("parameters", "MACs"), strict=True):
            _overheads_panel(axis, rows, unit, label)
        set_heading(figure, title)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
        return to_png(figure)


def _overheads_panel(axis: Axes, rows: Sequence[Table1Row], unit: str, label: str) -> None:
    names = [row.mechanism.name for row in rows]
    places = range(len(names))
    colours = [mechanism_colour(name) for name in names]
    printed = [float(getattr(row, unit)) for row in rows]
    exact = [float(getattr(row.derived, unit)) for row in rows]
    axis.barh([place - 0.2 for place in places], printed, 0.38, color=colours, alpha=0.4, label="as printed")
    axis.barh([place + 0.2 for place in places], exact, 0.38, color=colours, label="the real module")
    for place, said, done in zip(places, printed, exact, strict=True):
        axis.text(said, place - 0.2, f" {format_count(int(said), 1)}", va="center", fontsize=8)
        axis.text(done, place + 0.2, f" {format_count(int(done), 1)}", va="center", fontsize=8)
    axis.set_xscale("log")
    set_counts(axis.xaxis)
    axis.set_xlim(right=max(printed + exact) * 8)
    axis.set_yticks(list(places), names)
    if not axis.yaxis_inverted():
        axis.invert_yaxis()
    axis.set_title(label)
    set_grid(axis, "x")


def layers_figure(
    costs: Mapping[str, Mapping[str, Mapping[str, int]]], colours: Mapping[str, str], title: str
) -> bytes:
    """Where the MACs and the parameters stand, layer by layer, of one network or of two side by side.

    Args:
        costs: by the name of the network and by the layer's number: `macs` and `params`.
        colours: by the name of the network.
        title: of the picture.
    """
    labels = _costly_layers(*costs.values())
    width = 0.76 / len(costs)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(10, 5.6), layout="constrained", sharex=True)
        for axis, unit, heading in zip(axes, ("macs", "params"), ("MACs", "parameters"), strict=True):
            for index, (name, layers) in enumerate(costs.items()):
                heights = [layers.get(label, {}).get(unit, 0) for label in labels]
                places = [place + (index - (len(costs) - 1) / 2) * width for place in range(len(labels))]
                axis.bar(places, heights, width, color=colours[name], label=name)
            axis.set_title(heading)
            set_counts(axis.yaxis)
            set_grid(axis, "y")
        small = {"fontsize": 7, "rotation": 90} if len(labels) > CROWDED else {}
        axes[1].set_xticks(range(len(labels)), labels, **small)
        axes[1].set_xlabel("layer")
        axes[1].set_xlim(-0.6, len(labels) - 0.4)
        set_heading(figure, title)
        if len(costs) > 1:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return to_png(figure)


def _costly_layers(*costs: Mapping[str, Mapping[str, int]]) -> list[str]:
    labels = dict.fromkeys(label for cost in costs for label, totals in cost.items() if any(totals.values()))
    return sorted(labels, key=_layer_order)


def _layer_order(label: str) -> tuple[int, int]:
    number, _, insertion = label.partition(":")
    return (int(number), int(insertion or 0)) if number.isdigit() else (10_000, 0)
