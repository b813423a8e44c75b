"""The dispatch mode: every operation that the dispatcher runs, wherever it was called from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ulsam_cost.counting.checks import CHECKS
from ulsam_cost.counting.meta_kernels import run_on_meta
from ulsam_cost.counting.meta_tensors import CPU, META, NO_TENSOR, MetaTensors
from ulsam_cost.counting.recorder import RESHAPED, Recorder
from ulsam_cost.counting.rules import FREE, SPARSE, VIEWS, Rule, name_of, rule_of
from ulsam_cost.counting.scope import Scope
from ulsam_cost.counting.values import (
    SHAPED,
    asks_for_values,
    looked_at_by,
    may_be_small,
    on_device,
    sizes_of_results,
    traits_of,
    written_by,
)
from ulsam_cost.tensors import is_plain, shape_of, tensors_of
from ulsam_cost.torch_private import (
    HigherOrderOperator,
    TorchDispatchMode,
    current_autograd_node,
    next_sequence_number,
    qualified_name,
    schema_of,
    sequence_number,
    without_functions,
)

UNKNOWN: Any = object()
Cloned = tuple[Any, str, int]  # a tensor, the function that ran, how many operations were recorded then
Origin = tuple[str, str, bool]  # path, torch.nn class of a layer, whether a parameter was an operand
# Kernels that tools tell from the function that called them.
KERNELS = frozenset({"mv", "dot", "vdot", "addmv"})


class DispatchMode(TorchDispatchMode):
    """Runs each operation, on meta tensors unless the run is real, and records it.

    An operation has a rule, is declared free, falls into others, or is recorded as one without a rule.
    """

    supports_higher_order_operators = True  # to refuse them

    def __init__(self, scope: Scope, record: Recorder, tensors: MetaTensors, *, values: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scope, self._record, self._tensors, self._values = scope, record, tensors, values
        self._origins: dict[int, Origin] = {}  # autograd's number of an operation -> where it ran
        self._cloned: Cloned | None = None  # by the operation before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, HigherOrderOperator):
            raise NotImplementedError(f"operator {func.name()!r} runs functions while it is compiled")
        with without_functions():
            return self._run(func, args, kwargs or {})

    def _run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._tensors.last = NO_TENSOR  # an operation may change its shape in place
        rule = rule_of(operator)
        if rule is None and operator.overloadpacket not in FREE and _are_plain(args):
            with self:
                result = operator.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = operator(*args, **kwargs) if self._values else self._without_values(operator, rule, args, kwargs)
        self._leave_out_clone(operator, args)
        with self._in_its_place(args):
            self._observe(operator.overloadpacket, rule, args, _without_results(operator, kwargs), out)
        return out

    def _leave_out_clone(self, operator: Any, args: tuple[Any, ...]) -> None:
        """Leave out what autograd copies for a backward pass that is not counted: the operand of an in-place function.

        It is a clone within that function, right before the operation.
        """
        record, before, self._cloned = self._record, self._cloned, None
        if self._tensors.follows_gradients or not args or not record.operator:
            return
        if operator.overloadpacket is torch.ops.aten.clone:
            self._cloned = args[0], record.operator, len(record.ops) + 1
            return
        is_same = before is not None and args[0] is before[0] and before[1:] == (record.operator, len(record.ops))
        if is_same and traits_of(operator).writes:
            record.ops.pop()

    @contextmanager
    def _in_its_place(self, args: tuple[Any, ...]) -> Iterator[None]:
        """Record an operation of the backward where that of the forward ran; remember where those ran."""
        scope, record = self._scope, self._record
        node = current_autograd_node()
        if torch.is_grad_enabled() or node is None:
            if torch.is_grad_enabled():
                learned = any(self._tensors.is_parameter(tensor) for tensor in tensors_of(args))
                number = next_sequence_number() - 1  # an operation without a gradient adds none
                self._origins.setdefault(number, (scope.path, scope.module, learned))
            yield
            return
        before = scope.path, scope.module, record.learned, record.operator
        path, module, learned = self._origins.get(sequence_number(node), before[:3])
        scope.path, scope.module, record.learned, record.operator = path, module, learned, ""
        try:
            yield
        finally:
            scope.path, scope.module, record.learned, record.operator = before

    def _without_values(self, operator: Any, rule: Rule | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result on the meta device, save where tensors whose values are known are all that there is."""
        tensors, traits = self._tensors, traits_of(operator)
        written = written_by(operator, args, kwargs) if traits.writes else ()
        if not traits.is_random and tensors.are_known(args, kwargs) and tensors.are_of_the_run(written):
            out = self._computed(operator, rule, args, kwargs)
            if out is not UNKNOWN:
                return out
        for tensor in written:  # with what is not known
            tensors.known.forget(tensor)
        if asks_for_values(operator, args):
            return self._shaped(operator, args)
        args, kwargs = tensors.on_meta(args), on_device(tensors.on_meta(kwargs), META)
        check = CHECKS.get(operator.overloadpacket)
        if check is not None:
            check(*args, **kwargs)
        out = run_on_meta(operator, args, kwargs)
        if any(shape_of(tensor) != shape_of(tensors.on_meta(tensor)) for tensor in written):
            self._record.refuse(f"Tensor.{name_of(operator.overloadpacket)}", RESHAPED)
        return out

    def _computed(self, operator: Any, rule: Rule | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operation on tensors whose values are known, UNKNOWN where it is not computed."""
        tensors, known = self._tensors, self._tensors.known
        if kwargs.get("device") == META and not tensors.computes and next(tensors_of(args, kwargs), None) is None:
            return UNKNOWN  # made of nothing, and by a function that has operands without values
        if not (may_be_small(operator, rule, args) or known.have_room_for(*sizes_of_results(operator, args, kwargs))):
            return UNKNOWN
        try:
            out = operator(*tensors.with_own_values(args), **on_device(tensors.with_own_values(kwargs), CPU))
        except Exception:  # it may run on the meta device, which does not look at values
            return UNKNOWN
        given = known.are_given(args, kwargs)
        if given and asks_for_values(operator, args):
            self._record.looks_at_inputs(f"aten::{operator.overloadpacket.__name__}")
        return tensors.with_known_results(out, given=given)

    def _shaped(self, operator: Any, args: tuple[Any, ...]) -> Any:
        """The result on the meta device of an operation that asks for the values of some of its operands.

        Raises:
            NeedsValuesError: where these are not known.
        """
        packet = operator.overloadpacket
        shape = SHAPED.get(packet)
        if shape is None or not self._tensors.are_known(looked_at_by(operator, args)):
            self._record.refuse(f"aten::{packet.__name__}")
        if self._tensors.known.are_given(looked_at_by(operator, args)):
            self._record.looks_at_inputs(f"aten::{packet.__name__}")
        return shape(self._tensors, *args)

    def _observe(self, packet: Any, rule: Rule | None, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        record = self._record
        if packet in FREE:
            if packet in VIEWS and args:
                self._tensors.alias(args[0], out)
            return
        if record.muted:
            return
        if not _are_plain(args, out):
            rule = self._rule_of_sparse(packet, args, out)
        if rule is None:
            record.without_rule(qualified_name(packet), tensors_of(args, kwargs), tensors_of(out))
        else:
            function, kernel = record.operator, name_of(packet)
            record.operator = f"{function}:{kernel}" if function and kernel in KERNELS else function or kernel
            record.by_rule(rule, qualified_name(packet), out, args, kwargs)
            record.operator = function

    def _rule_of_sparse(self, packet: Any, *tensors: Any) -> Rule | None:
        """The rule of an operation on tensors that are not plain; what a sparse one stores is known for real only."""
        if any(tensor.is_nested for tensor in tensors_of(*tensors)):
            return None
        if not self._values and not self._tensors.are_known(*tensors):
            self._record.refuse(f"{qualified_name(packet)} of a sparse tensor")
        return SPARSE.get(packet)


def _without_results(operator: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The options of an operation less the tensors that its results are written to: they are not read."""
    if not kwargs:
        return kwargs
    results = {argument.name for argument in schema_of(operator).arguments if argument.is_out}
    return {name: value for name, value in kwargs.items() if name not in results}


def _are_plain(*values: Any) -> bool:
    """Whether no tensor is nested or sparse: rules and decompositions do not hold for those."""
    return all(map(is_plain, tensors_of(*values)))
