"""The small language of `claim_expressions.toml` and `explanations.toml`: Python expressions over these names.

An expression is the derivation that a reader can redo: `pct(part(net("mv1"), "pointwise").macs, net("mv1").macs)`.
Only the package's own data is ever evaluated.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ulsam_cost.audit.parts import backbone_cost, modules_cost
from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import attention_cost
from ulsam_cost.formulas.networks import layers_cost, network_layers, network_spec
from ulsam_cost.published import field_cells, published_cells, published_claims


@lru_cache
def net(name: str, positions: str = "none", **options: Any) -> Cost:
    """The derived cost of a network."""
    return layers_cost(network_layers(network_spec(name, positions=positions, **options)))


def backbone(name: str, **options: Any) -> Cost:
    """The derived cost of a network without its last pool and its classifier."""
    return backbone_cost(network_spec(name, **options))


def modules(name: str, **options: Any) -> Cost:
    """The derived cost of a network's attention modules."""
    return modules_cost(network_spec(name, **options))


def fits(name: str, **options: Any) -> bool:
    """Whether a network can have that attention."""
    try:
        network_spec(name, **options)
    except CostError:
        return False
    return True


def layers(name: str, *labels: int, **options: Any) -> Cost:
    """The derived cost of some of a network's layers."""
    wanted = {str(label) for label in labels}
    every = network_layers(network_spec(name, **options))
    return layers_cost(layer for layer in every if layer.layer in wanted)


def part(cost: Cost, word: str) -> Cost:
    """The operations whose module's path contains a word."""
    return Cost(tuple(op for op in cost if word in op.path))


def products(cost: Cost) -> Cost:
    """Convolutions and linear layers alone, without biases and norms."""
    return cost.of_kind(OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL)


def under(convention: str, cost: Cost) -> int:
    """The number that a convention gives for a cost."""
    return get_convention(convention).number(cost)


def cell(source: str, table: str, row: int | str, metric: str, **fields: str) -> Fraction:
    """A printed number, in base units; further columns tell cells of one row apart.

    Raises:
        LookupError: if not exactly one cell is meant.
    """
    wanted = {"source": source, "table": table, "row": str(row), "metric": metric, **fields}
    every = (*published_cells(), *field_cells())
    found = [c for c in every if all(getattr(c, key) == value for key, value in wanted.items())]
    if len({c.value for c in found}) != 1:
        raise LookupError(f"{wanted} means {len(found)} cells, not one")
    return Fraction(found[0].value)


def claim(identity: str) -> Fraction:
    """A claimed number."""
    return next(c.value for c in published_claims() if c.id == identity)


def pct(share: Any, whole: Any) -> Fraction:
    """A share in per cent."""
    return 100 * Fraction(share) / Fraction(whole)


def less_pct(before: Any, after: Any) -> Fraction:
    """A reduction in per cent of what was before."""
    return pct(Fraction(before) - Fraction(after), before)


def rounds_to(number: Any, printed: str) -> bool:
    """Whether a number rounds to printed digits such as 9.1 or 3.40."""
    target = Fraction(printed)
    half = Fraction(1, 2 * 10 ** len(printed.partition(".")[2]))
    return target - half <= Fraction(number) < target + half


NAMES: dict[str, Callable[..., Any]] = {
    "net": net,
    "backbone": backbone,
    "modules": modules,
    "fits": fits,
    "layers": layers,
    "part": part,
    "products": products,
    "under": under,
    "attention": attention_cost,
    "cell": cell,
    "claim": claim,
    "pct": pct,
    "less_pct": less_pct,
    "rounds_to": rounds_to,
    "Fraction": Fraction,
}


def evaluate(expression: str) -> Any:
    """The value of an expression of the package's data files."""
    return eval(expression, {"__builtins__": {"abs": abs, "sum": sum, "len": len, "zip": zip}, **NAMES})
