"""Leaves of a model that need not run: how a torch.nn module calls the function that `fast` answers.

Only the exact class is answered, without hooks and with its own forward; anything else runs as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.profiler.fast import FAST, Fast

Arguments = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The function that a module's forward calls, and with what; None where it does more than that."""

    entry: Fast
    arguments: Callable[[Any, Tensor], Arguments | None]


def runs_as_written(module: nn.Module) -> bool:
    """Whether calling the module does nothing but run its class's forward."""
    state = module.__dict__
    return not (
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or "forward" in state
    )


def _convolution(module: nn.Conv2d, x: Tensor) -> Arguments | None:
    if module.padding_mode != "zeros":
        return None
    own = module._parameters
    return x, own["weight"], own["bias"], module.stride, module.padding, module.dilation, module.groups


def _batch_norm(module: nn.BatchNorm2d, x: Tensor) -> Arguments | None:
    own, kept = module._parameters, module._buffers
    if module.training or kept["running_mean"] is None or x.dim() != 4:
        return None
    return x, kept["running_mean"], kept["running_var"], own["weight"], own["bias"]


LEAVES: dict[type[nn.Module], Leaf] = {
    nn.Conv2d: Leaf(entry=FAST[F.conv2d], arguments=_convolution),
    nn.BatchNorm2d: Leaf(entry=FAST[F.batch_norm], arguments=_batch_norm),
    nn.Linear: Leaf(entry=FAST[F.linear], arguments=lambda m, x: (x, m._parameters["weight"], m._parameters["bias"])),
    nn.ReLU: Leaf(entry=FAST[F.relu], arguments=lambda m, x: (x, m.inplace)),
    nn.ReLU6: Leaf(entry=FAST[F.hardtanh], arguments=lambda m, x: (x, m.min_val, m.max_val, m.inplace)),
    nn.Sigmoid: Leaf(entry=FAST[F.sigmoid], arguments=lambda m, x: (x,)),
    nn.Softmax: Leaf(entry=FAST[F.softmax], arguments=lambda m, x: (x, m.dim)),
    nn.MaxPool2d: Leaf(
        entry=FAST[torch.max_pool2d],
        arguments=lambda m, x: (
            None if m.return_indices else (x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)
        ),
    ),
    nn.AdaptiveAvgPool2d: Leaf(entry=FAST[F.adaptive_avg_pool2d], arguments=lambda m, x: (x, m.output_size)),
}
