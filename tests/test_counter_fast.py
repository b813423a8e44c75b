"""The fast path answers only what PyTorch answers: valid and invalid calls, against the real run on the CPU."""

import copy
import warnings
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from counting import Call
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.fast import FAST
from ulsam_cost.counting.leaves import LEAVES

FLOAT, DOUBLE, INT, BOOL, COMPLEX = torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64
DTYPES = (FLOAT, DOUBLE, torch.bfloat16, INT, torch.uint8, BOOL, COMPLEX)


@dataclass(frozen=True)
class Operand:
    """A tensor of zeros to be made, with its dimensions in memory in order or in another, maybe a part of another.

    `order` says which of the dimensions come first; those it does not name follow.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = FLOAT
    order: tuple[int, ...] = ()
    part: bool = False

    def make(self) -> Tensor:
        order = [dim for dim in self.order if dim < len(self.shape)]
        order += [dim for dim in range(len(self.shape)) if dim not in order]
        whole = torch.zeros([self.shape[dim] + self.part for dim in order], dtype=self.dtype)
        own = whole[tuple(slice(self.shape[dim]) for dim in order)] if self.part else whole
        return own.permute([order.index(dim) for dim in range(len(order))])


def make(value: Any) -> Any:
    if isinstance(value, Operand):
        return value.make()
    if isinstance(value, tuple | list):
        return type(value)(map(make, value))
    return {key: make(item) for key, item in value.items()} if isinstance(value, dict) else value


# Valid calls: draw -> positional arguments and keywords.
size, few = st.integers(1, 4), st.integers(1, 3)


@st.composite
def convolution(draw, dims):
    groups, share, out, kernel, stride = draw(few), draw(few), draw(few), draw(few), draw(few)
    padding, dilation, image = draw(st.integers(0, 2)), draw(few), draw(st.integers(7, 9))
    maps, taps = tuple(range(image, image + dims)), (kernel, draw(few), draw(few))[:dims]
    x, weight = (2, groups * share, *maps), (out * groups, share, *taps)
    bias = draw(st.sampled_from([None, Operand((out * groups,))]))
    spread = (dilation, draw(few), draw(few))[:dims]
    options = {"stride": stride, "padding": padding, "dilation": spread, "groups": groups}
    if draw(st.booleans()):
        return (Operand(x), Operand(weight), bias, *options.values()), {}
    return (Operand(x), Operand(weight), bias), options


@st.composite
def transposed_convolution(draw, dims):
    groups, share, out, stride = draw(few), draw(few), draw(few), draw(few)
    taps = tuple(draw(st.lists(few, min_size=dims, max_size=dims)))
    x = (2, groups * share, *draw(st.lists(st.integers(3, 5), min_size=dims, max_size=dims)))
    bias = draw(st.sampled_from([None, Operand((out * groups,))]))
    more = draw(st.integers(0, stride - 1))
    options = (stride, draw(st.integers(0, 1)), more, groups, draw(few))
    return (Operand(x), Operand((groups * share, out, *taps)), bias, *options), {}


@st.composite
def linear(draw):
    *batch, length, out = draw(st.lists(size, min_size=2, max_size=4))
    bias = draw(st.sampled_from([None, Operand((out,))]))
    return (Operand((*batch, length)), Operand((out, length)), bias), {}


@st.composite
def matmul(draw):
    i, k, j = draw(size), draw(size), draw(size)
    batch = tuple(draw(st.lists(size, max_size=2)))
    left = draw(st.sampled_from([batch, batch[1:], (), tuple(1 for _ in batch)]))
    pair = [(Operand((*left, i, k)), Operand((*batch, k, j))), (Operand((k,)), Operand((*batch, k, j)))]
    pair += [(Operand((*batch, i, k)), Operand((k,))), (Operand((k,)), Operand((k,)))]
    return draw(st.sampled_from(pair)), {}


@st.composite
def vecdot(draw):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=3)))
    return (Operand(shape), Operand(draw(st.sampled_from([shape, shape[-1:]])))), draw(
        st.sampled_from([{}, {"dim": -1}])
    )


@st.composite
def attention(draw):
    n, heads, queries, keys, width = draw(few), draw(few), draw(size), draw(size), draw(size)
    mask = draw(st.sampled_from([None, Operand((queries, keys)), Operand((queries, keys), BOOL), Operand((keys,))]))
    batch = draw(st.sampled_from([(n, heads), (n,), (n, 2, heads)]))
    query, key = Operand((*batch, queries, width)), Operand((*batch, keys, width))
    value = Operand((*batch, keys, draw(size)))
    options = draw(
        st.sampled_from([{}, {"attn_mask": mask}, {"is_causal": True}, {"scale": 2.0}, {"enable_gqa": True}])
    )
    return (query, key, value), options


@st.composite
def embedding(draw):
    indices = Operand(tuple(draw(st.lists(size, max_size=3))), draw(st.sampled_from([INT, torch.int32])))
    options = draw(st.sampled_from([{}, {"padding_idx": 0}, {"max_norm": 1.0}, {"sparse": True}]))
    return (indices, Operand((draw(st.integers(2, 4)), draw(size)))), options


@st.composite
def batch_norm(draw):
    shape = tuple(draw(st.lists(st.integers(2, 4), min_size=2, max_size=4)))
    statistics, scale, bias = (draw(st.sampled_from([None, Operand(shape[1:2])])) for _ in range(3))
    training = draw(st.booleans()) or statistics is None
    return (Operand(shape), statistics, statistics, scale, bias, training), draw(st.sampled_from([{}, {"eps": 0.1}]))


@st.composite
def layer_norm(draw):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=3)))
    own = shape[draw(st.integers(0, len(shape) - 1)) :]
    weight, bias = (draw(st.sampled_from([None, Operand(own)])) for _ in range(2))
    return (Operand(shape), own, weight, bias), {}


@st.composite
def group_norm(draw):
    groups, share = draw(few), draw(few)
    own = (groups * share,)
    shape = (draw(few), *own, *draw(st.lists(st.integers(2, 4), max_size=2)))
    weight, bias = (draw(st.sampled_from([None, Operand(own)])) for _ in range(2))
    return (Operand(shape), groups, weight, bias), draw(st.sampled_from([{}, {"eps": 0.1}]))


@st.composite
def pool2d(draw, own_options):
    kernel, image = draw(st.integers(2, 3)), draw(st.integers(7, 9))
    options = {"stride": draw(st.sampled_from([None, 1, 2, (1, 2)])), "padding": draw(st.integers(0, 1))}
    options |= {name: draw(values) for name, values in own_options.items()}
    if options["stride"] is None:
        del options["stride"]
    return (Operand((2, 3, image, image + 1)), draw(st.sampled_from([kernel, (kernel, 2)]))), options


@st.composite
def reduction(draw, options=({},)):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=4)))
    dims = st.integers(-len(shape), len(shape) - 1)
    dim = draw(st.one_of(dims, st.lists(dims, min_size=1, max_size=3, unique=True).map(tuple)))
    more = draw(st.sampled_from([(), (dim,), (dim, True), (dim, False)]))
    return (Operand(shape), *more), draw(st.sampled_from(options)) if len(more) < 2 else {}


@st.composite
def interpolate(draw):
    x = Operand(draw(st.sampled_from([(2, 3, 5, 7), (1, 2, 4, 4)])))
    mode = draw(st.sampled_from(["nearest", "bilinear", "bicubic"]))
    where = draw(st.sampled_from([{"size": (9, 8)}, {"size": 6}, {"scale_factor": 2}, {"scale_factor": (1.5, 0.7)}]))
    options = draw(st.sampled_from([{}, {"align_corners": False}, {"align_corners": True}, {"antialias": True}]))
    return (x,), where | {"mode": mode} | (options if mode != "nearest" else {})


@st.composite
def row(draw, of):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=4)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = draw(st.lists(size, min_size=1, max_size=3)) if of is torch.cat else [shape[dim]] * draw(few)
    at = dim % len(shape)
    tensors = [Operand((*shape[:at], length, *shape[at + 1 :])) for length in lengths]
    return (draw(st.sampled_from([tensors, tuple(tensors)])),), draw(st.sampled_from([{"dim": dim}, {"dim": at}]))


@st.composite
def pad(draw):
    shape = tuple(draw(st.lists(st.integers(2, 4), min_size=1, max_size=4)))
    sides = draw(st.lists(st.integers(-1, 2), min_size=2, max_size=2 * len(shape)))
    options = draw(st.sampled_from([{}, {"value": 1.0}, {"mode": "constant", "value": None}]))
    return (Operand(shape), tuple(sides[: len(sides) // 2 * 2])), options


@st.composite
def roll(draw):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=4)))
    dims = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=2))
    return (Operand(shape), tuple(draw(st.integers(-3, 3)) for _ in dims), tuple(dims)), {}


@st.composite
def where(draw):
    shape = tuple(draw(st.lists(size, max_size=3)))
    other = draw(st.sampled_from([Operand(shape), Operand(shape[1:]), Operand((1,) * len(shape)), 2.0]))
    return (Operand(draw(st.sampled_from([shape, shape[1:]])), BOOL), Operand(shape), other), {}


@st.composite
def batched_product(draw):
    n, i, k, j = draw(size), draw(size), draw(size), draw(size)
    return (Operand((n, i, k)), Operand((n, k, j))), {}


@st.composite
def adaptive_avg_pool2d(draw):
    x = Operand(draw(st.sampled_from([(2, 3, 5, 7), (3, 5, 7)])))
    return (x, draw(st.sampled_from([1, (1, 1), 2, (2, None), (None, 3), [5, 7], (9, 9)]))), {}


@st.composite
def unary(draw, options=({},)):
    return (Operand(tuple(draw(st.lists(size, max_size=4)))),), draw(st.sampled_from(options))


INPLACE = ({}, {"inplace": True}, {"inplace": False})


@st.composite
def softmax(draw):
    shape = tuple(draw(st.lists(size, min_size=1, max_size=4)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return (Operand(shape),), {"dim": dim} | draw(st.sampled_from([{}, {"dtype": None}, {"dtype": DOUBLE}]))


@st.composite
def binary(draw):
    shape = tuple(draw(st.lists(size, max_size=3)))
    other = draw(st.sampled_from([Operand(shape), Operand(shape[1:]), Operand((1,) * len(shape)), 2, 2.0, True]))
    return (Operand(shape), other), {}


CALLS = {
    F.conv1d: convolution(1),
    F.conv2d: convolution(2),
    F.conv3d: convolution(3),
    F.conv_transpose1d: transposed_convolution(1),
    F.conv_transpose2d: transposed_convolution(2),
    F.conv_transpose3d: transposed_convolution(3),
    F.linear: linear(),
    torch.linalg.vecdot: vecdot(),
    F.scaled_dot_product_attention: attention(),
    F.embedding: embedding(),
    F.batch_norm: batch_norm(),
    F.layer_norm: layer_norm(),
    F.group_norm: group_norm(),
    torch.max_pool2d: pool2d({"dilation": few, "ceil_mode": st.booleans()}),
    F.avg_pool2d: pool2d({"ceil_mode": st.booleans(), "count_include_pad": st.booleans()}),
    F.adaptive_avg_pool2d: adaptive_avg_pool2d(),
    F.interpolate: interpolate(),
    F.pad: pad(),
    torch.cat: row(torch.cat),
    torch.stack: row(torch.stack),
    torch.where: where(),
    **dict.fromkeys((F.relu, F.relu6, F.silu, F.hardswish, F.hardsigmoid), unary(INPLACE)),
    F.elu: unary((*INPLACE, {"alpha": 2.0})),
    F.leaky_relu: unary((*INPLACE, {"negative_slope": 2.0})),
    F.hardtanh: unary((*INPLACE, {"min_val": -2.0}, {"max_val": 3})),
    F.softplus: unary(({}, {"beta": 2}, {"threshold": 3.0})),
    F.gelu: unary(({}, {"approximate": "none"}, {"approximate": "tanh"})),
    F.sigmoid: unary(),
    F.tanh: unary(),
    F.softmax: softmax(),
    F.dropout: unary(({}, {"training": False}, {"p": 0.1}, {"inplace": True})),
    Tensor.float: unary(),
    Tensor.add_: binary(),
    Tensor.sub_: binary(),
    Tensor.mul_: binary(),
    Tensor.div_: binary(),
}
# Those that are both functions and methods, by name.
BOTH = {
    "matmul": matmul(),
    "bmm": batched_product(),
    "softmax": softmax(),
    "mean": reduction(({}, {"dtype": None}, {"dtype": FLOAT}, {"keepdim": True})),
    "sum": reduction(({}, {"dtype": None}, {"dtype": FLOAT}, {"keepdim": True})),
    "amax": reduction(({}, {"keepdim": True})),
    "amin": reduction(({}, {"keepdim": True})),
    "roll": roll(),
    "clamp": unary(({"min": 0.0}, {"max": 1}, {"min": 0, "max": 2.0}, {})),
    "pow": binary(),
    **dict.fromkeys(("abs", "cos", "erf", "exp", "log", "neg", "relu", "rsqrt", "sigmoid", "sin", "sqrt"), unary()),
    "tanh": unary(),
    **dict.fromkeys(("add", "sub", "mul", "div", "eq", "ge", "gt", "le", "lt", "ne"), binary()),
}
CALLS |= {getattr(owner, name): calls for name, calls in BOTH.items() for owner in (torch, Tensor)}
NUMBERS = (-1, 0, 1, 2, 9, 0.5, 2.0, True, "none", (1,), (1, 2), (0, 0), (1, 2, 3), [2, 2])


@st.composite
def changed(draw, value):
    """A value with one thing about it changed."""
    if not isinstance(value, Operand):
        return draw(st.sampled_from((None, Operand((2,)), *NUMBERS)))
    shape, at = value.shape, draw(st.integers(0, max(0, len(value.shape) - 1)))
    ways = [replace(value, dtype=dtype) for dtype in DTYPES]
    ways += [replace(value, shape=(*shape[:at], length, *shape[at + 1 :])) for length in (0, 1, 2, 3, 5) if shape]
    ways += [replace(value, shape=other) for other in (shape[1:], shape[:-1], (1, *shape), (*shape, 2), shape[::-1])]
    reverse, maps = tuple(reversed(range(len(shape)))), (0, 2, 3, 4, 1)
    orders = [reverse, maps, tuple(draw(st.permutations(range(len(shape)))))]
    ways += [replace(value, order=order, part=part) for order in orders for part in (False, True)]
    return draw(st.sampled_from([*ways, None, 2, 0.5]))


@st.composite
def calls(draw, valid):
    """A valid call, or one with up to two of its arguments changed, which it may not survive."""
    args, kwargs = draw(valid)
    args = list(args)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2]))):
        where = draw(st.sampled_from([*range(len(args)), *kwargs]))
        holder = args if isinstance(where, int) else kwargs
        new = draw(changed(holder[where]))
        holder = [*args] if isinstance(where, int) else dict(kwargs)
        holder[where] = new
        args, kwargs = (holder, kwargs) if isinstance(where, int) else (args, holder)
    if draw(st.integers(0, 9)) == 0:
        kwargs = kwargs | {draw(st.sampled_from(["dim", "out_of_place", "dtype", "input", "bias"])): 1}
    return tuple(args), kwargs


def looks(value):
    """What can be seen of a result without its values."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    return tuple(map(looks, value)) if isinstance(value, tuple | list) else value


def outcome(run):
    """What a call gives, or raises."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            return looks(run()), None
        except Exception as error:
            return None, (type(error), str(error))


def layout(value):
    """How a result lies in memory, of dimensions that are longer than 1."""
    if isinstance(value, Tensor) and value.numel():
        pairs = zip(value.shape, value.stride(), strict=True)
        return tuple(stride for length, stride in pairs if length > 1)
    return tuple(map(layout, value)) if isinstance(value, tuple | list) else None


SEEN = []  # what results looked like; a global, because a count runs a twin of whatever the model holds


class Keep(nn.Module):
    """A layer that keeps what its result looks like."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, args, kwargs):
        result = self.layer(*args, **kwargs)
        SEEN.append((looks(result), layout(result)))
        return result


# Functions of which the meta device refuses all that the CPU refuses.
AS_STRICT = {
    *(F.conv1d, F.conv2d, F.conv3d, F.linear, torch.linalg.vecdot, F.embedding),
    *(F.scaled_dot_product_attention, F.batch_norm, F.layer_norm, torch.max_pool2d, F.adaptive_avg_pool2d, F.relu),
    *(F.relu6, F.hardtanh, F.silu, F.gelu, torch.sigmoid, Tensor.sigmoid, F.sigmoid, F.softmax, Tensor.add),
    *(Tensor.add_, Tensor.mul, F.dropout),
}


def meta_device_differs(function, args, kwargs):
    """Whether PyTorch itself does another thing on the meta device than on the CPU."""
    if function in (torch.pow, Tensor.pow):  # true ** true is a bool on the CPU, and an int64 on the meta device
        return any(arg is True for arg in args)
    # the norm of whole numbers, which the CPU refuses
    return function is F.embedding and "max_norm" in kwargs and not args[1].dtype.is_floating_point


def hold_against_the_real_run(function, layer, args, kwargs, *, strict=True):
    """Count `layer`, and hold what it gives or raises against what `function`, which is the same, does on the CPU.

    Where the meta device may accept more, what the CPU refuses is held against what the count without the fast path
    does.
    """
    expected, error = outcome(lambda: function(*make(args), **make(kwargs)))
    if error is not None and not strict:
        expected, error = outcome(lambda: uc.count(Keep(layer), (make(args), make(kwargs)), fast=False))
        expected = SEEN[-1][0] if error is None else None
    counts, layouts = [], []
    for fast in (True, False):
        SEEN.clear()
        model = Keep(layer)
        _, raised = outcome(lambda: counts.append(uc.count(model, (make(args), make(kwargs)), fast=fast)))  # noqa: B023
        assert (raised, fast) == (error, fast)
        if error is None:
            found, own_layout = SEEN[-1]
            assert (found, fast) == (expected, fast)
            layouts.append(own_layout)
    if error is None:
        assert counts[0].cost.ops == counts[1].cost.ops
        assert counts[0].uncounted == counts[1].uncounted
        assert layouts[0] == layouts[1]


@pytest.mark.parametrize("function", CALLS, ids=lambda function: getattr(function, "__qualname__", str(function)))
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_pytorch_answers_is_answered_and_what_it_refuses_is_refused(function, data):
    args, kwargs = data.draw(calls(CALLS[function]))
    assume(not meta_device_differs(function, args, kwargs))
    hold_against_the_real_run(function, Call(function), args, kwargs, strict=function in AS_STRICT)


def test_every_function_of_the_fast_path_is_generated():
    assert set(CALLS) == set(FAST)


@st.composite
def rearranged(draw):
    """What gives a view of a tensor or a copy of it, by its order in memory; not all of it is possible."""
    shape = tuple(draw(st.lists(size, min_size=2, max_size=5)))
    x = Operand(shape, order=tuple(draw(st.permutations(range(len(shape))))), part=draw(st.booleans()))
    start = draw(st.integers(0, len(shape) - 1))
    end = draw(st.integers(start, len(shape) - 1))
    return draw(
        st.sampled_from([
            (Tensor.reshape, (x, -1), {}),
            (torch.reshape, (x, (*shape[:start], -1)), {}),
            (Tensor.reshape, (x, *shape[:start], 1, *shape[start:]), {}),
            (Tensor.reshape, (x, *shape[::-1]), {}),
            (Tensor.flatten, (x, start, end), {}),
            (torch.flatten, (x,), {"start_dim": start, "end_dim": end}),
            (Tensor.contiguous, (x,), {}),
            (Tensor.contiguous, (x,), {"memory_format": torch.channels_last}),
        ])
    )  # fmt: skip


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(call=rearranged())
def test_a_copy_is_recorded_where_a_view_will_not_do(call):
    function, args, kwargs = call
    hold_against_the_real_run(function, Call(function), args, kwargs)


# The leaves: how each is made, and an input of which it makes sense.
MODULES = {
    nn.Identity: (nn.Identity, Operand((2, 3))),
    nn.Conv1d: (lambda: nn.Conv1d(4, 6, 3, padding=1), Operand((2, 4, 7))),
    nn.Conv3d: (lambda: nn.Conv3d(4, 6, 2), Operand((2, 4, 3, 4, 5))),
    nn.GroupNorm: (lambda: nn.GroupNorm(2, 4), Operand((2, 4, 3, 2))),
    nn.AvgPool2d: (lambda: nn.AvgPool2d(3, 2, padding=1), Operand((2, 4, 7, 8))),
    nn.Hardswish: (nn.Hardswish, Operand((2, 3))),
    nn.Hardsigmoid: (lambda: nn.Hardsigmoid(inplace=True), Operand((2, 3))),
    nn.Tanh: (nn.Tanh, Operand((2, 3))),
    nn.Conv2d: (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), Operand((2, 4, 7, 8))),
    nn.Linear: (lambda: nn.Linear(4, 3), Operand((2, 5, 4))),
    nn.BatchNorm2d: (lambda: nn.BatchNorm2d(4), Operand((2, 4, 3, 2))),
    nn.LayerNorm: (lambda: nn.LayerNorm((3, 4)), Operand((2, 3, 4))),
    nn.MaxPool2d: (lambda: nn.MaxPool2d(3, 2, padding=1), Operand((2, 4, 7, 8))),
    nn.AdaptiveAvgPool2d: (lambda: nn.AdaptiveAvgPool2d((2, None)), Operand((2, 4, 7, 8))),
    nn.ReLU: (nn.ReLU, Operand((2, 3))),
    nn.ReLU6: (lambda: nn.ReLU6(inplace=True), Operand((2, 3))),
    nn.SiLU: (nn.SiLU, Operand((2, 3))),
    nn.GELU: (nn.GELU, Operand((2, 3))),
    nn.Sigmoid: (nn.Sigmoid, Operand((2, 3))),
    nn.Softmax: (lambda: nn.Softmax(-1), Operand((2, 3))),
    nn.Dropout: (nn.Dropout, Operand((2, 3))),
}


@st.composite
def layers(draw, kind):
    """A layer and an input, either of which may be changed: an attribute, a parameter, a buffer."""
    build, x = MODULES[kind]
    layer = build().train(draw(st.booleans()))
    for _ in range(draw(st.integers(0, 2))):
        tensors = {**layer._parameters, **layer._buffers}
        settings = [name for name in vars(layer) if not name.startswith("_") and name not in ("training", "call_super")]
        where = draw(st.sampled_from(["input", *tensors, *settings]))
        if where == "input":
            x = draw(changed(x).filter(lambda value: isinstance(value, Operand)))
        elif where in settings:
            setattr(layer, where, draw(st.sampled_from((None, *NUMBERS))))
        else:
            old = tensors[where]
            new = draw(changed(Operand(tuple(old.shape), old.dtype) if old is not None else None))
            value = make(new) if isinstance(new, Operand | None) else None
            if where in layer._parameters and value is not None:
                value = nn.Parameter(value, requires_grad=False)
            setattr(layer, where, value)
    return layer, x


@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_layer_answers_what_pytorch_answers(kind, data):
    layer, x = data.draw(layers(kind))
    hold_against_the_real_run(copy.deepcopy(layer), layer, (x,), {})


def test_every_leaf_is_generated():
    assert set(MODULES) == set(LEAVES)


# What was once counted although PyTorch refuses it.
REFUSED = {
    "integers into a linear layer": (nn.Linear(4, 3), Operand((2, 4), INT)),
    "float64 into a linear layer": (nn.Linear(4, 3), Operand((2, 4), DOUBLE)),
    "float64 into a convolution": (nn.Conv2d(4, 6, 3), Operand((2, 4, 7, 8), DOUBLE)),
    "float64 into a convolution in one dimension": (nn.Conv1d(4, 6, 3), Operand((2, 4, 7), DOUBLE)),
    "too few channels into a transposed convolution": (nn.ConvTranspose2d(4, 6, 3), Operand((2, 3, 7, 8))),
    "too many channels into a transposed convolution": (nn.ConvTranspose1d(4, 6, 3, groups=2), Operand((2, 6, 7))),
    "floats into an embedding": (nn.Embedding(10, 4), Operand((2, 5))),
    "a bias of the wrong length": (Call(lambda x: F.linear(x, x.new_zeros(3, 4), x.new_zeros(2))), Operand((2, 4))),
    "a bias of the wrong length, convolution": (
        Call(lambda x: F.conv2d(x, x.new_zeros(6, 4, 3, 3), x.new_zeros(5))),
        Operand((2, 4, 7, 8)),
    ),
    "a bias of the wrong length, transposed": (
        Call(lambda x: F.conv_transpose2d(x, x.new_zeros(4, 6, 3, 3), x.new_zeros(4))),
        Operand((2, 4, 7, 8)),
    ),
    "padding that is no integer": (nn.Conv2d(4, 6, 3, padding=3 / 3), Operand((2, 4, 7, 8))),
    "float64 into bmm": (Call(lambda x: torch.bmm(x, x.new_zeros(2, 4, 3, dtype=FLOAT))), Operand((2, 5, 4), DOUBLE)),
    "float64 into a product in place": (
        Call(lambda x: x.new_zeros(2, 3).addmm_(x, x.new_zeros(4, 3, dtype=FLOAT))),
        Operand((2, 4), DOUBLE),
    ),
    "complex into gelu": (nn.GELU(), Operand((2, 4), COMPLEX)),
    "integers into softmax": (nn.Softmax(-1), Operand((2, 4), INT)),
    "integers into an average pool": (nn.AvgPool2d(2), Operand((2, 4, 7, 8), BOOL)),
    "integers into a group norm": (nn.GroupNorm(2, 4), Operand((2, 4, 7, 8), INT)),
    "float64 into an LSTM": (nn.LSTM(4, 3), Operand((5, 2, 4), DOUBLE)),
    "corners aligned by nearest neighbours": (
        Call(lambda x: F.interpolate(x, 4, mode="nearest", align_corners=True)),
        Operand((2, 4, 7, 8)),
    ),
    "nearest neighbours without aliases": (
        Call(lambda x: F.interpolate(x, 4, mode="nearest", antialias=True)),
        Operand((2, 4, 7, 8)),
    ),
    "padding outside of a table": (
        Call(lambda rows: F.embedding(rows, torch.zeros(5, 4), padding_idx=7)),
        Operand((2, 3), INT),
    ),
    "a word to pad with": (Call(lambda x: F.pad(x, (1, 1), value="none")), Operand((2, 4))),
    "one value in each channel": (Call(lambda x: F.batch_norm(x, None, None, training=True)), Operand((1, 4))),
    "no statistics": (Call(lambda x: F.batch_norm(x, None, None)), Operand((2, 4))),
    "a number for a mask": (
        Call(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=1)),
        Operand((2, 2, 4, 8)),
    ),
    "float64 into a bilinear layer": (Call(lambda x: nn.Bilinear(4, 4, 3)(x, x)), Operand((2, 4), DOUBLE)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    layer, x = REFUSED[name]
    _, error = outcome(lambda: layer(make(x)))
    assert error is not None
    hold_against_the_real_run(layer, layer, (x,), {})
    layer.to("meta")
    _, error = outcome(lambda: uc.count(layer, make(x).to("meta")))
    assert error is not None


QUERY = Operand((2, 2, 4, 8))
RARE = {
    "attention of one row, packed": (
        lambda x: F.scaled_dot_product_attention(*x.view(2, 1, 3, 3, 8).permute(2, 0, 3, 1, 4).unbind(0)),
        (Operand((2, 1, 72)),),
        {},
    ),
    "attention of one map for all heads and maps": (
        lambda x: F.scaled_dot_product_attention(x.expand(2, 3, 4, 8), *2 * [x.new_zeros(2, 3, 5, 8)]),
        (Operand((1, 1, 4, 8)),),
        {},
    ),
    "attention with a word for its scale": (F.scaled_dot_product_attention, (QUERY, QUERY, QUERY), {"scale": "1"}),
    "attention with a word for its mask": (F.scaled_dot_product_attention, (QUERY, QUERY, QUERY), {"is_causal": "no"}),
    "attention with more dropout than all": (F.scaled_dot_product_attention, (QUERY, QUERY, QUERY), {"dropout_p": 1.5}),
    "attention with dropout": (F.scaled_dot_product_attention, (QUERY, QUERY, QUERY), {"dropout_p": 0.5}),
    "a map in another order, rolled": (torch.roll, (Operand((4, 3, 5), order=(2, 0)), (1, -2), (0, 2)), {}),
    "softplus with a threshold that is none": (F.softplus, (Operand((2, 3)), 1, None), {}),
    "softplus with a beta that is none": (F.softplus, (Operand((2, 3)), None, 20), {}),
    "stacked before the last dimension": (torch.stack, ([Operand((2, 3, 4)), Operand((2, 3, 4))], -2), {}),
    "divided in another order": (lambda x: x.t().div_(2.0), (Operand((3, 4)),), {}),
    "interpolated with a word for the corners": (
        F.interpolate,
        (Operand((2, 3, 4, 5)),),
        {"scale_factor": 2.0, "mode": "bilinear", "align_corners": "yes"},
    ),
    "interpolated with a number for antialiasing": (
        F.interpolate,
        (Operand((2, 3, 4, 5)),),
        {"scale_factor": 2.0, "mode": "bilinear", "align_corners": False, "antialias": "yes"},
    ),
    "rolled by half": (torch.roll, (Operand((4, 3)), 0.5, 0), {}),
    "rolled by halves": (torch.roll, (Operand((4, 3)), (1, 0.5), (0, 1)), {}),
    "complex numbers, rolled": (torch.roll, (Operand((4, 3), torch.complex64), 1, 0), {}),
    "an empty map, padded": (F.pad, (Operand((0, 4)), (1, 1)), {}),
    "an empty map, normalised": (F.batch_norm, (Operand((0, 4)), Operand((4,)), Operand((4,))), {}),
    "a product with its own transpose": (
        lambda x: torch.matmul(x, x.t()) + torch.matmul(x, x.t()),
        (Operand((3, 4)),),
        {},
    ),
}


@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_is_counted_as_it_runs(name):
    function, args, kwargs = RARE[name]
    hold_against_the_real_run(function, Call(function), args, kwargs)


LAYOUTS = {
    "in order": torch.zeros(2, 3, 4),
    "in another order": torch.zeros(2, 3, 4).permute(2, 0, 1),
    "every other element, beside a size of one": torch.zeros(2, 1, 6)[..., ::2],
    "a row for all rows": torch.zeros(1, 4).expand(3, 4),
    "a number for a row": torch.zeros(3, 1).expand(3, 4),
    "overlapping": torch.zeros(5).unfold(0, 3, 1),
    "empty, in another order": torch.zeros(3, 0, 2).permute(2, 0, 1),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("function", [F.relu, torch.sigmoid, F.silu])
def test_a_function_of_each_element_gives_a_new_tensor_in_pytorchs_order(function, name):
    own = LAYOUTS[name]
    x = torch.empty_strided(own.shape, own.stride(), device="meta")
    found, real = FAST[function].infer(x), function(own)
    assert found is not x
    if found is not None:
        stride = found.stride or torch.empty(found.shape).stride()
        assert (found.shape, stride) == (real.shape, real.stride())


def test_a_valid_call_after_a_refused_one_with_equal_numbers():
    # 1 == 1.0, so that a cache may take one for the other
    convolution, x = (
        Call(lambda x, padding: F.conv2d(x, x.new_zeros(6, 4, 3, 3), padding=padding)),
        Operand((2, 4, 7, 8)),
    )
    for padding in (1, (1, 1), 1.0, (1.0, 1.0), 1, (1, 1)):
        hold_against_the_real_run(convolution.function, convolution, (x, padding), {})
