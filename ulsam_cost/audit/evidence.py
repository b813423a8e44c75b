"""What the report on the papers rests on: every finding, and what each network behind them costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import NamedTuple

from ulsam_cost.audit.claims import check_claim
from ulsam_cost.audit.finding import Finding
from ulsam_cost.audit.judging import check_cell, compute_cell, judge
from ulsam_cost.audit.outcomes import Outcome, outcome_of
from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost
from ulsam_cost.counting.count import Count
from ulsam_cost.counting.networks import count_network
from ulsam_cost.counting.overheads import Table1Row, table1_letters, table1_rows
from ulsam_cost.formulas.networks import NetworkSpec, get_network, network_layers, network_spec, split_by_layer
from ulsam_cost.formulas.networks.spec import LayerCost
from ulsam_cost.measuring.networks import measure_against_plain
from ulsam_cost.measuring.timing import PairTiming
from ulsam_cost.published import Cell, Claim, cost_cells, field_cells, published_cells, published_claims
from ulsam_cost.units import at_least

# The placements with which the ULSAM paper replaces layers: network -> positions.
COMPARED = {"mv1": "8:1,9:1,11", "mv2": "13,14,16,17"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Every finding: on the cells of the tables, and on the claims of the text."""

    cells: tuple[Finding[Cell], ...]
    claims: tuple[Finding[Claim], ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The papers, in the order of the data."""
        found: list[Cell | Claim] = [finding.subject for finding in self.cells]
        found += [finding.subject for finding in self.claims]
        return tuple(dict.fromkeys(subject.source for subject in found))

    @property
    def networks(self) -> dict[NetworkSpec, Cell]:
        """The networks behind the cells, each with the first cell that is about it."""
        found: dict[NetworkSpec, Cell] = {}
        for finding in self.cells:
            spec = cell_spec(finding.subject)
            if spec is not None:
                found.setdefault(spec, finding.subject)
        return found

    def of(self, source: str) -> "Audit":
        """The findings on one paper."""
        return Audit(
            cells=tuple(finding for finding in self.cells if finding.subject.source == source),
            claims=tuple(finding for finding in self.claims if finding.subject.source == source),
        )


def rows_of_table1() -> tuple[Table1Row, ...]:
    """The six mechanisms of the ULSAM paper's Table 1 at its setting: printed, derived, counted."""
    return table1_rows(table1_letters(512, 14, 14), with_derived=True, with_counted=True)


def run_audit() -> Audit:
    """Every printed cost and every claim, checked."""
    return Audit(
        cells=tuple(check_cell(cell) for cell in cost_cells()),
        claims=tuple(check_claim(claim) for claim in published_claims()),
    )


@lru_cache
def field_audit() -> Audit:
    """Every cost that the field's repositories print, checked."""
    return Audit(cells=tuple(check_cell(cell) for cell in field_cells()), claims=())


def other_outcomes(finding: Finding[Cell]) -> set[Outcome]:
    """What else gives a cell: the outcomes that each other reading would give alone."""
    cell = finding.subject
    alone = (judge(cell, [computed]) for computed in compute_cell(cell) if computed != finding.computed)
    return {outcome_of(other) for other in alone} - {Outcome.LAST_DIGIT, Outcome.UNEXPLAINED}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """What a network costs, derived and counted; where the count is incomplete, its numbers are lower bounds."""

    spec: NetworkSpec
    derived: Cost
    counted: Count

    @property
    def complete(self) -> bool:
        """Whether the count leaves no product out."""
        return self.counted.complete

    @property
    def agrees(self) -> bool:
        """Whether derived and counted cost are equal by kind, parameters among them."""
        derived, counted = self.derived.by_kind(), self.counted.cost.by_kind()
        return self.complete and derived.keys() == counted.keys() and all(
            (derived[kind].macs, derived[kind].params) == (counted[kind].macs, counted[kind].params) for kind in derived
        )  # fmt: skip

    def counted_number(self, metric: str) -> int:
        """The counted `macs`, `params` or `activations`."""
        return self.mark(getattr(self.counted, metric), metric)

    def number_under(self, convention: str) -> int:
        """What the count gives under a convention."""
        value = CONVENTIONS[convention].number(self.counted.cost)
        return at_least(value, unless=self.counted.complete_under(convention))

    def mark(self, value: int, metric: str) -> int:
        """A number of the count or of a part of it, as a lower bound where the count is incomplete."""
        return at_least(value, unless=self.complete or metric == "params")

    @property
    def layers(self) -> tuple[tuple[LayerCost, Cost], ...]:
        """The network layer by layer: the derived cost, and what of the counted one belongs to it."""
        layers = network_layers(self.spec)
        counted = split_by_layer(self.counted.cost, layers)
        return tuple((layer, counted[layer.layer]) for layer in layers)


@lru_cache(maxsize=1024)
def network_cost(spec: NetworkSpec) -> NetworkCost:
    """What a network costs, derived and counted, once each."""
    return NetworkCost(spec=spec, derived=spec_cost(spec), counted=count_network(spec))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A network that a paper trained: what it is made of, its costs, and the accuracy that the paper prints."""

    network: str
    mechanism: str
    connection: str
    macs: int
    params: int
    accuracy: float


def trained_networks() -> list[Trained]:
    """What the papers print of ImageNet-1K top-1, each once, where the network can be costed and is counted whole."""
    found: dict[Trained, None] = {}
    for cell in published_cells():
        if cell.dataset != "ImageNet-1K" or cell.metric not in ("top1", "top1_error"):
            continue
        spec = cell_spec(replace(cell, metric="macs"))
        if spec is None or not (counted := network_cost(spec).counted).complete:
            continue
        trained = Trained(
            network=get_network(spec.network).title,
            mechanism=cell.attention,
            connection=cell.connection,
            macs=counted.macs,
            params=counted.params,
            accuracy=float(100 - cell.value if cell.metric == "top1_error" else cell.value),
        )
        found[trained] = None  # the poster prints what the paper prints
    return list(found)


class PlacementTiming(NamedTuple):
    """A compared placement: its change of MACs, and its time in turn with the plain network's."""

    name: str
    macs_pct: float
    latency: PairTiming


def measure_placements(*, device: str, repeats: int, progress: Callable[[float], None]) -> list[PlacementTiming]:
    """Latency of each compared placement against its plain network; `progress` hears the share that is done."""
    measured = []
    for index, (network, positions) in enumerate(COMPARED.items()):
        spec = network_spec(network, positions=positions)
        plain, changed = spec_cost(spec.plain()), spec_cost(spec)
        latency = measure_against_plain(spec, device=device, repeats=repeats, progress=partial(_part, progress, index))
        change = 100 * (changed.macs - plain.macs) / plain.macs
        name = f"{get_network(network).title} ({positions})"
        measured.append(PlacementTiming(name=name, macs_pct=change, latency=latency))
    return measured


def _part(progress: Callable[[float], None], index: int, share: float) -> None:
    progress((index + share) / len(COMPARED))
