"""Which network is meant, and what a family says about itself: the values that both wings share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import UnknownNameError
from ulsam_cost.formulas.attention import REGISTERED as MECHANISMS
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.attention.mechanism import Places
from ulsam_cost.placement import Placement, Slot, Standing
from ulsam_cost.user_code import names_code

NO_ATTENTION = "none"
MIX = ","  # between the mechanisms of several positions
NO_POSITIONS = Placement()
# the sites that a mechanism's paper chooses among those of a network
PAPERS_SITES = "paper"
# places that a mechanism may take over from another
LENT = ("block", "spatial", "last", "each")
# where a mechanism stands at a convolution -> on which side of it
AROUND = {"instead": "instead", "spatial": "after", "last": "before", "each": "before"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network, its size, its input, and which attention stands where.

    Attention stands at the positions of `placement`, or inside of every block at its `sites`; in a plain network
    both are empty. `attention` is one mechanism, or `ulsam,se`, one for each of the positions in order.
    `connection` is `dca`, `aw` or empty.
    """

    network: str
    variant: str = ""
    placement: Placement = NO_POSITIONS
    sites: str = ""
    attention: str = NO_ATTENTION
    attention_options: tuple[tuple[str, Any], ...] = ()
    connection: str = ""
    connection_options: tuple[tuple[str, Any], ...] = ()
    width: float = 1.0
    resolution: tuple[int, int] = (224, 224)
    classes: int = 1000
    batch: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, [n, 3, h, w]."""
        return (self.batch, 3, *self.resolution)

    @property
    def is_plain(self) -> bool:
        """Whether nothing attends."""
        return not (self.placement or self.sites or self.connection)

    @property
    def underived(self) -> tuple[str, ...]:
        """The user's mechanisms, which have no closed form."""
        names = () if self.attention == NO_ATTENTION else self.attention.split(MIX)
        return tuple(name for name in names if get_mechanism(name).cost is None)

    def at(self, label: str) -> "NetworkSpec":
        """The same network with the mechanism that stands at a site alone: one of several at positions, or the only."""
        named = dict(zip(map(str, self.placement.layers), self.attention.split(MIX), strict=False))
        name = named.get(label.partition(":")[0])
        if name is None or MIX not in self.attention:
            return self
        mechanism = get_mechanism(name)
        options = tuple((key, value) for key, value in self.attention_options if mechanism.accepts(key))
        return replace(self, attention=name, attention_options=options)

    def plain(self) -> "NetworkSpec":
        """The same network without attention."""
        return replace(
            self,
            placement=NO_POSITIONS,
            sites="",
            attention=NO_ATTENTION,
            attention_options=(),
            connection="",
            connection_options=(),
        )


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
    """A family's member: its numbered layers as a placement sees them, and its layers' costs.

    `variants` are the forms that it is known in, the first of them meant where none is named;
    `sites` the places inside of its layers where the papers put attention, the first of them meant where none
    is named, `in_blocks` whether they stand in its blocks, `by_positions` the mechanisms that their papers place
    layer by layer instead; `beyond` gives the sites that stand in no numbered layer, by label. `scales` says whether
    it has a width multiplier, `classifies` whether it has a classifier, `connections` which connections it takes.
    """

    name: str
    title: str
    source: str
    slots: Callable[[NetworkSpec], tuple[Slot, ...]]
    layers: Callable[[NetworkSpec], Iterable[LayerCost]]
    variants: tuple[str, ...] = ()
    sites: tuple[str, ...] = ("block",)
    in_blocks: bool = True
    by_positions: tuple[str, ...] = ()
    beyond: Callable[[NetworkSpec], Mapping[str, Any]] = lambda _: {}
    scales: bool = False
    classifies: bool = True
    connections: tuple[str, ...] = ("dca", "aw")


def places_of(spec: NetworkSpec) -> Places | None:
    """The places that a mechanism's paper chooses: its own, or the one's after which `sites` is called; else None."""
    name = spec.attention if spec.sites == PAPERS_SITES else spec.sites
    return get_mechanism(name).places if name in MECHANISMS or names_code(name) else None


def may_stand_as(attention: str, other: str) -> bool:
    """Whether a mechanism may stand where another's paper puts that one: neither is in a convolution's place."""
    pair = (attention, other)
    return other in MECHANISMS and all(get_mechanism(name).places.where in LENT for name in pair)


def stands_for_unit(attention: str) -> bool:
    """Whether a mechanism stands in place of a block's spatial convolution, norm and activation."""
    return attention != NO_ATTENTION and get_mechanism(attention).places.where == "unit"


def chooses(places: Places, network: str, standing: Standing) -> bool:
    """Whether a mechanism's paper puts it into the block, or after the layer, that stands there."""
    return places.blocks is None or places.blocks(network=network, **asdict(standing))


# network -> the file of its family, in both wings
REGISTERED = {
    "mv1": "mv1",
    "mv2": "mv2",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet152": "resnet",
    "resnext50_32x4d": "resnet",
    "resnext101_32x4d": "resnet",
    "resnext101_32x8d": "resnet",
    "mnasnet1_0": "mnasnet",
    "resnet101_fpn": "fpn",
    "mobilenet_v3_large": "mbconv",
    "mobilenet_v3_small": "mbconv",
    "efficientnet_b0": "mbconv",
    "shufflenet_v2_x0_5": "shufflenet",
    "shufflenet_v2_x1_0": "shufflenet",
}


def get_network(name: str) -> Network:
    """The network of that name.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if name not in REGISTERED:
        raise UnknownNameError.among("network", name, REGISTERED)
    network: Network = import_module(f"{__package__}.{REGISTERED[name]}").NETWORKS[name]
    return network


def slots_of(spec: NetworkSpec) -> tuple[Slot, ...]:
    """The numbered layers of a network, whatever attends in it: they are kept, since every placement asks for them."""
    return _slots(spec.network, spec.variant, spec.width, spec.classes)


@lru_cache(maxsize=64)
def _slots(network: str, variant: str, width: float, classes: int) -> tuple[Slot, ...]:
    plain = NetworkSpec(network=network, variant=variant, width=width, classes=classes)
    return get_network(network).slots(plain)
