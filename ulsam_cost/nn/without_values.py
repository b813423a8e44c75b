"""Modules without first values: on the meta device, where a weight has a shape and no memory."""

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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


class WithoutValues(TorchFunctionMode):
    """Leaves every tensor as it is that a module would fill with its first values.

    On the meta device torch would fetch its compiler to draw values that do not exist.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FILLERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
