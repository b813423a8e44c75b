"""Operators that run functions, such as torch.cond and flex_attention. What they run is followed here."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.rules.backward import scores_backward, weights_backward
from ulsam_cost.torch_private import without_dispatch, without_functions

Tell = Callable[..., None]  # takes down a part of a backward pass: its rule and the operands of that


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


def all_scores(query: Tensor, key: Tensor, tell: Tell) -> list[Tensor]:
    """What flex_attention gives to a function of its scores, for all of them at once: the scores and their places.

    `tell` is told of the backward pass of the scores.
    """
    scores = _Scores.apply(query, key, tell)  # type: ignore[no-untyped-call]
    shapes = [[size if dim == place else 1 for dim in range(4)] for place, size in enumerate(scores.shape)]
    return [scores, *(torch.zeros(shape, dtype=torch.int32, device=query.device) for shape in shapes)]


def attended(scores: Tensor, operands: Sequence[Tensor], results: Sequence[Tensor], tell: Tell) -> Any:
    """The results of flex_attention, whose gradients are those of its scores and values; `tell` is told of them."""
    query, key, value = operands
    return _Attended.apply(scores, value, (query, key), results, tell)  # type: ignore[no-untyped-call]


class _Scores(torch.autograd.Function):
    """The scores of queries and keys."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, tell: Tell) -> Tensor:
        context.operands, context.tell = (query, key), tell
        return query.new_zeros((*query.shape[:-1], key.shape[-2]))

    @staticmethod
    def backward(context: Any, grad: Tensor) -> Any:
        context.tell(scores_backward, tuple(grad.shape), *context.operands)
        return *_as_large(context.operands), None


class _Attended(torch.autograd.Function):
    """What the scores make of the values."""

    @staticmethod
    def forward(
        context: Any, scores: Tensor, value: Tensor, scored: Sequence[Tensor], results: Sequence[Tensor], tell: Tell
    ) -> Any:
        context.operands, context.scored, context.tell = (scores, value), scored, tell
        context.mark_non_differentiable(results[2])  # the largest scores
        return tuple(results)

    @staticmethod
    def backward(context: Any, grad: Tensor, *_: Tensor) -> Any:
        scores, value = context.operands
        context.tell(weights_backward, tuple(scores.shape), grad, value)
        if not context.needs_input_grad[0]:  # the kernel gives all gradients, wanted or not
            context.tell(scores_backward, tuple(scores.shape), *context.scored)
        return *_as_large(context.operands), None, None, None


def _as_large(tensors: Sequence[Tensor]) -> list[Tensor]:
    with without_dispatch(), without_functions():
        return list(map(torch.zeros_like, tensors))
