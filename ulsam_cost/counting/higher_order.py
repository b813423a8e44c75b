"""Operators that run functions: torch.cond, while_loop and flex_attention. What they run is followed here.

PyTorch compiles what calls them, which shows no mode what they are given: they are seen where it is told not to.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.torch_private import COMPILER_MODULES

_lock = threading.Lock()
_runs: list[Any] = []  # the first has told PyTorch not to compile
_COMPILER = COMPILER_MODULES[0]


def is_compiler_loaded() -> bool:
    """Whether anything asked for the compiler yet, which takes long to load."""
    return _COMPILER in sys.modules


@contextmanager
def not_compiled() -> Iterator[None]:
    """Let what asks to be compiled run as it was written, as far as the compiler is loaded."""
    if not is_compiler_loaded():
        yield
        return
    with _lock:
        _runs.append(None if _runs else torch.compiler.set_stance("force_eager"))
        if len(_runs) == 1:
            _runs[0].__enter__()
    try:
        yield
    finally:
        with _lock:
            if len(_runs) == 1:
                _runs[0].__exit__(None, None, None)
            _runs.pop()


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


FOLLOWED: dict[str, Callable[..., Any]] = {"cond": cond, "while_loop": while_loop}


def change_scores(query: Tensor, key: Tensor, change: Callable[..., Any]) -> None:
    """Run what flex_attention does to its scores once, on all of them, without values."""
    sizes = (*query.shape[:-1], key.shape[-2])
    places = [
        torch.empty([size if dim == place else 1 for dim in range(4)], dtype=torch.int32, device="meta")
        for place, size in enumerate(sizes)
    ]
    change(torch.empty(sizes, device="meta"), *places)
