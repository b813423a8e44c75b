"""A twin of a model and its inputs: what runs is never the caller's own.

The twin has the same modules, containers and objects, each made anew; only what cannot change is shared. Its tensors
are new as well: views of the caller's memory where nothing is computed (`view_of`), copies where the model really
runs (`copy_of`).
"""

import copy
import functools
import io
import sys
import types
import warnings
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ulsam_cost.counting.light import LIGHT, TABLES, UNCHANGING, SharedTables
from ulsam_cost.errors import CostError
from ulsam_cost.torch_private import COMPILED_CALL, MODULES, TorchDispatchMode, as_subclass

Maker = Callable[["Twins", Any], Any]
_Parameter = nn.Parameter
_new, _set_attribute = object.__new__, object.__setattr__  # a module's own says more than is meant here

# Packages whose objects stand for something outside of the model: threads and their locks, other processes, logs.
_OUTSIDE = frozenset({"_thread", "_queue", "asyncio", "concurrent", "logging", "multiprocessing", "queue", "threading"})


class Twins:
    """Copies values, each once: what the caller's values share, their twins share.

    Args:
        own_tensor: makes the twin of a tensor, `view_of` or `copy_of`.
        parameters: by the id of a tensor the id of the parameter that it stands for; twins are added to it.
        light: whether the modules are made light (see `light`).
    """

    def __init__(
        self,
        own_tensor: Callable[[Tensor, "Twins"], Tensor],
        *,
        parameters: dict[int, int] | None = None,
        light: bool = False,
    ) -> None:
        self.own_tensor = own_tensor
        self.parameters = {} if parameters is None else parameters
        self.classes: set[type[nn.Module]] = set()
        self.memo: dict[int, Any] = {}
        self.alive: list[Any] = []  # what could be freed while its id stands in the memo
        self.shared_tables = SharedTables() if light else None
        self._makers = dict(_MAKERS)

    def of(self, value: Any) -> Any:
        """The twin of a value."""
        kind = type(value)
        if kind in UNCHANGING:
            return value
        found = self.memo.get(id(value))
        if found is not None:
            return found
        maker = self._makers.get(kind)
        if maker is None:
            maker = self._makers[kind] = _maker_of(kind)
        return maker(self, value)

    def keep(self, value: Any, twin: Any) -> Any:
        """Remember the twin of a value."""
        self.memo[id(value)] = twin
        return twin

    def table(self, given: dict[str, Any]) -> dict[str, Any]:
        """The twin of a module's parameters, buffers or submodules."""
        memo, makers, twin = self.memo, self._makers, {}
        for name, value in given.items():
            found = memo.get(id(value))
            if found is None and value is not None:
                maker = makers.get(type(value))
                found = self.of(value) if maker is None else maker(self, value)
            twin[name] = found
        return twin

    def keep_tensor(self, tensor: Tensor, twin: Tensor) -> None:
        """Remember the twin of a tensor, which may be a parameter."""
        self.memo[id(tensor)] = twin
        parameter = self.parameters.get(id(tensor))
        if parameter is not None:
            self.parameters[id(twin)] = parameter


def view_of(tensor: Tensor, twins: Twins) -> Tensor:
    """A tensor of its own on the same memory."""
    kind = type(tensor)
    if kind is Tensor and not tensor.requires_grad:
        return tensor.detach()
    if kind is _Parameter:
        own: Tensor = as_subclass(_Parameter, tensor, tensor.requires_grad)
        if tensor.grad is not None:
            own.grad = twins.of(tensor.grad)
        return own
    if is_lazy(tensor):
        return tensor
    own = tensor.detach()
    if type(own) is not kind:
        return as_subclass(kind, own, tensor.requires_grad)
    return own.requires_grad_(tensor.requires_grad)


def copy_of(tensor: Tensor, twins: Twins) -> Tensor:
    """A tensor of its own on memory of its own; what shares memory does so afterwards too."""
    if is_lazy(tensor):
        return tensor
    own = tensor.detach()
    is_plain = own.layout is torch.strided and not own.is_nested
    own = copy.deepcopy(own, twins.memo) if is_plain else own.clone()
    if isinstance(tensor, _Parameter):
        own = as_subclass(type(tensor), own, tensor.requires_grad)
    own.requires_grad_(tensor.requires_grad)
    if tensor.is_leaf and tensor.grad is not None:
        own.grad = twins.of(tensor.grad)
    return own


def meta_of(tensor: Tensor, twins: Twins) -> Tensor:
    """A tensor without memory."""
    if is_lazy(tensor):
        return tensor
    own: Tensor = (
        tensor.detach().to("meta")
        if tensor.layout != torch.strided
        else torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    )
    if isinstance(tensor, _Parameter):
        own = as_subclass(_Parameter, own, tensor.requires_grad)
    return own.requires_grad_(tensor.requires_grad)


def _tensor(twins: Twins, tensor: Tensor) -> Tensor:
    own = twins.own_tensor(tensor, twins)
    twins.keep_tensor(tensor, own)
    if tensor.__dict__ and own is not tensor:
        own.__dict__.update(twins.of(tensor.__dict__))
    return own


def _module(twins: Twins, module: nn.Module) -> nn.Module:
    kind = type(module)
    twin = twins.memo[id(module)] = _new(kind)
    twins.classes.add(kind)
    state, shared, of = module.__dict__, twins.shared_tables, twins.of
    parts = state[MODULES]
    light = None if shared is None else shared.lightened(state, twins)
    own = state.copy() if light is None else light
    _set_attribute(twin, "__dict__", own)
    if shared is not None and light is not None and shared.has_only_unchanging(kind, light):
        if parts:
            own[MODULES] = twins.table(parts)
        return twin
    own.pop(COMPILED_CALL, None)  # what was compiled in place runs as it was written
    own[MODULES] = None
    for name, value in own.items():
        kind = type(value)
        if kind in LIGHT or (kind is tuple and UNCHANGING.issuperset(map(type, value))):
            continue
        if kind is OrderedDict and not value:  # most of a module's tables of hooks
            own[name] = OrderedDict()
        elif kind is dict and name in TABLES:
            own[name] = twins.table(value)
        else:
            own[name] = of(value)
    own[MODULES] = twins.table(parts)
    return twin


def _script(twins: Twins, module: torch.jit.ScriptModule) -> Any:
    """The twin of a scripted or traced module, whose state is not Python's."""
    with _OwnClones(twins), torch.no_grad():
        twin = copy.deepcopy(module)
    for part, own_part in zip(module.modules(), twin.modules(), strict=True):
        twins.keep(part, own_part)
    tensors, copies = (*module.parameters(), *module.buffers()), (*twin.parameters(), *twin.buffers())
    for tensor, own in zip(tensors, copies, strict=True):
        twins.keep_tensor(tensor, own)
        own.requires_grad_(tensor.requires_grad)
    return twin


def _dict(twins: Twins, value: dict[Any, Any]) -> dict[Any, Any]:
    twin: dict[Any, Any] = twins.keep(value, {})
    of = twins.of
    for key, item in value.items():
        twin[key if type(key) is str else of(key)] = item if type(item) in UNCHANGING else of(item)
    return twin


def _ordered_dict(twins: Twins, value: OrderedDict[Any, Any]) -> Any:
    return _filled(twins, value, twins.keep(value, OrderedDict()))


def _default_dict(twins: Twins, value: Any) -> Any:
    twin = twins.keep(value, defaultdict())
    twin.default_factory = twins.of(value.default_factory)
    return _filled(twins, value, twin)


def _filled(twins: Twins, value: dict[Any, Any], twin: Any) -> Any:
    for key, item in value.items():
        twin[twins.of(key)] = twins.of(item)
    return twin


def _list(twins: Twins, value: list[Any]) -> list[Any]:
    twin: list[Any] = twins.keep(value, [])
    twin.extend([item if type(item) in UNCHANGING else twins.of(item) for item in value])
    return twin


def _set(twins: Twins, value: set[Any]) -> set[Any]:
    twin: set[Any] = twins.keep(value, set())
    twin.update([twins.of(item) for item in value])
    return twin


def _tuple(twins: Twins, value: tuple[Any, ...]) -> Any:
    if UNCHANGING.issuperset(map(type, value)):
        return value
    twin = tuple([twins.of(item) for item in value])
    return twins.memo.get(id(value)) or twins.keep(value, twin)  # a tuple in one of its own items is made there


def _frozen_set(twins: Twins, value: frozenset[Any]) -> Any:
    return value if UNCHANGING.issuperset(map(type, value)) else twins.keep(value, frozenset(map(twins.of, value)))


def _function(twins: Twins, function: types.FunctionType) -> types.FunctionType:
    """A function that does not belong to a module has its own closure, default values and attributes."""
    cells = function.__closure__ or ()
    if not (cells or function.__defaults__ or function.__kwdefaults__ or function.__dict__) or _is_global(function):
        return function
    new = [cell for cell in cells if id(cell) not in twins.memo]
    for cell in new:
        twins.keep(cell, types.CellType())
    closure = tuple([twins.memo[id(cell)] for cell in cells])
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, closure or None)
    twins.keep(function, twin)  # before its closure is filled, in which it may stand itself
    for cell in new:
        with suppress(ValueError):  # an empty one
            twins.memo[id(cell)].cell_contents = twins.of(cell.cell_contents)
    twin.__defaults__, twin.__kwdefaults__ = twins.of(function.__defaults__), twins.of(function.__kwdefaults__)
    twin.__dict__.update(twins.of(function.__dict__))
    twin.__qualname__, twin.__module__, twin.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return twin


def _is_global(function: types.FunctionType) -> bool:
    return getattr(sys.modules.get(function.__module__), function.__qualname__, None) is function


def _method(twins: Twins, method: types.MethodType) -> types.MethodType:
    return types.MethodType(twins.of(method.__func__), twins.of(method.__self__))


def _builtin(twins: Twins, function: types.BuiltinFunctionType) -> Any:
    """A builtin function, or one bound to an object such as `items.append`."""
    owner = function.__self__
    own = twins.of(owner)
    return function if own is owner else getattr(own, function.__name__)


def _weak_reference(twins: Twins, reference: Any) -> Any:
    found = reference()
    twins.alive.append(found)
    return reference if found is None else twins.keep(reference, weakref.ref(twins.of(found)))


def _cached_function(twins: Twins, function: Any) -> Any:
    """A function with an empty cache."""
    return twins.keep(function, functools.lru_cache(**function.cache_parameters())(twins.of(function.__wrapped__)))


def _generator(twins: Twins, generator: torch.Generator) -> Any:
    return twins.keep(generator, generator.clone_state())


def _shared(twins: Twins, value: Any) -> Any:
    return value


def _by_own_rule(twins: Twins, value: Any) -> Any:
    """The twin of an object whose class says how it is copied."""
    memo = dict(twins.memo)
    with _OwnTensors(twins), warnings.catch_warnings(action="ignore"):
        return twins.keep(value, value.__deepcopy__(memo))


def _object(twins: Twins, value: Any) -> Any:
    """The twin of an object, made as pickle would make it; what cannot be made so is shared, or refuses to be used."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return _remade(twins, value)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        changes_with_use = hasattr(value, "__next__") or isinstance(value, io.IOBase)
        return twins.keep(value, _NotCopied(type(value)) if changes_with_use else value)


def _remade(twins: Twins, value: Any) -> Any:
    reduced: Any = value.__reduce_ex__(4)
    twins.alive.append(reduced)
    if isinstance(reduced, str):  # the name of a global
        return value
    make, args, state, items, pairs = (*reduced, None, None, None)[:5]
    twin = twins.keep(value, make(*[twins.of(arg) for arg in args]))
    if state is not None:
        _give_state(twin, twins.of(state))
    for item in items or ():
        twin.append(twins.of(item))
    for key, item in pairs or ():
        twin[twins.of(key)] = twins.of(item)
    return twin


def _give_state(twin: Any, state: Any) -> None:
    if hasattr(twin, "__setstate__"):
        twin.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        twin.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(twin, name, value)


class _NotCopied:
    """Stands in a twin for what changes with use and cannot be copied, such as a generator or an open file."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def _refuse(self, *_: Any) -> Any:
        raise CostError(
            f"the model uses a {self._kind.__name__!r} object, which cannot be copied, and only a copy is run: "
            "a list, or an object that can be pickled, is accepted"
        )

    __iter__ = __next__ = __getattr__ = __enter__ = _refuse


class _OwnTensors(TorchFunctionMode):
    """Gives the twin of a tensor where code that is not ours copies one."""

    def __init__(self, twins: Twins) -> None:
        super().__init__()
        self._twins = twins

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.__deepcopy__, Tensor.clone):
            return self._twins.of(args[0])
        return func(*args, **(kwargs or {}))


class _OwnClones(TorchDispatchMode):
    """Gives the twin of a tensor where code that is not Python copies one."""

    def __init__(self, twins: Twins) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._twins = twins

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.clone.default:
            return self._twins.own_tensor(args[0], self._twins)
        return func(*args, **(kwargs or {}))


_MAKERS: dict[type, Maker] = {
    dict: _dict,
    OrderedDict: _ordered_dict,
    defaultdict: _default_dict,
    list: _list,
    set: _set,
    tuple: _tuple,
    frozenset: _frozen_set,
    types.FunctionType: _function,
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    weakref.ref: _weak_reference,
    functools._lru_cache_wrapper: _cached_function,
    torch.Generator: _generator,
}


def _maker_of(kind: type) -> Maker:
    """How the twins of values of a type are made that stands in no table."""
    if issubclass(kind, torch.jit.ScriptModule):
        return _script
    for base, maker in ((nn.Module, _module), (Tensor, _tensor), (type, _shared), (Enum, _shared)):
        if issubclass(kind, base):
            return maker
    if kind.__module__.partition(".")[0] in _OUTSIDE or issubclass(kind, StorageWeakRef):
        return _shared  # a reference to memory frees it as it ends
    return _by_own_rule if hasattr(kind, "__deepcopy__") else _object
