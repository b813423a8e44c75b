"""Which network is meant, and what a family says about itself: the values that both wings share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.placement import Placement, Slot

NO_ATTENTION = "none"
NO_POSITIONS = Placement()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network, its size, its input, and which attention stands where."""

    network: str
    variant: str = ""
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
    """A family's member: its numbered layers as a placement sees them, and its layers' costs.

    `variants` are the forms that it is known in, the first of them meant where none is named;
    `scales` says whether it has a width multiplier.
    """

    name: str
    title: str
    source: str
    slots: Callable[[NetworkSpec], tuple[Slot, ...]]
    layers: Callable[[NetworkSpec], Iterable[LayerCost]]
    variants: tuple[str, ...] = ()
    scales: bool = False
