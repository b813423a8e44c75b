"""The built-in readings, strictest first: the real network, the printed formula, the paper's own arithmetic."""

from fractions import Fraction
from functools import lru_cache

from ulsam_cost.audit import Reading, register_reading
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec, layers_cost, network_layers, network_spec
from ulsam_cost.placement import EMPTY
from ulsam_cost.published import Cell, published_cells

# Table 1's setting: m = 512, t = m / 8, r = 16, 14 x 14.
TABLE1_LETTERS = {"m": 512, "t": 64, "r": 16, "h": 14, "w": 14}


def cell_spec(cell: Cell) -> NetworkSpec | None:
    """The network that a cell is about, if it is about one."""
    if cell.backbone not in ("mv1", "mv2") or cell.metric not in ("params", "macs"):
        return None
    if cell.connection or cell.attention not in ("none", "ulsam"):
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
