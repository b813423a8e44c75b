"""What a model is before a run, and is again after it: Python state and random state."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from operator import is_
from typing import Any

import torch

from ulsam_cost.profiler.index import ModelIndex


@contextmanager
def kept_as_found(index: ModelIndex) -> Iterator[None]:
    """Put back every attribute, parameter, buffer and submodule that the run replaced, and Python's random state."""
    tables = index.tables()
    sizes, names, values = _flat(tables)
    with _kept_random_state():
        try:
            yield
        finally:
            now = _flat(tables)
            if now[:2] != (sizes, names) or not all(map(is_, now[2], values)):
                _put_back(tables, sizes, names, values)


def _flat(tables: list[dict[str, Any]]) -> tuple[list[int], list[str], list[Any]]:
    values = chain.from_iterable([table.values() for table in tables])
    return list(map(len, tables)), list(chain.from_iterable(tables)), list(values)


def _put_back(tables: list[dict[str, Any]], sizes: list[int], names: list[str], values: list[Any]) -> None:
    start = 0
    for table, size in zip(tables, sizes, strict=True):
        before = dict(zip(names[start : start + size], values[start : start + size], strict=True))
        start += size
        if len(table) != size or not all(map(is_, table.values(), before.values())) or list(table) != list(before):
            table.clear()
            table.update(before)


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


def accelerators(index: ModelIndex) -> list[torch.device]:
    """The accelerators on which the model has parameters or buffers."""
    tensors = (t for _, module in index.modules for t in (*module._parameters.values(), *module._buffers.values()))
    devices = {tensor.device for tensor in tensors if tensor is not None}
    return sorted((device for device in devices if device.type not in ("cpu", "meta")), key=str)
