"""Kinds of meta tensors: a shape, a dtype and an order in memory, which are all that functions see of them."""

from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.meta_tensors import META
from ulsam_cost.torch_private import without_dispatch

_MOST_KINDS = 4096
_MOST_SPARE = 16
_kinds: dict[Any, "TensorKind"] = {}


class TensorKind:
    """Gives new tensors of one kind: several at a time, as it takes longer to go around a mode than to make one."""

    __slots__ = ("_again", "_spare", "_tensor")

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, stride: tuple[int, ...] | None) -> None:
        with without_dispatch(), torch.inference_mode(False):
            if stride is None:
                self._tensor = torch.empty(shape, dtype=dtype, device=META)
            else:
                self._tensor = torch.empty_strided(shape, stride, dtype=dtype, device=META)
            self._spare = [self._tensor.data]
        self._again = 1

    def new(self) -> Tensor:
        """A new tensor."""
        try:
            return self._spare.pop()
        except IndexError:
            self._again = min(2 * self._again, _MOST_SPARE)
            with without_dispatch():
                self._spare += [self._tensor.data for _ in range(self._again)]
            return self.new()


def kind_of(shape: tuple[int, ...], dtype: torch.dtype, stride: tuple[int, ...] | None = None) -> TensorKind:
    """The one kind of this shape and dtype; its dimensions are in order in memory where there is no stride."""
    key = shape, dtype, stride
    kind = _kinds.get(key)
    if kind is None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        kind = _kinds[key] = TensorKind(*key)
    return kind


def forget_kinds() -> None:
    """Forget the kinds, which are made anew."""
    _kinds.clear()
