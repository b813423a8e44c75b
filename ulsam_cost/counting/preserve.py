"""What a run can change beside its model: random state, attributes of classes, the depth to which calls may nest."""

import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from ulsam_cost.counting.light import UNCHANGING
from ulsam_cost.counting.twin import Twins, meta_of

Params = ParamSpec("Params")
Result = TypeVar("Result")
_NOT_STATE = UNCHANGING | {types.FunctionType, types.BuiltinFunctionType}
_FOREIGN = ("torch", "builtins", "abc", "typing", "collections", "enum")
# A module's call takes more frames while it is counted than PyTorch takes for it.
_TIMES_AS_DEEP = 2
_lock = threading.Lock()


@contextmanager
def preserve_state(twins: Twins, value: Any) -> Iterator[Any]:
    """The twin of a value, to be run; what the run changes beside it is then as it was."""
    with ExitStack() as stack:
        stack.callback(twins.memo.clear)  # or the twins would live until they are collected
        stack.enter_context(_random_state())
        stack.enter_context(_deep_calls.entered())
        twin = twins.of(value)
        for kind in {base for derived in twins.classes for base in derived.__mro__ if _is_users(base)}:
            stack.enter_context(_class_attributes(kind, twins))
        yield twin


def preserves_state(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Let a function that runs copies of the models that it is given leave what they change beside them as it was."""

    @wraps(function)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        with preserve_state(Twins(meta_of), (args, kwargs)):
            return function(*args, **kwargs)

    return call


def _is_users(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in _FOREIGN


@contextmanager
def _random_state() -> Iterator[None]:
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = numpy_random.get_state(legacy=False) if numpy_random else None
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:  # putting a state back is quicker than asking whether it changed
        random.setstate(state)
        torch.set_rng_state(torch_state)
        if numpy_random:
            numpy_random.set_state(numpy_state)
        if devices:
            torch.cuda.set_rng_state_all(devices)


@dataclass(slots=True)
class _DeepCalls:
    """Python's limit to nested calls, raised while anything runs."""

    runs: int = 0
    limit: int = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        with _lock:
            self.runs += 1
            if self.runs == 1:
                self.limit = sys.getrecursionlimit()
                sys.setrecursionlimit(_TIMES_AS_DEEP * self.limit)
        try:
            yield
        finally:
            with _lock:
                self.runs -= 1
                if not self.runs:
                    sys.setrecursionlimit(self.limit)


_deep_calls = _DeepCalls()
_running: dict[type, int] = {}  # by class, how many runs have given it attributes of its own
_before: dict[type, dict[str, Any]] = {}


@contextmanager
def _class_attributes(kind: type, twins: Twins) -> Iterator[None]:
    """Give a class twins of what its attributes hold; runs at the same time share them."""
    with _lock:
        _running[kind] = _running.get(kind, 0) + 1
        if _running[kind] == 1:
            _before[kind] = dict(vars(kind))
            for name, value in _before[kind].items():
                if type(value) in _NOT_STATE or name.startswith("__"):
                    continue
                own = twins.of(value)
                if own is not value:
                    setattr(kind, name, own)
    try:
        yield
    finally:
        with _lock:
            _running[kind] -= 1
            if not _running[kind]:
                del _running[kind]
                _put_back(kind, _before.pop(kind))


def _put_back(kind: type, before: dict[str, Any]) -> None:
    now = dict(vars(kind))
    for name in now.keys() - before.keys():
        delattr(kind, name)
    for name, value in before.items():
        if now.get(name) is not value:
            setattr(kind, name, value)
