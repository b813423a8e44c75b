"""One run of a model under both modes.

The function mode sees each torch function: it answers the common ones from shapes, and lets the others
run on the meta device, with a meta tensor for every real one, so that nothing is computed.
The dispatch mode sees every operation that the dispatcher runs, so that none is missed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.dispatch_mode import DispatchMode
from ulsam_cost.counting.function_mode import FunctionMode, seen_through
from ulsam_cost.counting.meta_tensors import MetaTensors
from ulsam_cost.counting.model_index import ModelIndex
from ulsam_cost.counting.recorder import Recorder
from ulsam_cost.counting.scope import NOT_HEARD, Heard, Scope
from ulsam_cost.counting.twin import Twins
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import tensors_of
from ulsam_cost.torch_private import without_functions

Modes = tuple[Scope, DispatchMode, FunctionMode]


class Tracer:
    """A run: where it is, what was recorded of it, which tensors stand for which.

    Args:
        index: of the caller's model.
        twins: of that model, of its inputs and of what they hold: they run.
        fast: whether the common functions are answered from shapes.
        values: whether the run is a real one, on real tensors.
        gradients: whether meta tensors require gradients where what they stand for does.
        heard: is told of each call of a submodule.
    """

    def __init__(
        self,
        index: ModelIndex,
        twins: Twins,
        *,
        fast: bool,
        values: bool = False,
        gradients: bool = False,
        heard: Heard = NOT_HEARD,
    ) -> None:
        self.tensors = MetaTensors(index, twins, gradients=gradients)
        self.scope = Scope({id(twins.memo[key]): name for key, name in index.names.items()}, heard)
        self.record = Recorder(self.scope, self.tensors)
        heard.begin()
        self.scope.recorded = self.record.ops.__len__
        self._values, self._fast = values, fast
        self._own_modes = self._modes(self.scope, self.record)

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the model under both modes."""
        if not self._values:
            args, kwargs = self.tensors.of_inputs((args, kwargs))
        with self._within(self._own_modes):
            return model(*args, **kwargs)

    def _modes(self, scope: Scope, record: Recorder) -> Modes:
        functions = FunctionMode(scope, record, self.tensors, fast=self._fast, values=self._values)
        return scope, DispatchMode(scope, record, self.tensors, values=self._values), functions

    @contextmanager
    def _within(self, modes: Modes) -> Iterator[None]:
        scope, dispatch, functions = modes
        scope.answer, scope.in_another_thread = functions.answer_leaf, self._run_in_another_thread
        with scope, dispatch, functions:
            yield

    def _run_in_another_thread(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a submodule under modes of its own: those of the run belong to the thread in which it began."""
        scope = Scope(self.scope.names, self.scope.heard)
        record = Recorder(scope, self.tensors)
        try:
            with self._within(self._modes(scope, record)):
                return module(*args, **kwargs)
        finally:
            self.record.add(record)

    def run_backward(self, results: Any, inputs: Any) -> None:
        """Run the backward pass under both modes, from gradients of all the results to all that requires gradients.

        Raises:
            CostError: where no result depends on what requires gradients.
        """
        outputs = [tensor for tensor in tensors_of(results) if tensor.requires_grad]
        if not outputs:
            raise CostError("no result requires gradients: a model with a parameter that requires them is accepted")
        with self._within(self._own_modes):
            gradients = [torch.ones_like(output) for output in outputs]
            if not self._values:
                with without_functions():
                    gradients = self.tensors.on_meta(gradients)
            self.tensors.computes = False
            # Not as a torch function, which would be given meta tensors for the leaves that are real.
            seen_through(torch.autograd.grad)(outputs, self.tensors.leaves(inputs), gradients, allow_unused=True)
