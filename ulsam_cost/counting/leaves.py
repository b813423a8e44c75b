"""Leaves of a model that need not run: with which operands a torch.nn module calls a function of the fast path.

Only the exact class is answered, without hooks and with its own forward; anything else runs as it is.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.counting.light import State, given_tensors
from ulsam_cost.torch_private import BUFFERS, PARAMETERS

Operands = tuple[Any, ...]
Tensors = tuple[Tensor, ...]
_NONE: tuple[Tensors, Tensors] = (), ()


class Leaf(NamedTuple):
    """The function that a module calls, and what of the module's state it is called with.

    `tensors` gives the parameters and the buffers that are there, None where it is not certain which they are; `names`
    are the options, and `options` gives them together. `arrange` makes operands of the input, the tensors and the
    options, which are all that it sees; it gives None where the module does more than call the function. A module
    without a function gives its input back.
    """

    function: Any
    tensors: Callable[[State], tuple[Tensors, Tensors] | None]
    names: tuple[str, ...]
    options: Callable[[State], Any]
    arrange: Callable[..., Operands | None]


def _no_tensors(state: State) -> tuple[Tensors, Tensors]:
    return _NONE


def _no_options(state: State) -> Any:
    return None


def _weights(state: State) -> tuple[Tensors, Tensors] | None:
    own = given_tensors(state[PARAMETERS])
    weight, bias = own["weight"], own["bias"]
    if bias is None:
        return _NONE if weight is None else ((weight,), ())
    return None if weight is None else ((weight, bias), ())


def _taps(state: State) -> tuple[Tensors, Tensors] | None:
    """A convolution's weight and bias, if the weight lies in memory in order."""
    own = _weights(state)
    return own if own is not None and own[0] and own[0][0].is_contiguous() else None


def _statistics(state: State) -> tuple[Tensors, Tensors] | None:
    """A batch norm's weight and bias, and what it has collected."""
    own, kept = _weights(state), given_tensors(state[BUFFERS])
    mean, var = kept["running_mean"], kept["running_var"]
    return None if mean is None or var is None or own is None else (own[0], (mean, var))


def _together(x: Tensor, tensors: Tensors, *options: Any) -> Operands:
    return x, *tensors, *options


def _convolution(x: Tensor, tensors: Tensors, mode: str, *sizes: Any) -> Operands | None:
    return (x, *_pair(tensors), *sizes) if mode == "zeros" else None


def _batch_norm(x: Tensor, tensors: Tensors, training: bool, momentum: float | None, eps: float) -> Operands | None:
    if training or x.dim() != 4:
        return None
    *weights, mean, var = tensors
    return x, mean, var, *_pair(weights), False, 0.0 if momentum is None else momentum, eps


def _norm(x: Tensor, tensors: Tensors, size: Any, eps: float) -> Operands:
    return x, size, *_pair(tensors), eps


def _pair(weights: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return (*weights, None, None)[:2]


def _leaf(
    function: Any, *names: str, tensors: Any = _no_tensors, arrange: Callable[..., Operands | None] = _together
) -> Leaf:
    return Leaf(function, tensors, names, itemgetter(*names) if names else _no_options, arrange)


_SIZES = ("padding_mode", "stride", "padding", "dilation", "groups")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")

LEAVES: dict[type[nn.Module], Leaf] = {
    nn.Identity: _leaf(None),
    nn.Conv1d: _leaf(F.conv1d, *_SIZES, tensors=_taps, arrange=_convolution),
    nn.Conv2d: _leaf(F.conv2d, *_SIZES, tensors=_taps, arrange=_convolution),
    nn.Conv3d: _leaf(F.conv3d, *_SIZES, tensors=_taps, arrange=_convolution),
    nn.Linear: _leaf(F.linear, tensors=_weights),
    nn.BatchNorm2d: _leaf(F.batch_norm, "training", "momentum", "eps", tensors=_statistics, arrange=_batch_norm),
    nn.LayerNorm: _leaf(F.layer_norm, "normalized_shape", "eps", tensors=_weights, arrange=_norm),
    nn.GroupNorm: _leaf(F.group_norm, "num_groups", "eps", tensors=_weights, arrange=_norm),
    nn.MaxPool2d: _leaf(torch.max_pool2d, *_MAX_POOL),
    nn.AvgPool2d: _leaf(F.avg_pool2d, *_AVG_POOL),
    nn.AdaptiveAvgPool2d: _leaf(F.adaptive_avg_pool2d, "output_size"),
    nn.ReLU: _leaf(F.relu, "inplace"),
    nn.ReLU6: _leaf(F.hardtanh, "min_val", "max_val", "inplace"),
    nn.SiLU: _leaf(F.silu, "inplace"),
    nn.Hardswish: _leaf(F.hardswish, "inplace"),
    nn.Hardsigmoid: _leaf(F.hardsigmoid, "inplace"),
    nn.GELU: _leaf(F.gelu, "approximate"),
    nn.Sigmoid: _leaf(torch.sigmoid),
    nn.Tanh: _leaf(torch.tanh),
    nn.Softmax: _leaf(F.softmax, "dim"),
    nn.Dropout: _leaf(F.dropout, "p", "training"),
}
