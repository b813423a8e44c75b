"""Operators that run functions, such as torch.cond and flex_attention. What they run is followed here."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.errors import CostError
from ulsam_cost.torch_private import without_dispatch, without_functions

Tell = Callable[..., None]  # takes down a backward pass, given the operands of its rule


def cond(is_met: Any, then: Callable[..., Any], otherwise: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """One of two functions."""
    return (then if is_met else otherwise)(*operands)


def while_loop(
    goes_on: Callable[..., Any], body: Callable[..., Any], carried: Sequence[Any], others: Sequence[Any] = ()
) -> Any:
    """A function again and again, on what it gave before."""
    while goes_on(*carried, *others):
        carried = body(*carried, *others)
    return tuple(carried)


def map_each(function: Callable[..., Any], rows: Sequence[Tensor], others: Sequence[Any] = ()) -> Any:
    """A function on each row of some tensors."""
    return _stacked([function(*parts, *others) for parts in zip(*rows, strict=True)])


def scan(
    combine: Callable[..., Any], carried: Sequence[Any], rows: Sequence[Tensor], others: Sequence[Any] = ()
) -> tuple[Any, ...]:
    """A function on each row of some tensors, and on what it gave before."""
    given = []
    for parts in zip(*rows, strict=True):
        results = combine(*carried, *parts, *others)
        carried = results[: len(carried)]
        given.append(results[len(carried) :])
    return (*carried, *_stacked(given))


def _stacked(rows: Sequence[Any]) -> Any:
    """The results of several calls as one, tensor by tensor."""
    if isinstance(rows[0], Tensor):
        return torch.stack(list(rows))
    if isinstance(rows[0], dict):
        return {key: _stacked([row[key] for row in rows]) for key in rows[0]}
    return tuple(_stacked(parts) for parts in zip(*rows, strict=True))


FOLLOWED: dict[str, Callable[..., Any]] = {
    "cond": cond,
    "while_loop": while_loop,
    "map_impl": map_each,
    "scan": scan,
}


def with_plain_scores(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What flex_attention's operator is given, with functions that leave its scores alone: its results are as large."""
    query, key, value, _, (*blocks, _), *others = args
    return query, key, value, lambda score, *_: score, (*blocks, lambda batch, *_: batch >= 0), *others


def all_scores(query: Tensor, key: Tensor) -> list[Tensor]:
    """What flex_attention gives to a function of its scores, for all of them at once: the scores and their places."""
    scores = _Scores.apply(query, key)  # type: ignore[no-untyped-call]
    shapes = [[size if dim == place else 1 for dim in range(4)] for place, size in enumerate(scores.shape)]
    return [scores, *(torch.zeros(shape, dtype=torch.int32, device=query.device) for shape in shapes)]


def attended(scores: Tensor, operands: Sequence[Tensor], results: Sequence[Tensor], tell: Tell) -> Any:
    """The results of flex_attention, whose gradients reach its operands and what was done to its scores.

    `tell` is told of its backward pass.
    """
    return _Attended.apply(scores, *operands, results, tell)  # type: ignore[no-untyped-call]


class _Scores(torch.autograd.Function):
    """The scores of queries and keys, which gradients pass on their way to these."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor) -> Tensor:
        context.save_for_backward(query, key)
        return query.new_zeros((*query.shape[:-1], key.shape[-2]))

    @staticmethod
    def backward(context: Any, grad: Tensor) -> Any:
        return _Gradients.apply(*context.saved_tensors)  # type: ignore[no-untyped-call]


class _Attended(torch.autograd.Function):
    """What attention makes of its scores and values. The kernel gives all gradients at once, wanted or not."""

    @staticmethod
    def forward(
        context: Any, scores: Tensor, query: Tensor, key: Tensor, value: Tensor, results: Sequence[Tensor], tell: Tell
    ) -> Any:
        context.save_for_backward(scores, query, key, value)
        context.tell = tell
        context.mark_non_differentiable(*results[2:])  # the largest scores
        return tuple(results)

    @staticmethod
    def backward(context: Any, grad: Tensor, *_: Tensor) -> Any:
        scores, query, key, value = context.saved_tensors
        context.tell(grad, query, key, value)
        of_scores, of_value = _Gradients.apply(scores, value)  # type: ignore[no-untyped-call]
        return of_scores, None, None, of_value, None, None  # queries and keys have theirs by the scores


class _Gradients(torch.autograd.Function):
    """Gradients as large as what they belong to, which have none themselves."""

    @staticmethod
    def forward(context: Any, *tensors: Tensor) -> Any:
        with without_dispatch(), without_functions():
            return tuple(map(torch.zeros_like, tensors))

    @staticmethod
    def backward(context: Any, *_: Tensor) -> Any:
        raise CostError("gradients of flex_attention's gradients are not counted: PyTorch has none")
