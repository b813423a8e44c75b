"""What a model is before a run, and puts back after it: Python state and random state."""

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any

import torch
from torch import nn

_TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def kept_as_found(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
    """Put back every attribute, parameter, buffer and submodule that the run replaced, and Python's random state."""
    saved = [(table, table.copy()) for _, module in modules for table in _tables(module)]
    with _kept_random_state():
        try:
            yield
        finally:
            for table, copy in saved:
                if len(table) != len(copy) or not all(map(is_, table.values(), copy.values())):
                    table.clear()
                    table.update(copy)


def _tables(module: nn.Module) -> list[dict[str, Any]]:
    state = module.__dict__
    return [state, *(table for name in _TABLES if isinstance(table := state.get(name), dict) and table)]


@contextmanager
def _kept_random_state() -> Iterator[None]:
    # Nothing draws from torch's generators while the run is on the meta device.
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    state = random.getstate()
    numpy_state = numpy_random.get_state() if numpy_random else None
    try:
        yield
    finally:
        if random.getstate() != state:
            random.setstate(state)
        if numpy_random:
            numpy_random.set_state(numpy_state)


def devices_of(model: nn.Module) -> list[torch.device]:
    """The accelerators on which the model has parameters or buffers."""
    tensors = (*model.parameters(), *model.buffers())
    return sorted({tensor.device for tensor in tensors if tensor.device.type not in ("cpu", "meta")}, key=str)
