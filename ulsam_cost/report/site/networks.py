"""The pages of the networks and of the conventions."""

from collections.abc import Mapping, Sequence
from typing import Any

from ulsam_cost.audit.evidence import COMPARED, Audit, NetworkCost, network_cost
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost
from ulsam_cost.formulas.networks import (
    REGISTERED,
    NetworkSpec,
    get_network,
    network_spec,
)
from ulsam_cost.published import Cell
from ulsam_cost.report.document.model import Grid, Page, Paragraph, Picture, Section, bullets
from ulsam_cost.report.figures import costs as cost_figures
from ulsam_cost.report.figures import style
from ulsam_cost.report.formats import Table, known, number, words
from ulsam_cost.report.site.findings import shown_columns, source_title


def networks_page(audit: Audit) -> Page:
    """Every network that the papers cost, and the layers of the plain ones."""
    audited = audit.networks
    agreeing = sum(network_cost(spec).agrees for spec in audited)
    return Page(
        "networks.md",
        "The networks: derived, counted, layer by layer",
        (
            Paragraph(
                "Derived costs are the sums of the layers' closed forms, without PyTorch. Counted costs are those of "
                "the real model, run on the meta device operation by operation. Inputs are 224 x 224; classifiers have "
                "1000 classes."
            ),
            *bullets(incomplete_sentences(audit)),
            Paragraph(f"Derived and counted are equal, kind by kind, in {agreeing} of the {len(audited)} networks."),
        ),
        (
            Section("Every network in the tables", (Grid(_audited_table(audited)),)),
            *(_network_section(name) for name in REGISTERED),
        ),
    )


def incomplete_sentences(audit: Audit) -> tuple[str, ...]:
    """Which counts leave something out, said before any number of theirs."""
    specs = (*audit.networks, *(spec for name in REGISTERED for spec in _compared_specs(name).values()))
    counted = {spec: network_cost(spec).counted for spec in specs}
    left_out = {spec.network: count.left_out() for spec, count in counted.items() if not count.complete}
    return tuple(
        f"The count of {get_network(name).title} is incomplete ({what}): its counted MACs are lower bounds."
        for name, what in left_out.items()
    )


def _audited_table(audited: dict[NetworkSpec, Cell]) -> Table:
    records = [
        {
            "source": source_title(cell.source),
            "table": cell.table,
            "model": cell.model,
            "connection": cell.connection,
            "positions": cell.positions,
            **_pair(network_cost(spec)),
            "activations": network_cost(spec).counted_number("activations"),
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


def _pair(cost: NetworkCost) -> dict[str, int]:
    return _beside(cost, cost.derived, cost.counted.cost)


def _beside(cost: NetworkCost, derived: Cost, counted: Cost) -> dict[str, int]:
    """A network's derived and counted cost, or those of one of its layers."""
    return {
        "derived_params": derived.params,
        "counted_params": counted.params,
        "derived_macs": derived.macs,
        "counted_macs": cost.mark(counted.macs, "macs"),
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
    cost = network_cost(spec)
    records = [
        {
            "layer": layer.layer,
            "kind": layer.kind,
            "output": " x ".join(map(str, layer.output[1:])),
            **_beside(cost, layer.cost, counted),
            "share": 100 * counted.macs / cost.counted.macs if cost.complete else None,
        }
        for layer, counted in cost.layers
    ]
    columns = (
        words("layer", "layer"),
        words("kind", "kind"),
        words("output", "output"),
        *_pair_columns(),
        number("share", "share of MACs", known(lambda share: f"{share:.2f}%")),
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
    return cost_figures.layers_figure(costs, colours, f"{get_network(name).title}: cost by layer")


def _layer_totals(spec: NetworkSpec) -> dict[str, dict[str, int]]:
    return {
        layer.layer: {"macs": counted.macs, "params": counted.params} for layer, counted in network_cost(spec).layers
    }


def conventions_page(audit: Audit) -> Page:
    """What each convention counts, and what it gives for each plain network."""
    return Page(
        "conventions.md",
        "The counters: one network, many totals",
        (
            Paragraph(
                "A number of operations means nothing without the rule that says what is counted. Each operation of a "
                "network is counted once; a convention then turns the operations into a number."
            ),
            *bullets(incomplete_sentences(audit)),
        ),
        (
            Section("What each convention counts", (Grid(_conventions_table()),)),
            Section("What each convention gives for the plain networks", tuple(map(Grid, _numbers_tables()))),
        ),
    )


def _conventions_table() -> Table:
    records = [
        {key: getattr(convention, key) for key in ("name", "unit", "counts", "source")}
        for convention in CONVENTIONS.values()
    ]
    columns = tuple(words(key, heading) for key, heading in _CONVENTION_HEADINGS.items())
    return Table(columns=columns, records=records)


ON_A_SHEET = 6
_CONVENTION_HEADINGS = {"name": "convention", "unit": "unit", "counts": "what it counts", "source": "source"}


def _numbers_tables() -> tuple[Table, ...]:
    """The conventions' numbers for each network, in several tables, because no sheet is as wide as one."""
    costs = {get_network(name).title: network_cost(network_spec(name)) for name in REGISTERED}
    rules = list(CONVENTIONS)
    return tuple(_numbers_table(costs, rules[at : at + ON_A_SHEET]) for at in range(0, len(rules), ON_A_SHEET))


def _numbers_table(costs: Mapping[str, NetworkCost], rules: Sequence[str]) -> Table:
    records = [{"network": title, **{rule: cost.number_under(rule) for rule in rules}} for title, cost in costs.items()]
    columns = (words("network", "network"), *(number(rule, rule) for rule in rules))
    return Table(columns=columns, records=records)
