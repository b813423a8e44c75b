"""Count what a real model does, operation by operation, computing nothing.

A twin of the model runs (`twin`), on meta tensors in place of its inputs (`tracer`). Where it asks for values, which
meta tensors do not have, a copy of it really runs, and the count says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.counting.collector import no_collection
from ulsam_cost.counting.eager import flexible_attention, is_compiler_loaded, not_compiled, unfused
from ulsam_cost.counting.light import WrittenTableError
from ulsam_cost.counting.meta_tensors import NeedsValuesError
from ulsam_cost.counting.model_index import ModelIndex
from ulsam_cost.counting.preserve import preserve_state
from ulsam_cost.counting.scope import NOT_HEARD, Heard
from ulsam_cost.counting.severity import Severity, Shapes, severity_of
from ulsam_cost.counting.tracer import Tracer
from ulsam_cost.counting.twin import Twins, copy_of, view_of
from ulsam_cost.errors import CostError
from ulsam_cost.frames import Framed
from ulsam_cost.tensors import as_arguments, how_to_wrap, shape_of, tensors_of
from ulsam_cost.torch_private import COMPILED_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted:
    """An operation without a rule: where it ran, on which shapes, how often, and whether it could matter.

    `error` is what its rule raised, type and text, where it has a rule that failed: such an operation counts as a
    product, whatever it looks like.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> class Exponential(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.linalg.matrix_exp(x)
        >>> [left_out] = uc.count(Exponential(), torch.empty(4, 4)).uncounted
        >>> left_out.operator, left_out.shapes, left_out.severity.value
        ('aten::linalg_matrix_exp', ((4, 4),), 'product')
    """

    operator: str
    path: str
    shapes: Shapes
    calls: int
    severity: Severity
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Framed):
    """What a run of a model costs, and which of its operations have no rule.

    If a product has no rule, `macs` and `activations` are lower bounds, and `complete` is false. Parameters are always
    complete.

    `cost` holds every operation, and the parameters that none of them uses; `backward` is the part of it that belongs
    to the backward pass. `real_run` is empty unless a copy of the model was really run, and then says why.
    `inputs_read` is the first operation that looked at the values of the inputs, or empty: the count holds for inputs
    of these values. `outputs` are the shapes of the tensors that the model returns.

    As a table (`to_frame()`) it has one row per operation, as a Cost has, followed by one for each row of `uncounted`:
    its counts are <NA>, `uncounted` is its severity, `error` why its rule failed, and `calls` how often it ran.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> count = uc.count(torch.nn.Conv2d(3, 8, 3, padding=1), torch.empty(2, 3, 7, 5))
        >>> count.macs == 2 * 8 * 3 * 3 * 3 * 7 * 5, count.complete, count.number("flops") == 2 * count.macs
        (True, True, True)
        >>> count.to_frame()[["kind", "macs", "params"]]
           kind   macs  params
        0  conv  15120     216
        1  bias      0       8
    """

    columns: ClassVar[dict[str, str]] = Cost.columns | {"calls": "Int64", "uncounted": "string", "error": "string"}

    cost: Cost
    backward: Cost
    uncounted: tuple[Uncounted, ...]
    real_run: str = ""
    outputs: Shapes = ()
    inputs_read: str = ""

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row an operation, and one for each that is not counted."""
        yield from ({**row, "calls": 1} for row in self.cost.rows())
        for operation in self.uncounted:
            yield {
                "path": operation.path,
                "operator": operation.operator,
                "calls": operation.calls,
                "uncounted": str(operation.severity),
                "error": operation.error or None,
            }

    @property
    def complete(self) -> bool:
        """Whether `macs` and `activations` are whole: every operation that looks like a product is counted."""
        return not self.uncounted_products

    @property
    def uncounted_products(self) -> tuple[Uncounted, ...]:
        """The operations without a rule that look like products: those that `macs` and `activations` leave out."""
        return tuple(operation for operation in self.uncounted if operation.severity is Severity.PRODUCT)

    def complete_under(self, convention: str) -> bool:
        """Whether the number under a convention is whole.

        Raises:
            UnknownNameError: for a convention that does not exist.
        """
        return not self.left_out(convention)

    def left_out(self, convention: str = "macs") -> str:
        """What a convention's number leaves out, as in `64 operations without a rule`; empty where it is whole.

        A convention that counts nothing but products lacks the operations that look like products. Any other may
        lack every operation without a rule: which of them do arithmetic is only a guess from names and shapes.

        Raises:
            UnknownNameError: for a convention that does not exist.
        """
        return _in_words(self.uncounted_products if get_convention(convention).products_only else self.uncounted)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers, matrix products and solves."""
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


def _in_words(operations: Sequence[Uncounted]) -> str:
    without = sum(operation.calls for operation in operations if not operation.error)
    failed = sum(operation.calls for operation in operations if operation.error)
    parts = ((without, "without a rule"), (failed, "whose rule failed"))
    return " and ".join(f"{calls:,} operation{'s' if calls > 1 else ''} {which}" for calls, which in parts if calls)


def count(model: nn.Module, inputs: Any, *, train: bool = False, fast: bool = True) -> Count:
    """Count a model's forward pass, or forward and backward, on inputs of these shapes.

    Counted: every operation, wherever it is called from. Attention is counted in full, masked and causal or not.
    With `train`, the backward pass from gradients of all the results to every parameter that requires gradients,
    and to every input that does; norms and dropout do what the model's own training flags say.
    Not counted: a loss, an optimizer's step.
    If the model checks the device of its tensors, it sees the device of the model and its inputs.
    Convolutions give maps in order in memory, as they do on the meta device. On a CPU or GPU a model in
    `torch.channels_last` keeps that order, so that other copies may be made than are counted; MACs are the same.

    Args:
        model: on any device. What runs is a twin with containers, objects, hooks and attributes of classes of its
            own, which holds no copy of a weight; so the model is left as found, and so are the inputs and the random
            state. Not copied, and changed if the forward changes them: global variables, and what no copy can be made
            of, such as threads.
        inputs: a tuple of positional arguments, a dict of keyword arguments, or the only argument. Tensors may stand
            in lists, tuples, named tuples, dicts and dataclasses, beside None and plain numbers; only their shapes
            and dtypes are looked at, unless the model itself looks at values. A model on the meta device may look at
            the values of small inputs that are on a CPU or GPU, such as token ids and masks.
        train: whether the backward pass follows.
        fast: whether the common functions are answered from shapes; the count is the same.

    Returns:
        A Count whose paths are the names of the model's submodules.

    Raises:
        CostError: for what is not a module, for a model that needs values where there are none, that exits the program
            or uses up what cannot be copied (a generator), and for `train` where nothing requires gradients.
        Exception: whatever the model's forward raises, with a note that names the module.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> count = uc.count(model, torch.empty(5, 6))
        >>> count.macs == 5 * 6 * 4 + 5 * 4 * 2, count.params == 6 * 4 + 4 + 4 * 2 + 2, count.uncounted
        (True, True, ())
    """
    args, kwargs = as_arguments(inputs)
    return _counted(body_of(model), args, kwargs, fast=fast and not train, train=train)


def count_and_hear(model: nn.Module, inputs: Any, heard: Heard) -> Count:
    """Count a model's forward pass as `count` does, telling `heard` of the calls of its submodules.

    Each call is told with the submodule's path, its arguments, its result and its operations; where a first run fails
    and a second one follows, `heard` is told that it begins.
    """
    args, kwargs = as_arguments(inputs)
    return _counted(body_of(model), args, kwargs, fast=True, train=False, heard=heard)


def _counted(
    body: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    fast: bool,
    train: bool,
    heard: Heard = NOT_HEARD,
) -> Count:
    error: Exception
    was_compiler_loaded = is_compiler_loaded()
    try:
        with not_compiled():
            return _count_on_meta(body, args, kwargs, fast=fast, train=train, heard=heard)
    except CostError:
        raise
    except Exception as raised:
        error = raised
    is_compiled = is_compiler_loaded() and not was_compiler_loaded
    if is_compiled:  # under the modes of the run, which no later compilation may meet
        torch.compiler.reset()
    with not_compiled():
        if (fast or is_compiled) and not isinstance(error, NeedsValuesError):
            try:
                return _count_on_meta(body, args, kwargs, fast=False, train=train, heard=heard)
            except CostError:
                raise
            except Exception as raised:
                error = raised
        return _count_for_real(body, args, kwargs, error, train=train, heard=heard)


def body_of(model: Any) -> nn.Module:
    """The module that really runs: what torch.compile or data parallelism wraps.

    Raises:
        CostError: for what is not a module.
    """
    model = of_exported(model)
    if not isinstance(model, nn.Module):
        raise CostError(f"{type(model).__name__} is not a torch.nn.Module: a module is accepted")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return body_of(model.module)
    if type(model).__name__ == "OptimizedModule":  # naming the class would import the whole compiler
        return body_of(getattr(model, COMPILED_BODY))
    return model


def of_exported(model: Any) -> Any:
    """The module of a torch.export.ExportedProgram; anything else as it is."""
    # By its name: importing torch.export takes a while.
    return model.module() if type(model).__name__ == "ExportedProgram" else model


def _count_on_meta(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, fast: bool, train: bool, heard: Heard
) -> Count:
    # Making twins of all modules would start a collection in each count: it begins once they are freed.
    with no_collection() if fast else nullcontext():
        return _run_on_meta(model, args, kwargs, fast=fast, train=train, heard=heard)


def _run_on_meta(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, fast: bool, train: bool, heard: Heard
) -> Count:
    index = ModelIndex(model)
    twins = Twins(view_of, parameters={key: key for key in index.parameters}, light=fast)
    gradients = not fast and torch.is_grad_enabled()
    with flexible_attention(), unfused, preserve_state(twins, (model, args, kwargs)) as twin:
        tracer = Tracer(index, twins, fast=fast, gradients=train, heard=heard)
        forward, outputs = _run(tracer, *twin, gradients=gradients, train=train)
    if twins.shared_tables is not None and twins.shared_tables.are_written:  # and the model went on as if they were not
        raise WrittenTableError("the leaves need tables of their own")
    if tracer.record.needs:  # and the model went on without them
        raise NeedsValuesError(tracer.record.needs)
    return _result(tracer, forward, outputs)


def _run(
    tracer: Tracer, model: nn.Module, args: Any, kwargs: Any, *, gradients: bool, train: bool
) -> tuple[int, Shapes]:
    """Run the model, and give the number of operations of its forward pass and the shapes of what it returns."""
    try:
        with torch.set_grad_enabled(gradients or train):
            results = tracer.run(model, args, kwargs)
        forward, outputs = len(tracer.record.ops), tuple(map(shape_of, tensors_of(results)))
        if train:
            tracer.run_backward(results, (args, kwargs))
    except SystemExit as stop:
        raise CostError(
            f"the model's forward calls sys.exit({stop.code!r}): a forward that returns is accepted"
        ) from stop
    except Exception as error:
        path = tracer.scope.failed(error)
        if path is not None:
            error.add_note(f"raised in module {path!r}" if path else "raised in the model itself")
        if isinstance(error, TypeError) and (said := how_to_wrap(model.forward, args, kwargs)):
            error.add_note(said)
        raise
    return forward, outputs


def _count_for_real(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], reason: Exception, *, train: bool, heard: Heard
) -> Count:
    """Count a copy of the model that really runs, so that what it raises is its own error.

    Raises:
        CostError: where it asks for values, and a tensor has none, and for a model that cannot be copied.
    """
    tensors = [*model.parameters(), *model.buffers(), *tensors_of(args, kwargs)]
    if any(tensor.is_meta for tensor in tensors):
        raise _refusal(reason, NO_VALUES)
    index = ModelIndex(model, packed=True)
    twins = Twins(copy_of, parameters={key: key for key in index.parameters})
    with flexible_attention(), unfused, preserve_state(twins, (model, args, kwargs)) as twin:
        tracer = Tracer(index, twins, fast=False, values=True, gradients=train, heard=heard)
        forward, outputs = _run(tracer, *twin, gradients=torch.is_grad_enabled(), train=train)
    return _result(tracer, forward, outputs, real_run=_sentence(reason))


NO_VALUES = (
    "there are none on the meta device: a model and inputs on a CPU or GPU are accepted, or where it asks for those of "
    "inputs, small inputs with values (on the command line --input 1x64:int64=ones)"
)


def _refusal(reason: Exception, why: str) -> Exception:
    """The error for a model that cannot really run: its own, unless it is that values are missing."""
    if not isinstance(reason, NeedsValuesError | NotImplementedError) and "meta" not in str(reason).lower():
        return reason
    return CostError(f"{_sentence(reason)}, and {why}")


def _sentence(error: Exception) -> str:
    """The first line of what an error says, and the module that it was raised in."""
    line = str(error).strip().split("\n", maxsplit=1)[0].removesuffix(".") or type(error).__name__
    if "fake impl" in line:  # PyTorch's own words go on with how to write one
        line = f"{line.partition(': ')[0]} has no kernel for the meta device"
    return " ".join((line, *(f"({note})" for note in getattr(error, "__notes__", ()))))


def _result(tracer: Tracer, forward: int, outputs: Shapes, real_run: str = "") -> Count:
    unused = [
        OpCost(path=path, kind=OpKind.UNUSED, operator="", output=(), params=size)
        for path, size in tracer.tensors.unclaimed()
    ]
    uncounted = tuple(
        Uncounted(
            operator=operator,
            path=path,
            shapes=shapes,
            calls=calls,
            severity=Severity.PRODUCT if error else severity_of(operator, shapes, results),
            error=error,
        )
        for (operator, path, shapes, results, error), calls in tracer.record.uncounted.items()
    )
    ops = tracer.record.ops
    return Count(
        cost=Cost((*ops, *unused)),
        backward=Cost(tuple(ops[forward:])),
        uncounted=uncounted,
        real_run=real_run,
        outputs=outputs,
        inputs_read=tracer.record.inputs_read,
    )
