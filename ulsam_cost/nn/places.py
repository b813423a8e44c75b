"""Where attention may stand in anybody's model, by the shapes of what each submodule takes and gives."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.tensors import shape_of, tensors_of

Shape = tuple[int, ...]
MAP_DIMENSIONS = 4  # n, c, h, w
TOKEN_DIMENSIONS = 3  # n, tokens, c


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCall:
    """A call of a submodule: the shapes of the tensors it took and gave, and the type of what it gave.

    `output` and `dtype` are None where it gave no tensor, or not only one; `given` has the shapes of all.
    """

    taken: tuple[Shape, ...]
    output: Shape | None
    dtype: torch.dtype | None = None
    given: tuple[Shape, ...] = ()


def module_call(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> ModuleCall:
    """A call by its arguments and its result."""
    taken = tuple(map(shape_of, tensors_of(args, kwargs)))
    given = tuple(map(shape_of, tensors_of(result)))
    if not isinstance(result, Tensor):
        return ModuleCall(taken=taken, output=None, given=given)
    return ModuleCall(taken=taken, output=shape_of(result), dtype=result.dtype, given=given)


def channels_of(shape: Shape) -> int:
    """The channels of a map [n, c, h, w], or of tokens [n, tokens, c]."""
    return shape[1] if len(shape) == MAP_DIMENSIONS else shape[-1]


def channels_last(cost: Cost) -> frozenset[Shape]:
    """The shapes of a model's maps that are [n, h, w, c]: linear layers and layer norms see channels at their end.

    A shape that convolutions and norms by channel give, too, is not among them. Maps [n, h, w, c] on which no layer
    works in this shape are not known.
    """
    maps = [op for op in cost if len(op.output) == MAP_DIMENSIONS]
    last = {op.output for op in maps if op.kind is OpKind.LINEAR or _is_norm_of_the_end(op)}
    return frozenset(last - {op.output for op in maps if op.kind is OpKind.CONV or op.operator in _BY_CHANNEL})


def _is_norm_of_the_end(op: OpCost) -> bool:
    return op.operator in ("layer_norm", "rms_norm") and op.kind is OpKind.NORM and op.reduction == op.output[-1]


_BY_CHANNEL = frozenset({"batch_norm", "group_norm", "instance_norm"})


def why_not_follow(
    path: str, calls: Sequence[ModuleCall], *, tokens: bool = False, last: Collection[Shape] = ()
) -> str:
    """Why attention may not follow a submodule; empty where it may.

    It follows a map [n, c, h, w] that has the same shape at each call, or `tokens` [n, tokens, c] if it takes them.
    Maps of the shapes in `last` are [n, h, w, c], and not followed.
    """
    accepted = (TOKEN_DIMENSIONS, MAP_DIMENSIONS) if tokens else (MAP_DIMENSIONS,)
    if not path:
        return "the model itself"
    if not calls:
        return "not called"
    if len({call.output for call in calls}) > 1:
        return f"it runs {len(calls)} times, and the shape of its output differs"
    if calls[0].output in last:
        return f"its output {list(calls[0].output or ())} is a map [n, h, w, c], not [n, c, h, w]"
    return _why_no_map(calls[0], accepted)


def _why_no_map(call: ModuleCall, dimensions: Sequence[int]) -> str:
    if call.output is None or call.dtype is None:
        return "its output is not a tensor"
    if len(call.output) not in dimensions:
        return f"its output has {len(call.output)} dimensions, not {' or '.join(map(str, dimensions))}"
    return "" if call.dtype.is_floating_point else f"its output has numbers of type {call.dtype}"


def why_not_replace(
    path: str, calls: Sequence[ModuleCall], *, tokens: bool = False, last: Collection[Shape] = ()
) -> str:
    """Why attention may not replace a submodule; empty where it may.

    It replaces what it may follow, and what takes one map and gives one of the same shape.
    """
    if reason := why_not_follow(path, calls, tokens=tokens, last=last):
        return reason
    for call in calls:
        if len(call.taken) != 1:
            return f"takes {len(call.taken)} tensors"
        if call.taken[0] != call.output:
            return "changes the shape"
    return ""
