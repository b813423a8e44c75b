"""What a model says of itself: its modules' classes, and how its parameters divide."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.calls import Calls
from ulsam_cost.counting.count import Count, body_of
from ulsam_cost.counting.model_index import ModelIndex
from ulsam_cost.counting.packed import packed_parameters
from ulsam_cost.counting.severity import Shapes
from ulsam_cost.tensors import shape_of, stored_elements
from ulsam_cost.units import at_least


class ModuleLabel(NamedTuple):
    """What tells a module from others: its class, and the shapes of its own parameters."""

    kind: str = ""
    shapes: Shapes = ()


# classes that run one operation of a kind in each call, and the beginnings of their names
_ONE_A_CALL = {
    OpKind.CONV: ("Conv",),
    OpKind.LINEAR: ("Linear",),
    OpKind.NORM: ("BatchNorm", "LayerNorm", "GroupNorm"),
}


def module_classes(model: nn.Module) -> dict[str, str]:
    """The class of each submodule by its path, in the model's order."""
    return {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}


def module_labels(model: nn.Module) -> dict[str, ModuleLabel]:
    """The label of each submodule, once, by its first path."""
    body = body_of(model)
    names = ModelIndex(body).names
    return {
        names[id(module)][0]: ModuleLabel(type(module).__name__, tuple(map(shape_of, module.parameters(recurse=False))))
        for module in body.modules()
    }


def split_params(model: nn.Module) -> dict[str, int]:
    """Parameters by whether they train; `shared` are those, of either, that stand in the model more than once.

    Of quantized layers, whose parameters are packed, those of fewer than 32 bits are said by their bits.
    """
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    split = {"trainable": 0, "frozen": 0, "shared": 0}
    for _, packed in packed_parameters(model):
        for bits, size in packed.bits.items():
            name = f"quantized to {bits} bits" if bits < 32 else "frozen"
            split[name] = split.get(name, 0) + size
    for parameter in model.parameters():
        size = stored_elements(parameter)
        split["trainable" if parameter.requires_grad else "frozen"] += size
        split["shared"] += size if names[id(parameter)] > 1 else 0
    return split


class ModuleCost(NamedTuple):
    """A module of the tree, all that stands below it included; its counts are lower bounds if not `complete`."""

    path: str
    module: str
    params: int
    macs: int
    activations: int
    complete: bool


class CallCost(NamedTuple):
    """A call of a module, numbered from 1, what it calls included; parameters stand with the first call that uses them.

    `inputs` and `outputs` are the shapes of the tensors that it took and gave.
    """

    path: str
    module: str
    call: int
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    params: int
    macs: int
    activations: int
    complete: bool


def module_costs(classes: Mapping[str, str], counted: Count, depth: int) -> tuple[ModuleCost, ...]:
    """The modules down to a depth that cost something, in the model's order."""
    sums: dict[str, list[int]] = {}
    for op in counted.cost:
        for path in _around(op.path, depth):
            total = sums.setdefault(path, [0, 0, 0])
            for place, value in enumerate((op.params, op.macs, op.activations)):
                total[place] += value
    incomplete = {path for operation in counted.uncounted_products for path in _around(operation.path, depth)}
    for path in incomplete:
        sums.setdefault(path, [0, 0, 0])
    rows = []
    for path, kind in classes.items():
        if path in sums:
            params, *bounds = sums[path]
            complete = path not in incomplete
            macs, activations = (at_least(value, unless=complete) for value in bounds)
            rows.append(ModuleCost(path, kind, params, macs, activations, complete))
    return tuple(rows)


def call_costs(classes: Mapping[str, str], calls: Calls, depth: int) -> tuple[CallCost, ...]:
    """Each call of each module down to a depth, in the model's order."""
    incomplete = {path for operation in calls.counted.uncounted_products for path in _around(operation.path, depth)}
    rows = []
    for path, kind in classes.items():
        if path and path.count(".") >= depth:
            continue
        complete = path not in incomplete
        for number, call in enumerate(calls.of.get(path, ()), 1):
            cost = calls.cost(path, number - 1)
            macs, activations = (at_least(value, unless=complete) for value in (cost.macs, cost.activations))
            place = path, kind, number, call.taken, call.given
            rows.append(CallCost(*place, cost.params, macs, activations, complete))
    return tuple(rows)


def _around(path: str, depth: int) -> list[str]:
    """The paths of a module and of those around it, down to a depth."""
    names = path.split(".") if path else []
    return [".".join(names[:level]) for level in range(min(depth, len(names)) + 1)]


def called_with_different_shapes(counted: Count) -> tuple[str, ...]:
    """The paths of convolutions, linear layers and norms whose calls gave different shapes, in the order they ran."""
    outputs: dict[str, set[tuple[int, ...]]] = {}
    backward = set(map(id, counted.backward))  # their results are gradients of operands, and no call's
    for op in counted.cost:
        if id(op) not in backward and op.kind in _ONE_A_CALL and op.module.startswith(_ONE_A_CALL[op.kind]):
            outputs.setdefault(op.path, set()).add(op.output)
    return tuple(path for path, shapes in outputs.items() if len(shapes) > 1)
