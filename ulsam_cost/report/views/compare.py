"""Networks side by side, as tables and sentences."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from ulsam_cost.counting.compare import ComparedNetwork, Comparison
from ulsam_cost.counting.differences import ModuleDifference, ModulePart
from ulsam_cost.report.formats import COMPLETE, Column, Table, number, signed, signed_pct, words

MODULES_SHOWN = 20
PATH_WIDTH = 40  # what the other columns leave of 100
UNITS = {"params": "parameters", "macs": "MACs", "activations": "activations"}


def incomplete_lines(comparison: Comparison) -> str:
    """The networks whose totals leave products out, a line each."""
    lines = (
        f"{network.letter} {network.name} is incomplete: {network.left_out}; see ulsam-cost count"
        for network in comparison.networks
        if not network.complete
    )
    return "\n".join(fill(line, 98) for line in lines)


def totals_table(comparison: Comparison) -> Table:
    """Each network's totals, and their differences to the first in number and per cent."""
    columns: list[Column] = [words("letter", ""), words("network", "network")]
    for unit, heading in UNITS.items():
        columns.append(number(unit, heading))
        columns.append(number(f"{unit}_delta", "difference", signed))
        columns.append(number(f"{unit}_pct", "%", signed_pct))
    columns.append(COMPLETE)
    records = []
    for position, network in enumerate(comparison.networks):
        shown = network.to_dict()
        if position:
            shown |= {f"{unit}_delta": change for unit, change in network.delta._asdict().items()}
            shown |= {f"{unit}_pct": change for unit, change in network.delta_pct.items()}
        records.append(shown)
    return Table(columns=tuple(columns), records=records)


def narrow_totals_table(comparison: Comparison) -> Table:
    """The same for the terminal: one row per cost and network."""
    records = [
        {
            "cost": heading,
            "network": f"{network.letter} {network.name}",
            "value": getattr(network.totals, unit),
            "delta": getattr(network.delta, unit) if position else None,
            "pct": network.delta_pct[unit] if position else None,
        }
        for unit, heading in UNITS.items()
        for position, network in enumerate(comparison.networks)
    ]
    columns = (
        words("cost", "cost"),
        words("network", "network"),
        number("value", ""),
        number("delta", "difference", signed),
        number("pct", "%", signed_pct),
    )
    return Table(columns=columns, records=records)


def narrow_layers_tables(comparison: Comparison) -> list[Table]:
    """The layers for the terminal: a table a cost."""
    whole = layers_table(comparison)
    return [
        Table(
            columns=tuple(c for c in whole.columns if c.key == "layer" or c.key.endswith(f"_{unit}")),
            records=whole.records,
        )
        for unit in UNITS
    ]


def layers_table(comparison: Comparison) -> Table:
    """The layers in which the networks part; its columns add up to the totals."""
    letters = [network.letter for network in comparison.networks]
    columns: list[Column] = [words("layer", "layer")]
    columns += [
        number(f"{letter}_{unit}", f"{letter} {heading}") for unit, heading in UNITS.items() for letter in letters
    ]
    columns.append(COMPLETE)
    records = []
    for layer in comparison.layers:
        shown: dict[str, Any] = {"layer": layer.layer, "complete": layer.complete}
        for letter, totals in zip(letters, layer.networks, strict=True):
            shown |= {f"{letter}_{unit}": value for unit, value in (totals._asdict() if totals else {}).items()}
        records.append(shown)
    return Table(columns=tuple(columns), records=records)


def modules_heading(network: ComparedNetwork, first: ComparedNetwork) -> str:
    """Which networks a table of modules is about."""
    return fill(f"{network.letter} {network.name} minus {first.letter} {first.name}, by module:", 98)


def modules_table(network: ComparedNetwork) -> Table:
    """The modules in which a network differs from the first, and their sum, which is the difference of the totals."""
    records = [_module_record(module, _place(module)) for module in network.modules if _costs(module)]
    return _modules_table(network, records)


def narrow_modules_table(network: ComparedNetwork) -> Table:
    """The same for the terminal: the modules that differ most, the others in one row, and long paths cut."""
    differing = [module for module in network.modules if _costs(module)]
    largest = sorted(differing, key=lambda module: [-abs(change or 0) for change in _by_weight(module)])
    shown = {id(module) for module in largest[:MODULES_SHOWN]}
    records = [_module_record(module, _cut(_place(module))) for module in differing if id(module) in shown]
    if others := [module for module in differing if id(module) not in shown]:
        records.append({"place": f"{len(others)} others with smaller differences", **_sum(others)})
    return _modules_table(network, records)


def same_cost_line(network: ComparedNetwork) -> str:
    """What was moved, or changed in what is neither parameter nor product; empty where nothing was."""
    by_fate: dict[str, list[str]] = {}
    for module in network.modules:
        if not _costs(module):
            by_fate.setdefault(str(module.fate), []).append(_place(module))
    parts = (f"{len(places)} {fate} ({_some(places)})" for fate, places in by_fate.items())
    return fill(f"Changes that leave these costs as they are: {'; '.join(parts)}", 98) if by_fate else ""


def all_modules_table(comparison: Comparison) -> Table:
    """Every module in which a network differs from the first, for programs."""
    keys = ("letter", "fate", "before", "before_class", "after", "after_class")
    records = [
        {"letter": network.letter} | module.to_dict() for network in comparison.networks for module in network.modules
    ]
    columns = (*(words(key, key) for key in keys), number("modules", "modules"))
    return Table(columns=(*columns, *(number(unit, unit, signed) for unit in UNITS)), records=records)


def _modules_table(network: ComparedNetwork, records: list[dict[str, Any]]) -> Table:
    records = [*records, {"place": "all", **network.delta._asdict()}]
    columns = (words("fate", "change"), words("place", "module"))
    return Table(columns=(*columns, *(number(unit, name, signed) for unit, name in UNITS.items())), records=records)


def _module_record(module: ModuleDifference, place: str) -> dict[str, Any]:
    return {"fate": str(module.fate), "place": place, **module.delta._asdict()}


def _costs(module: ModuleDifference) -> bool:
    """Whether it changes a total, or may."""
    return any(change != 0 for change in module.delta)


def _by_weight(module: ModuleDifference) -> tuple[int | None, ...]:
    return module.delta.macs, module.delta.params, module.delta.activations


def _sum(modules: Sequence[ModuleDifference]) -> dict[str, int | None]:
    columns = {unit: [getattr(module.delta, unit) for module in modules] for unit in UNITS}
    return {unit: None if None in column else sum(column) for unit, column in columns.items()}


def _place(module: ModuleDifference) -> str:
    """Where it is and what it is, from before to now where that is not one and the same."""
    parts: list[ModulePart] = [part for part in (module.before, module.after) if part]
    paths = dict.fromkeys(part.path or "(model)" for part in parts)
    classes = dict.fromkeys(part.module_class for part in parts)
    return f"{' -> '.join(paths)} {' -> '.join(classes)}"


def _cut(place: str) -> str:
    return place if len(place) <= PATH_WIDTH else f"…{place[1 - PATH_WIDTH :]}"


def _some(places: Sequence[str]) -> str:
    """The first three, and how many more."""
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(places[:3]) + more
