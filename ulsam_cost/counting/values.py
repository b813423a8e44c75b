"""Which operations ask for values, of which operands, and how large what they give can be."""

from __future__ import annotations  # OpOverload takes no type arguments in older releases of PyTorch

from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ulsam_cost.counting.known import MOST_CONSTANT, MOST_KNOWN
from ulsam_cost.counting.meta_kernels import LEAST_SQUARES
from ulsam_cost.counting.meta_tensors import META, MetaTensors
from ulsam_cost.counting.rules import VIEWS, Rule
from ulsam_cost.tensors import mapped, tensors_of
from ulsam_cost.torch_private import schema_of

aten = torch.ops.aten
MASKS = (torch.bool, torch.uint8)
# The rules of operations that take long for their size.
_LONG = tuple(f"ulsam_cost.counting.rules.{name}" for name in ("attention", "fourier", "linalg", "products", "vision"))


class Traits(NamedTuple):
    """What is asked of an operator in each call: does it draw random numbers, does it write, may it ask for values."""

    is_random: bool
    writes: bool
    asks: bool


@cache
def traits_of(operator: Any) -> Traits:
    """What an operator's tags and its schema say."""
    tags = operator.tags
    asks = torch.Tag.dynamic_output_shape in tags or torch.Tag.data_dependent_output in tags
    return Traits(
        is_random=torch.Tag.nondeterministic_seeded in tags,
        writes=schema_of(operator).is_mutable,
        asks=operator.overloadpacket in SHAPED or (asks and operator.overloadpacket not in LEAST_SQUARES),
    )


def asks_for_values(operator: Any, args: tuple[Any, ...]) -> bool:
    """Whether the values of an operand say what comes of an operation."""
    if not traits_of(operator).asks:
        return False
    return operator.overloadpacket is not aten.index or any(tensor.dtype in MASKS for tensor in tensors_of(args[1]))


def looked_at_by(operator: Any, args: tuple[Any, ...]) -> Any:
    """The operands of an operation in SHAPED whose values it asks for."""
    looked_at = args[1]
    return [index for index in looked_at if index is not None] if isinstance(looked_at, list | tuple) else looked_at


def _index(tensors: MetaTensors, x: Tensor, indices: list[Tensor | None]) -> Tensor:
    places: list[Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype in MASKS
        places += tensors.with_own_values(index).nonzero().unbind(1) if is_mask else [index]
    found: Tensor = aten.index.Tensor(tensors.on_meta(x), mapped(places, on_the_meta_device))
    return found


def _masked_select(tensors: MetaTensors, x: Tensor, mask: Tensor) -> Tensor:
    repeats = prod(torch.broadcast_shapes(x.shape, mask.shape)) // max(1, mask.numel())
    found: Tensor = tensors.on_meta(x).new_empty(int(tensors.with_own_values(mask).sum()) * repeats)
    return found


def _pack(tensors: MetaTensors, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    longest = torch.zeros(*x.shape[:2], 1)
    data, sizes = aten._pack_padded_sequence.default(longest, tensors.with_own_values(lengths), batch_first)
    tensors.known.keep_on_cpu(sizes)
    given = tensors.known.are_given(lengths)
    return tensors.on_meta(x).new_empty(data.shape[0], *x.shape[2:]), tensors.with_known_results(sizes, given=given)


# Operations on operands without values whose result has the shape that the values of others say.
SHAPED: dict[Any, Callable[..., Any]] = {
    aten.index: _index,
    aten.masked_select: _masked_select,
    aten._pack_padded_sequence: _pack,
}


def written_by(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The operands that an operation writes to."""
    return list(tensors_of(*_written(schema_of(operator), args, kwargs)))


def _written(schema: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    for place, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[place] if place < len(args) else kwargs.get(argument.name)


def may_be_small(operator: Any, rule: Rule | None, args: tuple[Any, ...]) -> bool:
    """Whether it is clear without a run on the meta device that an operation takes little time and gives little."""
    if operator.overloadpacket in VIEWS:
        return True
    elements = [operand.numel() for operand in tensors_of(args)]
    if not elements and any(type(value) is float for value in args):  # it may be a step
        return False
    if rule is not None and rule.__module__ in _LONG and sum(elements) > MOST_CONSTANT:
        return False
    factors = [abs(number) + 1 for number in _numbers(args)]
    return prod(size + 1 for size in elements) * prod(factors) <= MOST_KNOWN


def _numbers(value: Any) -> Iterator[int]:
    if type(value) is int:
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)


def sizes_of_results(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[int]:
    """The elements of the results of an operation, or those of its operands where the meta device does not say."""
    args, kwargs = mapped((args, kwargs), on_the_meta_device)
    try:
        results = operator(*args, **on_device(kwargs, META))
    except Exception:  # their number depends on values: at most a few for each element
        results = args, kwargs
    return (tensor.numel() for tensor in tensors_of(results))


def on_the_meta_device(tensor: Tensor) -> Tensor:
    """A meta tensor for this use alone."""
    return (
        tensor
        if tensor.is_meta
        else torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    )


def on_device(kwargs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The options of an operation that makes its result on another device."""
    options = dict(kwargs)
    if options.get("device") is not None:
        options["device"] = device
    if options.get("generator") is not None and device is META:
        options["generator"] = None
    return options
