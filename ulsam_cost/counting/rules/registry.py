"""The table of rules, and how one is added."""

from __future__ import annotations  # OpOverloadPacket takes no type arguments in older releases of PyTorch

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch

from ulsam_cost.cost import OpKind
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.operations import Work
from ulsam_cost.torch_private import OpOverloadPacket, qualified_name


class Record(Protocol):
    """Takes down one operation; `params` are the operands that may be parameters.

    `operator` is the torch function that runs, empty where the operator was called itself.
    """

    operator: str

    def __call__(
        self,
        kind: OpKind,
        output: Sequence[int],
        *,
        reads: int,
        macs: int = 0,
        reduction: int = 1,
        params: Iterable[Any] = (),
        writes: int | None = None,
        operations: int = 0,
    ) -> None: ...

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model or a view of one."""
        ...

    def bias(self, output: Sequence[int], bias: Any) -> None:
        """Takes down the addition of a bias, if there is one."""
        ...


Rule = Callable[..., None]
RULES: dict[OpOverloadPacket[..., Any], Rule] = {}
NAMED: dict[str, Rule] = {}  # rules of operators whose library need not be there


def record_work(record: Record, kind: OpKind, output: Sequence[int], work: Work, params: Iterable[Any] = ()) -> None:
    """Record an operation of a kind, by what it costs."""
    macs, reads, reduction = work
    record(kind, output, macs=macs, reads=reads, reduction=reduction, params=params)


def ops(names: str, *, in_place: bool = False) -> list[OpOverloadPacket[..., Any]]:
    """The operators of these names, with or without their in-place forms, as far as this PyTorch has them."""
    wanted = [variant for name in names.split() for variant in ((name, name + "_") if in_place else (name,))]
    return [getattr(torch.ops.aten, name) for name in wanted if hasattr(torch.ops.aten, name)]


def rule(operators: Iterable[OpOverloadPacket[..., Any]]) -> Callable[[Rule], Rule]:
    """Register a rule for operators.

    Raises:
        ValueError: if one of them has a rule already.
    """

    def add(function: Rule) -> Rule:
        for operator in operators:
            if operator in RULES:
                raise ValueError(f"{operator} has a rule already")
            RULES[operator] = function
        return function

    return add


def rule_named(names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators such as `torchvision::nms` of libraries that are not imported for it."""

    def add(function: Rule) -> Rule:
        NAMED.update(dict.fromkeys(names.split(), function))
        return function

    return add


def register_rule(operator: Any, function: Rule) -> None:
    """Teach the counter an operator, such as one of your own.

    The rule is called as `function(record, out, *args, **kwargs)`, where `out` is the first tensor that the operator
    returned, or None, and the others are its arguments. It calls
    `record(kind, out.shape, macs=..., reads=..., params=(weight,))` once for each thing that the operator does.

    Args:
        operator: such as `torch.ops.mylib.op`, one of its overloads, or its name `mylib::op`.
        function: the rule.

    Raises:
        UnknownNameError: for a name that no library has defined.
        CostError: for an operator that has a rule, and for what is not an operator.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> @torch.library.custom_op("uc_example::scale", mutates_args=())
        ... def scale(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        ...     return x * factor
        >>> _ = scale.register_fake(lambda x, factor: torch.empty_like(x))
        >>> def scale_rule(record, out, x, factor):
        ...     record(uc.OpKind.MULTIPLY, out.shape, reads=x.numel() + factor.numel(), params=(factor,))
        >>> uc.register_rule("uc_example::scale", scale_rule)
        >>> class Scaled(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = torch.nn.Parameter(torch.ones(4))
        ...     def forward(self, x):
        ...         return scale(x, self.factor)
        >>> count = uc.count(Scaled(), torch.empty(2, 4))
        >>> count.cost.reads == 2 * 4 + 4, count.params, count.uncounted
        (True, 4, ())
    """
    packet = getattr(operator, "overloadpacket", operator) if not isinstance(operator, str) else _named(operator)
    if not isinstance(packet, OpOverloadPacket):
        raise CostError(f"{operator!r} is not an operator: torch.ops.mylib.op or its name 'mylib::op' is accepted")
    if packet in RULES or qualified_name(packet) in NAMED:
        raise CostError(f"{packet} has a rule already: an operator without one is accepted")
    RULES[packet] = function


def _named(name: str) -> OpOverloadPacket[..., Any]:
    library, _, operator = name.partition("::")
    if not operator or not hasattr(getattr(torch.ops, library), operator):
        raise UnknownNameError(f"no library has defined operator {name!r}: a name such as 'mylib::op' is accepted")
    packet: OpOverloadPacket[..., Any] = getattr(getattr(torch.ops, library), operator)
    return packet


def operands_of(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments that a rule is given: all but where the result is written."""
    return {key: value for key, value in kwargs.items() if key != "out"} if "out" in kwargs else kwargs


def name_of(packet: OpOverloadPacket[..., Any]) -> str:
    """An operator's name: with its library's, where that is not PyTorch's own."""
    return qualified_name(packet).removeprefix("aten::")
