"""The pictures: the same colours for the same things in all of them, and the same bytes on every run."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.units import format_count

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    "figure.dpi": 130,
}
PLAIN, CHANGED = "#9aa5b1", "#c2410c"
_PALETTE = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]


def mechanism_colour(name: str) -> tuple[float, float, float]:
    """The colour of a mechanism, by its place in the registry."""
    if name == "ulsam":
        return matplotlib.colors.to_rgb(CHANGED)
    return tuple(_PALETTE[2 * REGISTERED.index(name) % 20 + (REGISTERED.index(name) >= 10)])


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, without the metadata that changes from run to run."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


def same_picture(one: bytes, other: bytes) -> bool:
    """Whether two PNGs show the same, up to a rounding of their colours."""
    a, b = (plt.imread(io.BytesIO(content)) for content in (one, other))
    return a.shape == b.shape and float(abs(a - b).max()) < 2 / 255


def overheads_figure(records: Sequence[Mapping[str, float | str]], title: str) -> bytes:
    """Table 1 as a picture: printed and exact costs of each mechanism, log scale."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
        for axis, unit, label in zip(axes, ("params", "macs"), ("parameters", "MACs"), strict=True):
            _overheads_panel(axis, records, unit, label)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
        return to_png(figure)


def _overheads_panel(axis: Axes, records: Sequence[Mapping[str, float | str]], unit: str, label: str) -> None:
    names = [str(record["mechanism"]) for record in records]
    places = range(len(names))
    colours = [mechanism_colour(name) for name in names]
    printed = [float(record[f"printed_{unit}"]) for record in records]
    exact = [float(record[f"exact_{unit}"]) for record in records]
    axis.barh([place - 0.2 for place in places], printed, 0.38, color=colours, alpha=0.4, label="as printed")
    axis.barh([place + 0.2 for place in places], exact, 0.38, color=colours, label="the real module")
    for place, said, done in zip(places, printed, exact, strict=True):
        axis.text(said, place - 0.2, f" {format_count(int(said), 1)}", va="center", fontsize=8)
        axis.text(done, place + 0.2, f" {format_count(int(done), 1)}", va="center", fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(right=max(printed + exact) * 8)
    axis.set_yticks(list(places), names)
    if not axis.yaxis_inverted():
        axis.invert_yaxis()
    axis.set_title(label)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


def layers_figure(
    plain: Mapping[str, Mapping[str, int]],
    changed: Mapping[str, Mapping[str, int]],
    title: str,
    legend: tuple[str, str],
) -> bytes:
    """Where the MACs and the parameters stand, layer by layer, without and with attention."""
    labels = _costly_layers(plain, changed)
    places = range(len(labels))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(10, 5.6), layout="constrained", sharex=True)
        for axis, unit, label in zip(
            axes, ("macs", "params"), ("MACs (millions)", "parameters (millions)"), strict=True
        ):
            for cost, colour, offset, name in ((plain, PLAIN, -0.2, legend[0]), (changed, CHANGED, 0.2, legend[1])):
                heights = [cost.get(layer, {}).get(unit, 0) / 1e6 for layer in labels]
                axis.bar([place + offset for place in places], heights, 0.38, color=colour, label=name)
            axis.set_title(label)
            axis.grid(axis="y", alpha=0.3)
            axis.set_axisbelow(True)
        axes[1].set_xticks(list(places), labels)
        axes[1].set_xlabel("layer, as the paper numbers it")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return to_png(figure)


def _costly_layers(*costs: Mapping[str, Mapping[str, int]]) -> list[str]:
    labels = {label for cost in costs for label, totals in cost.items() if any(totals.values())}
    return sorted(labels, key=_layer_order)


def _layer_order(label: str) -> tuple[int, int]:
    number, _, insertion = label.partition(":")
    return (int(number), int(insertion or 0)) if number.isdigit() else (10_000, 0)
