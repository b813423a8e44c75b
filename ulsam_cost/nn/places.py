"""Where attention may stand in anybody's model, by the shapes of what each submodule takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ulsam_cost.tensors import shape_of, tensors_of

Shape = tuple[int, ...]
_MAP_DIMENSIONS = 4  # n, c, h, w


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCall:
    """A call of a submodule: the shapes of the tensors it took, and that of its result, None unless it is a tensor."""

    taken: tuple[Shape, ...]
    output: Shape | None


def module_call(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> ModuleCall:
    """A call by its arguments and its result."""
    taken = tuple(map(shape_of, tensors_of(args, kwargs)))
    return ModuleCall(taken=taken, output=shape_of(result) if isinstance(result, Tensor) else None)


def why_not_follow(path: str, calls: Sequence[ModuleCall]) -> str:
    """Why attention may not follow a submodule; empty where it may.

    It follows a map [n, c, h, w] that has the same number of channels at each call.
    """
    if not path:
        return "the model itself"
    if not calls:
        return "not called"
    outputs = [call.output for call in calls]
    for output in outputs:
        if output is None:
            return "its output is not a tensor"
        if len(output) != _MAP_DIMENSIONS:
            return f"its output has {len(output)} dimensions, not 4"
    if len({output[1] for output in outputs if output is not None}) > 1:
        return "its channels differ from call to call"
    return ""


def why_not_replace(path: str, calls: Sequence[ModuleCall]) -> str:
    """Why attention may not replace a submodule; empty where it may.

    It replaces what it may follow, and what takes one map and gives one of the same shape.
    """
    if reason := why_not_follow(path, calls):
        return reason
    for call in calls:
        if len(call.taken) != 1:
            return f"takes {len(call.taken)} tensors"
        if call.taken[0] != call.output:
            return "changes the shape"
    return ""
