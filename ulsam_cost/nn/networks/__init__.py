"""The real networks: one file a family, under the names of `ulsam_cost.formulas.networks`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_spec
from ulsam_cost.nn.networks.sites import put_at_convolutions


def build(network: str, **options: Any) -> nn.Module:
    """A real network, on the default device; arguments and errors as in `network_spec`.

    The attention modules have these names: `features.ulsam8_1` is the first one after layer 8, `features.ulsam11`
    replaces layer 11, and `layer1.0.attention` is the one inside a block. With the connection `dca` the blocks pass on
    what each attention module gives to the next.

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
