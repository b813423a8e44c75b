"""Count what a real model does, operation by operation, computing nothing.

The model runs as it is, on meta tensors in place of its inputs. Two nets catch what it does. The upper one
sees each torch function: it answers the common ones from shapes (`fast`), and lets the others run on the
meta device, with a meta stand-in for every real tensor, so that no weight and no buffer is ever touched.
The lower one sees every operation that the dispatcher runs, wherever it was called from: it has a rule
(`rules`), is declared free, or is reported as uncounted.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.profiler.fast import FAST
from ulsam_cost.profiler.rules import FREE, VIEWS, first_tensor, rule_of, tensors_of
from ulsam_cost.profiler.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted:
    """An operation without a rule: where it ran, on which shapes, how often."""

    operator: str
    path: str
    shapes: tuple[tuple[int, ...], ...]
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a model's run costs, and what in it has no rule."""

    cost: Cost
    uncounted: tuple[Uncounted, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and matrix products."""
        return self.cost.macs

    @property
    def params(self) -> int:
        """Learnable scalars, each once, used or not."""
        return self.cost.params

    @property
    def activations(self) -> int:
        """Elements written by convolutions and matrix products."""
        return self.cost.activations

    def by_kind(self) -> dict[OpKind, Cost]:
        """The cost by kind of operation."""
        return self.cost.by_kind()

    def by_path(self, depth: int) -> dict[str, Cost]:
        """The cost by the first `depth` names of the module path."""
        return self.cost.by_path(depth)

    def number(self, convention: str) -> int:
        """The number under a named convention.

        Raises:
            UnknownNameError: for a convention that does not exist.
        """
        return get_convention(convention).number(self.cost)


def count(model: nn.Module, inputs: Any, *, fast: bool = True) -> Count:
    """Count a model's forward pass on inputs of these shapes.

    Args:
        model: on any device; it is left as found.
        inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments; only shapes and
            dtypes are looked at.
        fast: whether the common functions are answered from shapes; the count is the same.

    Returns:
        A Count whose paths are the names of the model's submodules.

    Raises:
        Exception: whatever the model's forward raises.
    """
    args, kwargs = _arguments(inputs)
    tracer = _Tracer(model, fast)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(tracer.scope)
        meta_args, meta_kwargs = tracer.on_meta(args), tracer.on_meta(kwargs)
        stack.enter_context(_DispatchNet(tracer))
        stack.enter_context(_FunctionNet(tracer))
        model(*meta_args, **meta_kwargs)
    return tracer.result()


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


class _Tracer:
    """The state of one count: what was recorded, and which tensors stand for which."""

    def __init__(self, model: nn.Module, fast: bool) -> None:
        self.scope = Scope(model)
        self.fast = fast
        self.operator = ""  # the torch function that runs, for the operations that the dispatcher shows
        self.ops: list[OpCost] = []
        self._uncounted: Counter[tuple[str, str, tuple[tuple[int, ...], ...]]] = Counter()
        named = {id(parameter): (name, parameter) for name, parameter in model.named_parameters()}
        self._unclaimed = {key: (name, parameter.numel()) for key, (name, parameter) in named.items()}
        self._parameter_of = {key: key for key in named}  # tensor -> the parameter that it is or views
        self._stand_ins: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # ids stay unique while their tensors live

    def __call__(
        self, kind: OpKind, out: Tensor, *, reads: int, macs: int = 0, reduction: int = 1, params: Iterable[Any] = ()
    ) -> None:
        self._append(kind, out, reads, out.numel(), macs, reduction, params)

    def bias(self, out: Tensor, bias: Any) -> None:
        """Record the addition of a bias; the product that it belongs to has written the result."""
        if bias is not None:
            self._append(OpKind.BIAS, out, bias.numel(), 0, 0, 1, (bias,))

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model or a view of one."""
        return id(tensor) in self._parameter_of

    def _append(
        self, kind: OpKind, out: Tensor, reads: int, writes: int, macs: int, reduction: int, params: Iterable[Any]
    ) -> None:
        scope = self.scope
        self.ops.append(
            OpCost(
                path=scope.path,
                kind=kind,
                operator=self.operator,
                output=tuple(out.shape),
                macs=macs,
                reads=reads,
                writes=writes,
                params=sum(map(self._claim, params)),
                reduction=reduction,
                module=scope.module,
            )
        )

    def _claim(self, tensor: Any) -> int:
        parameter = self._parameter_of.get(id(tensor))
        return self._unclaimed.pop(parameter, ("", 0))[1] if parameter is not None else 0

    def on_meta(self, value: Any) -> Any:
        """The value with a meta stand-in for every real tensor in it."""
        if isinstance(value, Tensor):
            return value if value.is_meta else self._stand_in(value)
        if isinstance(value, tuple | list):
            items = [self.on_meta(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            return {key: self.on_meta(item) for key, item in value.items()}
        return value

    def _stand_in(self, tensor: Tensor) -> Tensor:
        found = self._stand_ins.get(id(tensor))
        if found is None:
            with torch._C._DisableTorchDispatch():
                found = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
            self._kept.append(tensor)
            self._stand_ins[id(tensor)] = found
            if self.is_parameter(tensor):
                self._parameter_of[id(found)] = self._parameter_of[id(tensor)]
        return found

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a torch function from shapes, or run it on the meta device."""
        entry = FAST.get(function)
        if entry is None:
            if function.__name__ == "__get__":
                return function(*args, **kwargs)
            return self._run(function, getattr(function, "__name__", str(function)), args, kwargs)
        if self.fast:
            shape = entry.shape(*args, **kwargs)
            if shape is not None:
                self.operator = entry.operator
                result: Tensor = args[0] if entry.in_place(*args, **kwargs) else _empty(shape, args[0].dtype)
                entry.rule(self, result, *args, **kwargs)
                return result
        return self._run(function, entry.operator, args, kwargs)

    def _run(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.operator, first = name, len(self.ops)
        result = function(*self.on_meta(args), **self.on_meta(kwargs))
        if isinstance(result, Tensor) and len(self.ops) > first:
            self._give_shape(first, tuple(result.shape), result.numel())
        return result

    def _give_shape(self, first: int, shape: tuple[int, ...], elements: int) -> None:
        # The dispatcher may show a function's product with its rows folded: the function's own shape is meant.
        for index in range(first, len(self.ops)):
            op = self.ops[index]
            if op.output != shape and op.elements == elements:
                self.ops[index] = replace(op, output=shape)

    def observe(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Record an operation that the dispatcher ran."""
        packet = operator.overloadpacket
        if packet in FREE:
            if packet in VIEWS and args and self.is_parameter(args[0]):
                self._alias(self._parameter_of[id(args[0])], out)
            return
        rule = rule_of(operator)
        if rule is None:
            shapes = tuple(tuple(tensor.shape) for tensor in tensors_of(args, kwargs))
            self._uncounted[(packet.__name__, self.scope.path, shapes)] += 1
            return
        if not self.operator:
            self.operator = packet.__name__
        rule(self, first_tensor(out), *args, **kwargs)

    def _alias(self, parameter: int, out: Any) -> None:
        for view in tensors_of(out):
            self._parameter_of[id(view)] = parameter
            self._kept.append(view)

    def result(self) -> Count:
        """What was recorded, with the parameters that nothing used."""
        unused = tuple(
            OpCost(path=name.rpartition(".")[0], kind=OpKind.UNUSED, operator="", output=(), params=size)
            for name, size in self._unclaimed.values()
        )
        uncounted = tuple(
            Uncounted(operator=operator, path=path, shapes=shapes, calls=calls)
            for (operator, path, shapes), calls in self._uncounted.items()
        )
        return Count(cost=Cost(tuple(self.ops) + unused), uncounted=uncounted)


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    with torch._C._DisableTorchDispatch():
        return torch.empty(shape, dtype=dtype, device="meta")


class _FunctionNet(TorchFunctionMode):
    """Sees every torch function that the model calls."""

    def __init__(self, tracer: _Tracer) -> None:
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tracer.call(func, args, kwargs or {})


class _DispatchNet(TorchDispatchMode):
    """Sees every operation that the dispatcher runs."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = self._tracer.on_meta(args), self._tracer.on_meta(kwargs or {})
        out = func(*args, **kwargs)
        self._tracer.observe(func, args, kwargs, out)
        return out
