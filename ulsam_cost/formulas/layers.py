"""Closed forms of the layers: the shape of the input in, the Cost out.

Every function takes the path of the module that runs the layer, the input's shape and the layer's own
sizes, and returns a Cost whose `output` is the shape of the result, so that layers chain:

    conv = conv2d_cost("conv", (n, c, h, w), 64, kernel=3, padding=1)
    norm = batch_norm_cost("norm", conv.output)

`module` is the torch.nn class that runs the layer in the real network, empty where a functional call does.
Sizes are ints; NumPy integer arrays and sympy expressions go through the same arithmetic.
Counted everywhere: each operand read once, each result written once. Not counted: moving data that a
view would do.
"""

from math import prod
from typing import Any

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import SizeError, holds, require_divides
from ulsam_cost.operations import (
    Shape,
    Work,
    convolution_work,
    norm_work,
    product_work,
    reduction_work,
    share,
    window_work,
)

Pair = int | tuple[int, int]


def as_pair(value: Pair) -> tuple[int, int]:
    """A size for both directions, or one for the height and one for the width."""
    return value if isinstance(value, tuple) else (value, value)


def window_output(size: Any, kernel: int, stride: int, padding: int, dilation: int = 1) -> Any:
    """Positions at which a window fits: (size + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.

    Raises:
        SizeError: where the window does not fit once.
    """
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    output = span + 1 if stride == 1 else span // stride + 1
    if not holds(output > 0):
        raise SizeError(
            f"a window of {dilation * (kernel - 1) + 1} does not fit a map of {size} with padding {padding}: "
            f"{dilation * (kernel - 1) + 1 - 2 * padding} or more is accepted"
        )
    return output


def conv2d_cost(
    path: str,
    x: Shape,
    out_channels: Any,
    *,
    kernel: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: Any = 1,
    bias: bool = False,
    module: str = "Conv2d",
) -> Cost:
    """A two-dimensional convolution of a map [n, c, h, w].

    Closed form: MACs n * out * ho * wo * (c / groups) * kh * kw, parameters out * (c / groups) * kh * kw (+ out).
    Counted: the convolution; the bias as an operation of its own.

    Raises:
        SizeError: if `groups` does not divide the channels or the kernel does not fit.
    """
    n, c, h, w = x
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(as_pair, (kernel, stride, padding, dilation))
    if not (isinstance(groups, int) and groups == 1):
        require_divides("groups", groups, "channels", c)
        require_divides("groups", groups, "output channels", out_channels)
    output = (n, out_channels, window_output(h, kh, sh, ph, dh), window_output(w, kw, sw, pw, dw))
    # [n, out, ho, wo] = [n, c, h, w] * [out, c / groups, kh, kw]
    conv = _convolution(path, "conv2d", x, (out_channels, c // groups, kh, kw), output, module)
    return Cost((conv, _bias(conv, out_channels))) if bias else Cost((conv,))


def conv1d_cost(
    path: str, x: Shape, out_channels: Any, *, kernel: Any, padding: Any = 0, module: str = "Conv1d"
) -> Cost:
    """A one-dimensional convolution of [n, c, l], without bias.

    Closed form: MACs n * out * lo * c * k, parameters out * c * k.
    """
    n, c, length = x
    output = (n, out_channels, length + 2 * padding - kernel + 1)
    # [n, out, lo] = [n, c, l] * [out, c, k]
    return Cost((_convolution(path, "conv1d", x, (out_channels, c, kernel), output, module),))


def _convolution(path: str, operator: str, x: Shape, weight: Shape, output: Shape, module: str) -> OpCost:
    return _worked(
        path, OpKind.CONV, operator, output, convolution_work(x, weight, output), params=prod(weight), module=module
    )


def _worked(
    path: str, kind: OpKind, operator: str, output: Shape, work: Work, *, params: Any = 0, module: str = ""
) -> OpCost:
    macs, reads, reduction = work
    return _operation(
        path, kind, operator, output, macs=macs, reads=reads, params=params, reduction=reduction, module=module
    )


def linear_cost(path: str, x: Shape, out_features: Any, *, bias: bool = True, module: str = "Linear") -> Cost:
    """A linear layer on the last dimension of [..., in].

    Closed form: MACs rows * in * out, parameters in * out (+ out).
    Counted: the product; the bias as an operation of its own.
    """
    *rows, in_features = x
    output = (*rows, out_features)
    weights = in_features * out_features
    # [rows, out] = [rows, in] @ [in, out]
    work = product_work(output, in_features, prod(x) + weights)
    linear = _worked(path, OpKind.LINEAR, "linear", output, work, params=weights, module=module)
    return Cost((linear, _bias(linear, out_features))) if bias else Cost((linear,))


def _bias(product: OpCost, size: Any) -> OpCost:
    return OpCost(
        path=product.path,
        kind=OpKind.BIAS,
        operator=product.operator,
        output=product.output,
        reads=size,
        params=size,
        module=product.module,
    )


def matmul_cost(path: str, a: Shape, b: Shape, *, operator: str = "matmul") -> Cost:
    """A batched matrix product of two activations, [..., i, k] @ [..., k, j].

    Closed form: MACs batch * i * k * j.
    """
    *batch, i, k = a
    j = b[-1]
    output = (*batch, i, j)
    # [..., i, j] = [..., i, k] @ [..., k, j]
    return Cost((_worked(path, OpKind.MATMUL, operator, output, product_work(output, k, prod(a) + prod(b))),))


def batch_norm_cost(path: str, x: Shape, *, module: str = "BatchNorm2d") -> Cost:
    """Batch norm with affine parameters and running statistics, as it runs in evaluation.

    Counted: the map, two statistics and two parameters a channel are read. Parameters 2 c.
    """
    c = x[1]
    return Cost((_worked(path, OpKind.NORM, "batch_norm", x, norm_work(x, 4 * c), params=2 * c, module=module),))


def layer_norm_cost(path: str, x: Shape, normalized: Shape, *, module: str = "LayerNorm") -> Cost:
    """Layer norm over the last dimensions `normalized`, with affine parameters. Parameters 2 prod(normalized)."""
    size = prod(normalized)
    work = norm_work(x, 2 * size, size)
    return Cost((_worked(path, OpKind.NORM, "layer_norm", x, work, params=2 * size, module=module),))


def group_norm_cost(path: str, x: Shape, groups: Any, *, module: str = "GroupNorm") -> Cost:
    """Group norm of a map [n, c, h, w] with affine parameters. Parameters 2 c.

    Raises:
        SizeError: where all that a group has is one value, which PyTorch refuses.
    """
    n, c = x[:2]
    size = prod(x) // (n * groups)
    if not holds(n * size > 1):
        raise SizeError("a group norm over one value: 2 or more values in each group are accepted")
    work = norm_work(x, 2 * c, size)
    return Cost((_worked(path, OpKind.NORM, "group_norm", x, work, params=2 * c, module=module),))


def activation_cost(path: str, x: Shape, operator: str, *, module: str = "") -> Cost:
    """An activation function, element by element."""
    return _single(path, OpKind.ACTIVATION, operator, x, module=module)


def relu_cost(path: str, x: Shape, *, module: str = "ReLU") -> Cost:
    """ReLU."""
    return activation_cost(path, x, "relu", module=module)


def relu6_cost(path: str, x: Shape, *, module: str = "ReLU6") -> Cost:
    """ReLU6: min(max(x, 0), 6)."""
    return activation_cost(path, x, "hardtanh", module=module)


def sigmoid_cost(path: str, x: Shape, *, module: str = "Sigmoid") -> Cost:
    """Sigmoid."""
    return activation_cost(path, x, "sigmoid", module=module)


def softmax_cost(path: str, x: Shape, *, dim: int = -1, module: str = "Softmax") -> Cost:
    """Softmax over one dimension; `reduction` is the row's length."""
    return Cost((_worked(path, OpKind.SOFTMAX, "softmax", x, window_work(x, x[dim]), module=module),))


def max_pool2d_cost(
    path: str, x: Shape, *, kernel: Pair, stride: Pair, padding: Pair = 0, module: str = "MaxPool2d"
) -> Cost:
    """Max pooling of a map [n, c, h, w]; `reduction` is the window."""
    n, c, h, w = x
    (kh, kw), (sh, sw), (ph, pw) = map(as_pair, (kernel, stride, padding))
    output = (n, c, window_output(h, kh, sh, ph), window_output(w, kw, sw, pw))
    return _pooled(path, OpKind.POOL_MAX, "max_pool2d", x, output, kh * kw, module)


def avg_pool2d_cost(
    path: str,
    x: Shape,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = 0,
    ceil: bool = False,
    module: str = "AvgPool2d",
) -> Cost:
    """Average pooling of a map [n, c, h, w]; `reduction` is the window. With `ceil` its last window may be cut."""
    n, c, h, w = x
    (kh, kw), (sh, sw), (ph, pw) = map(as_pair, (kernel, stride, padding))
    output = (n, c, -(-h // sh), -(-w // sw))
    if not ceil:
        output = (n, c, window_output(h, kh, sh, ph), window_output(w, kw, sw, pw))
    return _pooled(path, OpKind.POOL_AVG, "avg_pool2d", x, output, kh * kw, module)


def global_avg_pool_cost(path: str, x: Shape, *, module: str = "AdaptiveAvgPool2d") -> Cost:
    """The mean of each channel's map: [n, c, 1, 1] of [n, c, h, w]."""
    n, c, h, w = x
    return _pooled(path, OpKind.POOL_AVG, "adaptive_avg_pool2d", x, (n, c, 1, 1), h * w, module)


def adaptive_avg_pool2d_cost(path: str, x: Shape, size: Pair, *, module: str = "AdaptiveAvgPool2d") -> Cost:
    """Average pooling of a map [n, c, h, w] to [n, c, *size], whose windows may overlap."""
    n, c, h, w = x
    kh, kw = as_pair(size)
    return _pooled(path, OpKind.POOL_AVG, "adaptive_avg_pool2d", x, (n, c, kh, kw), share(h * w, kh * kw), module)


def global_max_pool_cost(path: str, x: Shape, *, module: str = "AdaptiveMaxPool2d") -> Cost:
    """The maximum of each channel's map: [n, c, 1, 1] of [n, c, h, w]."""
    n, c, h, w = x
    return _pooled(path, OpKind.POOL_MAX, "adaptive_max_pool2d", x, (n, c, 1, 1), h * w, module)


def mean_cost(path: str, x: Shape, output: Shape) -> Cost:
    """A functional mean of x into `output`."""
    return _reduced(path, OpKind.POOL_AVG, "mean", x, output)


def amax_cost(path: str, x: Shape, output: Shape) -> Cost:
    """A functional maximum of x into `output`."""
    return _reduced(path, OpKind.POOL_MAX, "amax", x, output)


def _pooled(path: str, kind: OpKind, operator: str, x: Shape, output: Shape, window: Any, module: str) -> Cost:
    return Cost((_worked(path, kind, operator, output, window_work(x, window), module=module),))


def _reduced(path: str, kind: OpKind, operator: str, x: Shape, output: Shape) -> Cost:
    return Cost((_worked(path, kind, operator, output, reduction_work(x, output)),))


def multiply_cost(path: str, output: Shape, *operands: Shape, operator: str = "mul", params: Any = 0) -> Cost:
    """An element-wise product of operands, broadcast to `output`; numbers are not operands, a division is a product."""
    return _single(path, OpKind.MULTIPLY, operator, output, reads=sum(map(prod, operands)), params=params)


def add_cost(path: str, output: Shape, *operands: Shape, operator: str = "add", params: Any = 0) -> Cost:
    """An element-wise sum of operands, broadcast to `output`; numbers are not operands, a difference is a sum."""
    return _single(path, OpKind.ADD, operator, output, reads=sum(map(prod, operands)), params=params)


def elementwise_cost(path: str, x: Shape, operator: str, *, params: Any = 0) -> Cost:
    """Another function of one operand, element by element: a power, an absolute value."""
    return _single(path, OpKind.ELEMENTWISE, operator, x, params=params)


def reduce_cost(path: str, x: Shape, output: Shape, operator: str = "sum") -> Cost:
    """A sum, or another number that many give, of x into `output`."""
    return _reduced(path, OpKind.REDUCE, operator, x, output)


def concatenate_cost(path: str, output: Shape) -> Cost:
    """Several tensors copied into one."""
    return movement_cost(path, output, "cat")


def movement_cost(path: str, output: Shape, operator: str, *, module: str = "") -> Cost:
    """Elements copied, into another order or side by side."""
    return _single(path, OpKind.MOVEMENT, operator, output, module=module)


def pad_cost(path: str, output: Shape, x: Shape) -> Cost:
    """A map copied into a larger one."""
    return _single(path, OpKind.MOVEMENT, "pad", output, reads=prod(x))


def interpolate_cost(path: str, x: Shape, output: Shape, *, module: str = "") -> Cost:
    """Interpolation of a map to the size of `output`."""
    return _single(path, OpKind.UPSAMPLE, "interpolate", output, reads=prod(x), module=module)


def run_again(cost: Cost) -> Cost:
    """The same operations once more: their parameters are counted already."""
    return Cost(tuple(op._replace(params=0) for op in cost))


def unused_cost(path: str, params: Any) -> Cost:
    """Parameters that no operation uses: counted all the same."""
    return Cost((OpCost(path=path, kind=OpKind.UNUSED, operator="", output=(), params=params),))


def _single(path: str, kind: OpKind, operator: str, output: Shape, **fields: Any) -> Cost:
    return Cost((_operation(path, kind, operator, output, **fields),))


def _operation(
    path: str,
    kind: OpKind,
    operator: str,
    output: Shape,
    *,
    reads: Any = None,
    macs: Any = 0,
    params: Any = 0,
    reduction: Any = 1,
    module: str = "",
) -> OpCost:
    writes = prod(output)
    return OpCost(
        path=path,
        kind=kind,
        operator=operator,
        output=output,
        macs=macs,
        reads=writes if reads is None else reads,
        writes=writes,
        params=params,
        reduction=reduction,
        module=module,
    )
