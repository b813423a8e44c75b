"""ONNX operator -> what is recorded, by the rules of the same operations in PyTorch.

A rule takes the record and a call, whose tensors have shapes and no values. ONNX has no views into other memory: what
PyTorch does with one, such as a transposition or a slice, moves elements here.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules import elements, products
from ulsam_cost.counting.rules.attention import pairs
from ulsam_cost.counting.rules.registry import Record, record_work
from ulsam_cost.errors import CostError
from ulsam_cost.operations import window_work


class Call(NamedTuple):
    """A node with the tensors that it takes and gives; None for those that are left out, or have no known shape."""

    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, Any]
    opset: int
    module: str

    def input(self, place: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    @property
    def x(self) -> Tensor:
        """The first input."""
        return _known(self.inputs[0])

    @property
    def w(self) -> Tensor:
        """The second input."""
        return _known(self.inputs[1])

    @property
    def out(self) -> Tensor:
        """The first output."""
        return _known(self.outputs[0])

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """The inputs that are more than a number."""
        return tuple(each for each in self.inputs if each is not None and each.dim())


def _known(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise CostError("the shape of an operand is not known")
    return tensor


class GraphRecord(Record, Protocol):
    """A record that knows which tensors are views of parameters."""

    def view(self, tensor: Tensor, view: Tensor) -> Tensor:
        """Takes down that a tensor is a view of another."""
        ...


Rule = Callable[[GraphRecord, Call], None]
RULES: dict[str, tuple[str, Rule]] = {}  # by operator: the name of the function in PyTorch, and the rule


def _rule(names: str) -> Callable[[Rule], Rule]:
    """Register a rule: `Operator=function`, or `Operator` where the function has its name in small letters."""

    def add(function: Rule) -> Rule:
        for name in names.split():
            operator, _, torch_name = name.partition("=")
            RULES[operator] = torch_name or operator.lower(), function
        return function

    return add


@_rule("Conv")
def convolution(record: GraphRecord, call: Call) -> None:
    _convolution(record, call, "conv", transposed=False)


@_rule("ConvTranspose")
def transposed_convolution(record: GraphRecord, call: Call) -> None:
    _convolution(record, call, "conv_transpose", transposed=True)


def _convolution(record: GraphRecord, call: Call, name: str, *, transposed: bool) -> None:
    record.operator = f"{name}{call.x.dim() - 2}d"
    channels = call.w.shape[0] if transposed else call.w.shape[1] * call.attributes.get("group", 1)
    if call.x.shape[1] != channels:
        raise CostError(f"an input of {_text(call.x)} and a weight of {_text(call.w)} do not fit")
    products.convolution(record, call.out, call.x, call.w, call.input(2), None, None, None, transposed)


@_rule("Gemm=linear")
def general_product(record: GraphRecord, call: Call) -> None:
    x = call.x.T if call.attributes.get("transA") else call.x
    w = call.w.T if call.attributes.get("transB") else call.w
    bias = call.input(2) if call.attributes.get("beta", 1) else None
    products.product(record, _product(x, w).shape, call.x, call.w, bias, length=x.shape[1])


@_rule("MatMul")
def matrix_product(record: GraphRecord, call: Call) -> None:
    products.matrix_product(record, _product(call.x, call.w), call.x, call.w)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The product, whose shape a file may say although its operands do not fit."""
    try:
        return a @ b
    except RuntimeError as error:
        raise CostError(f"operands of {_text(a)} and {_text(b)} do not fit") from error


def _text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


@_rule("Einsum")
def einsum(record: GraphRecord, call: Call) -> None:
    """A product of two tensors over the letters that both have and the result has not."""
    terms, arrow, result = call.attributes["equation"].decode().replace(" ", "").partition("->")
    letters = terms.split(",")
    if not arrow or "." in terms or len(letters) != 2 or any(len(set(term)) != len(term) for term in letters):
        raise CostError(f"{terms}{arrow}{result}: two operands of different letters and a result are accepted")
    sizes = dict(zip(letters[0], call.x.shape, strict=True)) | dict(zip(letters[1], call.w.shape, strict=True))
    summed = set(letters[0]) & set(letters[1]) - set(result)
    if summed:
        products.product(record, call.out.shape, call.x, call.w, length=prod(sizes[letter] for letter in summed))
    else:
        elements.multiply(record, call.out, call.x, call.w)


@_rule("LSTM GRU RNN")
def recurrent(record: GraphRecord, call: Call) -> None:
    # x [t, n, in], w [directions, gates, in], r [directions, gates, hidden], b [directions, 2 gates]
    steps = call.x.shape[0] * call.x.shape[1]
    for direction in range(call.w.shape[0]):
        given = (each for each in (call.w, call.input(2), call.input(3)) if each is not None)
        weights = [record.view(each, each[direction]) for each in given]
        *matrices, bias = weights if call.input(3) is not None else (*weights, None)
        halves = () if bias is None else (record.view(bias, half) for half in bias.chunk(2))
        products.recurrence(record, call.x, (*matrices, *halves), steps=steps)


@_rule("Attention=scaled_dot_product_attention")
def attention(record: GraphRecord, call: Call) -> None:
    query, key, value = (each for each in call.inputs[:3] if each is not None)
    past = call.input(4)
    if query.dim() == 4:
        batch, heads, queries, width = query.shape
        keys, out_width = key.shape[2], value.shape[3]
    else:
        heads, kv_heads = call.attributes["q_num_heads"], call.attributes["kv_num_heads"]
        batch, queries, width = query.shape[0], query.shape[1], query.shape[2] // heads
        keys, out_width = key.shape[1], value.shape[2] // kv_heads
    keys += past.shape[2] if past is not None else 0
    pairs(record, (batch, heads), queries, keys, width, out_width, (query, key, value))


@_rule("BatchNormalization=batch_norm")
def batch_norm(record: GraphRecord, call: Call) -> None:
    training = bool(call.attributes.get("training_mode"))
    elements.batch_norm_of(record, call.out, call.x, call.inputs[1:5], takes_statistics=training)


@_rule("InstanceNormalization=instance_norm")
def instance_norm(record: GraphRecord, call: Call) -> None:
    elements.norm(record, call.out, call.x, call.inputs[1:3], reduction=prod(call.x.shape[2:]))


@_rule("LayerNormalization=layer_norm RMSNormalization=rms_norm")
def layer_norm(record: GraphRecord, call: Call) -> None:
    reduction = prod(call.x.shape[call.attributes.get("axis", -1) :])
    elements.norm(record, call.out, call.x, call.inputs[1:3], reduction=reduction)


@_rule("GroupNormalization=group_norm")
def group_norm(record: GraphRecord, call: Call) -> None:
    reduction = prod(call.x.shape[1:]) // call.attributes["num_groups"]
    elements.norm(record, call.out, call.x, call.inputs[1:3], reduction=reduction)


@_rule("Softmax LogSoftmax=log_softmax")
def softmax(record: GraphRecord, call: Call) -> None:
    if call.opset >= 13:
        elements.softmax(record, call.out, call.x, call.attributes.get("axis", -1))
    else:  # over all dimensions from the axis on
        row = prod(call.x.shape[call.attributes.get("axis", 1) :])
        record_work(record, OpKind.SOFTMAX, call.out.shape, window_work(call.x.shape, row))


@_rule("MaxPool=max_pool AveragePool=avg_pool LpPool=lp_pool")
def pool(record: GraphRecord, call: Call) -> None:
    window = call.attributes["kernel_shape"]
    kind = OpKind.POOL_MAX if record.operator == "max_pool" else OpKind.POOL_AVG
    record.operator += f"{len(window)}d"
    record_work(record, kind, call.out.shape, window_work(call.x.shape, prod(window)))


@_rule("GlobalAveragePool=adaptive_avg_pool2d ReduceMean=mean")
def average(record: GraphRecord, call: Call) -> None:
    if call.module.startswith("AdaptiveAvgPool"):
        record.operator = f"adaptive_avg_pool{call.module[-2]}d"
    elements.average(record, call.out, call.x)


@_rule("GlobalMaxPool=adaptive_max_pool2d ReduceMax=amax")
def maximum(record: GraphRecord, call: Call) -> None:
    elements.maximum(record, call.out, call.x)


@_rule(
    "ReduceSum=sum ReduceMin=amin ReduceProd=prod ReduceL1=norm ReduceL2=norm ReduceLogSum=sum "
    "ReduceLogSumExp=logsumexp ReduceSumSquare=sum ArgMax ArgMin CumSum"
)
def reduce(record: GraphRecord, call: Call) -> None:
    elements.reduce(record, call.out, call.x)


@_rule("Resize=interpolate Upsample=interpolate GridSample=grid_sample")
def interpolation(record: GraphRecord, call: Call) -> None:
    mode = call.attributes.get("mode", b"nearest" if record.operator == "interpolate" else b"linear").decode()
    taps = {"nearest": 1, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}[mode]
    if record.operator == "grid_sample":
        dims = call.x.dim() - 2
    else:
        dims = sum(size != given for size, given in zip(call.out.shape, call.x.shape, strict=True))
    elements.interpolation(taps**dims)(record, call.out, call.x)


def _pointwise(kind: OpKind) -> Rule:
    record_operands = elements.elementwise(kind)

    def element_by_element(record: GraphRecord, call: Call) -> None:
        record_operands(record, call.out, *call.operands)

    return element_by_element


for _names, _kind in (
    ("Mul Div", OpKind.MULTIPLY),
    ("Add Sub Sum=add", OpKind.ADD),
    (
        "Relu LeakyRelu=leaky_relu PRelu=prelu Sigmoid Tanh HardSigmoid HardSwish Elu Selu Celu Gelu Mish Softplus "
        "Softsign ThresholdedRelu=threshold Swish=silu Clip=hardtanh",
        OpKind.ACTIVATION,
    ),
    (
        "Abs Neg Exp Log Sqrt Reciprocal Pow Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Floor Ceil "
        "Round Sign Mod=remainder Max=maximum Min=minimum Mean Equal=eq Greater=gt GreaterOrEqual=ge Less=lt "
        "LessOrEqual=le And=logical_and Or=logical_or Xor=logical_xor Not=logical_not IsNaN IsInf BitwiseAnd "
        "BitwiseOr BitwiseXor BitwiseNot BitShift QuantizeLinear DequantizeLinear",
        OpKind.ELEMENTWISE,
    ),
    (
        "Concat=cat Transpose=permute Expand Tile=repeat Pad Where Cast=to CastLike=to DepthToSpace=pixel_shuffle "
        "SpaceToDepth=pixel_unshuffle Trilu=tril ScatterND=index_put ScatterElements=scatter ReverseSequence=flip "
        "OneHot=one_hot",
        OpKind.MOVEMENT,
    ),
):
    _rule(_names)(_pointwise(_kind))


@_rule("Gather=embedding GatherElements=gather GatherND=index Slice Split TopK=topk Compress=masked_select")
def taken(record: GraphRecord, call: Call) -> None:
    """Elements taken out of a tensor: only those are read."""
    sizes = [each.numel() for each in call.outputs if each is not None]
    record(OpKind.MOVEMENT, call.out.shape, reads=sum(sizes), writes=sum(sizes), params=(call.x,))


_FREE = (
    "Constant ConstantOfShape Shape Size Identity Reshape Flatten Squeeze Unsqueeze Dropout Range EyeLike "
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli SequenceConstruct SequenceEmpty "
    "SequenceAt SequenceLength SplitToSequence"
)
FREE = frozenset(_FREE.split())
# What keeps a parameter a parameter, and a zero a zero: a runtime does it when it loads the file.
_VIEWS = "Identity Reshape Flatten Squeeze Unsqueeze Transpose Cast CastLike Expand DequantizeLinear"
VIEWS = frozenset(_VIEWS.split())
