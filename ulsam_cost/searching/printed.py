"""The accuracy that a paper printed of a placement; none is estimated."""

from functools import lru_cache
from typing import Any

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import MIX, NO_ATTENTION, NetworkSpec, network_spec
from ulsam_cost.placement import EMPTY
from ulsam_cost.published import Cell, published_cells

ACCURACIES = ("top1", "top5", "top1_error", "top5_error")
# what the papers train: 224 x 224, their costs those of 1,000 classes
_RESOLUTION, _CLASSES = (224, 224), 1000
_BOTTLENECKS = {"aw": "v1"}  # of the papers whose ResNets are not the first variant


def printed_accuracy(spec: NetworkSpec) -> list[dict[str, str]]:
    """Every accuracy that a paper printed of this network, with where it stands."""
    if (spec.resolution, spec.classes) != (_RESOLUTION, _CLASSES) or MIX in spec.attention:
        return []
    return _by_network().get(_key(spec, _groups(spec)), [])


@lru_cache
def _by_network() -> dict[Any, list[dict[str, str]]]:
    found: dict[Any, list[dict[str, str]]] = {}
    for cell in published_cells():
        if cell.metric not in ACCURACIES or not cell.backbone or cell.connection or not _is_placed(cell):
            continue
        key = _key(_spec_of(cell), int(cell.groups) if cell.groups else None)
        row = {name: getattr(cell, name) for name in ("source", "table", "row", "dataset", "metric", "printed")}
        if row not in found.setdefault(key, []):
            found[key].append(row)
    return found


def _is_placed(cell: Cell) -> bool:
    """Whether a cell is about a plain network, or one with attention at positions."""
    return cell.attention == NO_ATTENTION or bool(cell.positions)


def _spec_of(cell: Cell) -> NetworkSpec:
    variant = _BOTTLENECKS.get(cell.source) if cell.backbone.startswith("resnet") else None
    return network_spec(
        cell.backbone,
        positions=cell.positions or EMPTY,
        attention=cell.attention,
        width=float(cell.width or 1),
        variant=variant,
    )


def _key(spec: NetworkSpec, groups: int | None) -> tuple[Any, ...]:
    """What tells the networks of the papers apart."""
    if spec.attention == NO_ATTENTION:
        return spec.network, spec.variant, spec.width
    return spec.network, spec.variant, spec.width, spec.attention, str(spec.placement), groups


def _groups(spec: NetworkSpec) -> int | None:
    own = {} if spec.attention == NO_ATTENTION else get_mechanism(spec.attention).options
    groups: int | None = (own | dict(spec.attention_options)).get("groups")
    return groups
