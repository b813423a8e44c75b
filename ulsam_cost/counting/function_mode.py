"""The function mode: every torch function that the model calls, answered from shapes or run on the meta device."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ulsam_cost.counting.fast import FAST
from ulsam_cost.counting.functions import (
    EXITS,
    FILLED,
    INDICES,
    LOOKS,
    MOVES,
    OPEN,
    PLAIN,
    READERS,
    RECURRENT,
    VIEWS,
    VIEWS_IF_IN_ORDER,
    WHERE,
    plain_name,
)
from ulsam_cost.counting.higher_order import FOLLOWED, all_scores, attended, with_plain_scores
from ulsam_cost.counting.leaf_answers import LeafAnswers
from ulsam_cost.counting.memo import MISSED, Call, Memo, is_pure
from ulsam_cost.counting.meta_tensors import NO_TENSOR, MetaTensors
from ulsam_cost.counting.recorder import RESHAPED, Recorder
from ulsam_cost.counting.rules import RULES, Rule, name_of, operands_of
from ulsam_cost.counting.rules.attention import attention as attention_rule
from ulsam_cost.counting.rules.backward import attention_backward
from ulsam_cost.counting.scope import UNANSWERED, Scope, no_answer
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import first_tensor, is_plain, shape_of, tensors_of
from ulsam_cost.torch_private import (
    CHECKPOINTED,
    HigherOrderOperator,
    OpOverloadPacket,
    assert_function,
    current_autograd_node,
    current_transform,
    qualified_name,
    storage_key,
    without_dispatch,
    without_functions,
)

is_grad_enabled = torch.is_grad_enabled

Way = Callable[["FunctionMode", Any, tuple[Any, ...], dict[str, Any]], Any]


class FunctionMode(TorchFunctionMode):
    """Answers a torch function from the shapes of its operands, or runs it under its name.

    `answer_leaf` answers for whole leaves of the model.
    """

    def __init__(self, scope: Scope, record: Recorder, tensors: MetaTensors, *, fast: bool, values: bool) -> None:
        self._scope, self._record, self._tensors, self._fast, self._values = scope, record, tensors, fast, values
        self._no_functions = without_functions()
        self._memo = Memo(record, tensors)
        self.answer_leaf = LeafAnswers(scope, record, tensors, self._memo).answer if fast else no_answer
        self._ways: dict[Any, Way] = {}  # of functions that were called; bound methods would keep the run alive

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        way = self._ways.get(func)
        if way is None:
            way = self._ways[func] = self._way_of(func)
        return way(self, func, args, kwargs or {})

    def _way_of(self, func: Any) -> Way:
        if func in PLAIN:
            return FunctionMode._run_plainly
        if func in WHERE:
            return FunctionMode._run_plainly if self._values else FunctionMode._tell_where
        if func in MOVES and not self._values:
            return FunctionMode._move
        return self._usual_way_of(func)

    def _usual_way_of(self, func: Any) -> Way:
        if func is assert_function:
            return FunctionMode._assert
        if not self._fast or func in OPEN or func in FILLED:
            return FunctionMode._run_entry
        if func in VIEWS or func in VIEWS_IF_IN_ORDER or func is Tensor.__getitem__:
            return FunctionMode._view
        return FunctionMode._run_or_repeat if is_pure(func) else FunctionMode._run_entry

    def _run_or_repeat(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a function, or run it and remember what it did."""
        if is_grad_enabled() or current_transform() is not None:
            return self._run_entry(func, args, kwargs)
        call = self._memo.call_of(func, args, kwargs)
        if call is None:
            return self._run_entry(func, args, kwargs)
        result = self._answer(call, func, args, kwargs)
        return self._memo.run(call, self._run_entry, func, args, kwargs) if result is UNANSWERED else result

    def _run_plainly(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)

    def _assert(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = self._run_plainly if args and type(args[0]) is bool else self._run_entry
        return run(func, args, kwargs)

    def _run_entry(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function, as a whole where its entry of the fast path says so."""
        self._tensors.last = NO_TENSOR  # it may change its shape in place
        entry = FAST.get(func)
        if entry is None:
            return self._call(func, args, kwargs)
        name = _named(plain_name(func), args, kwargs)
        if not entry.whole or _is_transformed() or not all(map(is_plain, tensors_of(args, kwargs))):
            return self._run(func, name, args, kwargs)
        return self._run_whole(func, name, entry.rule, args, kwargs, in_order=entry.in_order)

    def _answer(self, call: Call, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function gives without running, recorded, or UNANSWERED."""
        result = self._memo.again(call, func, args, kwargs)
        return self._memo.infer(call, func, args, kwargs) if result is MISSED else result

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(function, HigherOrderOperator):
            return self._run_higher(function, args, kwargs)
        name = plain_name(function)
        if name == "__get__":
            return self._get_property(function, args, kwargs)
        if function in READERS and not self._values:
            return self._read(function, name, args, kwargs)
        if function in EXITS:
            self._record.without_rule(f"Tensor.{name}", [args[0]], [])
        if function in FILLED and not self._values and args and args[0].is_meta and not _is_transformed():
            blank = self._tensors.blank(args[0], of_its_shape=FILLED[function])
            args = args if blank is None else (blank, *args[1:])
        if function in OPEN:
            return self._run_open(function, args, kwargs)
        return self._run_named(function, name, args, kwargs)

    def _run_named(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        packet = getattr(function, "overloadpacket", function)
        if not isinstance(packet, OpOverloadPacket):
            return self._run(function, _named(name, args, kwargs), args, kwargs)
        if packet in RULES and not qualified_name(packet).startswith("aten::"):
            return self._run_whole(function, name_of(packet), RULES[packet], args, kwargs)
        return self._run(function, name_of(packet), args, kwargs)

    def _view(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not args or not isinstance(args[0], Tensor) or not args[0].is_meta or _is_transformed():
            return self._run_entry(func, args, kwargs)
        if func is Tensor.__getitem__ and not _is_basic(args[1]):
            return self._run_or_repeat(func, args, kwargs)
        if not _has_plain_sizes(args):
            return self._run_entry(func, args, kwargs)
        if func in VIEWS_IF_IN_ORDER and (kwargs or not args[0].is_contiguous()):  # there may be another order to give
            return self._view_or_copy(func, args, kwargs)
        with without_dispatch():
            views = func(*args, **kwargs)
        self._tensors.alias(args[0], views)
        return views

    def _view_or_copy(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A view of an operand, or a copy of it, which is recorded: its elements have to be put in order."""
        x, record = args[0], self._record
        if not is_plain(x) or x.is_complex() or self._memo.negatives or is_grad_enabled():
            return self._run_entry(func, args, kwargs)
        with without_dispatch():
            result = func(*args, **kwargs)
        if storage_key(result.untyped_storage()) == storage_key(x.untyped_storage()):
            self._tensors.alias(x, result)
        else:
            record.operator = plain_name(func)
            record.by_rule(RULES[torch.ops.aten.clone], "aten::clone", result, (x,), {})
            record.operator = ""
        return result

    def _get_property(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        is_complex = args[0].is_complex()
        with without_dispatch() if self._fast and args[0].is_meta and not is_complex else nullcontext():
            value = function(*args, **kwargs)
        if isinstance(value, Tensor):
            self._memo.negatives = self._memo.negatives or is_complex
            self._tensors.alias(args[0], value)
        return value

    def _move(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Move a tensor to another device, which is no operation where it is there."""
        x, tensors = args[0], self._tensors
        with self._no_functions:
            if func is not Tensor.to and len(args) == 1 and not kwargs and func.__name__ == tensors.device_of(x).type:
                return x
            args = x, *(tensors.as_it_runs(arg, x) for arg in args[1:])
            if "device" in kwargs:
                kwargs = {**kwargs, "device": tensors.as_it_runs(kwargs["device"], x)}
        return self._usual_way_of(func)(self, func, args, kwargs)

    def _tell_where(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # A checkpoint that runs again compares devices with those that it took down out of sight of this mode.
        compares = current_autograd_node() is not None and sys._getframe(2).f_code.co_name == CHECKPOINTED
        with self._no_functions:
            return WHERE[func](args[0].device if compares else self._tensors.device_of(args[0]))

    def _read(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self._tensors.is_untouched(args[0]):
            self._record.refuse(f"Tensor.{name}")
        if self._tensors.known.are_given(args[0]):
            self._record.looks_at_inputs(f"Tensor.{name}")
        if function in EXITS or self._tensors.has_own_values(args[0]):  # what NumPy is given can be written to
            args = self._tensors.with_own_values(args)
        with without_dispatch():
            return function(*args, **kwargs)

    def _run_higher(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator that runs functions so that these are seen.

        Raises:
            CostError: for one that is not known.
        """
        name, follow = function.name(), FOLLOWED.get(function.name())
        if follow is not None:
            with self:
                return follow(*args, **kwargs)
        if name == "custom_function_call":  # an autograd.Function under vmap: the dispatcher shows what it does
            return function(*args, **kwargs)
        if name != "flex_attention":
            raise CostError(f"the functions that operator {name!r} runs are not counted: those of {_ACCEPTED} are")
        query, key, value, change, *_ = args
        operands = args if self._values else self._tensors.on_meta(with_plain_scores(args))
        with without_dispatch(), self._no_functions:
            with torch.no_grad():
                results = function(*operands, **kwargs)
            scores, *places = all_scores(*operands[:2])
        self._record.operator = name
        self._record.by_rule(attention_rule, name, results, (query, key, value), {})
        self._record.operator = ""
        try:
            with self:
                scores = change(scores, *places)
        except Exception:  # it takes one score at a time
            self._record.without_rule("flex_attention's score_mod", [], [])
        with without_dispatch(), self._no_functions:
            return attended(scores, operands[:3], results, self._teller(attention_backward, f"{name}_backward"))

    def _teller(self, rule: Rule, name: str) -> Callable[..., None]:
        """A function that takes down the backward pass of what runs now, given the operands of its rule."""
        scope, record = self._scope, self._record
        place = scope.path, scope.module

        def tell(*operands: Any) -> None:
            before = scope.path, scope.module, record.operator
            scope.path, scope.module, record.operator = *place, name
            try:
                record.by_rule(rule, name, None, operands, {})
            finally:
                scope.path, scope.module, record.operator = before

        return tell

    def _run_open(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function that is written in Python so that the functions which it calls are seen one by one."""
        args, kwargs = self._prepared(function, args, kwargs)
        with self:
            return seen_through(function)(*args, **kwargs)

    def _run(self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function; what the dispatcher shows of it is recorded under its name."""
        given = args[0] if args else None
        args, kwargs = self._prepared(function, args, kwargs)
        record, first = self._record, len(self._record.ops)
        record.operator = name
        try:
            result = function(*args, **kwargs)
        finally:
            record.operator = ""
        if isinstance(given, Tensor) and given is not args[0] and shape_of(given) != shape_of(args[0]):
            what = function.__self__.__name__ if name == "__set__" else name
            record.refuse(f"Tensor.{what}", RESHAPED)
        if isinstance(result, Tensor) and len(record.ops) > first and not result.is_nested:
            record.give_shape(first, tuple(result.shape), result.numel())
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
        args, kwargs = self._prepared(function, args, kwargs)
        record = self._record
        record.muted = True
        try:
            result = function(*args, **kwargs)
            if in_order and not self._values:
                result = in_order_of(first_tensor((args, kwargs)), result)
        finally:
            record.muted = False
        record.operator = name
        packet = getattr(function, "overloadpacket", function)
        is_operator = isinstance(packet, OpOverloadPacket)
        operator = qualified_name(packet) if is_operator else f"aten::{getattr(function, '__name__', name)}"
        record.by_rule(rule, operator, result, args, operands_of(kwargs))
        record.operator = ""
        return self._made(result)

    def _prepared(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._values:
            return args, kwargs
        tensors = self._tensors
        if "device" in kwargs and function not in MOVES:
            kwargs = {**kwargs, "device": tensors.as_it_runs(kwargs["device"])}
        tensors.computes = tensors.are_known(args, kwargs)
        if tensors.computes:
            return tensors.with_own_values(args), tensors.with_own_values(kwargs)
        if function in RECURRENT and isinstance(args[1], Tensor) and not args[1].is_floating_point():
            # The second operand says how the sequence is packed, and is looked at.
            first, second = tensors.on_meta(args[0]), tensors.on_meta_unless_known(args[1])
            return (first, second, *tensors.on_meta(args[2:])), tensors.on_meta(kwargs)
        looks = function in LOOKS or isinstance(function, OpOverloadPacket)
        place = tensors.on_meta_unless_known if looks else tensors.on_meta_save_numbers
        return place(args), place(kwargs)

    def _made(self, result: Any) -> Any:
        if not self._values:
            for tensor in (result,) if isinstance(result, Tensor) else tensors_of(result):
                if not tensor.is_meta:
                    self._tensors.known.keep(tensor)
        return result


_ACCEPTED = "torch.cond, while_loop, map, scan and flex_attention"


def seen_through(function: Any) -> FunctionType:
    """A function that is written in Python, which tells no mode that it is called."""
    names = {**function.__globals__, "has_torch_function": lambda *_: False}
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def _is_transformed() -> bool:
    """Whether vmap or the like hides dimensions of the tensors that a function sees."""
    return current_transform() is not None


def _has_plain_sizes(args: tuple[Any, ...]) -> bool:
    """Whether no operand but the first is a tensor, whose value would be read unseen."""
    for arg in args[1:]:
        if isinstance(arg, Tensor) or (isinstance(arg, tuple | list) and Tensor in map(type, arg)):
            return False
    return True


def _is_basic(index: Any) -> bool:
    """Whether an index gives a view: it holds whole numbers, slices, None and `...`."""
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in INDICES or (type(part) is slice and _is_plain_slice(part)) for part in parts)


def _is_plain_slice(part: slice) -> bool:
    return {type(part.start), type(part.stop), type(part.step)} <= {int, type(None)}


def in_order_of(x: Tensor, result: Tensor) -> Tensor:
    """The result with its dimensions in the order in memory that those of `x` have."""
    if x.is_contiguous() or x.dim() != result.dim():
        return result
    order = sorted(range(x.dim()), key=x.stride, reverse=True)
    inverse = sorted(range(x.dim()), key=order.__getitem__)
    return result.permute(order).contiguous().permute(inverse)


def _named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A function's name as far as tools tell it: a convolution's padding given by a word, a product with a vector."""
    if name.startswith("conv"):
        padding = kwargs.get("padding", args[4] if len(args) > 4 else 0)
        return f"{name}:{padding}" if isinstance(padding, str) else name
    operands = (*args, *(kwargs[key] for key in ("input", "other") if key in kwargs))
    if name in ("matmul", "@") and len(operands) == 2 and operands[1].dim() == 1:
        return f"{name}:dot" if operands[0].dim() == 1 else f"{name}:mv"
    return name
