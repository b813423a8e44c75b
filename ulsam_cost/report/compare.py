"""Networks side by side: what each costs, and where they part."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import layers_cost, network_layers, split_by_layer
from ulsam_cost.formulas.networks.text import names_network
from ulsam_cost.nn.loading import LoadedModel, load_model
from ulsam_cost.profiler.loaded import count_loaded
from ulsam_cost.report.formats import Column, Table, number, signed, signed_pct, words

UNITS = {"params": "parameters", "macs": "MACs", "activations": "activations"}
MOST_MODELS = len(ascii_uppercase)
DEPTH = 2


def compare(texts: Sequence[str], *, inputs: Sequence[str] = (), depth: int = DEPTH) -> dict[str, Any]:
    """Networks beside the first of them: totals, differences, and the layers in which they part.

    Layers are the networks' numbered ones; where a MODEL is among them, the modules at a depth.

    Args:
        texts: two or more networks with options, or MODELs.
        inputs: shapes of the inputs of a MODEL that brings none.
        depth: of the modules' paths.

    Raises:
        CostError: for fewer than two, and for what `load_model` refuses.
    """
    if not 2 <= len(texts) <= MOST_MODELS:
        raise CostError(f"{len(texts)} to compare: two to {MOST_MODELS} networks are accepted, each in one string")
    loaded = [load_model(text, inputs=() if names_network(text) else inputs) for text in texts]
    counts = [count_loaded(each) for each in loaded]
    costs = [counted.cost for counted in counts]
    for each, cost in zip(loaded, costs, strict=True):
        _require_derived(each, cost)
    numbered = all(each.spec is not None for each in loaded)
    parts = [
        _by_layer(each, cost) if numbered else _by_module(cost, depth) for each, cost in zip(loaded, costs, strict=True)
    ]
    return {
        "networks": [
            _network_record(letter, each.name, cost, costs[0], len(counted.uncounted))
            for letter, each, cost, counted in zip(ascii_uppercase, loaded, costs, counts, strict=False)
        ],
        "layers": _parting_records(parts),
    }


def _require_derived(each: LoadedModel, counted: Cost) -> None:
    if each.spec is not None and layers_cost(network_layers(each.spec)) != counted:
        raise CostError(f"{each.name}: the counted cost differs from the derived one")


def _by_layer(each: LoadedModel, cost: Cost) -> dict[str, Cost]:
    assert each.spec is not None
    return split_by_layer(cost, network_layers(each.spec))


def _by_module(cost: Cost, depth: int) -> dict[str, Cost]:
    return {path or "(model)": part for path, part in cost.by_path(depth).items()}


def _units(cost: Cost) -> dict[str, int]:
    return {unit: getattr(cost, unit) for unit in UNITS}


def _network_record(letter: str, name: str, cost: Cost, first: Cost, uncounted: int) -> dict[str, Any]:
    own, base = _units(cost), _units(first)
    return {
        "letter": letter,
        "network": name,
        **own,
        "delta": {unit: own[unit] - base[unit] for unit in UNITS},
        "delta_pct": {unit: 100 * (own[unit] - base[unit]) / base[unit] if base[unit] else None for unit in UNITS},
        "uncounted": uncounted,
    }


def _parting_records(parts: Sequence[dict[str, Cost]]) -> list[dict[str, Any]]:
    """A record a layer in which the networks differ, None for a network without it, and one for all the others."""
    alike = [dict.fromkeys(UNITS, 0) for _ in parts]
    records = []
    for layer in _merged([list(part) for part in parts]):
        own = [_units(part[layer]) if layer in part else None for part in parts]
        if any(units != own[0] for units in own):
            records.append({"layer": layer, "networks": own})
        else:
            for total, units in zip(alike, own, strict=True):
                total.update({unit: total[unit] + (units or {}).get(unit, 0) for unit in UNITS})
    return [*records, {"layer": "all others", "networks": alike}]


def _merged(orders: Sequence[list[str]]) -> list[str]:
    """Every layer once: in the order of the first network, those of others behind the layer that they follow."""
    merged: list[str] = list(orders[0])
    for order in orders[1:]:
        at = 0
        for layer in order:
            if layer in merged:
                at = merged.index(layer) + 1
            else:
                merged.insert(at, layer)
                at += 1
    return merged


def totals_table(record: dict[str, Any]) -> Table:
    """Each network's totals, and their differences to the first in number and per cent."""
    columns: list[Column] = [words("letter", ""), words("network", "network")]
    for unit, heading in UNITS.items():
        columns.append(number(unit, heading))
        columns.append(number(f"{unit}_delta", "difference", signed))
        columns.append(number(f"{unit}_pct", "%", signed_pct))
    records = []
    for position, network in enumerate(record["networks"]):
        shown = {key: network[key] for key in ("letter", "network", *UNITS)}
        if position:
            shown |= {f"{unit}_delta": network["delta"][unit] for unit in UNITS}
            shown |= {f"{unit}_pct": network["delta_pct"][unit] for unit in UNITS}
        records.append(shown)
    return Table(columns=tuple(columns), records=records)


def narrow_totals_table(record: dict[str, Any]) -> Table:
    """The same for the terminal: a row a cost and network."""
    records = [
        {
            "cost": heading,
            "network": f"{network['letter']} {network['network']}",
            "value": network[unit],
            "delta": network["delta"][unit] if position else None,
            "pct": network["delta_pct"][unit] if position else None,
        }
        for unit, heading in UNITS.items()
        for position, network in enumerate(record["networks"])
    ]
    columns = (
        words("cost", "cost"),
        words("network", "network"),
        number("value", ""),
        number("delta", "difference", signed),
        number("pct", "%", signed_pct),
    )
    return Table(columns=columns, records=records)


def narrow_layers_tables(record: dict[str, Any]) -> list[Table]:
    """The layers for the terminal: a table a cost."""
    whole = layers_table(record)
    return [
        Table(
            columns=tuple(c for c in whole.columns if c.key == "layer" or c.key.endswith(f"_{unit}")),
            records=whole.records,
        )
        for unit in UNITS
    ]


def layers_table(record: dict[str, Any]) -> Table:
    """The layers in which the networks part; its columns add up to the totals."""
    letters = [network["letter"] for network in record["networks"]]
    columns: list[Column] = [words("layer", "layer")]
    columns += [
        number(f"{letter}_{unit}", f"{letter} {heading}") for unit, heading in UNITS.items() for letter in letters
    ]
    records = []
    for layer in record["layers"]:
        shown: dict[str, Any] = {"layer": layer["layer"]}
        for letter, units in zip(letters, layer["networks"], strict=True):
            shown |= {f"{letter}_{unit}": value for unit, value in (units or {}).items()}
        records.append(shown)
    return Table(columns=tuple(columns), records=records)
