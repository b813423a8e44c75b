"""The dispatch mode: every operation that the dispatcher runs, wherever it was called from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ulsam_cost.counting.checks import CHECKS
from ulsam_cost.counting.meta_kernels import run_on_meta
from ulsam_cost.counting.meta_tensors import META, MOST_CONSTANT, MetaTensors
from ulsam_cost.counting.recorder import Recorder
from ulsam_cost.counting.rules import FREE, SPARSE, VIEWS, Rule, name_of, rule_of
from ulsam_cost.counting.scope import Scope
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import is_plain, tensors_of
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

aten = torch.ops.aten
Origin = tuple[str, str, bool]  # path, torch.nn class of a leaf, whether a parameter was an operand
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

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, HigherOrderOperator):
            raise CostError(
                f"operator {func.name()!r} runs functions that cannot be followed: "
                "a model that calls them itself is accepted"
            )
        with without_functions():
            return self._run(func, args, kwargs or {})

    def _run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rule = rule_of(operator)
        if rule is None and operator.overloadpacket not in FREE and _are_plain(args):
            with self:
                result = operator.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if not self._values:
            args, kwargs = self._without_values(operator, args, kwargs)
            check = CHECKS.get(operator.overloadpacket)
            if check is not None:
                check(*args, **kwargs)
        out = operator(*args, **kwargs) if self._values else run_on_meta(operator, args, kwargs)
        with self._in_its_place(args):
            self._observe(operator.overloadpacket, rule, args, _without_results(operator, kwargs), out)
        return out

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

    def _without_values(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments on the meta device, save where small constants of the run are all that there is."""
        random = torch.Tag.nondeterministic_seeded in operator.tags
        if random or schema_of(operator).is_mutable:
            self._tensors.forget_constants(args, made_here=random)
        if self._tensors.are_constants(args, kwargs):
            if random or ("device" in kwargs and next(tensors_of(args), None) is None):
                kwargs = _small_or_meta(operator, args, kwargs, random=random)
            return self._tensors.with_own_values(args), self._tensors.with_own_values(kwargs)
        self._refuse_values(operator, args)
        return self._tensors.on_meta(args), _meta_options(self._tensors.on_meta(kwargs))

    def _refuse_values(self, operator: Any, args: tuple[Any, ...]) -> None:
        tags, packet = operator.tags, operator.overloadpacket
        if torch.Tag.dynamic_output_shape not in tags and torch.Tag.data_dependent_output not in tags:
            return
        masks = (torch.bool, torch.uint8)
        if packet is not aten.index or any(tensor.dtype in masks for tensor in tensors_of(args[1])):
            self._record.refuse(f"aten::{packet.__name__}")

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
        if not self._values and not self._tensors.are_constants(*tensors):
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
