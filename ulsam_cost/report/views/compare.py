"""Networks side by side: what each costs, and where they part."""

from collections.abc import Sequence
from string import ascii_uppercase
from textwrap import fill
from typing import Any

from ulsam_cost.cost import Cost, path_at
from ulsam_cost.counting.count import Count
from ulsam_cost.counting.loaded import count_loaded
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import layers_cost, network_layers, split_by_layer
from ulsam_cost.formulas.networks.text import names_network
from ulsam_cost.nn.loading import LoadedModel, load_model
from ulsam_cost.report.formats import COMPLETE, Column, Table, number, signed, signed_pct, words
from ulsam_cost.units import AtLeast, at_least, difference

Units = dict[str, int]
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
    for each, counted in zip(loaded, counts, strict=True):
        _require_derived(each, counted)
    numbered = all(each.spec is not None for each in loaded)
    parts = [
        _by_layer(each, counted) if numbered else _by_module(counted, depth)
        for each, counted in zip(loaded, counts, strict=True)
    ]
    return {
        "networks": [
            _network_record(letter, each.name, counted, counts[0])
            for letter, each, counted in zip(ascii_uppercase, loaded, counts, strict=False)
        ],
        "layers": _parting_records(parts),
    }


def _require_derived(each: LoadedModel, counted: Count) -> None:
    if each.spec is None:
        return
    if not counted.complete:
        raise CostError(
            f"{each.name}: the count is incomplete ({counted.left_out()}) and cannot be held against the derived cost"
        )
    if layers_cost(network_layers(each.spec)) != counted.cost:
        raise CostError(f"{each.name}: the counted cost differs from the derived one")


def _by_layer(each: LoadedModel, counted: Count) -> dict[str, Units]:
    assert each.spec is not None
    split = split_by_layer(counted.cost, network_layers(each.spec))
    return {layer: _units(part, complete=True) for layer, part in split.items()}


def _by_module(counted: Count, depth: int) -> dict[str, Units]:
    parts = counted.cost.by_path(depth)
    incomplete = {path_at(operation.path, depth) for operation in counted.uncounted_products}
    paths = dict.fromkeys((*parts, *incomplete))
    return {path or "(model)": _units(parts.get(path, Cost()), complete=path not in incomplete) for path in paths}


def _units(cost: Cost | Count, *, complete: bool) -> Units:
    macs, activations = (at_least(each, unless=complete) for each in (cost.macs, cost.activations))
    return {"params": cost.params, "macs": macs, "activations": activations}


def _network_record(letter: str, name: str, counted: Count, first: Count) -> dict[str, Any]:
    own, base = (_units(each, complete=each.complete) for each in (counted, first))
    delta = {unit: difference(own[unit], base[unit]) for unit in UNITS}
    return {
        "letter": letter,
        "network": name,
        **own,
        "complete": counted.complete,
        "left_out": counted.left_out(),
        "delta": delta,
        "delta_pct": {
            unit: 100 * change / base[unit] if base[unit] and change is not None else None
            for unit, change in delta.items()
        },
        "uncounted": len(counted.uncounted),
    }


def _parting_records(parts: Sequence[dict[str, Units]]) -> list[dict[str, Any]]:
    """A record a layer in which the networks differ, None for a network without it, and one for all the others.

    Networks of which one is incomplete in a layer are not known to be alike in it.
    """
    alike = [dict.fromkeys(UNITS, 0) for _ in parts]
    records = []
    for layer in _merged([list(part) for part in parts]):
        own = [part.get(layer) for part in parts]
        complete = not any(isinstance(value, AtLeast) for units in own if units for value in units.values())
        if not complete or any(units != own[0] for units in own):
            records.append({"layer": layer, "networks": own, "complete": complete})
        else:
            for total, units in zip(alike, own, strict=True):
                total.update({unit: total[unit] + (units or {}).get(unit, 0) for unit in UNITS})
    return [*records, {"layer": "all others", "networks": alike, "complete": True}]


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


def incomplete_lines(record: dict[str, Any]) -> str:
    """The networks whose totals leave products out, a line each."""
    lines = (
        f"{network['letter']} {network['network']} is incomplete: {network['left_out']}; see ulsam-cost count"
        for network in record["networks"]
        if not network["complete"]
    )
    return "\n".join(fill(line, 98) for line in lines)


def totals_table(record: dict[str, Any]) -> Table:
    """Each network's totals, and their differences to the first in number and per cent."""
    columns: list[Column] = [words("letter", ""), words("network", "network")]
    for unit, heading in UNITS.items():
        columns.append(number(unit, heading))
        columns.append(number(f"{unit}_delta", "difference", signed))
        columns.append(number(f"{unit}_pct", "%", signed_pct))
    columns.append(COMPLETE)
    records = []
    for position, network in enumerate(record["networks"]):
        shown = {key: network[key] for key in ("letter", "network", *UNITS, "complete")}
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
    columns.append(COMPLETE)
    records = []
    for layer in record["layers"]:
        shown: dict[str, Any] = {"layer": layer["layer"], "complete": layer["complete"]}
        for letter, units in zip(letters, layer["networks"], strict=True):
            shown |= {f"{letter}_{unit}": value for unit, value in (units or {}).items()}
        records.append(shown)
    return Table(columns=tuple(columns), records=records)
