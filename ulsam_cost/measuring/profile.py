"""A network under a placement beside its plain form: counted, derived, layer by layer, and measured."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from ulsam_cost.cost import Cost, path_at
from ulsam_cost.counting.calls import Calls, count_calls
from ulsam_cost.counting.count import Count, body_of
from ulsam_cost.counting.loaded import count_loaded, in_a_sentence
from ulsam_cost.counting.loading import Inserted
from ulsam_cost.counting.networks import count_network
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import (
    MIX,
    NO_ATTENTION,
    LayerCost,
    NetworkSpec,
    layer_of,
    layer_parts,
    layers_cost,
    split_by_layer,
)
from ulsam_cost.measuring.memory import Memory
from ulsam_cost.measuring.sweep import Measurement
from ulsam_cost.measuring.timing import PairTiming
from ulsam_cost.placement import EMPTY
from ulsam_cost.tensors import batch_size
from ulsam_cost.units import at_least, difference

DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledLayer:
    """A numbered layer and its counted cost; `macs` is a lower bound where the layer is not `complete`."""

    layer: str
    path: str
    kind: str
    params: int
    macs: int
    output: tuple[int, ...]
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return asdict(self) | {"macs": self.macs, "output": list(self.output)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The counts of a network and its plain form, the derived cost, and what was measured, if anything was.

    `derived` is None where there is no closed form: for a user's mechanism, and for attention that was
    inserted into a model. `runtimes` are the times in several of them, the first of which is `latency`.
    """

    subject: NetworkSpec | Inserted
    count: Count
    baseline: Count
    derived: Cost | None
    layers: tuple[ProfiledLayer, ...]
    memory: Memory | None = None
    latency: PairTiming | None = None
    runtimes: tuple[Measurement, ...] = ()

    def require_derived(self) -> None:
        """Hold the counted cost against the derived one.

        Raises:
            CostError: if they differ, with both numbers, or if the count is incomplete.
        """
        if self.derived is None:
            return
        if not self.count.complete:
            left_out = self.count.left_out()
            raise CostError(f"the count is incomplete ({left_out}) and cannot be compared with the derived cost")
        for unit in ("params", "macs"):
            counted, derived = getattr(self.count, unit), getattr(self.derived, unit)
            if counted != derived:
                raise CostError(f"counted {unit} {counted:,} differ from derived ones {derived:,}")

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `profile`."""
        counted, plain = _costs(self.count), _costs(self.baseline)
        subject = self.subject
        return {
            **(_of_inserted(subject) if isinstance(subject, Inserted) else _of_network(subject)),
            **counted,
            "flops": at_least(self.count.number("flops"), unless=self.count.complete),
            "activations": at_least(self.count.activations, unless=self.count.complete),
            "baseline": plain,
            "delta": {unit: difference(counted[unit], plain[unit]) for unit in ("params", "macs")},
            "derived": {unit: self.derived and getattr(self.derived, unit) for unit in ("params", "macs")},
            "layers": [layer.to_dict() for layer in self.layers],
            "uncounted": [asdict(operation) for operation in self.count.uncounted],
            "memory": self.memory and self.memory.to_dict(),
            "latency": self.latency and self.latency.to_dict(),
            "runtimes": [row.to_dict() for row in self.runtimes] or None,
        }


def _of_network(spec: NetworkSpec) -> dict[str, Any]:
    options = dict(spec.attention_options)
    if spec.attention != NO_ATTENTION and MIX not in spec.attention:
        options = get_mechanism(spec.attention).options | options
    return {
        "network": spec.network,
        "width": spec.width,
        "resolution": spec.resolution[0] if len(set(spec.resolution)) == 1 else list(spec.resolution),
        "classes": spec.classes,
        "batch": spec.batch,
        "positions": str(spec.placement),
        "groups": options.get("groups"),
        "attention": spec.attention,
        "style": options.get("style"),
        "variant": spec.variant or None,
        "sites": spec.sites or None,
        "connection": spec.connection or None,
        "after": None,
        "replace": None,
    }


def _of_inserted(subject: Inserted) -> dict[str, Any]:
    plain, insertion = subject.plain, subject.insertion
    unknown = dict.fromkeys(("width", "resolution", "classes", "variant"))
    options = get_mechanism(insertion.attention).options | dict(insertion.options)
    return {
        **(unknown if plain.spec is None else _of_network(plain.spec)),
        "network": plain.name,
        "batch": batch_size(plain.inputs),
        "positions": EMPTY,
        "groups": options.get("groups"),
        "attention": insertion.attention,
        "style": options.get("style"),
        "sites": None,
        "connection": None,
        "after": insertion.after or None,
        "replace": insertion.replace or None,
    }


def _costs(counted: Count) -> dict[str, Any]:
    return {
        "params": counted.params,
        "macs": at_least(counted.macs, unless=counted.complete),
        "complete": counted.complete,
        "left_out": counted.left_out(),
    }


def profile_network(spec: NetworkSpec) -> Profile:
    """Everything about a network but what is measured."""
    counted, layers = count_network(spec), layer_parts(spec)
    return Profile(
        subject=spec,
        count=counted,
        baseline=count_network(spec.plain()),
        derived=None if spec.underived else layers_cost(layers),
        layers=_profiled(layers, counted),
    )


def profile_inserted(inserted: Inserted) -> Profile:
    """The same about a model with attention that its text inserts, and the model without; layers are its modules."""
    with in_a_sentence(inserted.changed.name):
        calls = count_calls(inserted.changed.model, inserted.changed.inputs)
    return Profile(
        subject=inserted,
        count=calls.counted,
        baseline=count_loaded(inserted.plain),
        derived=None,
        layers=_modules(inserted.changed.model, calls),
    )


def _modules(model: nn.Module, calls: Calls) -> tuple[ProfiledLayer, ...]:
    """The modules at a depth."""
    body, costs = body_of(model), calls.counted.cost.by_path(DEPTH)
    incomplete = {path_at(operation.path, DEPTH) for operation in calls.counted.uncounted_products}
    return tuple(
        ProfiledLayer(
            layer=path or "(model)",
            path=path,
            kind=type(body.get_submodule(path)).__name__,
            params=costs[path].params if path in costs else 0,
            macs=at_least(costs[path].macs if path in costs else 0, unless=path not in incomplete),
            output=calls.of[path][0].output or () if path in calls.of else (),
            complete=path not in incomplete,
        )
        for path in dict.fromkeys((*costs, *incomplete))
    )


def _profiled(layers: tuple[LayerCost, ...], counted: Count) -> tuple[ProfiledLayer, ...]:
    split = split_by_layer(counted.cost, layers)
    layer_at = layer_of(layers)
    incomplete = {layer_at(operation.path) for operation in counted.uncounted_products}
    return tuple(
        ProfiledLayer(
            layer=layer.layer,
            path=layer.path,
            kind=layer.kind,
            params=split[layer.layer].params,
            macs=at_least(split[layer.layer].macs, unless=layer.layer not in incomplete),
            output=tuple(layer.output),
            complete=layer.layer not in incomplete,
        )
        for layer in layers
    )
