"""What PyTorch is told while a count runs, so that a model runs as it is written: nothing is compiled or fused.

What is compiled shows no mode what it is given, and so do the operators that run functions.
"""

import sys
import threading
from collections.abc import Callable, Iterator
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


def flexible_attention() -> AbstractContextManager[None]:
    """Let flex_attention take meta tensors, and gradients on a CPU, as far as it is loaded."""
    return _flexible if FLEX_MODULE in sys.modules else nullcontext()


@contextmanager
def _without_checks() -> Iterator[None]:
    module = sys.modules[FLEX_MODULE]
    before = {name: getattr(module, name) for name in (FLEX_CHECK, FLEX_UNCOMPILED) if hasattr(module, name)}

    def check(*tensors: Tensor) -> None:
        if tensors[0].device.type != "meta":
            before[FLEX_CHECK](*[tensor.detach() for tensor in tensors])

    for name in before:
        setattr(module, name, check if name == FLEX_CHECK else True)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


_flexible = _Held(_without_checks)


@contextmanager
def _without_fast_path() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


# The layers of transformers in torch.nn look at the values of masks before they see that under a mode they may not run
# as one kernel.
unfused = _Held(_without_fast_path)
