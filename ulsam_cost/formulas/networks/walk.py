"""The way through a network's numbered layers, the same for all of them."""

from collections.abc import Callable, Iterator, Sequence

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.networks.blocks import window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts, DeriveBlock
from ulsam_cost.formulas.networks.spec import LayerCost, NetworkSpec
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Slot, arrange

DerivePlain = Callable[[Shape, Slot], Cost]


def body_layers(
    spec: NetworkSpec, slots: Sequence[Slot], *, block: DeriveBlock, plain: DerivePlain
) -> Iterator[LayerCost]:
    """The costs of the numbered layers before the classifier, and of the attention in and between them.

    Args:
        spec: the network.
        slots: its numbered layers.
        block: derives a layer that has places for attention.
        plain: derives one that has none.
    """
    x: Shape = spec.input_shape
    attention = AttentionCosts(spec)
    for step in arrange(spec.network, slots, spec.placement):
        slot = step.slot
        if slot.kind == "classifier":
            return
        if step.attends:
            yield attention.layer(step, x)
            continue
        cost = attention.around(attention.block(block, x, slot) if slot.places else plain(x, slot))
        x = window_shape(x, slot.out_channels, slot.stride)
        yield LayerCost(layer=step.label, path=slot.path, kind=slot.kind, cost=cost, output=x)
