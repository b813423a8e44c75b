"""Networks without values: on the meta device, where a weight has a shape and no memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.nn.networks import build_network

FILLERS = {
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.constant_,
    nn.init.kaiming_uniform_,
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.fill_,
    Tensor.zero_,
}


def build_on_meta(spec: NetworkSpec) -> nn.Module:
    """The real network that a spec describes, in evaluation, on the meta device.

    Nothing is drawn: on this device torch would fetch its compiler to draw values that do not exist.
    """
    with torch.device("meta"), _WithoutValues():
        return build_network(spec).eval()


class _WithoutValues(TorchFunctionMode):
    """Leaves every tensor as it is that a module would fill with its first values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FILLERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
