"""Tensors in nested values: the one walk over what a model is given and gives back."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, fields
from inspect import signature
from operator import is_not
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.torch_private import stored_values

PLAIN = frozenset({int, float, bool, str, type(None)})
SPARSE_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a model is called with, some by position and some by name."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def tensors_of(*values: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, named tuples among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_of(*value)
        elif isinstance(value, Mapping):
            yield from tensors_of(*value.values())
        elif hasattr(type(value), "__dataclass_fields__"):
            yield from tensors_of(*(getattr(value, field.name) for field in fields(value)))


def mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The value with each of the tensors that `tensors_of` gives replaced, in the same order.

    Containers keep their types, but a read-only mapping becomes a dict; one without tensors is the caller's own.
    """
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in PLAIN:
        return value
    if type(value) is tuple:  # the arguments of every operation: walked once
        items = [mapped(item, function) for item in value]
        return tuple(items) if any(map(is_not, items, value)) else value
    if next(tensors_of(value), None) is None:
        return value
    if isinstance(value, tuple):
        kind = type(value)
        return getattr(kind, "_make", kind)([mapped(item, function) for item in value])
    is_read_only = isinstance(value, Mapping) and not isinstance(value, MutableMapping)
    twin: Any = dict(value) if is_read_only else copy(value)
    if isinstance(value, list):
        twin[:] = [mapped(item, function) for item in value]
    elif isinstance(value, Mapping):
        for key, item in value.items():
            twin[key] = mapped(item, function)
    else:
        for field in fields(value):
            object.__setattr__(twin, field.name, mapped(getattr(value, field.name), function))
    return twin


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments: a dict is keywords, a tuple positions, anything else the one argument.

    A named tuple is one value, as a dataclass is that is not `Arguments`.
    """
    if isinstance(inputs, Arguments):
        return inputs.args, inputs.kwargs
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) and not hasattr(inputs, "_fields") else (inputs,)), {}


def how_to_wrap(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """How a dict or a list is given that a function takes in another place than it was given; empty for any other."""
    if kwargs and not args:
        said = "inputs in a dict are keyword arguments: ({...},) is one positional argument that is a dict"
        meant: tuple[Any, ...] = (kwargs,)
    elif len(args) == 1 and isinstance(args[0], list):
        said, meant = "a list is one argument: a tuple is accepted as several", tuple(args[0])
    else:
        return ""
    try:
        parameters = signature(function)
        parameters.bind(*meant)
    except (TypeError, ValueError):
        return ""
    try:
        parameters.bind(*args, **kwargs)
    except TypeError:
        return said
    return ""


def batch_size(*inputs: Any) -> int:
    """Length of the first tensor's first dimension; 1 where there is none."""
    first = next(tensors_of(*inputs), None)
    return first.shape[0] if first is not None and first.dim() else 1


def first_tensor(out: Any) -> Tensor:
    """The result, or the first of several."""
    return next(tensors_of(out))


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape; a nested one has none."""
    return () if tensor.is_nested else tuple(tensor.shape)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has all the elements of its shape: a sparse one has not, and a nested one has no shape."""
    return tensor.layout is torch.strided and not tensor.is_nested


def stored_elements(tensor: Tensor) -> int:
    """Elements that a tensor stores: all that its shape has, unless it is sparse."""
    layout = tensor.layout
    if layout is torch.strided:
        return tensor.numel()
    if layout is torch.sparse_coo:
        return stored_values(tensor).numel()
    return tensor.values().numel() if layout in SPARSE_LAYOUTS else tensor.numel()
