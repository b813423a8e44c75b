"""The time of each layer beside the others, and beside the roofline estimate of its counted cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ulsam_cost.cost import Cost, path_at
from ulsam_cost.counting.count import Count
from ulsam_cost.formulas.networks import LayerCost, layer_of, split_by_layer
from ulsam_cost.measuring.layers import REST, LayerTiming, name_by_depth, name_under
from ulsam_cost.measuring.roofline import Roof, RooflineEstimate, roofline_estimate
from ulsam_cost.measuring.samples import Interval, Timing
from ulsam_cost.units import at_least

LAYER_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWork:
    """What is counted of a layer; the estimate is None where one of its operations has no rule."""

    macs: int
    complete: bool
    estimate: RooflineEstimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """A layer's time, its share of the sum, and its work, where it was asked for and anything is counted of it.

    `fused` are the groups of modules that a runtime other than PyTorch runs as one, and whose time counts here.
    """

    layer: str
    kind: str | None
    timing: Timing
    share_pct: float
    fused: tuple[tuple[str, ...], ...] = ()
    work: LayerWork | None = None

    @property
    def over_estimate(self) -> float | None:
        """The time over its roofline estimate."""
        estimate = self.work.estimate if self.work else None
        return self.timing.median_ms / estimate.ms if estimate and estimate.ms else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON; what is not known of the work has no keys."""
        record: dict[str, Any] = {
            "layer": self.layer,
            "kind": self.kind,
            **self.timing.to_dict(),
            "share_pct": self.share_pct,
        }
        if self.fused:
            record["fused"] = [list(group) for group in self.fused]
        if self.work is None:
            return record
        record |= {"macs": self.work.macs, "complete": self.work.complete}
        if self.work.estimate is None:
            return record
        return record | self.work.estimate.to_dict() | {"over_least": self.over_estimate}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTimes:
    """The layers' times, the time of the model without hooks, and what the hooks change it by.

    `left_out` says what the counted MACs leave out; it and `roof` are known where the estimates were asked for. In a
    runtime other than PyTorch its profiler stands for the hooks, and `unmapped` are the milliseconds that belong to no
    module, by the kind of node.
    """

    rows: tuple[LayerTime, ...]
    total_ms: float
    overhead: Interval
    roof: Roof | None = None
    left_out: str = ""
    unmapped: Mapping[str, float] = field(default_factory=dict)

    @property
    def sum_ms(self) -> float:
        """What the layers add up to."""
        return sum(row.timing.median_ms for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        record = {
            "rows": [row.to_dict() for row in self.rows],
            "sum_ms": self.sum_ms,
            "total_ms": self.total_ms,
            "overhead": self.overhead.to_dict(),
            "roof": self.roof and self.roof.to_dict(),
        }
        if self.unmapped:
            record["unmapped"] = dict(self.unmapped)
        return record | {"complete": not self.left_out, "left_out": self.left_out} if self.roof else record


def layer_times(timing: LayerTiming, layers: Sequence[LayerCost] = ()) -> LayerTimes:
    """The times by numbered layer, or by module where there are none."""
    name_of = name_under({layer.path: layer.layer for layer in layers}) if layers else name_by_depth(LAYER_DEPTH)
    times = timing.grouped(name_of)
    names = list(times)
    if layers:
        order = [layer.layer for layer in layers]
        names = sorted(times, key=lambda name: order.index(name) if name in order else len(order))
    total = sum(time.median_ms for time in times.values())
    kinds = {layer.layer: layer.kind for layer in layers}
    rows = (
        LayerTime(
            layer=name,
            kind=kinds.get(name),
            timing=times[name],
            share_pct=100 * times[name].median_ms / total,
            fused=tuple(group for group in timing.fused if name_of(group[0]) == name),
        )
        for name in names
    )
    return LayerTimes(
        rows=tuple(rows), total_ms=timing.plain.median_ms, overhead=timing.overhead, unmapped=timing.unmapped
    )


def under_roof(
    times: LayerTimes, layers: Sequence[LayerCost], counted: Count, roof: Roof, dtype: torch.dtype
) -> LayerTimes:
    """The same with the counted work of each layer, and its estimate where all of its operations are counted."""
    costs = split_by_layer(counted.cost, layers) if layers else _by_depth(counted.cost)
    layer_at = layer_of(layers) if layers else _name_at_depth
    incomplete = {layer_at(operation.path) for operation in counted.uncounted_products}
    unknown = {layer_at(operation.path) for operation in counted.uncounted}

    def work(layer: str) -> LayerWork | None:
        cost, complete = costs.get(layer, Cost()), layer not in incomplete
        if complete and not cost.ops:
            return None
        return LayerWork(
            macs=at_least(cost.macs, unless=complete),
            complete=complete,
            estimate=None if layer in unknown else roofline_estimate(cost, roof, dtype.itemsize),
        )

    rows = tuple(replace(row, work=work(row.layer)) for row in times.rows)
    return replace(times, rows=rows, roof=roof, left_out=counted.left_out())


def _by_depth(cost: Cost) -> dict[str, Cost]:
    return {path or REST: part for path, part in cost.by_path(LAYER_DEPTH).items()}


def _name_at_depth(path: str) -> str:
    return path_at(path, LAYER_DEPTH) or REST
