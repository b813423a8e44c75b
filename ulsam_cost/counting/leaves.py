"""Leaves of a model that need not run: with which operands a torch.nn module calls a function of the fast path.

Only the exact class is answered, without hooks and with its own forward; anything else runs as it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.counting.light import given_tensors
from ulsam_cost.torch_private import BUFFERS, PARAMETERS

Operands = tuple[Any, ...]


class Leaf(NamedTuple):
    """The function that a module calls, and its operands; None where the module does more than that."""

    function: Any
    operands: Callable[[Any, Tensor], Operands | None]


def _parameters(m: nn.Module) -> Any:
    return given_tensors(m.__dict__[PARAMETERS])


def _convolution(m: Any, x: Tensor) -> Operands | None:
    if m.padding_mode != "zeros":
        return None
    own = _parameters(m)
    return x, own["weight"], own["bias"], m.stride, m.padding, m.dilation, m.groups


def _linear(m: nn.Linear, x: Tensor) -> Operands:
    own = _parameters(m)
    return x, own["weight"], own["bias"]


def _batch_norm(m: Any, x: Tensor) -> Operands | None:
    own, kept = _parameters(m), given_tensors(m.__dict__[BUFFERS])
    mean = kept["running_mean"]
    if m.training or mean is None or x.dim() != 4:
        return None
    momentum = 0.0 if m.momentum is None else m.momentum
    return x, mean, kept["running_var"], own["weight"], own["bias"], False, momentum, m.eps


def _layer_norm(m: nn.LayerNorm, x: Tensor) -> Operands:
    own = _parameters(m)
    return x, m.normalized_shape, own["weight"], own["bias"], m.eps


def _group_norm(m: nn.GroupNorm, x: Tensor) -> Operands:
    own = _parameters(m)
    return x, m.num_groups, own["weight"], own["bias"], m.eps


def _max_pool(m: nn.MaxPool2d, x: Tensor) -> Operands:
    return x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices


def _avg_pool(m: nn.AvgPool2d, x: Tensor) -> Operands:
    return x, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override


def _in_place(m: Any, x: Tensor) -> Operands:
    return x, m.inplace


LEAVES: dict[type[nn.Module], Leaf] = {
    nn.Conv1d: Leaf(F.conv1d, _convolution),
    nn.Conv2d: Leaf(F.conv2d, _convolution),
    nn.Conv3d: Leaf(F.conv3d, _convolution),
    nn.Linear: Leaf(F.linear, _linear),
    nn.BatchNorm2d: Leaf(F.batch_norm, _batch_norm),
    nn.LayerNorm: Leaf(F.layer_norm, _layer_norm),
    nn.GroupNorm: Leaf(F.group_norm, _group_norm),
    nn.MaxPool2d: Leaf(torch.max_pool2d, _max_pool),
    nn.AvgPool2d: Leaf(F.avg_pool2d, _avg_pool),
    nn.AdaptiveAvgPool2d: Leaf(F.adaptive_avg_pool2d, lambda m, x: (x, m.output_size)),
    nn.ReLU: Leaf(F.relu, _in_place),
    nn.ReLU6: Leaf(F.hardtanh, lambda m, x: (x, m.min_val, m.max_val, m.inplace)),
    nn.SiLU: Leaf(F.silu, _in_place),
    nn.Hardswish: Leaf(F.hardswish, _in_place),
    nn.Hardsigmoid: Leaf(F.hardsigmoid, _in_place),
    nn.GELU: Leaf(F.gelu, lambda m, x: (x, m.approximate)),
    nn.Sigmoid: Leaf(torch.sigmoid, lambda m, x: (x,)),
    nn.Tanh: Leaf(torch.tanh, lambda m, x: (x,)),
    nn.Softmax: Leaf(F.softmax, lambda m, x: (x, m.dim)),
    nn.Dropout: Leaf(F.dropout, lambda m, x: (x, m.p, m.training)),
}
