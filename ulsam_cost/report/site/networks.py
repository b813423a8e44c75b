"""The pages of the networks and of the conventions."""

from dataclasses import replace
from typing import Any

from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost
from ulsam_cost.formulas.networks import (
    REGISTERED,
    NetworkSpec,
    get_network,
    network_layers,
    network_spec,
    split_by_layer,
)
from ulsam_cost.published import Cell
from ulsam_cost.report.document.model import Grid, Page, Paragraph, Picture, Section
from ulsam_cost.report.figures import costs as cost_figures
from ulsam_cost.report.figures import style
from ulsam_cost.report.formats import Table, number, words
from ulsam_cost.report.site.findings import Audit, counted_cost, same_cost, shown_columns, source_title

# The placements with which the ULSAM paper replaces layers: network -> positions.
COMPARED = {"mv1": "8:1,9:1,11", "mv2": "13,14,16,17"}


def networks_page(audit: Audit) -> Page:
    """Every network that the papers cost, and the layers of the plain ones."""
    audited = audited_networks(audit)
    agreeing = sum(same_cost(spec_cost(spec), counted_cost(spec)) for spec in audited)
    return Page(
        "networks.md",
        "The networks: derived, counted, layer by layer",
        (
            Paragraph(
                "Derived is the sum of the layers' closed forms, without PyTorch; counted is the real model, operation "
                "by operation, built and run on the meta device. Inputs are 224 x 224, classifiers have 1000 classes."
            ),
            Paragraph(f"Derived and counted are equal, kind by kind, in {agreeing} of the {len(audited)} networks."),
        ),
        (
            Section("Every network that is held against a paper", (Grid(_audited_table(audited)),)),
            *(_network_section(name) for name in REGISTERED),
        ),
    )


def audited_networks(audit: Audit) -> dict[NetworkSpec, Cell]:
    """The networks behind the cells, each with the first cell that is about it."""
    found: dict[NetworkSpec, Cell] = {}
    for finding in audit.cells:
        spec = cell_spec(finding.subject)
        if spec is not None:
            found.setdefault(spec, finding.subject)
    return found


def _audited_table(audited: dict[NetworkSpec, Cell]) -> Table:
    records = [
        {
            "source": source_title(cell.source),
            "table": cell.table,
            "model": cell.model,
            "connection": cell.connection,
            "positions": cell.positions,
            **_pair(spec_cost(spec), counted_cost(spec)),
            "activations": counted_cost(spec).activations,
        }
        for spec, cell in audited.items()
    ]
    columns = (
        words("source", "first in"),
        words("table", "table"),
        words("model", "model"),
        words("connection", "connection"),
        words("positions", "positions"),
        *_pair_columns(),
        number("activations", "activations"),
    )
    return shown_columns(columns, records)


def _pair(derived: Cost, counted: Cost) -> dict[str, int]:
    return {
        "derived_params": derived.params,
        "counted_params": counted.params,
        "derived_macs": derived.macs,
        "counted_macs": counted.macs,
    }


def _pair_columns() -> tuple[Any, ...]:
    return (
        number("derived_params", "parameters, derived"),
        number("counted_params", "parameters, counted"),
        number("derived_macs", "MACs, derived"),
        number("counted_macs", "MACs, counted"),
    )


def _network_section(name: str) -> Section:
    network = get_network(name)
    specs = _compared_specs(name)
    blocks: list[Any] = [Paragraph(network.source), Picture(layers_file(name), _layers_caption(name, specs))]
    for words_of, spec in specs.items():
        if len(specs) > 1:
            blocks.append(Paragraph(f"{words_of[0].upper()}{words_of[1:]}:"))
        blocks.append(Grid(_layers_table(spec)))
    return Section(network.title, tuple(blocks))


def _compared_specs(name: str) -> dict[str, NetworkSpec]:
    """The plain network, and the one with ULSAM where the paper replaces layers of it."""
    specs = {"plain": network_spec(name)}
    if name in COMPARED:
        specs[f"with ULSAM at ({COMPARED[name]})"] = network_spec(name, positions=COMPARED[name])
    return specs


def _layers_caption(name: str, specs: dict[str, NetworkSpec]) -> str:
    return f"{get_network(name).title}, layer by layer, counted: {' and '.join(specs)}."


def _layers_table(spec: NetworkSpec) -> Table:
    layers = network_layers(spec)
    counted = split_by_layer(counted_cost(spec), layers)
    macs = sum(cost.macs for cost in counted.values())
    records = [
        {
            "layer": layer.layer,
            "kind": layer.kind,
            "output": " x ".join(map(str, layer.output[1:])),
            **_pair(layer.cost, counted[layer.layer]),
            "share": 100 * counted[layer.layer].macs / macs,
        }
        for layer in layers
    ]
    columns = (
        words("layer", "layer"),
        words("kind", "kind"),
        words("output", "output"),
        *_pair_columns(),
        number("share", "of the MACs", lambda share: f"{share:.2f}%"),
    )
    return Table(columns=columns, records=records)


def layers_file(network: str) -> str:
    """The picture of a network's layers."""
    return f"layers_{network}.png"


def layers_pictures() -> dict[str, bytes]:
    """A picture a network."""
    return {layers_file(name): _layers_picture(name) for name in REGISTERED}


def _layers_picture(name: str) -> bytes:
    specs = _compared_specs(name)
    costs = {words_of: _layer_totals(spec) for words_of, spec in specs.items()}
    colours = {words_of: style.CHANGED if spec.placement else style.PLAIN for words_of, spec in specs.items()}
    return cost_figures.layers_figure(costs, colours, f"{get_network(name).title}: where the cost stands")


def _layer_totals(spec: NetworkSpec) -> dict[str, dict[str, int]]:
    split = split_by_layer(counted_cost(spec), network_layers(spec))
    return {layer: {"macs": cost.macs, "params": cost.params} for layer, cost in split.items()}


def conventions_page() -> Page:
    """What each convention counts, and what it gives for each plain network."""
    return Page(
        "conventions.md",
        "The counters: one network, many totals",
        (
            Paragraph(
                "A count of operations means nothing without the rule that says what is counted. Every operation of a "
                "network is counted once, and a convention turns the operations into a number."
            ),
        ),
        (
            Section("What each convention counts", (Grid(_conventions_table()),)),
            Section("What it gives for the plain networks", (Grid(_numbers_table()),)),
        ),
    )


def _conventions_table() -> Table:
    records = [
        {key: getattr(convention, key) for key in ("name", "unit", "counts", "source")}
        for convention in CONVENTIONS.values()
    ]
    columns = tuple(words(key, heading) for key, heading in _CONVENTION_HEADINGS.items())
    return Table(columns=columns, records=records)


_CONVENTION_HEADINGS = {"name": "convention", "unit": "called", "counts": "what counts", "source": "source"}


def _numbers_table() -> Table:
    costs = {name: counted_cost(network_spec(name)) for name in REGISTERED}
    records = [
        {"network": get_network(name).title, **{rule.name: rule.number(cost) for rule in CONVENTIONS.values()}}
        for name, cost in costs.items()
    ]
    columns = (words("network", "network"), *(number(name, name) for name in CONVENTIONS))
    return Table(columns=columns, records=records)


def trained_network(cell: Cell) -> NetworkSpec | None:
    """The network of a cell of any metric, if it can be costed."""
    return cell_spec(replace(cell, metric="macs"))
