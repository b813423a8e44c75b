"""A model counted, with the calls of its submodules."""

from typing import Any, NamedTuple

from torch import nn

from ulsam_cost.cost import Cost
from ulsam_cost.counting.count import Count, count_and_hear
from ulsam_cost.counting.scope import Heard
from ulsam_cost.nn.places import ModuleCall, module_call


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


class _Listener(Heard):
    """Keeps the calls of the last run."""

    def __init__(self) -> None:
        self.calls: dict[str, list[ModuleCall]] = {}
        self.operations: dict[str, list[slice]] = {}

    def begin(self) -> None:
        self.calls.clear()
        self.operations.clear()

    def __call__(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, ran: slice) -> None:
        self.calls.setdefault(path, []).append(module_call(args, kwargs, result))
        self.operations.setdefault(path, []).append(ran)


def count_calls(model: nn.Module, inputs: Any) -> Calls:
    """Count a model's forward pass, and hear the calls of its submodules; errors as those of `count`."""
    heard = _Listener()
    return Calls(count_and_hear(model, inputs, heard), heard.calls, heard.operations)
