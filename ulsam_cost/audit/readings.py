"""The built-in readings, strictest first: the real network, the printed formula, the paper's own arithmetic."""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any

from ulsam_cost.audit.expressions import evaluate
from ulsam_cost.audit.finding import Reading
from ulsam_cost.audit.parts import PARTS
from ulsam_cost.audit.registry import register_reading
from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, layers_cost, network_layers, network_spec
from ulsam_cost.formulas.networks.text import spec_from_text
from ulsam_cost.placement import EMPTY
from ulsam_cost.published import Cell, field_sources, published_cells

# Table 1's setting: m = 512, t = m / 8, r = 16, 14 x 14.
TABLE1_LETTERS = {"m": 512, "t": 64, "r": 16, "h": 14, "w": 14}


# What a note of the DCA paper's tables means.
DCA_NOTES: dict[str, dict[str, Any]] = {
    "": {},
    **{f"connection function: {name}": {"function": name} for name in ("direct", "softmax", "weighted")},
    "channel size matching: 1 FC": {"matching": 1},
    **{f"channel size matching: 2 FC (r={r})": {"matching": 2, "matching_reduction": r} for r in (16, 8, 4)},
    **{
        f"spatial size matching: {name} pooling, spatial attention connected only": {
            "pooling": name,
            "dimensions": "spatial",
        }
        for name in ("avg", "max")
    },
    "channel attention connected": {"dimensions": "channel"},
    "spatial attention connected": {"dimensions": "spatial"},
    "both connected": {"dimensions": "both"},
}


def cell_spec(cell: Cell) -> NetworkSpec | None:
    """The network that a cell is about, if it is about one that can be costed."""
    if cell.network:
        return _named_spec(cell.network)
    if cell.backbone not in REGISTERED or cell.metric not in ("params", "macs"):
        return None
    options = _PAPER_OPTIONS.get(cell.source, _ulsam_options)(cell)
    return _spec(cell.backbone, tuple(sorted(options.items())))


def _ulsam_options(cell: Cell) -> dict[str, Any]:
    return {"positions": cell.positions or EMPTY, "width": float(cell.width or 1)}


def _dca_options(cell: Cell) -> dict[str, Any]:
    # "after each block", whatever the mechanism's own paper does
    return {"attention": cell.attention, "connection": cell.connection, "sites": "block", **DCA_NOTES[cell.note]}


def _aw_options(cell: Cell) -> dict[str, Any]:
    options: dict[str, Any] = {"attention": cell.attention, "connection": cell.connection}
    if cell.connection:
        options["aw_literal"] = True
    if cell.backbone.startswith("resnet"):
        options["variant"] = "v1"
    if cell.attention == "cbam":
        options["spatial_gate" if cell.note == "MaxPool" else "max_pooling"] = False
    return options


_PAPER_OPTIONS = {"dca": _dca_options, "aw": _aw_options}


@lru_cache
def _named_spec(text: str) -> NetworkSpec | None:
    try:
        return spec_from_text(text)
    except CostError:  # attention that the network's sizes do not admit
        return None


@lru_cache
def _spec(backbone: str, options: tuple[tuple[str, Any], ...]) -> NetworkSpec:
    return network_spec(backbone, **dict(options))


@lru_cache
def spec_cost(spec: NetworkSpec) -> Cost:
    """The derived cost of a network, once each."""
    return layers_cost(network_layers(spec))


def cell_cost(cell: Cell) -> Cost | None:
    """The derived cost of the network that a cell is about, or of the part of it that is meant."""
    spec = cell_spec(cell)
    if spec is None:
        return None
    return part_cost(spec, cell.part)


@lru_cache
def part_cost(spec: NetworkSpec, part: str) -> Cost:
    """The derived cost of a part of a network, of all of it where none is named, once each."""
    return PARTS[part][0](spec) if part else spec_cost(spec)


def _of_part(part: str) -> Callable[[Cell], Fraction | None]:
    def compute(cell: Cell) -> Fraction | None:
        cost = cell_cost(cell) if cell.part == part else None
        return None if cost is None else Fraction(_total(cost, cell.metric))

    return compute


def _by_papers_arithmetic(cell: Cell) -> Fraction | None:
    spec = None if cell.network else cell_spec(cell)
    base = _printed_baseline(cell)
    if spec is None or base is None or spec == spec.plain():
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
    if cell.backbone or cell.network or not cell.is_cost:
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
        meaning="the real network: all of its parameters and multiply-accumulates",
        compute=_of_part(""),
    )
)
register_reading(
    Reading(
        name="printed formula",
        convention="macs",
        meaning="the formula that the table prints, for its sizes",
        compute=_by_printed_formula,
    )
)
register_reading(
    Reading(
        name="paper's arithmetic",
        convention="macs",
        meaning="the printed, rounded baseline plus the exact change of the convolutions, without norms",
        compute=_by_papers_arithmetic,
    )
)
register_reading(
    Reading(
        name="printed ratio",
        convention="macs",
        meaning="the ratio of two printed, already rounded numbers",
        compute=_by_ratio_of_printed,
    )
)


def _counts_by(source: str, convention: str) -> bool:
    """Whether a source is known to count so: a document that the audit began with, or one of the field's."""
    if source in _CONVENTIONS_OF:
        return convention in _CONVENTIONS_OF[source]
    return convention in field_sources()[source].conventions and counting_is_shown(source)


@lru_cache
def counting_is_shown(source: str) -> bool:
    """Whether the evidence for how a source of the field counted holds."""
    evidence = field_sources()[source].evidence
    return not evidence or evaluate(evidence) is True


def _under(convention: str, part: str) -> Callable[[Cell], Fraction | None]:
    """The real network, or a part of it, under another convention than MACs, for the papers that use it."""

    def compute(cell: Cell) -> Fraction | None:
        if cell.part != part or cell.metric != "macs" or not _counts_by(cell.source, convention):
            return None
        cost = cell_cost(cell)
        return None if cost is None else Fraction(get_convention(convention).number(cost))

    return compute


# of the four documents that are audited to the last digit
_CONVENTIONS_OF = {"ulsam": (), "ulsam_poster": (), "dca": ("dcanet",), "aw": ("aw_resnet101", "aw_resnet50")}
_OF_FIELD = tuple(name for source in field_sources().values() for name in source.conventions)
_CONVENTIONS = dict.fromkeys((*(name for names in _CONVENTIONS_OF.values() for name in names), *_OF_FIELD))
for _convention in _CONVENTIONS:
    register_reading(
        Reading(
            name=f"network under {_convention}",
            convention=_convention,
            meaning=get_convention(_convention).counts,
            compute=_under(_convention, ""),
        )
    )
for _part, (_, _meaning) in PARTS.items():
    register_reading(Reading(name=_part, convention="macs", meaning=_meaning, compute=_of_part(_part)))
for _convention, _part in product(dict.fromkeys(_OF_FIELD), PARTS):
    register_reading(
        Reading(
            name=f"{_part} under {_convention}",
            convention=_convention,
            meaning=f"{PARTS[_part][1]}: {get_convention(_convention).counts}",
            compute=_under(_convention, _part),
        )
    )
