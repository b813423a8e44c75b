"""Count an ONNX file: its nodes by their rules, at the shapes that it says or that onnx infers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.counting.count import Count, Uncounted
from ulsam_cost.counting.onnx.graph import Graph, Node
from ulsam_cost.counting.onnx.rules import FREE, RULES, VIEWS, Call
from ulsam_cost.counting.onnx.shapes import Shape
from ulsam_cost.counting.severity import Severity, Shapes, severity_of
from ulsam_cost.errors import CostError


def count_graph(graph: Graph) -> Count:
    """Count the nodes of a graph.

    Counted: every node that depends on an input or a parameter. Not counted: what depends on constants and shapes
    alone, which a runtime computes once, when it loads the file. Listed as uncounted: a node without a rule, or one
    whose shapes are not known.
    """
    run = _Run(graph)
    for node in graph.nodes:
        run.add(node)
    return run.result()


@dataclass(slots=True)
class _Record:
    """Takes down operations of one node after the other; see `Record` in `rules/registry.py`."""

    ops: list[OpCost]
    parameter_of: dict[int, str]  # by the id of a tensor
    unclaimed: dict[str, int]
    kept: list[Tensor]  # ids stay unique while their tensors live
    operator: str = ""
    path: str = ""
    module: str = ""

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
    ) -> None:
        shape = tuple(output)
        cost = OpCost(
            path=self.path,
            kind=kind,
            operator=self.operator,
            output=shape,
            macs=macs,
            reads=reads,
            writes=prod(shape) if writes is None else writes,
            params=sum(self._charge(each) for each in params),
            reduction=reduction,
            module=self.module,
            operations=operations,
        )
        self.ops.append(cost)

    def bias(self, output: Sequence[int], bias: Any) -> None:
        """Record the addition of a bias; the product that it belongs to has written the result."""
        if bias is not None:
            self(OpKind.BIAS, output, reads=bias.numel(), writes=0, params=(bias,))

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter or a view of one."""
        return id(tensor) in self.parameter_of

    def view(self, tensor: Tensor, view: Tensor) -> Tensor:
        """Record that a tensor is a view of another."""
        self.kept.append(view)
        if id(tensor) in self.parameter_of:
            self.parameter_of[id(view)] = self.parameter_of[id(tensor)]
        return view

    def _charge(self, tensor: Any) -> int:
        return self.unclaimed.pop(self.parameter_of.get(id(tensor), ""), 0)


class _Run:
    """What is known of the tensors of a graph while its nodes are counted."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors = {name: torch.empty(shape, device="meta") for name, shape in graph.shapes.items()}
        self._constants, self._zeros = set(graph.constants), set(graph.zeros)
        names = {id(self._tensors[name]): name for name in graph.parameters}
        self._record = _Record(ops=[], parameter_of=names, unclaimed=dict(graph.parameters), kept=[])
        self._uncounted: Counter[tuple[str, str, Shapes, Severity, str]] = Counter()

    def add(self, node: Node) -> None:
        """Count a node."""
        if self._is_constant(node):
            self._constants.update(node.outputs)
            if node.operator in VIEWS and node.inputs[0] in self._zeros:
                self._zeros.update(node.outputs)
        elif node.operator in VIEWS and self._is_parameter(node.inputs[0]):
            self._keep_parameter(node)
        elif node.operator not in FREE:
            self._count(node)

    def _is_constant(self, node: Node) -> bool:
        """Whether a node's results are the same in every run."""
        if node.operator in ("Shape", "Size"):
            return True
        used = node.inputs[:1] if node.operator == "CastLike" else node.inputs  # the second says a type
        return not node.nested and all(name in self._constants for name in used if name)

    def _is_parameter(self, name: str) -> bool:
        return name in self._tensors and self._record.is_parameter(self._tensors[name])

    def _keep_parameter(self, node: Node) -> None:
        for name in node.outputs:
            if name in self._tensors:
                self._record.view(self._tensors[node.inputs[0]], self._tensors[name])

    def _count(self, node: Node) -> None:
        record = self._record
        record.path, record.module = node.path, node.module
        known = RULES.get(node.operator)
        error = ""
        if known is not None:
            record.operator, rule = known
            try:
                rule(record, self._call(node))
            except Exception as raised:  # a fault of the rule's is none of the file's
                error = str(raised) if isinstance(raised, CostError) else f"{type(raised).__name__}: {raised}"
            else:
                return
        shapes, results = self._shapes(node.inputs), self._shapes(node.outputs)
        operator = f"onnx::{node.operator}"
        graver = error or node.nested or len(results) < sum(map(bool, node.outputs))
        severity = Severity.PRODUCT if graver else severity_of(operator, shapes, results)
        self._uncounted[operator, node.path, shapes, severity, error] += 1

    def _call(self, node: Node) -> Call:
        for name in (*node.inputs, *node.outputs[:1]):
            if name and name not in self._tensors and name not in self._constants:
                raise CostError(f"the shape of {name} is not known")
        return Call(
            inputs=tuple(None if name in self._zeros else self._tensors.get(name) for name in node.inputs),
            outputs=tuple(self._tensors.get(name) for name in node.outputs),
            attributes=node.attributes,
            opset=node.opset,
            module=node.module,
        )

    def _shapes(self, names: Iterable[str]) -> tuple[Shape, ...]:
        return tuple(self._graph.shapes[name] for name in names if name in self._graph.shapes)

    def result(self) -> Count:
        """What was counted, and the parameters that no counted node takes."""
        unused = [
            OpCost(path=name.rpartition(".")[0], kind=OpKind.UNUSED, operator="", output=(), params=size)
            for name, size in self._record.unclaimed.items()
        ]
        uncounted = tuple(
            Uncounted(operator=operator, path=path, shapes=shapes, calls=calls, severity=severity, error=error)
            for (operator, path, shapes, severity, error), calls in self._uncounted.items()
        )
        return Count(
            cost=Cost((*self._record.ops, *unused)),
            backward=Cost(),
            uncounted=uncounted,
            outputs=self._shapes(self._graph.outputs),
        )
