"""What a printed number may be about instead of a whole network: its backbone, or its attention modules alone."""

from collections.abc import Callable

from ulsam_cost.cost import Cost, is_under
from ulsam_cost.formulas.networks import NetworkSpec, layers_cost, network_layers
from ulsam_cost.formulas.networks.sites import sites

HEAD = ("pool", "classifier")


def backbone_cost(spec: NetworkSpec) -> Cost:
    """The network without its last pool and its classifier, as it stands in a detector."""
    return layers_cost(layer for layer in network_layers(spec) if layer.kind not in HEAD)


def modules_cost(spec: NetworkSpec) -> Cost:
    """The attention modules of the network."""
    paths = [site.path for site in sites(spec).values()]
    whole = layers_cost(network_layers(spec))
    return Cost(tuple(op for op in whole if any(is_under(op.path, path) for path in paths)))


# the `part` of a cell -> its cost, and what a reading of it means
PARTS: dict[str, tuple[Callable[[NetworkSpec], Cost], str]] = {
    "backbone": (backbone_cost, "the network without its last pool and its classifier"),
    "modules": (modules_cost, "the attention modules alone"),
}
