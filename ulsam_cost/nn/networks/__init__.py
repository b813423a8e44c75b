"""The real networks: one file a family, under the names of `ulsam_cost.formulas.networks`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_spec
from ulsam_cost.nn.networks.sites import put_at_convolutions


def build(network: str, **options: Any) -> nn.Module:
    """A real network, on the default device; arguments and errors as in `network_spec`.

    Its attention modules are found by name: `features.ulsam8_1` is the first after layer 8, `features.ulsam11`
    stands in place of layer 11, `layer1.0.attention` follows inside of a block. Under the connection `dca` the blocks
    take and give what attention passes on, and the networks thread it through.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> model = uc.build("mv1", positions="8:1,9:1,11", width=0.25, resolution=64, classes=10)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """
    return build_network(network_spec(network, **options))


def build_network(spec: NetworkSpec) -> nn.Module:
    """The real network that a spec describes."""
    module: nn.Module = import_module(f"{__name__}.{REGISTERED[spec.network]}").MODULE(spec)
    put_at_convolutions(module, spec)
    return module
