"""A model counted, with the calls of its submodules."""

from typing import Any, NamedTuple

from torch import nn

from ulsam_cost.cost import Cost
from ulsam_cost.counting.count import Count, count_and_hear
from ulsam_cost.nn.places import ModuleCall, module_call
from ulsam_cost.tensors import tensors_of


class Calls(NamedTuple):
    """A count, and the calls of each submodule by its path; the model's own stand under the empty path.

    `operations` are the places in `counted.cost.ops` of what each call ran, its submodules' operations among them.
    """

    counted: Count
    of: dict[str, list[ModuleCall]]
    operations: dict[str, list[slice]]

    def cost(self, path: str, call: int) -> Cost:
        """What one call of a submodule costs; parameters are charged to the call that uses them first."""
        return Cost(self.counted.cost.ops[self.operations[path][call]])


def count_calls(model: nn.Module, inputs: Any) -> Calls:
    """Count a model's forward pass, and hear the calls of its submodules; errors as those of `count`."""
    heard: list[tuple[str, ModuleCall, slice, bool]] = []

    def hear(path: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, ran: slice) -> None:
        really = not any(tensor.is_meta for tensor in tensors_of(result))
        heard.append((path, module_call(args, kwargs, result), ran, really))

    counted = count_and_hear(model, inputs, hear)
    calls: dict[str, list[ModuleCall]] = {}
    operations: dict[str, list[slice]] = {}
    for path, call, ran, really in heard:
        if really or not counted.real_run:  # what was heard of a run that failed before says nothing
            calls.setdefault(path, []).append(call)
            operations.setdefault(path, []).append(ran)
    return Calls(counted, calls, operations)
