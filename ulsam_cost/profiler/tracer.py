"""The two nets that catch what a model does, and the record that they fill.

The upper net sees each torch function: it answers the common ones from shapes (`fast`), and lets the others
run on the meta device, with a meta stand-in for every real tensor, so that no weight and no buffer is touched.
The lower net sees every operation that the dispatcher runs, wherever it was called from: it has a rule
(`rules`), is declared free, or is reported as uncounted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from types import FunctionType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._ops import OpOverloadPacket
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ulsam_cost.cost import OpCost, OpKind
from ulsam_cost.profiler.fast import FAST, Fast
from ulsam_cost.profiler.leaves import LEAVES, has_hooks
from ulsam_cost.profiler.rules import FREE, RULES, VIEWS, Rule, first_tensor, rule_of, tensors_of
from ulsam_cost.profiler.scope import UNANSWERED, NamedModules, Scope
from ulsam_cost.profiler.standins import META, MOST_CONSTANT, StandIns

aten = torch.ops.aten
Shapes = tuple[tuple[int, ...], ...]

# Functions that read values: a tensor that nothing has written to may be asked.
READERS = frozenset(
    {
        Tensor.item,
        Tensor.tolist,
        Tensor.numpy,
        Tensor.__array__,
        Tensor.__bool__,
        Tensor.__int__,
        Tensor.__float__,
        Tensor.__index__,
        Tensor.__contains__,
    }
)
# Functions whose plain names tools give to others: nn.functional's, or the operators * and + and @.
SPELLINGS = {
    torch.mul: "torch.mul",
    torch.add: "torch.add",
    Tensor.matmul: "@",
    torch.relu: "torch.relu",
    Tensor.relu: "torch.relu",
    torch.softmax: "torch.softmax",
    Tensor.softmax: "torch.softmax",
}
# Kernels that tools tell from the function that called them.
KERNELS = frozenset({"mv", "dot", "vdot", "addmv"})
# Functions of a tensor's shape.
PLAIN = frozenset({Tensor.dim, Tensor.size, Tensor.numel, Tensor.ndimension, Tensor.stride, Tensor.is_floating_point})


class NeedsValuesError(RuntimeError):
    """The run depends on values, which no meta tensor has."""


class Tracer:
    """The state of one run: where it is, what was recorded, which tensors stand for which.

    Args:
        modules: of the model, with their names.
        fast: whether the common functions are answered from shapes.
        values: whether the run is a real one, on real tensors.
        gradients: whether stand-ins require gradients where what they stand for does.
    """

    def __init__(self, modules: NamedModules, *, fast: bool, values: bool = False, gradients: bool = False) -> None:
        self.scope = Scope(modules, self._answer_leaf)
        self.tensors = StandIns(modules, gradients=gradients)
        self.values = values
        self.needs: str = ""  # the operation that asked for values which are not there
        self.ops: list[OpCost] = []
        self.uncounted: Counter[tuple[str, str, Shapes, Shapes]] = Counter()
        self._fast = fast and not values and not gradients
        self._operator = ""  # the torch function that runs, for the operations that the dispatcher shows
        self._muted = False
        self._function_net, self._dispatch_net = _FunctionNet(self), _DispatchNet(self)
        self._no_functions = torch._C.DisableTorchFunction()

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the model in both nets."""
        if not self.values:
            args, kwargs = self.tensors.on_meta(args), self.tensors.on_meta(kwargs)
        with self.scope, self._dispatch_net, self._function_net:
            return model(*args, **kwargs)

    def __call__(
        self,
        kind: OpKind,
        output: Sequence[int],
        *,
        reads: int,
        macs: int = 0,
        reduction: int = 1,
        params: Iterable[Any] = (),
    ) -> None:
        """Record an operation: what the rules call."""
        self._append(kind, output, reads, prod(output), macs, reduction, params)

    def bias(self, output: Sequence[int], bias: Any) -> None:
        """Record the addition of a bias; the product that it belongs to has written the result."""
        if bias is not None:
            self._append(OpKind.BIAS, output, bias.numel(), 0, 0, 1, (bias,))

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model or a view of one."""
        return self.tensors.is_parameter(tensor)

    def _append(
        self,
        kind: OpKind,
        output: Sequence[int],
        reads: int,
        writes: int,
        macs: int,
        reduction: int,
        params: Iterable[Any],
    ) -> None:
        scope = self.scope
        self.ops.append(
            OpCost(
                path=scope.path,
                kind=kind,
                operator=self._operator,
                output=tuple(output),
                macs=macs,
                reads=reads,
                writes=writes,
                params=self.tensors.claim(params),
                reduction=reduction,
                module=scope.module,
            )
        )

    # The upper net

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a torch function from shapes, or run it."""
        entry = FAST.get(function)
        if entry is not None:
            if self._fast:
                result = self._answer(entry, args, kwargs)
                if result is not UNANSWERED:
                    return result
            name = _named(entry.operator, args, kwargs)
            if not entry.whole or _is_transformed():
                return self._run_function(function, name, args, kwargs)
            return self._run_whole(function, name, entry.rule, args, kwargs, in_order=entry.in_order)
        return function(*args, **kwargs) if function in PLAIN else self._call_other(function, args, kwargs)

    def _call_other(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = str(SPELLINGS.get(function) or getattr(function, "__name__", function))
        if name == "__get__":
            return self._get_property(function, args, kwargs)
        if function in READERS and not self.values:
            return self._read(function, name, args, kwargs)
        if function is F.multi_head_attention_forward:
            return self._run_open(function, args, kwargs)
        packet = getattr(function, "overloadpacket", function)
        if not isinstance(packet, OpOverloadPacket):
            return self._run_function(function, _named(name, args, kwargs), args, kwargs)
        if packet in RULES and not packet._qualified_op_name.startswith("aten::"):
            return self._run_whole(function, packet.__name__, RULES[packet], args, kwargs)
        return self._run_function(function, packet.__name__, args, kwargs)

    def _answer(self, entry: Fast, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if torch.is_grad_enabled() or _is_transformed() or not _has_meta(args):
            return UNANSWERED
        try:
            shape = entry.shape(*args, **kwargs)
        except TypeError:  # operands under names that the entry does not know
            return UNANSWERED
        if shape is None:
            return UNANSWERED
        if entry.in_place is not None and entry.in_place(*args, **kwargs):
            result = args[0]
            if not result.is_meta:
                return UNANSWERED
        else:
            with torch._C._DisableTorchDispatch():
                result = torch.empty(shape, dtype=args[entry.dtype_of].dtype, device=META)
                if entry.in_order:
                    result = in_order_of(args[0], result)
        self._operator = entry.operator
        entry.rule(self, result, *args, **kwargs)
        self._operator = ""
        return result

    def _answer_leaf(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        leaf = LEAVES.get(type(module))
        if leaf is None or not self._fast or len(args) != 1 or not isinstance(args[0], Tensor) or has_hooks(module):
            return UNANSWERED
        with self._no_functions:
            arguments = leaf.arguments(module, args[0])
            return UNANSWERED if arguments is None else self._answer(leaf.entry, arguments, {})

    def _read(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.tensors.is_untouched(args[0]):
            self._refuse(f"Tensor.{name}")
        with torch._C._DisableTorchDispatch():
            return function(*args, **kwargs)

    def _refuse(self, operation: str) -> NoReturn:
        self.needs = operation
        raise NeedsValuesError(f"{operation} depends on values, and tensors on the meta device have none")

    def _get_property(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = function(*args, **kwargs)
        if isinstance(value, Tensor):
            self.tensors.alias(args[0], value)
        return value

    def _run_open(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function that is written in Python so that the functions which it calls are seen one by one."""
        seen_through = {**function.__globals__, "has_torch_function": lambda *_: False}
        twin = FunctionType(
            function.__code__, seen_through, function.__name__, function.__defaults__, function.__closure__
        )
        twin.__kwdefaults__ = function.__kwdefaults__
        with self._function_net:
            return twin(*args, **kwargs)

    def _run_function(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function; what the dispatcher shows of it is recorded under its name."""
        args, kwargs = self._prepared(args, kwargs)
        first = len(self.ops)
        self._operator = name
        try:
            result = function(*args, **kwargs)
        finally:
            self._operator = ""
        if isinstance(result, Tensor) and len(self.ops) > first:
            self._give_shape(first, tuple(result.shape), result.numel())
        return self._made(result)

    def _run_whole(
        self,
        function: Any,
        name: str,
        rule: Rule,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        in_order: bool = False,
    ) -> Any:
        """Run a function that is recorded by a rule of its own, whatever the dispatcher shows."""
        args, kwargs = self._prepared(args, kwargs)
        self._muted = True
        try:
            result = function(*args, **kwargs)
            if in_order and not self.values:
                result = in_order_of(first_tensor((args, kwargs)), result)
        finally:
            self._muted = False
        self._operator = name
        rule(self, first_tensor(result), *args, **kwargs)
        self._operator = ""
        return self._made(result)

    def _prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.values or self.tensors.are_constants(args, kwargs):
            return args, kwargs
        return self.tensors.on_meta(args), self.tensors.on_meta(kwargs)

    def _made(self, result: Any) -> Any:
        if not self.values:
            self.tensors.keep_constant(result)
        return result

    def _give_shape(self, first: int, shape: tuple[int, ...], elements: int) -> None:
        # The dispatcher may show a function's product with its rows folded: the function's own shape is meant.
        for index in range(first, len(self.ops)):
            op = self.ops[index]
            if op.output != shape and op.elements == elements:
                self.ops[index] = replace(op, output=shape)

    # The lower net

    def dispatch(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation of the dispatcher's, on meta tensors unless the run is real, and record it."""
        packet = operator.overloadpacket
        rule = rule_of(operator)
        if rule is None and packet not in FREE:
            with self._dispatch_net:
                result = operator.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if not self.values:
            args, kwargs = self._without_values(operator, args, kwargs)
        out = operator(*args, **kwargs)
        if not self._muted:
            self._observe(packet, rule, args, kwargs, out)
        return out

    def _without_values(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments on the meta device, save where small constants of the run are all that there is."""
        random = torch.Tag.nondeterministic_seeded in operator.tags
        if random or operator._schema.is_mutable:
            self.tensors.forget_constants(args, made_here=random)
        if self.tensors.are_constants(args, kwargs):
            if random or ("device" in kwargs and next(tensors_of(args), None) is None):
                kwargs = _small_or_meta(operator, args, kwargs, random=random)
            return args, kwargs
        self._refuse_values(operator, args)
        return self.tensors.on_meta(args), _meta_options(self.tensors.on_meta(kwargs))

    def _refuse_values(self, operator: Any, args: tuple[Any, ...]) -> None:
        tags = operator.tags
        if torch.Tag.dynamic_output_shape not in tags and torch.Tag.data_dependent_output not in tags:
            return
        if operator.overloadpacket is aten.index and not any(
            tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_of(args[1])
        ):
            return
        self._refuse(f"aten::{operator.overloadpacket.__name__}")

    def _observe(self, packet: Any, rule: Rule | None, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        if packet in FREE:
            if packet in VIEWS and args:
                self.tensors.alias(args[0], out)
            return
        name = packet.__name__
        if rule is None:
            shapes = tuple(tuple(tensor.shape) for tensor in tensors_of(args, kwargs))
            results = tuple(tuple(tensor.shape) for tensor in tensors_of(out))
            self.uncounted[(packet._qualified_op_name, self.scope.path, shapes, results)] += 1
            return
        operator = self._operator
        self._operator = f"{operator}:{name}" if operator and name in KERNELS and operator != name else operator or name
        rule(self, first_tensor(out), *args, **kwargs)
        self._operator = operator


def _is_transformed() -> bool:
    """Whether vmap or the like hides dimensions of the tensors that a function sees."""
    return torch._C._functorch.maybe_current_level() is not None


def _has_meta(args: tuple[Any, ...]) -> bool:
    """Whether an operand of the first two is on the meta device: constants of the run are not answered for."""
    return bool(args) and (args[0].is_meta or (len(args) > 1 and isinstance(args[1], Tensor) and args[1].is_meta))


def in_order_of(x: Tensor, result: Tensor) -> Tensor:
    """The result with its dimensions in the order in memory that those of `x` have."""
    if x.is_contiguous() or x.dim() != result.dim():
        return result
    order = sorted(range(x.dim()), key=x.stride, reverse=True)
    inverse = sorted(range(x.dim()), key=order.__getitem__)
    return result.permute(order).contiguous().permute(inverse)


def _meta_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    options = dict(kwargs)
    if options.get("device") is not None:
        options["device"] = META
    if options.get("generator") is not None:
        options["generator"] = None
    return options


def _small_or_meta(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, random: bool) -> dict[str, Any]:
    """The options of a tensor that the run makes of nothing: it keeps its values if it is small and not random."""
    on_meta = _meta_options({**kwargs, "device": META})
    return kwargs if not random and operator(*args, **on_meta).numel() <= MOST_CONSTANT else on_meta


def _named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A function's name as far as tools tell it: a convolution's padding given by a word, a product with a vector."""
    if name.startswith("conv"):
        padding = kwargs.get("padding", args[4] if len(args) > 4 else 0)
        return f"{name}:{padding}" if isinstance(padding, str) else name
    if name in ("matmul", "@") and len(args) == 2 and args[1].dim() == 1:
        return f"{name}:dot" if args[0].dim() == 1 else f"{name}:mv"
    return name


class _FunctionNet(TorchFunctionMode):
    """Sees every torch function that the model calls."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tracer.call(func, args, kwargs or {})


class _DispatchNet(TorchDispatchMode):
    """Sees every operation that the dispatcher runs."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return self._tracer.dispatch(func, args, kwargs or {})
