"""The networks, derived: one file a family, Cost by the paper's layer numbers.

A `NetworkSpec` says which network is meant; both wings read it, so that `network_layers(spec)` and
`ulsam_cost.nn.networks.build_network(spec)` speak of the same thing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from ulsam_cost.cost import Cost, OpCost, is_under
from ulsam_cost.errors import CostError, PlacementError, UnknownNameError, require_size
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.placement import EMPTY, Placement, Slot, Step, parse_placement

REGISTERED = ("mv1", "mv2")
NO_ATTENTION = "none"
NO_POSITIONS = Placement()
MOST_WIDTH = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network, its size, its input, and which attention stands where."""

    network: str
    placement: Placement = NO_POSITIONS
    attention: str = "ulsam"
    attention_options: tuple[tuple[str, Any], ...] = ()
    width: float = 1.0
    resolution: tuple[int, int] = (224, 224)
    classes: int = 1000
    batch: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, [n, 3, h, w]."""
        return (self.batch, 3, *self.resolution)

    def plain(self) -> "NetworkSpec":
        """The same network without attention."""
        return replace(self, placement=NO_POSITIONS, attention=NO_ATTENTION, attention_options=())


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """A layer by the paper's number, the path of its module, its cost, and the shape of its output."""

    layer: str
    path: str
    kind: str
    cost: Cost
    output: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A family: its numbered layers as a placement sees them, and its layers' costs."""

    name: str
    title: str
    source: str
    slots: Callable[[NetworkSpec], tuple[Slot, ...]]
    layers: Callable[[NetworkSpec], Iterable[LayerCost]]


def get_network(name: str) -> Network:
    """The network of that name.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if name not in REGISTERED:
        raise UnknownNameError.among("network", name, REGISTERED)
    network: Network = import_module(f"{__name__}.{name}").NETWORK
    return network


def network_spec(
    network: str,
    *,
    positions: str | Placement = EMPTY,
    attention: str = "ulsam",
    width: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    batch: int = 1,
    **attention_options: Any,
) -> NetworkSpec:
    """A checked NetworkSpec.

    Args:
        network: a registered network.
        positions: where attention stands, as the paper writes it.
        attention: a registered mechanism, or `none` for the plain network whatever the positions.
        width: width multiplier.
        resolution: of the input, one number or (height, width).
        classes: of the classifier.
        batch: inputs at once.
        **attention_options: the mechanism's own; None stands for the default.

    Raises:
        CostError: for a size, name, position or option that is not accepted.
    """
    get_network(network)
    placement = parse_placement(positions) if isinstance(positions, str) else positions
    height, wide = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= MOST_WIDTH:
        raise CostError(f"width = {width!r}: a multiplier above 0 and up to {MOST_WIDTH:g} is accepted")
    if attention == NO_ATTENTION:
        placement, attention_options = NO_POSITIONS, {}
    else:
        accepted = get_mechanism(attention).options
        attention_options = {key: value for key, value in attention_options.items() if value is not None}
        for key in attention_options:
            if key not in accepted:
                raise UnknownNameError.among(f"option of {attention}", key, accepted)
    spec = NetworkSpec(
        network=network,
        placement=placement,
        attention=attention,
        attention_options=tuple(sorted(attention_options.items())),
        width=float(width),
        resolution=(require_size("resolution (height)", height), require_size("resolution (width)", wide)),
        classes=require_size("classes", classes),
        batch=require_size("batch", batch),
    )
    network_layers(spec)
    return spec


@lru_cache(maxsize=1024)
def network_layers(spec: NetworkSpec) -> tuple[LayerCost, ...]:
    """The derived cost of each layer, in order.

    Raises:
        PlacementError: for a position that the network cannot take.
        SizeError: for sizes that a layer cannot have.
    """
    return tuple(get_network(spec.network).layers(spec))


def layers_cost(layers: Iterable[LayerCost]) -> Cost:
    """The layers' costs as one."""
    return Cost(tuple(op for layer in layers for op in layer.cost))


def split_by_layer(cost: Cost, layers: Iterable[LayerCost]) -> dict[str, Cost]:
    """A cost of the same network, counted say, by the layers' numbers: each operation goes to the deepest module."""
    paths = sorted(((layer.path, layer.layer) for layer in layers), key=lambda item: -len(item[0]))
    split: dict[str, list[OpCost]] = {layer: [] for _, layer in paths}
    for op in cost:
        split[next(layer for path, layer in paths if is_under(op.path, path))].append(op)
    return {layer: Cost(tuple(ops)) for layer, ops in split.items()}


def network_cost(network: str, **options: Any) -> Cost:
    """The derived cost of a network, without PyTorch; arguments and errors as in `network_spec`."""
    return layers_cost(network_layers(network_spec(network, **options)))


def attention_layer(spec: NetworkSpec, step: Step, path: str, x: tuple[Any, ...]) -> LayerCost:
    """The attention that stands at a step, on the map x.

    Raises:
        PlacementError: naming the layer, if the mechanism cannot take the map.
    """
    batch, channels, height, width = x
    try:
        cost = attention_cost(
            spec.attention,
            channels=channels,
            height=height,
            width=width,
            batch=batch,
            **dict(spec.attention_options),
        )
    except CostError as error:
        raise PlacementError(f"{spec.attention} at {step.label} of {spec.network}: {error}") from error
    return LayerCost(layer=step.label, path=path, kind=spec.attention, cost=cost.scoped(path), output=x)
