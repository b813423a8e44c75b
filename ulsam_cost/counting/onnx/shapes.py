"""The shapes in an ONNX model: onnx's own inference, helped over integers that it does not follow."""

from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto
from onnx.reference import ReferenceEvaluator

Shape = tuple[int, ...]
MOST_INTEGERS = 64  # in a tensor that may say a shape
_ON_INTEGERS = (
    "Add Cast Concat ConstantOfShape Div Expand Flatten Gather Identity Max Min Mul Range ReduceProd Reshape Slice "
    "Squeeze Sub Unsqueeze Where"
)
ON_INTEGERS = frozenset(_ON_INTEGERS.split())


def shape_of_info(info: ValueInfoProto) -> Shape | None:
    """The shape of a tensor, None where a size is not a number."""
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    known = all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    return tuple(dim.dim_value for dim in tensor.shape.dim) if known else None


def with_shapes(model: ModelProto) -> ModelProto:
    """The model with the shapes that can be inferred.

    Where one stays open, integers that depend on constants and shapes alone are computed, and it is tried again.
    """
    while True:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        open_shapes = [info for info in model.graph.value_info if shape_of_info(info) is None]
        if not open_shapes or not _fold_integers(model.graph):
            return model


def _fold_integers(graph: GraphProto) -> bool:
    """Put constants in the place of nodes that compute integers from them; whether there were any."""
    shapes = {info.name: shape_of_info(info) for info in (*graph.input, *graph.value_info)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    known: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        if len(tensor.dims) < 2 and sum(tensor.dims) <= MOST_INTEGERS and not tensor.external_data:
            _keep(known, tensor.name, onnx.numpy_helper.to_array(tensor))
    folded = False
    for node in graph.node:
        value = _integers(node, known, shapes)
        if value is not None and _keep(known, node.output[0], value) and node.op_type != "Constant":
            constant = onnx.helper.make_node("Constant", [], node.output, value=onnx.numpy_helper.from_array(value))
            node.CopyFrom(constant)
            folded = True
    return folded


def _integers(node: NodeProto, known: dict[str, np.ndarray], shapes: dict[str, Shape | None]) -> np.ndarray | None:
    """What a node gives, if that is known."""
    if node.op_type == "Shape" and (shape := shapes.get(node.input[0])) is not None:
        ends = {each.name: each.i for each in node.attribute}
        return np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], dtype=np.int64)
    if node.domain or node.op_type not in (ON_INTEGERS | {"Constant"}) or len(node.output) != 1:
        return None
    given = [name for name in node.input if name]
    if not all(name in known for name in given):
        return None
    results: Any = ReferenceEvaluator(node).run(None, {name: known[name] for name in given})
    return np.asarray(results[0])


def _keep(known: dict[str, np.ndarray], name: str, value: np.ndarray) -> bool:
    """Keep a value that may say a shape: a few integers."""
    if value.dtype.kind != "i" or value.size > MOST_INTEGERS:
        return False
    known[name] = value
    return True
