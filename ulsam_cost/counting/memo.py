"""What functions did earlier in the run: one that is called again on operands of the same kinds is not run again.

A function that PyTorch itself defines does the same on all meta tensors of the same shapes, strides and dtypes, and
its rules record the same of it. What it recorded and what its results look like is kept under these, and whatever is
not certain to be the same is not kept: then the function runs.
"""

from collections.abc import Callable, Iterable, Sequence
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ulsam_cost.cost import OpCost
from ulsam_cost.counting.fast import FAST, Fast
from ulsam_cost.counting.functions import LOOKS, RECURRENT, plain_name
from ulsam_cost.counting.kinds import TensorKind, forget_kinds, kind_of
from ulsam_cost.counting.meta_tensors import MetaTensors
from ulsam_cost.counting.recorder import Again, Recorder
from ulsam_cost.counting.scope import UNANSWERED
from ulsam_cost.tensors import tensors_of
from ulsam_cost.torch_private import TENSOR_METHODS, OpOverloadPacket, qualified_name, storage_key, without_dispatch

default_dtype = torch.get_default_dtype
MISSED: Any = object()
# What is written in Python and has no effect but its result; a user's own function may have others.
_PURE_MODULES = frozenset({"torch.nn.functional", "torch.functional", TENSOR_METHODS})
_BUILT_IN = frozenset({BuiltinFunctionType, MethodDescriptorType})
# What gives its operand itself where there is nothing to do.
_MAY_BE_ITSELF = frozenset({Tensor.to, Tensor.type, Tensor.type_as, Tensor.contiguous, Tensor.float, Tensor.expand_as})
_Parameter, _STRIDED = nn.Parameter, torch.strided
_SCALARS = frozenset({int, float, bool, str, torch.dtype, torch.device, torch.memory_format, torch.layout})
_COMPLEX = frozenset({torch.complex32, torch.complex64, torch.complex128})
_ROWS = frozenset({tuple, list, torch.Size})


class _UnknownKindError(Exception):
    """An operand of which it is not known what a function sees of it."""


# What a call is kept under, its tensors, and the ids of the parameters that these are.
Call = tuple[tuple[Any, ...], Sequence[Tensor], Sequence[int | None]]


class Done(NamedTuple):
    """What a call did: its operations with the operands that they charge, and how its results are made."""

    ops: tuple[Again, ...]
    results: tuple[TensorKind | int, ...]  # of which kind each is, or which of the operands it is
    gather: Callable[[list[Tensor]], Any]


answered: dict[Any, Done] = {}  # by fast paths, which do the same in all runs
_MOST_ANSWERED = 4096
_VIEW: Any = object()  # what is kept of a function that gives views of an operand


class Memo:
    """What the functions of a run did, by their operands' kinds."""

    def __init__(self, record: Recorder, tensors: MetaTensors) -> None:
        self._record, self._tensors = record, tensors
        self._parameter_of = tensors.parameters.get
        self._done: dict[Any, Any] = dict(answered)
        self.negatives = False  # whether there may be tensors that are to be read with the other sign

    def call_of(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call of a pure function, None where what it does may depend on more than its operands' kinds."""
        tensors: list[Tensor] = []
        valued: list[Tensor] = []
        key: list[Any] = [function, default_dtype()]
        try:
            self._describe(args, key, tensors, valued)
            if kwargs:
                key += kwargs
                self._describe(kwargs.values(), key, tensors, valued)
        except (_UnknownKindError, RuntimeError):  # a nested or sparse tensor has no such thing
            return None
        if len(valued) == len(tensors) or kwargs.get("out") is not None:
            return None
        if valued and (_writes(function) or any(self._looks_at(function, tensor) for tensor in valued)):
            return None
        if len(tensors) > 1:
            ids = list(map(id, tensors))
            if len(set(ids)) < len(ids):  # x * x may be another thing than x * y
                key.append(tuple(map(ids.index, ids)))
        return tuple(key), tensors, tuple(map(self._parameter_of, map(id, tensors)))

    def _describe(self, values: Iterable[Any], key: list[Any], tensors: list[Tensor], valued: list[Tensor]) -> None:
        """Add to a key what a function sees of its operands, and to the lists its tensors and those with values."""
        for value in values:
            kind = type(value)
            if kind is Tensor or kind is _Parameter:
                self._describe_tensor(value, key)
                tensors.append(value)
                if not key[-1] and not value.is_meta:
                    valued.append(value)
            elif value is None:
                key.append(None)
            elif kind in _SCALARS:
                key += (kind, value)  # 1 and 1.0 and True are one key
            elif kind in _ROWS and _SCALARS.issuperset(map(type, value)):
                key += (kind, tuple(value), *map(type, value))
            elif kind in _ROWS:
                key += (kind, len(value))
                self._describe(value, key, tensors, valued)
            elif kind is slice:
                key.append(kind)
                self._describe((value.start, value.stop, value.step), key, tensors, valued)
            elif value is ...:
                key.append(kind)
            else:
                raise _UnknownKindError

    def _describe_tensor(self, tensor: Tensor, key: list[Any]) -> None:
        dtype = tensor.dtype
        if dtype in _COMPLEX or (self.negatives and tensor.is_neg()):
            raise _UnknownKindError
        stride = None
        if not tensor.is_contiguous():
            if tensor.layout is not _STRIDED:
                raise _UnknownKindError
            stride = tensor.stride()
        key += (tensor.shape, stride, dtype, id(tensor) in self._tensors.parameters)

    def again(self, call: Call, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the call gives, recorded; MISSED where no such call was made."""
        key, tensors, owners = call
        done = self._done.get(key)
        if done is None:
            return MISSED
        if done is _VIEW:
            with without_dispatch():
                views = function(*args, **kwargs)
            self._tensors.alias(tensors[0], views)
            return views
        ops, results, gather = done
        self._record.again(ops, owners)
        if gather is _only:
            return self._new(results[0], tensors)
        return gather([self._new(made, tensors) for made in results])

    def _new(self, made: TensorKind | int, tensors: Sequence[Tensor]) -> Tensor:
        if isinstance(made, int):
            return tensors[made]
        result = made.new()
        self._tensors.last = result, made
        return result

    def run(self, call: Call, run: Callable[..., Any], *args: Any) -> Any:
        """Run a function by `run`, and keep what it did if that is certain."""
        record = self._record
        first, uncounted = len(record.ops), record.uncounted.total()
        record.charged = []
        try:
            result = run(*args)
            charged = record.charged
        finally:
            record.charged = None
        ops = record.ops[first:]
        if record.uncounted.total() == uncounted and len(charged) == len(ops):
            self._keep(call, ops, charged, result)
        return result

    def _keep(self, call: Call, ops: list[OpCost], charged: list[list[int]], result: Any) -> None:
        tensors, results = call[1], list(tensors_of(result))
        self.negatives = self.negatives or any(tensor.is_neg() for tensor in results)
        gather = _gatherer(result, results)
        if gather is None or not all(tensor.is_meta for tensor in results):
            return
        made = [self._made(call, tensor, changes=bool(ops)) for tensor in results]
        if made and not ops and all(like is _VIEW for like in made):
            self._done[call[0]] = _VIEW
        if any(like is None or like is _VIEW for like in made):
            return
        if not results and not (ops and all(tensor.is_meta for tensor in tensors)):
            return
        charges = self._places(charged, call[2])
        if charges is not None:
            self._done[call[0]] = Done(_again(ops, charges), tuple(made), gather)

    def _places(self, charged: list[list[int]], owners: Sequence[int | None]) -> list[tuple[int, ...]] | None:
        """Which of the operands each operation is charged with; None where that is not plain."""
        if not any(charged):
            return [()] * len(charged)
        known = [owner for owner in owners if owner is not None]
        if len(set(known)) < len(known) or any(owner not in known for own in charged for owner in own):
            return None
        return [tuple(map(owners.index, own)) for own in charged]

    def _made(self, call: Call, result: Tensor, *, changes: bool) -> Any:
        """The kind of a result, or which of the operands it is, or that it is a view; None: not known."""
        for at, tensor in enumerate(call[1]):
            if result is tensor:
                return at if changes or call[0][0] in _MAY_BE_ITSELF else None
            if not tensor.is_meta and result is self._tensors.on_meta(tensor):
                return None
        if type(result) is not Tensor or result.dtype.is_complex or result.layout is not _STRIDED:
            return None
        memories = [storage_key(tensor.untyped_storage()) for tensor in call[1]]
        memory = storage_key(result.untyped_storage())
        if memory in memories or self._tensors.is_parameter(result):
            return _VIEW if memory == memories[0] else None
        return kind_of(result.shape, result.dtype, None if result.is_contiguous() else result.stride())

    def infer(self, call: Call, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function gives by its entry of the fast path, recorded, or UNANSWERED."""
        entry = FAST.get(func)
        if entry is None:
            return UNANSWERED
        try:
            found = entry.infer(*args, **kwargs)
        except (AttributeError, IndexError, TypeError, ValueError):  # operands that the entry does not know
            return UNANSWERED
        if found is None:
            return UNANSWERED
        made = list(map(id, call[1])).index(id(found)) if isinstance(found, Tensor) else kind_of(*found)
        return self._answer(call, made, lambda result: self._record_entry(entry, func, result, args, kwargs))

    def _record_entry(self, entry: Fast, func: Any, result: Tensor, args: Any, kwargs: dict[str, Any]) -> None:
        """Record a function that does not run."""
        record = self._record
        record.operator = plain_name(func)
        try:
            entry.rule(record, result, *args, **kwargs)
        finally:
            record.operator = ""

    def _looks_at(self, func: Any, tensor: Tensor) -> bool:
        """Whether a function may look at the value of an operand: numbers may stand for sizes, rows for lengths."""
        if not self._tensors.known.has(tensor):
            return False
        is_row_of_lengths = func in RECURRENT and not tensor.is_floating_point()
        return not tensor.dim() or func in LOOKS or is_row_of_lengths or isinstance(func, OpOverloadPacket)

    def _answer(self, call: Call, made: TensorKind | int, record: Callable[[Tensor], None]) -> Any:
        """What a function gives that does not run: `record` takes it down. It is kept."""
        ops, result = self._record.ops, self._new(made, call[1])
        first, self._record.charged = len(ops), []
        try:
            record(result)
            charged = self._record.charged
        finally:
            self._record.charged = None
        charges = self._places(charged, call[2])
        if charges is not None:
            if len(answered) >= _MOST_ANSWERED:
                answered.clear()
            self._done[call[0]] = answered[call[0]] = Done(_again(ops[first:], charges), (made,), _only)
        return result


def forget() -> None:
    """Forget what was answered in other runs."""
    answered.clear()
    forget_kinds()


def is_pure(function: Any) -> bool:
    """Whether PyTorch defines a function: whether it does the same each time is then seen from what it did."""
    if type(function) is FunctionType:
        return function.__module__ in _PURE_MODULES
    if isinstance(function, OpOverloadPacket):
        return qualified_name(function).startswith("aten::")
    return type(function) in _BUILT_IN


def _again(ops: list[OpCost], charges: list[tuple[int, ...]]) -> tuple[Again, ...]:
    return tuple([(*op[1:7], op[8], *op[10:], charged) for op, charged in zip(ops, charges, strict=True)])


def _writes(function: Any) -> bool:
    """Whether a function writes into its first operand, by its name."""
    name = getattr(function, "__name__", "")
    return name.startswith(("__i", "__set")) or (name.endswith("_") and not name.endswith("__"))


def _only(made: list[Tensor]) -> Tensor:
    return made[0]


def _gatherer(result: Any, tensors: list[Tensor]) -> Callable[[list[Tensor]], Any] | None:
    """How a result is made of the tensors in it, None where it is more than one or a row of them."""
    if result is None:
        return lambda _: None
    if isinstance(result, Tensor):
        return _only
    if not isinstance(result, tuple | list) or len(result) != len(tensors):
        return None
    kind: Callable[[list[Tensor]], Any] = type(result)
    return kind
