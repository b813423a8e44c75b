"""What leaves of a model give without running: one whose like was called before is looked up."""

from marshal import dumps
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.counting.functions import NO_OPTIONS
from ulsam_cost.counting.kinds import TensorKind, kind_of
from ulsam_cost.counting.leaves import LEAVES, Leaf
from ulsam_cost.counting.light import State
from ulsam_cost.counting.memo import Call, Memo, answered
from ulsam_cost.counting.meta_tensors import MetaTensors
from ulsam_cost.counting.recorder import Recorder
from ulsam_cost.counting.scope import UNANSWERED, Scope
from ulsam_cost.torch_private import (
    FORWARD_HOOKS,
    FORWARD_PRE_HOOKS,
    current_transform,
    has_global_hooks,
    without_functions,
)

is_grad_enabled = torch.is_grad_enabled
_seen = attrgetter("__class__", "shape", "dtype")  # what the functions see of a parameter or buffer
_PLAIN_TENSORS = frozenset({Tensor, nn.Parameter})


class LeafAnswers:
    """Answers for the leaves of a model in place of running them.

    What is looked up stands under all that the leaf's function is called with.
    """

    def __init__(self, scope: Scope, record: Recorder, tensors: MetaTensors, memo: Memo) -> None:
        self._scope, self._record, self._tensors, self._memo = scope, record, tensors, memo
        self._leaves: dict[type, Leaf] = {} if has_global_hooks() else LEAVES
        self._no_functions = without_functions()
        self._parameter_of = tensors.parameters.get

    def answer(self, module: nn.Module, x: Any) -> Any:
        """The result of a leaf on one operand, or UNANSWERED."""
        leaf = self._leaves.get(type(module))
        if leaf is None or type(x) is not Tensor:
            return UNANSWERED
        state = module.__dict__
        if state[FORWARD_HOOKS] or state[FORWARD_PRE_HOOKS] or "forward" in state:
            return UNANSWERED  # calling it does more than to run its class's forward
        place = self._scope.names.get(id(module))
        if place is None or is_grad_enabled() or current_transform() is not None:
            return UNANSWERED
        if leaf.function is None:
            return x
        with self._no_functions:
            return self._answer(leaf, state, x, place)

    def _answer(self, leaf: Leaf, state: State, x: Tensor, place: tuple[str, str]) -> Any:
        try:
            call = self._call_of(leaf, state, x)
        except (KeyError, RuntimeError, ValueError):  # an attribute is gone, a tensor sparse, an option an object
            return UNANSWERED
        if call is None:
            return UNANSWERED
        done = answered.get(call[0])
        if done is None:
            return self._first(call, leaf, state, place)
        self._record.again(done.ops, call[2], place)
        made = done.results[0]
        if type(made) is not TensorKind:
            return x
        result = made.new()
        self._tensors.last = result, made
        return result

    def _call_of(self, leaf: Leaf, state: State, x: Tensor) -> Call | None:
        last, kind = self._tensors.last
        if x is not last:
            kind = self._kind_of(x)
        own = leaf.tensors(state)
        if kind is None or own is None:
            return None
        weights, kept = own
        owners = tuple(map(self._parameter_of, map(id, weights)))
        if None in owners:
            return None
        options = dumps(leaf.options(state), 2)  # 1, 1.0 and True are equal, and these are not
        return (leaf.function, kind, options, *map(_seen, weights), *map(_seen, kept)), (*weights, *kept, x), owners

    def _kind_of(self, x: Tensor) -> TensorKind | None:
        if not x.is_meta or x.layout is not torch.strided or id(x) in self._tensors.parameters or self._memo.negatives:
            return None
        return kind_of(x.shape, x.dtype, None if x.is_contiguous() else x.stride())

    def _first(self, call: Call, leaf: Leaf, state: State, place: tuple[str, str]) -> Any:
        """What a leaf gives whose like was not answered before."""
        *own, x = call[1]
        if not _PLAIN_TENSORS.issuperset(map(type, own)):
            return UNANSWERED
        operands = leaf.arrange(x, own, *[state[name] for name in leaf.names])
        if operands is None:
            return UNANSWERED
        scope = self._scope
        above = scope.path, scope.module
        scope.path, scope.module = place
        try:
            return self._memo.infer(call, leaf.function, operands, NO_OPTIONS)
        finally:
            scope.path, scope.module = above
