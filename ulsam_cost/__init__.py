"""What a convolutional network with attention costs: derived, counted, measured.

    >>> import torch
    >>> import ulsam_cost as uc
    >>> cost = uc.network_cost("mv1", positions="8:1,9:1,11")  # derived: no PyTorch
    >>> model = uc.build("mv1", positions="8:1,9:1,11")  # a real nn.Module
    >>> count = uc.count(model, torch.empty(1, 3, 224, 224))  # counted: op by op, nothing computed
    >>> count.macs == cost.macs, count.number("flops") == 2 * cost.macs
    (True, True)
    >>> timed = uc.measure(uc.build_attention("se", 64), torch.zeros(1, 64, 7, 7), device="cpu", repeats=3)  # measured
    >>> timed.network.runs
    3
    >>> uc.crosscheck(source="ulsam").passes  # compares the printed costs with the computed ones
    True
    >>> [name for name, convention in uc.CONVENTIONS.items() if convention.unit == "mult-adds"]  # each a counting rule
    ['torchinfo']

Importing the package loads none of the heavy ones: each name is fetched when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ulsam_cost.audit import Finding as Finding
    from ulsam_cost.audit import Reading as Reading
    from ulsam_cost.audit import Verdict as Verdict
    from ulsam_cost.audit import check_cell as check_cell
    from ulsam_cost.audit import register_reading as register_reading
    from ulsam_cost.audit.cells_file import check_cells as check_cells
    from ulsam_cost.audit.crosscheck import Crosscheck as Crosscheck
    from ulsam_cost.audit.crosscheck import crosscheck as crosscheck
    from ulsam_cost.audit.outcomes import Outcome as Outcome
    from ulsam_cost.audit.outcomes import outcome_of as outcome_of
    from ulsam_cost.conventions import CONVENTIONS as CONVENTIONS
    from ulsam_cost.conventions import Convention as Convention
    from ulsam_cost.cost import Cost as Cost
    from ulsam_cost.cost import OpCost as OpCost
    from ulsam_cost.cost import OpKind as OpKind
    from ulsam_cost.counting.compare import Comparison as Comparison
    from ulsam_cost.counting.compare import compare as compare
    from ulsam_cost.counting.count import Count as Count
    from ulsam_cost.counting.count import Uncounted as Uncounted
    from ulsam_cost.counting.count import count as count
    from ulsam_cost.counting.insert import insert as insert
    from ulsam_cost.counting.rules.registry import register_rule as register_rule
    from ulsam_cost.errors import CostError as CostError
    from ulsam_cost.formulas.attention import attention_cost as attention_cost
    from ulsam_cost.formulas.networks import network_cost as network_cost
    from ulsam_cost.formulas.networks import network_layers as network_layers
    from ulsam_cost.formulas.networks import network_spec as network_spec
    from ulsam_cost.measuring.measure import measure as measure
    from ulsam_cost.nn.attention import build_attention as build_attention
    from ulsam_cost.nn.networks import build as build
    from ulsam_cost.placement import Placement as Placement
    from ulsam_cost.placement import parse_placement as parse_placement
    from ulsam_cost.searching.search import SearchResult as SearchResult
    from ulsam_cost.searching.search import search as search
    from ulsam_cost.sweeping.sweep import Sweep as Sweep
    from ulsam_cost.sweeping.sweep import sweep as sweep

__version__ = "0.1.0"

_HOMES = {
    "audit": ("Finding", "Reading", "Verdict", "check_cell", "register_reading"),
    "audit.cells_file": ("check_cells",),
    "audit.crosscheck": ("Crosscheck", "crosscheck"),
    "audit.outcomes": ("Outcome", "outcome_of"),
    "conventions": ("CONVENTIONS", "Convention"),
    "cost": ("Cost", "OpCost", "OpKind"),
    "errors": ("CostError",),
    "formulas.attention": ("attention_cost",),
    "formulas.networks": ("network_cost", "network_layers", "network_spec"),
    "nn.attention": ("build_attention",),
    "nn.networks": ("build",),
    "placement": ("Placement", "parse_placement"),
    "searching.search": ("SearchResult", "search"),
    "sweeping.sweep": ("Sweep", "sweep"),
    "counting.rules.registry": ("register_rule",),
    "counting.compare": ("Comparison", "compare"),
    "counting.count": ("Count", "Uncounted", "count"),
    "counting.insert": ("insert",),
    "measuring.measure": ("measure",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
