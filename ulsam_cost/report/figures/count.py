"""The picture of a counted model: where its MACs, parameters and activations are."""

from collections.abc import Sequence

from matplotlib import pyplot as plt

from ulsam_cost.counting.count import Count
from ulsam_cost.counting.modules import ModuleCost
from ulsam_cost.report.figures.style import CHANGED, STYLE, plain_label, set_counts, set_grid, set_heading, to_png
from ulsam_cost.units import AtLeast, at_least, format_count

MOST_MODULES = 30
PANELS = (("macs", "MACs"), ("params", "parameters"), ("activations", "activations"))


def count_figure(name: str, counted: Count, modules: Sequence[ModuleCost]) -> bytes:
    """Bars for the modules of the tree's last level, in the model's order; beyond 30 the smallest are one bar."""
    rows = _leaves(modules)
    bounds = {key: at_least(getattr(counted, key), unless=counted.complete) for key in ("macs", "activations")}
    totals = {"params": counted.params, **bounds}
    with plt.rc_context(STYLE):
        height = 1.4 + 0.24 * len(rows)
        figure, axes = plt.subplots(1, 3, figsize=(11, height), layout="constrained", sharey=True)
        names = [plain_label(row.path or "(the model)") for row in rows]
        for axis, (key, label) in zip(axes, PANELS, strict=True):
            values = [getattr(row, key) for row in rows]
            axis.barh(range(len(rows)), values, color=CHANGED)
            for place, value in enumerate(values):
                axis.text(value, place, f" {format_count(value, 1)}", va="center", fontsize=7)
            axis.set_xlim(right=1.25 * max(*values, 1))
            axis.set_title(f"{label}: {format_count(totals[key])}")
            set_counts(axis.xaxis)
            set_grid(axis, "x")
        axes[0].set_yticks(range(len(rows)), names, fontsize=8)
        axes[0].invert_yaxis()
        set_heading(figure, name)
        return to_png(figure)


def _sum(values: list[int]) -> int:
    return at_least(sum(values), unless=not any(isinstance(value, AtLeast) for value in values))


def _leaves(modules: Sequence[ModuleCost]) -> list[ModuleCost]:
    parents = {row.path.rpartition(".")[0] for row in modules if row.path} | ({""} if len(modules) > 1 else set())
    rows = [row for row in modules if row.path not in parents]
    if len(rows) <= MOST_MODULES:
        return rows
    kept = {row.path for row in sorted(rows, key=lambda row: -row.macs)[: MOST_MODULES - 1]}
    rest = [row for row in rows if row.path not in kept]
    macs, params, activations = (_sum([getattr(row, key) for row in rest]) for key, _ in PANELS)
    others = ModuleCost(f"{len(rest)} others", "", params, macs, activations, all(row.complete for row in rest))
    return [*(row for row in rows if row.path in kept), others]
