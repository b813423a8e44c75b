"""What a model is before a run, and is again after it: Python state and random state."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.profiler.index import COMPILED_CALL, ModelIndex, State


@contextmanager
def kept_as_found(index: ModelIndex) -> Iterator[None]:
    """Put back every attribute, parameter, buffer and submodule that the run replaced, and Python's random state.

    Of a leaf of torch.nn's, which sets no other attribute itself, the training flag.
    """
    leaves, states, tables = index.leaves, index.states, index.tables
    modes = [leaf["training"] for leaf in leaves]
    states_before, tables_before = [state.copy() for state in states], [table.copy() for table in tables]
    for state in states:  # what was compiled in place runs as it was written
        state.pop(COMPILED_CALL, None)
    with _kept_random_state():
        try:
            yield
        finally:
            for leaf, mode in zip(leaves, modes, strict=True):
                leaf["training"] = mode
            for now, before in zip(states, states_before, strict=True):
                if not _is_equal(now, before):
                    _put_back(now, before)
            if not _is_equal(tables, tables_before):
                for now, before in zip(tables, tables_before, strict=True):
                    _put_back(now, before)


def _is_equal(now: Any, before: Any) -> bool:
    try:
        return bool(now == before)  # identical values are not compared any further
    except Exception:  # such as tensors, which do not say whether they are equal
        return False


def _put_back(now: State, before: State) -> None:
    if list(now) != list(before):
        now.clear()
    now.update(before)


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
        if numpy_random and _differ(numpy_random.get_state(), numpy_state):
            numpy_random.set_state(numpy_state)


def _differ(state: Any, before: Any) -> bool:
    return state[2:] != before[2:] or bool((state[1] != before[1]).any())


def accelerators(index: ModelIndex) -> list[torch.device]:
    """The accelerators on which the model has parameters or buffers."""
    tensors = (value for table in index.tables for value in table.values() if isinstance(value, Tensor))
    devices = {tensor.device for tensor in tensors}
    return sorted((device for device in devices if device.type not in ("cpu", "meta")), key=str)
