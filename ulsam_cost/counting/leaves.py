"""Leaves of a model that need not run: how a torch.nn module calls the function that `fast` answers.

Only the exact class is answered, without hooks and with its own forward; anything else runs as it is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.counting import fast
from ulsam_cost.counting.fast import FAST, Answer
from ulsam_cost.counting.light import given_tensors
from ulsam_cost.counting.recorder import Recorder
from ulsam_cost.torch_private import BUFFERS, PARAMETERS

Leaf = tuple[str, Callable[[Recorder, Any, Tensor], Answer]]


def _conv2d(record: Recorder, m: nn.Conv2d, x: Tensor) -> Answer:
    if m.padding_mode != "zeros":
        return None
    own = given_tensors(m.__dict__[PARAMETERS])
    return fast.conv2d(record, x, own["weight"], own["bias"], m.stride, m.padding, m.dilation, m.groups)


def _linear(record: Recorder, m: nn.Linear, x: Tensor) -> Answer:
    own = given_tensors(m.__dict__[PARAMETERS])
    return fast.linear(record, x, own["weight"], own["bias"])


def _batch_norm(record: Recorder, m: nn.BatchNorm2d, x: Tensor) -> Answer:
    own, kept = given_tensors(m.__dict__[PARAMETERS]), given_tensors(m.__dict__[BUFFERS])
    mean = kept["running_mean"]
    if m.training or mean is None or x.dim() != 4:
        return None
    momentum = 0.0 if m.momentum is None else m.momentum
    return fast.batch_norm(record, x, mean, kept["running_var"], own["weight"], own["bias"], False, momentum, m.eps)


def _layer_norm(record: Recorder, m: nn.LayerNorm, x: Tensor) -> Answer:
    own = given_tensors(m.__dict__[PARAMETERS])
    return fast.layer_norm(record, x, m.normalized_shape, own["weight"], own["bias"], m.eps)


def _max_pool(record: Recorder, m: nn.MaxPool2d, x: Tensor) -> Answer:
    return fast.max_pool2d(record, x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices)


def _leaf(function: Any, answer: Callable[[Recorder, Any, Tensor], Answer]) -> Leaf:
    return FAST[function].operator, answer


LEAVES: dict[type[nn.Module], Leaf] = {
    nn.Conv2d: _leaf(F.conv2d, _conv2d),
    nn.Linear: _leaf(F.linear, _linear),
    nn.BatchNorm2d: _leaf(F.batch_norm, _batch_norm),
    nn.LayerNorm: _leaf(F.layer_norm, _layer_norm),
    nn.MaxPool2d: _leaf(torch.max_pool2d, _max_pool),
    nn.AdaptiveAvgPool2d: _leaf(
        F.adaptive_avg_pool2d, lambda record, m, x: fast.adaptive_avg_pool2d(record, x, m.output_size)
    ),
    nn.ReLU: _leaf(F.relu, lambda record, m, x: fast.activation(record, x, m.inplace)),
    nn.ReLU6: _leaf(F.hardtanh, lambda record, m, x: fast.hardtanh(record, x, m.min_val, m.max_val, m.inplace)),
    nn.SiLU: _leaf(F.silu, lambda record, m, x: fast.activation(record, x, m.inplace)),
    nn.GELU: _leaf(F.gelu, lambda record, m, x: fast.gelu(record, x, m.approximate)),
    nn.Sigmoid: _leaf(F.sigmoid, lambda record, m, x: fast.activation(record, x)),
    nn.Softmax: _leaf(F.softmax, lambda record, m, x: fast.softmax(record, x, m.dim)),
    nn.Dropout: _leaf(F.dropout, lambda record, m, x: fast.dropout(record, x, m.p, m.training)),
}
