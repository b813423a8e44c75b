"""Networks without values: on the meta device, where a weight has a shape and no memory."""

import torch
from torch import nn

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.without_values import WithoutValues


def build_on_meta(spec: NetworkSpec) -> nn.Module:
    """The real network that a spec describes, in evaluation, on the meta device."""
    with torch.device("meta"), WithoutValues():
        return build_network(spec).eval()
