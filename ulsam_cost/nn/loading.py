"""A MODEL of the command line as a real module: a network's name, `FILE.py:NAME` or `package.module:NAME`."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ulsam_cost.errors import CostError, UnknownNameError, says_too_large
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec
from ulsam_cost.formulas.networks.text import names_network, spec_from_text
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.networks.meta import build_on_meta

_INPUT = re.compile(r"([1-9][0-9]{0,8}(?:x[1-9][0-9]{0,8})*)(?::([a-z0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in evaluation, its inputs, and the spec of a network of this project.

    `shaped` says whether the inputs were made from shapes, and have no values of their own.
    """

    name: str
    model: nn.Module
    inputs: Any
    spec: NetworkSpec | None = None
    shaped: bool = False


def load_model(
    text: str, *, inputs: Sequence[str] = (), otherwise: Sequence[str] = (), device: str = "meta"
) -> LoadedModel:
    """The model that a text names, and its example inputs.

    Args:
        text: a network with its options, `FILE.py:NAME` or `package.module:NAME`, where NAME is an nn.Module, or a
            callable without arguments that gives one or a pair of it and its example inputs.
        inputs: shapes as `1x3x224x224` or `1x128:int64`, one for each input, in place of the model's own.
        otherwise: shapes for a model that has no inputs of its own.
        device: where a network of this project is built and where tensors of `inputs` are made; on `meta`, those of
            another model are made where the model is.

    Raises:
        CostError: for a text that names no model, a file that does not import (with the error's own last line),
            and a model without inputs.
    """
    if names_network(text):
        spec = spec_from_text(text)
        model = build_on_meta(spec) if device == "meta" else _built(spec, device)
        given: Any = torch.empty(spec.input_shape, device=device) if not inputs else None
        return LoadedModel(name=text, model=model, inputs=_tensors(inputs, device) or given, spec=spec)
    found = _found(text)
    model, own = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(model, nn.Module):
        raise CostError(
            f"{text} gives {type(model).__name__}: an nn.Module, or a pair of one and its inputs, is accepted"
        )
    shapes = inputs or (otherwise if own is None else ())
    given = _tensors(shapes, _device_of(model) if device == "meta" else device) or own
    if given is None:
        raise CostError(
            f"{text} gives no example inputs: give their shapes with --input 1x3x224x224, once for each input"
        )
    return LoadedModel(name=text, model=model.eval(), inputs=given, shaped=bool(shapes))


def _built(spec: NetworkSpec, device: str) -> nn.Module:
    with torch.device(device):
        return build_network(spec).eval()


def _device_of(model: nn.Module) -> str:
    """Where a model is, which may look at its inputs' values."""
    tensors = [*model.parameters(), *model.buffers()]
    return str(tensors[0].device) if tensors else "cpu"


def _tensors(inputs: Sequence[str], device: str) -> tuple[torch.Tensor, ...] | None:
    return tuple(_tensor(text, device) for text in inputs) or None


def _tensor(text: str, device: str) -> torch.Tensor:
    match = _INPUT.fullmatch(text)
    dtype = getattr(torch, match[2] or "float32", None) if match else None
    if match is None or not isinstance(dtype, torch.dtype):
        raise CostError(f"input {text!r}: a shape such as 1x3x224x224, or 1x128:int64, is accepted")
    shape = tuple(map(int, match[1].split("x")))
    try:
        return torch.zeros(shape, dtype=dtype, device=device)
    except Exception as error:
        if not says_too_large(error):
            raise
        raise CostError(f"input {text!r} does not fit into the memory: a smaller shape is accepted") from error


def _found(text: str) -> Any:
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        message = f"{text!r} is not a model: a network's name, FILE.py:NAME or package.module:NAME is accepted"
        nearest = UnknownNameError.among("network", text.split(" ", 1)[0], REGISTERED)
        raise CostError(f"{message} ({nearest})")
    module = _module(place)
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise UnknownNameError.among(f"name of {place}", name, public or ["none"])
    found = getattr(module, name)
    if not callable(found) or isinstance(found, nn.Module):
        return found
    with _in_a_sentence(f"{text}() does not give a model"):
        return found()


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        with _in_a_sentence(f"{place} does not import"), _importable(Path.cwd()):
            return import_module(place)
    path = Path(place)
    if not os.path.isfile(path):  # Path.is_file raises for a name that no file can have
        raise CostError(f"there is no file {place}")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with _in_a_sentence(f"{place} does not import"), _importable(path.parent.resolve()):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """A folder from which modules may be imported, as if a script in it ran."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one sentence with its last line, the error itself chained."""
    try:
        yield
    except (Exception, SystemExit) as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise CostError(f"{what}: {type(error).__name__}: {last}") from error
