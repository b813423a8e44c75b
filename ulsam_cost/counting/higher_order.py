"""Operators that run functions, such as torch.cond and flex_attention. What they run is followed here.

PyTorch compiles what calls them, which shows no mode what they are given: they are seen where it is told not to.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.torch_private import COMPILER_MODULES, FLEX_CHECK, FLEX_MODULE, FLEX_UNCOMPILED

_lock = threading.Lock()
_COMPILER = COMPILER_MODULES[0]


class _Held:
    """A state of PyTorch's that runs at the same time share: the first enters it, the last leaves it."""

    def __init__(self, enter: Callable[[], AbstractContextManager[Any]]) -> None:
        self._enter, self._runs, self._stack = enter, 0, ExitStack()

    def __enter__(self) -> None:
        with _lock:
            if not self._runs:
                self._stack.enter_context(self._enter())
            self._runs += 1

    def __exit__(self, *_: object) -> None:
        with _lock:
            self._runs -= 1
            if not self._runs:
                self._stack.close()


def is_compiler_loaded() -> bool:
    """Whether anything asked for the compiler yet, which takes long to load."""
    return _COMPILER in sys.modules


def not_compiled() -> AbstractContextManager[None]:
    """Let what asks to be compiled run as it was written, as far as the compiler is loaded."""
    return _eager if is_compiler_loaded() else nullcontext()


_eager = _Held(lambda: torch.compiler.set_stance("force_eager"))


def attention_on_meta() -> AbstractContextManager[None]:
    """Let flex_attention take meta tensors, as far as it is loaded."""
    return _flexible if FLEX_MODULE in sys.modules else nullcontext()


@contextmanager
def _flex_on_meta() -> Iterator[None]:
    module = sys.modules[FLEX_MODULE]
    before = {name: getattr(module, name) for name in (FLEX_CHECK, FLEX_UNCOMPILED) if hasattr(module, name)}

    def check(query: Tensor, *others: Tensor) -> None:
        if query.device.type != "meta":
            before[FLEX_CHECK](query, *others)

    for name in before:
        setattr(module, name, check if name == FLEX_CHECK else True)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


_flexible = _Held(_flex_on_meta)


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
    sizes = (*query.shape[:-1], key.shape[-2])
    shapes = [[size if dim == place else 1 for dim in range(4)] for place, size in enumerate(sizes)]
    places = [torch.zeros(shape, dtype=torch.int32, device=query.device) for shape in shapes]
    return [query.new_zeros(sizes), *places]
