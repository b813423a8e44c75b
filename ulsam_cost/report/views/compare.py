"""Networks side by side, as tables and sentences."""

from textwrap import fill
from typing import Any

from ulsam_cost.counting.compare import Comparison
from ulsam_cost.report.formats import COMPLETE, Column, Table, number, signed, signed_pct, words

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
    """The same for the terminal: a row a cost and network."""
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
