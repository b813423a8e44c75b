"""What was recorded of a run: its operations, those without a rule, and what it asked for and did not get."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NoReturn

from torch import Tensor

from ulsam_cost.cost import REAL_MACS, OpCost, OpKind
from ulsam_cost.counting.meta_tensors import MetaTensors, NeedsValuesError
from ulsam_cost.counting.rules.registry import Rule
from ulsam_cost.counting.scope import Scope
from ulsam_cost.tensors import shape_of, tensors_of

RESHAPED = "gives a tensor of the model another shape"  # why an operation is refused
Shapes = tuple[tuple[int, ...], ...]
# Of an operation all but where it ran and the parameters that it was charged with, and the operands that they were.
Again = tuple[OpKind, str, tuple[int, ...], int, int, int, int, bool, int, tuple[int, ...]]
_make_op = tuple.__new__
NO_TENSORS: tuple[Any, ...] = ()


class Recorder:
    """Takes down operations where the scope stands, under the name of the torch function that runs.

    `operator` is that function, empty between functions; while `muted`, the dispatcher's operations are those of a
    function that is recorded as a whole.
    """

    def __init__(self, scope: Scope, tensors: MetaTensors) -> None:
        self.ops: list[OpCost] = []
        self.uncounted: Counter[tuple[str, str, Shapes, Shapes, str]] = Counter()  # the last: what its rule raised
        self.needs = ""  # the operation that needs a real run, and why
        self.inputs_read = ""  # the first operation that looked at the inputs' values
        self.operator = ""
        self.muted = False
        self.learned = False  # whether what runs is the backward of a product with a parameter
        self.charged: list[list[int]] | None = None  # while wanted: which parameters each operation is charged with
        self._operands: Any = ()  # of the operation whose rule is at work
        self._scope, self._tensors = scope, tensors

    def __call__(
        self,
        kind: OpKind,
        output: Sequence[int],
        *,
        reads: int,
        macs: int = 0,
        reduction: int = 1,
        params: Iterable[Any] = NO_TENSORS,
        writes: int | None = None,
        operations: int = 0,
    ) -> None:
        """Record an operation: what the rules call. It writes its output, unless another number is given.

        The MACs are those of the operands' own numbers: complex ones are turned into real ones here.
        """
        elements = prod(output) if writes is None else writes
        is_complex = macs > 0 and any(operand.is_complex() for operand in tensors_of(self._operands))
        macs *= REAL_MACS if is_complex else 1
        self.known(kind, output, elements, macs, reads, reduction, params, is_complex=is_complex, operations=operations)

    def known(
        self,
        kind: OpKind,
        output: Sequence[int],
        writes: int,
        macs: int,
        reads: int,
        reduction: int,
        params: Iterable[Any],
        *,
        is_complex: bool = False,
        operations: int = 0,
    ) -> None:
        """Record an operation of which everything is known."""
        scope = self._scope
        path = scope.path
        charged = self._tensors.charge_params(params, path)
        operator, leaf = self.operator, scope.module
        # In a third of the time that the class's own constructor takes.
        shape = tuple(output)
        fields = path, kind, operator, shape, macs, reads, writes, charged, reduction, leaf, is_complex, operations
        self.ops.append(_make_op(OpCost, fields))
        if self.charged is not None:
            owners = map(self._tensors.parameter_of, params)
            self.charged.append([owner for owner in owners if owner is not None])

    def again(self, ops: tuple[Again, ...], owners: Sequence[int | None], place: tuple[str, str] | None = None) -> None:
        """Record operations as they were recorded before, with the operands that are these parameters, elsewhere."""
        scope, append, charge = self._scope, self.ops.append, self._tensors.charge
        path, leaf = place or (scope.path, scope.module)
        for kind, operator, shape, macs, reads, writes, reduction, is_complex, operations, charged in ops:
            params = 0
            for at in charged:
                params += charge(owners[at])
            fields = path, kind, operator, shape, macs, reads, writes, params, reduction, leaf, is_complex, operations
            append(_make_op(OpCost, fields))

    def add(self, other: "Recorder") -> None:
        """Add what was recorded of a part of the run."""
        self.ops += other.ops
        self.uncounted += other.uncounted
        self.needs = self.needs or other.needs
        self.looks_at_inputs(other.inputs_read)

    def bias(self, output: Sequence[int], bias: Any) -> None:
        """Record the addition of a bias; the product that it belongs to has written the result."""
        if bias is not None:
            self.known(OpKind.BIAS, output, 0, 0, bias.numel(), 1, (bias,))

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model or a view of one, or stands for one in the backward."""
        return self.learned or self._tensors.is_parameter(tensor)

    def give_shape(self, first: int, shape: tuple[int, ...], elements: int) -> None:
        """Give a function's own shape to what the dispatcher showed of it: a product's rows may be folded there."""
        for index, op in enumerate(self.ops[first:], first):
            if op.output != shape and op.elements == elements:
                self.ops[index] = op._replace(output=shape)

    def by_rule(self, rule: Rule, operator: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record an operation by its rule; where the rule fails, what it had recorded stands, and so does a row."""
        self._operands = args, kwargs
        try:
            rule(self, next(tensors_of(result), None), *args, **kwargs)
        except Exception as error:  # a fault of the rule's is none of the model's
            raised = f"{type(error).__name__}: {error}"
            self.without_rule(operator, tensors_of(args, kwargs), tensors_of(result), raised)
        finally:
            self._operands = ()

    def without_rule(
        self, operator: str, operands: Iterable[Tensor], results: Iterable[Tensor], raised: str = ""
    ) -> None:
        """Record an operation that has no rule, or whose rule raised an error."""
        shapes, made = tuple(map(shape_of, operands)), tuple(map(shape_of, results))
        self.uncounted[(operator, self._scope.path, shapes, made, raised)] += 1

    def looks_at_inputs(self, operation: str) -> None:
        """Remember that what runs depends on the inputs' values."""
        self.inputs_read = self.inputs_read or operation

    def refuse(self, operation: str, why: str = "asks for values") -> NoReturn:
        """Stop the run: an operation does what is known of a real run only.

        Raises:
            NeedsValuesError: always.
        """
        self.needs = f"{operation} {why}"
        raise NeedsValuesError(self.needs)
