"""An ONNX file as nodes and shapes: its weights are never read.

A float initializer with one or more dimensions is a parameter, unless PyTorch's exporter marks it as a buffer or a
constant, or every node that takes it takes it as a setting (`SETTINGS`), such as the statistics of a batch norm. An
export that is optimized has lost the marks, so that its buffers count as parameters. Integers are parameters where a
`DequantizeLinear` makes floats of them, floats of a `Constant` node where they are the weight or bias of a product.
"""

from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, external_data_helper
from onnx.inliner import inline_local_functions

from ulsam_cost.counting.given import GivenInput
from ulsam_cost.counting.onnx.shapes import Shape, shape_of_info, with_shapes
from ulsam_cost.errors import CostError, first_line

FLOATS = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE))
INTEGERS = frozenset((TensorProto.INT32, TensorProto.INT64))
SETTINGS = {  # the inputs, by their place, that say how a node works and are not what it works on
    "BatchNormalization": (3, 4),
    "Clip": (1, 2),
    "DequantizeLinear": (1, 2),
    "Dropout": (1,),
    "Pad": (1, 2),
    "QuantizeLinear": (1, 2),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
}
WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"))
_MARK = "pkg.torch.export.graph_signature.InputSpec.kind"
_SCOPES, _CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node: its operator, the module that it was exported from, its inputs and outputs by name, its attributes.

    An input or output that is left out has an empty name. `module` is the torch.nn class of that module, empty for a
    functional call; `nested` says whether the node has graphs of its own.
    """

    operator: str
    path: str
    module: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    nested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The nodes of a file in their order, the shapes that are known, and which tensors are parameters or zero.

    `classes` has the class of each module by its path, as far as the file says it.
    """

    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    parameters: Mapping[str, int]
    constants: frozenset[str]
    zeros: frozenset[str]
    outputs: tuple[str, ...]
    classes: Mapping[str, str]


def read_graph(path: Path, inputs: Sequence[GivenInput] = ()) -> Graph:
    """Read an ONNX file.

    Args:
        path: the file. Of external data only integers are read.
        inputs: the shapes of all inputs in their order, or of those that are named; not needed where the file says
            them. A data type that is given must be that in the file.

    Raises:
        CostError: for a file that is not there or is no ONNX model, for shapes that are missing or do not fit, for
            other data types, and for names that are not those of inputs.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise CostError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise CostError(f"{path} is not an ONNX model") from error
    if not model.ir_version or not model.graph.node:
        raise CostError(f"{path} is not an ONNX model, or has no nodes")
    _load_integers(path, model.graph)
    return graph_of(model, name=str(path), inputs=inputs)


def graph_of(model: ModelProto, *, name: str = "the model", inputs: Sequence[GivenInput] = ()) -> Graph:
    """The graph of a loaded model; arguments and errors as in `read_graph`. The model's shapes are changed."""
    if model.functions:
        model = inline_local_functions(model)
    marks = {info.name: mark for info in model.graph.value_info if (mark := _metadata(info).get(_MARK))}
    _give_shapes(model.graph, name, inputs)
    try:
        graph = with_shapes(model).graph
    except Exception as error:
        raise CostError(f"the shapes in {name} contradict each other: {first_line(error)}") from error
    opset = next((each.version for each in model.opset_import if not each.domain), 0)
    nodes = tuple(_node(node, index, opset) for index, node in enumerate(graph.node))
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    values = {node.output[0]: value for node in graph.node if (value := _constant(node)) is not None}
    known = (*graph.input, *graph.value_info, *graph.output)
    found = {info.name: shape for info in known if (shape := shape_of_info(info)) is not None}
    found |= {key: tuple(tensor.dims) for key, tensor in (values | tensors).items()}
    parameters = _parameters(graph, tensors, values, marks)
    return Graph(
        nodes=nodes,
        shapes=found,
        parameters=parameters,
        constants=frozenset(key for key in (*tensors, *values) if key not in parameters),
        zeros=frozenset(key for key, value in values.items() if not onnx.numpy_helper.to_array(value).any()),
        outputs=tuple(info.name for info in graph.output),
        classes=_classes(graph, nodes),
    )


def _load_integers(path: Path, graph: GraphProto) -> None:
    """Read the integers among external data: shapes may depend on them."""
    for tensor in graph.initializer:
        if tensor.data_type in INTEGERS and external_data_helper.uses_external_data(tensor):
            place = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
            try:
                external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            except Exception as error:
                raise CostError(f"{path} keeps {tensor.name} in {place!r} beside it, which cannot be read") from error


def _give_shapes(graph: GraphProto, name: str, given: Sequence[GivenInput]) -> None:
    constant = {tensor.name for tensor in graph.initializer}
    inputs = {info.name: info for info in graph.input if info.name not in constant}
    for takes, one in _by_name(list(inputs), name, given).items():
        info, shape = inputs[takes], one.shape
        if one.dtype and one.dtype != (own := _dtype(info)):
            raise CostError(f"input {takes} of {name} is {own}, and {one.dtype} was given: {own} is accepted")
        sizes = _sizes(info)
        fits = len(sizes) == len(shape) and all(
            not has.isdecimal() or int(has) == size for has, size in zip(sizes, shape, strict=True)
        )
        if sizes and not fits:
            raise CostError(f"input {'x'.join(map(str, shape))} does not fit {takes} of {name}, which is {_text(info)}")
        del info.type.tensor_type.shape.dim[:]
        for size in shape:
            info.type.tensor_type.shape.dim.add().dim_value = size
    tensors = (info for info in inputs.values() if info.type.HasField("tensor_type"))
    unknown = next((info for info in tensors if shape_of_info(info) is None), None)
    if unknown is not None:
        example = "x".join(size if size.isdecimal() else "1" for size in _sizes(unknown)) or "1x3x224x224"
        raise CostError(
            f"input {unknown.name} of {name} is {_text(unknown)}: give the shape of each input with --input, such "
            f"as --input {example}"
        )


def _by_name(names: Sequence[str], file: str, given: Sequence[GivenInput]) -> dict[str, GivenInput]:
    """The given inputs by the names of a file's, those without a name in its order: all, unless some have names."""
    named = {each.name: each for each in given if each.name}
    placed = [each for each in given if not each.name]
    few = placed and not named and len(placed) < len(names)
    if few or len(placed) > len(names) or not named.keys() <= set(names[len(placed) :]):
        raise CostError(
            f"{file} takes {', '.join(names) or 'no inputs'}: --input once for each of its inputs is accepted, or some "
            f"of them by name, and {' and '.join(each.text for each in given)} were given"
        )
    return dict(zip(names, placed, strict=False)) | named


def _dtype(info: ValueInfoProto) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type or TensorProto.FLOAT))


def _sizes(info: ValueInfoProto) -> list[str]:
    """The sizes of a tensor as text: a number, or the name of a size that is open."""
    dims = info.type.tensor_type.shape.dim
    return [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]


def _text(info: ValueInfoProto) -> str:
    return "x".join(_sizes(info)) or "of an unknown shape"


def _metadata(proto: NodeProto | ValueInfoProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def _constant(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node."""
    if node.op_type != "Constant" or node.domain:
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _node(node: NodeProto, index: int, opset: int) -> Node:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    nested = any(each.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for each in node.attribute)
    scopes, classes = scopes_of(node)
    leaf = classes[-1] if classes else ""
    return Node(
        operator=f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type,
        path=scopes[-1] if scopes else _path(node, index),
        module=leaf.rpartition(".")[2] if leaf.startswith("torch.nn.") and "container" not in leaf else "",
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes,
        opset=opset,
        nested=nested,
    )


def scopes_of(node: NodeProto) -> tuple[list[str], list[str]]:
    """The paths and classes of the modules around a node, from the outermost, as PyTorch's exporter says them."""
    said = _metadata(node)
    try:
        scopes, classes = literal_eval(said.get(_SCOPES, "[]")), literal_eval(said.get(_CLASSES, "[]"))
    except (SyntaxError, ValueError):
        return [], []
    return scopes[:-1], classes[:-1]  # the last is the operation


def _path(node: NodeProto, index: int) -> str:
    """A path made of a node's name, `/layer1/layer1.0/conv1/Conv` or `conv1`."""
    *modules, own = node.name.strip("/").split("/")
    if not modules:
        return own or f"{node.op_type}_{index}"
    before = ""
    parts = []
    for part in modules:
        parts.append(part.removeprefix(f"{before}."))
        before = part
    return ".".join(parts)


def _classes(graph: GraphProto, nodes: Sequence[Node]) -> dict[str, str]:
    classes = {"": ""}
    for proto, node in zip(graph.node, nodes, strict=True):
        if node.operator == "Constant":
            continue
        scopes, kinds = scopes_of(proto)
        names = node.path.split(".") if node.path else []
        classes |= {path: "" for end in range(len(names)) if (path := ".".join(names[: end + 1])) not in classes}
        classes |= {path: kind.rpartition(".")[2] for path, kind in zip(scopes, kinds, strict=False)}
    return classes


def _parameters(
    graph: GraphProto,
    tensors: Mapping[str, TensorProto],
    values: Mapping[str, TensorProto],
    marks: Mapping[str, str],
) -> dict[str, int]:
    """The parameters and their sizes, by the rules in the text above."""
    uses: dict[str, set[tuple[str, int]]] = {}
    for node in _all_nodes(graph):
        for place, name in enumerate(node.input):
            uses.setdefault(name, set()).add((node.op_type, place))

    def is_parameter(name: str, tensor: TensorProto) -> bool:
        used = uses.get(name, set())
        if name in marks:
            return marks[name] == "PARAMETER"
        if name in values:
            return tensor.data_type in FLOATS and any(kind in WEIGHTED and place > 0 for kind, place in used)
        if tensor.data_type not in FLOATS:
            return ("DequantizeLinear", 0) in used
        return not used or any(place not in SETTINGS.get(kind, ()) for kind, place in used)

    sizes = {name: tensor for name, tensor in (*tensors.items(), *values.items()) if tensor.dims or name in marks}
    return {name: prod(tensor.dims) for name, tensor in sizes.items() if is_parameter(name, tensor)}


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of those inside of its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)
