"""What the tests of the counter share: small models, and counts both ways."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from fvcore.nn import ActivationCountAnalysis
from torch import Tensor, nn

import ulsam_cost as uc


class Call(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def count_both_ways(model: nn.Module, inputs: Any) -> uc.Count:
    """The count, which must be the same, operation by operation, with the fast path and without."""
    fast, slow = uc.count(model, inputs), uc.count(model, inputs, fast=False)
    assert fast.cost.ops == slow.cost.ops
    assert fast == slow
    return fast


def fvcore_activations(model: nn.Module, inputs: Any) -> int:
    """What fvcore counts as activations when it runs."""
    analysis = ActivationCountAnalysis(model, inputs)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of torch's tracer
        return int(analysis.total())


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)
