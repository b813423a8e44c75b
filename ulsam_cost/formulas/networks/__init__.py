"""The networks, derived: one file a family, Cost by the paper's layer numbers.

A `NetworkSpec` says which network is meant; both wings read it, so that `network_layers(spec)` and
`ulsam_cost.nn.networks.build_network(spec)` speak of the same thing.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

from ulsam_cost.cost import Cost, OpCost, OpKind, is_under
from ulsam_cost.errors import CostError, SizeError, UnknownNameError, require_size
from ulsam_cost.formulas.networks.settings import settings
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.formulas.networks.spec import MIX as MIX
from ulsam_cost.formulas.networks.spec import NO_ATTENTION as NO_ATTENTION
from ulsam_cost.formulas.networks.spec import NO_POSITIONS as NO_POSITIONS
from ulsam_cost.formulas.networks.spec import PAPERS_SITES as PAPERS_SITES
from ulsam_cost.formulas.networks.spec import REGISTERED as REGISTERED
from ulsam_cost.formulas.networks.spec import LayerCost as LayerCost
from ulsam_cost.formulas.networks.spec import Network as Network
from ulsam_cost.formulas.networks.spec import NetworkSpec as NetworkSpec
from ulsam_cost.formulas.networks.spec import get_network as get_network
from ulsam_cost.formulas.networks.spec import slots_of as slots_of
from ulsam_cost.placement import EMPTY, Placement, parse_placement

MOST_WIDTH = 64.0


def network_spec(
    network: str,
    *,
    positions: str | Placement = EMPTY,
    attention: str | None = None,
    sites: str | None = None,
    connection: str | None = None,
    variant: str | None = None,
    width: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    batch: int = 1,
    **options: Any,
) -> NetworkSpec:
    """A checked NetworkSpec.

    Args:
        network: a registered network.
        positions: the layers that attention replaces or follows, in the notation of the ULSAM paper.
        attention: a registered mechanism, your own as `FILE.py:NAME` or `package.module:NAME`, or one for each of the
            positions in order, as in `ulsam,se`; `none` gives the plain network whatever else is given. Without
            positions it is placed where its paper places it: after each block, before the shortcut is added; BAM after
            each stage but the last; SK and AW in place of the convolution; ULSAM nowhere in the MobileNets, because its
            paper gives positions. The default is `ulsam` if there are positions.
        sites: the places inside the blocks: `block`; for MobileNetV1 `both` (default), `depthwise` or `pointwise`;
            for the feature pyramid `pyramid`; or `paper`, those that the mechanism's paper chooses. The name of a
            mechanism stands for the places that its paper chooses.
        connection: `dca` connects each attention module with the previous one, `aw` makes convolutions
            AW-convolutions.
        variant: of ResNets `v1.5` (default), `v1`, or `cifar`, whose stem keeps the size.
        width: width multiplier, of the networks that have one.
        resolution: of the input, one number or (height, width).
        classes: number of classes of the classifier.
        batch: batch size.
        **options: the mechanism's own, and the connection's; None stands for the default.

    Raises:
        CostError: for a size, name, position or option that is not accepted.

    Example:
        >>> import ulsam_cost as uc
        >>> spec = uc.network_spec("mv2", positions="14,17", width=0.75)
        >>> str(spec.placement), spec.attention, spec.input_shape
        ('14,17', 'ulsam', (1, 3, 224, 224))
    """
    known = get_network(network)
    height, wide = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    spec = NetworkSpec(
        network=network,
        variant=_checked_variant(known, variant),
        width=_checked_width(known, width),
        resolution=(require_size("resolution (height)", height), require_size("resolution (width)", wide)),
        classes=_checked_classes(known, classes),
        batch=require_size("batch", batch),
        **settings(
            known,
            placement=parse_placement(positions) if isinstance(positions, str) else positions,
            sites=sites,
            attention=attention,
            connection=connection,
            options=options,
        ),
    )
    _require_input_holds(spec)
    layer_parts(spec)
    return spec


def _checked_variant(network: Network, variant: str | None) -> str:
    if variant is None:
        return network.variants[0] if network.variants else ""
    if not network.variants:
        raise CostError(f"variant = {variant!r}: {network.name} has no variants, and none is accepted")
    if variant not in network.variants:
        raise UnknownNameError.among(f"variant of {network.name}", variant, network.variants)
    return variant


def _checked_width(network: Network, width: float) -> float:
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= MOST_WIDTH:
        raise CostError(f"width = {width!r}: a multiplier above 0 and up to {MOST_WIDTH:g} is accepted")
    if width != 1 and not network.scales:
        raise CostError(f"width = {width:g}: {network.name} has no width multiplier, and 1 alone is accepted")
    return float(width)


def _checked_classes(network: Network, classes: int) -> int:
    if classes != NetworkSpec.__dataclass_fields__["classes"].default and not network.classifies:
        raise CostError(f"classes = {classes!r}: {network.name} has no classifier, and none are accepted")
    checked: int = require_size("classes", classes)
    return checked


def _require_input_holds(spec: NetworkSpec) -> None:
    height, width = spec.resolution
    numbered, stride = slots_of(spec), 1
    for slot in numbered:
        stride *= slot.stride
        if stride > min(height, width):
            whole = prod(each.stride for each in numbered)
            raise SizeError(
                f"layer {slot.layer} of {spec.network} is the first whose stride, {stride} in all, is larger than "
                f"the input {height} x {width}: {whole} x {whole} or more is accepted"
            )


def network_layers(spec: NetworkSpec) -> tuple[LayerCost, ...]:
    """The derived cost of each layer, in order.

    Raises:
        PlacementError: for a position that the network cannot take.
        SizeError: for sizes that a layer cannot have.
        CostError: for a user's own mechanism, which has no closed form.

    Example:
        >>> import ulsam_cost as uc
        >>> layers = uc.network_layers(uc.network_spec("mv1", positions="8:1"))
        >>> [(layer.layer, layer.output, layer.cost.macs) for layer in layers if layer.layer.startswith("8")]
        [('8', (1, 512, 14, 14), 52283392), ('8:1', (1, 512, 14, 14), 200704)]
    """
    if names := spec.underived:
        raise CostError(f"{spec.network} with {names[0]} is counted, not derived: the mechanism has no closed form")
    return layer_parts(spec)


@lru_cache(maxsize=1024)
def layer_parts(spec: NetworkSpec) -> tuple[LayerCost, ...]:
    """The layers as `network_layers` gives them, without the cost of mechanisms that have no closed form."""
    layers = list(get_network(spec.network).layers(spec))
    if spec.connection == "dca":  # only the first attention leaves parameters unused
        first = next((at for at, layer in enumerate(layers) if layer.cost.of_kind(OpKind.UNUSED).ops), 0)
        layers[first] = replace(layers[first], cost=unused_last(layers[first].cost))
    return tuple(layers)


def layers_cost(layers: Iterable[LayerCost]) -> Cost:
    """The layers' costs as one, with the parameters that no operation uses last, as a count of the network has them."""
    return unused_last(Cost(tuple(op for layer in layers for op in layer.cost)))


def unused_last(cost: Cost) -> Cost:
    """The same operations with the parameters that none of them uses behind them."""
    used = tuple(op for op in cost if op.kind is not OpKind.UNUSED)
    return cost if len(used) == len(cost.ops) else Cost(used + cost.of_kind(OpKind.UNUSED).ops)


def split_by_layer(cost: Cost, layers: Iterable[LayerCost]) -> dict[str, Cost]:
    """A cost of the same network, counted say, by the layers' numbers.

    An operation goes to the layer that derives one at its path; failing that, to the deepest module around it.
    """
    layers = tuple(layers)
    layer_at = layer_of(layers)
    split: dict[str, list[OpCost]] = {layer.layer: [] for layer in layers}
    for op in cost:
        split[layer_at(op.path)].append(op)
    return {layer: Cost(tuple(ops)) for layer, ops in split.items()}


def layer_of(layers: Sequence[LayerCost]) -> Callable[[str], str]:
    """What says to which layer an operation at a path goes, as `split_by_layer` does it."""
    owners = {op.path: layer.layer for layer in layers for op in layer.cost}
    around = sorted(((layer.path, layer.layer) for layer in layers), key=lambda item: -len(item[0]))

    def layer_at(path: str) -> str:
        if path in owners:
            return owners[path]
        return next((layer for above, layer in around if is_under(path, above)), layers[-1].layer)

    return layer_at


def network_cost(network: str, **options: Any) -> Cost:
    """The derived cost of a network, without PyTorch; arguments and errors as in `network_spec`.

    Example:
        >>> import ulsam_cost as uc
        >>> cost = uc.network_cost("mv1", positions="8:1,9:1,11")
        >>> cost.macs, cost.params
        (517059072, 3966248)
    """
    return layers_cost(network_layers(network_spec(network, **options)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedLayer:
    """A numbered layer for someone who chooses positions."""

    layer: int
    kind: str
    path: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    may_follow: bool
    may_replace: bool
    why_not: str = ""
    attention: tuple[str, ...] = ()


def numbered_layers(spec: NetworkSpec) -> tuple[NumberedLayer, ...]:
    """The numbered layers of a network with their shapes, and where attention may stand and does.

    `attention` are the paths of the modules that stand in a layer, after it or in its place.
    """
    plain = spec.plain()
    standing = attention_by_layer(spec)
    outputs = {layer.layer: layer.output for layer in network_layers(plain)}
    rows, x = [], plain.input_shape
    for slot in slots_of(plain):
        output = outputs[str(slot.layer)]
        rows.append(
            NumberedLayer(
                layer=slot.layer,
                kind=slot.kind,
                path=slot.path,
                input=x,
                output=output,
                may_follow=slot.may_follow,
                may_replace=slot.may_replace,
                why_not=slot.why_not,
                attention=standing.get(str(slot.layer), ()),
            )
        )
        x = output
    return tuple(rows)


def attention_by_layer(spec: NetworkSpec) -> dict[str, tuple[str, ...]]:
    """The paths of a network's attention modules by the layer that they stand in, after or in place of."""
    found: dict[str, tuple[str, ...]] = {}
    for site in sites(spec).values():
        number = re.match("[0-9]+", site.label)
        layer = number[0] if number else site.label
        found[layer] = (*found.get(layer, ()), site.path)
    return found
