"""A MODEL of the command line: a real module, with attention inserted where the text says so, or an ONNX file."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.count import of_exported
from ulsam_cost.counting.given import arguments_of, read_inputs
from ulsam_cost.counting.insert import insert
from ulsam_cost.counting.loaded import Loaded, LoadedModel, in_a_sentence
from ulsam_cost.counting.twin import Twins, copy_of
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_spec
from ulsam_cost.formulas.networks.text import Insertion, ModelText, read_model
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.networks.meta import build_on_meta
from ulsam_cost.nn.patterns import split_paths
from ulsam_cost.tensors import mapped
from ulsam_cost.user_code import load_object, names_code, raised_in_a_sentence

_MODULES = "a network's name, FILE.py:NAME or package.module:NAME is accepted"


def load_to_count(
    text: str,
    *,
    inputs: Sequence[str] = (),
    otherwise: Sequence[str] = (),
    name: str | None = None,
    dtype: str | None = None,
) -> Loaded:
    """The model that a text names, for what only counts it: `FILE.onnx`, too.

    Args:
        text: `FILE.onnx`, after which `--input SHAPE` may stand, or what `load_model` takes.
        inputs: as for `load_model`; of a file those whose sizes it leaves open.
        otherwise: as for `load_model`.
        name: what it is called, if not by its text.
        dtype: as for `load_model`; of a file None alone.

    Raises:
        CostError: as `load_model` does, for a file that is no ONNX model, and where onnx is not installed.
    """
    if not names_file(text):
        loaded = load_model(text, inputs=inputs, otherwise=otherwise, dtype=dtype)
        return loaded if name is None else replace(loaded, name=name)
    parts = read_model(text)
    if parts.insertion is not None:
        raise CostError(f"attention is inserted into modules, and {parts.model} is an ONNX file: {_MODULES}")
    if dtype is not None:
        raise CostError(f"{parts.model} is an ONNX file, and counted in its own data types: --dtype is for a module")
    try:
        from ulsam_cost.counting.onnx.loaded import load_file
    except ModuleNotFoundError as error:
        raise CostError(
            f"{parts.model} is an ONNX file, and {error.name} is not installed: pip install 'ulsam-cost[onnxruntime]'"
        ) from error
    given = read_inputs(_given(parts, text, inputs) or otherwise)
    return load_file(parts.model, given, name=name or text)


def names_file(text: str) -> bool:
    """Whether a text names an ONNX file, perhaps with options behind it."""
    return text.partition(" --")[0].lower().endswith(".onnx")


def load_model(
    text: str,
    *,
    inputs: Sequence[str] = (),
    otherwise: Sequence[str] = (),
    device: str = "meta",
    dtype: str | None = None,
) -> LoadedModel:
    """The model that a text names, and its example inputs.

    Args:
        text: a network with its options, `FILE.py:NAME` or `package.module:NAME`, where NAME is an nn.Module, or a
            callable without arguments that gives one or a pair of it and its example inputs. After it may stand
            `--attention NAME --after PATHS --replace PATHS --option NAME=VALUE`, as for `insert`, and `--input SHAPE`.
        inputs: shapes as `1x3x224x224` or `1x128:int64`, one for each input, in place of the model's own. They are
            zeros; `=ones`, `=arange` and `=random:0-30521` behind one give it other values (the random ones are whole
            numbers, the same each time), which a model on the meta device may look at. One with a name,
            `mask=1x128:int64`, is a keyword argument; the others are positional ones.
        otherwise: shapes for a model that has no inputs of its own.
        device: where a network of this project is built and where tensors of `inputs` are made; on `meta`, those of
            another model are made where the model is.
        dtype: the data type that a copy of the model has, and those of the inputs that are floating-point numbers.

    Raises:
        CostError: for a text that names no model, a file that does not import (with the error's own last line), a
            model without inputs, and attention that cannot stand there.
    """
    parts = read_model(text)
    loaded = _plain(text, parts, inputs, otherwise, device)
    if dtype is not None:
        loaded = _in_dtype(loaded, getattr(torch, dtype))
    return replace(_inserted(loaded, parts.insertion) if parts.insertion else loaded, name=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """A model with attention that its text inserts, and the same model without."""

    insertion: Insertion
    plain: LoadedModel
    changed: LoadedModel


def load_inserted(text: str, *, inputs: Sequence[str] = (), device: str = "meta") -> Inserted:
    """The model of a text that inserts attention, with it and without; arguments and errors as in `load_model`."""
    parts = read_model(text)
    if parts.insertion is None:
        raise CostError(f"{text!r} inserts nothing: --attention with --after or --replace is accepted")
    plain = _plain(text, parts, inputs, (), device)
    return Inserted(
        insertion=parts.insertion, plain=plain, changed=replace(_inserted(plain, parts.insertion), name=text)
    )


def _plain(text: str, parts: ModelText, inputs: Sequence[str], otherwise: Sequence[str], device: str) -> LoadedModel:
    inputs = _given(parts, text, inputs)
    if names_file(text):
        raise CostError(f"{parts.model} is an ONNX file, which is counted without being run: {_MODULES}")
    if parts.model in REGISTERED:
        return _network(parts, inputs, device)
    return _code(parts.model, inputs, otherwise, device)


def _inserted(loaded: LoadedModel, insertion: Insertion) -> LoadedModel:
    with in_a_sentence(loaded.name):
        changed = insert(
            loaded.model,
            loaded.inputs,
            insertion.attention,
            after=split_paths(insertion.after),
            replace=split_paths(insertion.replace),
            **dict(insertion.options),
        )
    return replace(loaded, model=changed, spec=None)


def _in_dtype(loaded: LoadedModel, dtype: torch.dtype) -> LoadedModel:
    with raised_in_a_sentence(f"{loaded.name} cannot be copied"):
        model, inputs = Twins(copy_of).of((loaded.model, loaded.inputs))
        cast = mapped(inputs, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
        return replace(loaded, model=model.to(dtype), inputs=cast)


def _given(parts: ModelText, text: str, inputs: Sequence[str]) -> Sequence[str]:
    """The shapes of the inputs: those beside a text, or the one in it."""
    if inputs and parts.input:
        raise CostError(f"the input is given in {text!r} and as --input: one of the two is accepted")
    return inputs or tuple(filter(None, [parts.input]))


def _network(parts: ModelText, inputs: Sequence[str], device: str) -> LoadedModel:
    spec = network_spec(parts.model, **dict(parts.options))
    model = build_on_meta(spec) if device == "meta" else _built(spec, device)
    read = read_inputs(inputs)
    if read:
        given = arguments_of(read, device, model.forward, parts.model)
    else:
        given = torch.empty(spec.input_shape, device=device)
    return LoadedModel(name=parts.model, model=model, inputs=given, spec=spec, shaped=True)


def _code(text: str, inputs: Sequence[str], otherwise: Sequence[str], device: str) -> LoadedModel:
    found = _found(text)
    program, own = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    model = of_exported(program)
    if not isinstance(model, nn.Module):
        raise CostError(
            f"{text} gives {type(model).__name__}: an nn.Module, or a pair of one and its inputs, is accepted"
        )
    read = read_inputs(inputs or (otherwise if own is None else ()))
    if read:
        spec = None if program is model else program.call_spec.in_spec
        own = arguments_of(read, _device_of(model) if device == "meta" else device, model.forward, text, spec)
    if own is None:
        raise CostError(
            f"{text} gives no example inputs: give their shapes with --input 1x3x224x224, once for each input"
        )
    if model.training:
        with suppress(NotImplementedError):  # an exported program is in the mode in which it was exported
            model.eval()
    return LoadedModel(name=text, model=model, inputs=own, shaped=bool(read))


def _built(spec: NetworkSpec, device: str) -> nn.Module:
    with torch.device(device):
        return build_network(spec).eval()


def _device_of(model: nn.Module) -> str:
    """Where a model is, which may look at its inputs' values."""
    tensors = [*model.parameters(), *model.buffers()]
    return str(tensors[0].device) if tensors else "cpu"


def _found(text: str) -> Any:
    if not names_code(text):
        message = f"{text!r} is not a model: {_MODULES}"
        nearest = UnknownNameError.among("network", text.split(" ", 1)[0], REGISTERED)
        raise CostError(f"{message} ({nearest})")
    found = load_object(text)
    if not callable(found) or isinstance(found, nn.Module):
        return found
    with raised_in_a_sentence(f"{text}() does not give a model"):
        return found()
