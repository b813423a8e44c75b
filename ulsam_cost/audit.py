"""Hold printed cells against computed costs: by which reading a number comes out, and how exactly.

A cell can be computed in more than one honest way; each way is a `Reading`, and the order of `READINGS` is
the order in which they are tried, strictest first. The printed digits decide: there is no tolerance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from math import floor

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec, layers_cost, network_layers, network_spec
from ulsam_cost.placement import EMPTY
from ulsam_cost.published import Cell, published_cells


class Verdict(StrEnum):
    """How a computed number meets the printed one, best first."""

    MATCH = "match"
    TRUNCATED = "truncated"
    LAST_DIGIT = "last_digit"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"


REPRODUCED = (Verdict.MATCH, Verdict.TRUNCATED, Verdict.LAST_DIGIT)

# Table 1's setting: m = 512, t = m / 8, r = 16, 14 x 14.
TABLE1_LETTERS = {"m": 512, "t": 64, "r": 16, "h": 14, "w": 14}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One honest way to compute a cell: its name, its convention, what it means, and the number or None."""

    name: str
    convention: str
    meaning: str
    compute: Callable[[Cell], Fraction | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cell's verdict, with the reading and the number that it rests on."""

    cell: Cell
    verdict: Verdict
    reading: str
    convention: str
    computed: Fraction | None
    explanation: str = ""


READINGS: list[Reading] = []


def register_reading(reading: Reading) -> Reading:
    """Add a way to compute a cell; it is tried after those that stand.

    Raises:
        ValueError: if its name is taken.
    """
    if any(reading.name == other.name for other in READINGS):
        raise ValueError(f"reading {reading.name!r} is registered already")
    READINGS.append(reading)
    return reading


def meets(printed: Fraction, resolution: Fraction, computed: Fraction) -> Verdict | None:
    """Whether a number rounds to the printed one, truncates to it, or misses its last digit by one."""
    steps = computed / resolution
    target = printed / resolution
    if floor(steps + Fraction(1, 2)) == target:
        return Verdict.MATCH
    if floor(steps) == target:
        return Verdict.TRUNCATED
    if abs(floor(steps + Fraction(1, 2)) - target) == 1:
        return Verdict.LAST_DIGIT
    return None


def check_cell(cell: Cell) -> Finding:
    """The best verdict that any reading gives, the strictest reading first among equals."""
    tried = [(reading, number) for reading in READINGS if (number := reading.compute(cell)) is not None]
    printed, resolution = Fraction(cell.value), Fraction(cell.resolution)
    for verdict in REPRODUCED:
        for reading, number in tried:
            if meets(printed, resolution, number) is verdict:
                return _finding(cell, verdict, reading, number)
    if not tried:
        return Finding(cell=cell, verdict=Verdict.UNEXPLAINED, reading="", convention="", computed=None)
    reading, number = min(tried, key=lambda item: abs(item[1] - printed))
    return _finding(cell, Verdict.UNEXPLAINED, reading, number)


def _finding(cell: Cell, verdict: Verdict, reading: Reading, number: Fraction) -> Finding:
    return Finding(cell=cell, verdict=verdict, reading=reading.name, convention=reading.convention, computed=number)


def cell_spec(cell: Cell) -> NetworkSpec | None:
    """The network that a cell is about, if it is about one."""
    if cell.backbone not in ("mv1", "mv2") or cell.metric not in ("params", "macs"):
        return None
    return _spec(cell.backbone, cell.positions or EMPTY, float(cell.width or 1))


@lru_cache
def _spec(backbone: str, positions: str, width: float) -> NetworkSpec:
    return network_spec(backbone, positions=positions, width=width)


@lru_cache
def spec_cost(spec: NetworkSpec) -> Cost:
    """The derived cost of a network, once each."""
    return layers_cost(network_layers(spec))


def _by_network(cell: Cell) -> Fraction | None:
    spec = cell_spec(cell)
    return None if spec is None else Fraction(_total(spec_cost(spec), cell.metric))


def _by_papers_arithmetic(cell: Cell) -> Fraction | None:
    spec = cell_spec(cell)
    base = _printed_baseline(cell)
    if spec is None or base is None or not spec.placement:
        return None
    products = (OpKind.CONV, OpKind.LINEAR)
    after, before = (_total(spec_cost(s).of_kind(*products), cell.metric) for s in (spec, spec.plain()))
    return base + after - before


def _total(cost: Cost, metric: str) -> int:
    return cost.params if metric == "params" else cost.macs


def _printed_baseline(cell: Cell) -> Fraction | None:
    same = (cell.source, cell.table, cell.backbone, cell.width, cell.metric)
    for other in published_cells():
        key = (other.source, other.table, other.backbone, other.width, other.metric)
        if key == same and other.attention == "none":
            return Fraction(other.value)
    return None


def _by_printed_formula(cell: Cell) -> Fraction | None:
    if cell.backbone or not cell.is_cost:
        return None
    number = _formula(cell.attention, cell.metric.removesuffix("_norm"))
    return number / _formula("ulsam", cell.metric.removesuffix("_norm")) if cell.metric.endswith("_norm") else number


def _formula(attention: str, unit: str) -> Fraction:
    printed = get_mechanism(attention).printed
    assert printed is not None
    params, macs = printed.evaluate(**TABLE1_LETTERS)
    return Fraction(params if unit == "params" else macs)


def _by_ratio_of_printed(cell: Cell) -> Fraction | None:
    if not cell.metric.endswith("_norm"):
        return None
    unit = cell.metric.removesuffix("_norm")
    values = {
        other.row: Fraction(other.value)
        for other in published_cells()
        if (other.source, other.table, other.metric) == (cell.source, cell.table, unit)
    }
    return values[cell.row] / values["ulsam"]


register_reading(
    Reading(
        name="network",
        convention="macs",
        meaning="the real network: every parameter, one MAC a multiply-accumulate",
        compute=_by_network,
    )
)
register_reading(
    Reading(
        name="printed formula",
        convention="macs",
        meaning="the formula that the table prints, at its setting",
        compute=_by_printed_formula,
    )
)
register_reading(
    Reading(
        name="paper's arithmetic",
        convention="macs",
        meaning="the printed, rounded baseline plus the exact change of the convolutions, norms left out",
        compute=_by_papers_arithmetic,
    )
)
register_reading(
    Reading(
        name="ratio of printed numbers",
        convention="macs",
        meaning="a printed, already rounded number over another",
        compute=_by_ratio_of_printed,
    )
)
