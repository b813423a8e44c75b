"""Forward and backward by hand: each gradient of a product is as much work as the product."""

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules import RULES
from ulsam_cost.counting.rules.backward import grouped_product_backward

CONVOLUTIONS = {
    "plain": (nn.Conv2d(4, 6, 3), 2 * 6 * (7 * 5) * (4 * 3 * 3)),
    "with stride": (nn.Conv2d(4, 6, 3, stride=2), 2 * 6 * (4 * 3) * (4 * 3 * 3)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), 2 * 6 * (7 * 5) * (2 * 3 * 3)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), 2 * 4 * (7 * 5) * (3 * 3)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), 2 * 4 * (9 * 7) * (6 * 3 * 3)),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), 2 * 4 * (9 * 7) * (3 * 3 * 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    layer, forward = CONVOLUTIONS[name]
    x = zeros(2, 4, 9, 7)
    assert uc.count(layer, x, train=True).macs == 2 * forward  # the input wants no gradient
    assert uc.count(layer, x.clone().requires_grad_(), train=True).macs == 3 * forward


@pytest.mark.parametrize("name", ["plain", "transposed"])
def test_convolutions_of_no_maps(name):
    layer, _ = CONVOLUTIONS[name]
    count = uc.count(layer, torch.zeros(0, 4, 9, 7, requires_grad=True), train=True)
    assert (count.macs, count.uncounted) == (0, ())
    assert [op.reduction for op in count.backward if op.kind in (OpKind.CONV, OpKind.REDUCE)] == [1, 1, 1]


def network(*, frozen=()):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU6(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    for index in frozen:
        model[index].requires_grad_(False)
    return model


STEM, DEPTHWISE, POINT, HEAD = (
    2 * 8 * 8 * 6 * (3 * 3 * 3),
    2 * 8 * 8 * 6 * (3 * 3),
    2 * 4 * 4 * 3 * 8,
    2 * 5 * 4,
)
FORWARD = STEM + DEPTHWISE + POINT + HEAD


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_three_times_its_forward_less_the_first_layers_input(training):
    model = network().train(training)
    x = zeros(2, 3, 8, 6)
    count = uc.count(model, x, train=True)
    assert uc.count(model, x).macs == FORWARD
    assert count.macs == 3 * FORWARD - STEM
    assert count.backward.macs == 2 * FORWARD - STEM
    assert not count.uncounted
    assert count.params == sum(parameter.numel() for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_backward_is_charged_to_the_modules_of_the_forward():
    count = uc.count(network(), zeros(2, 3, 8, 6), train=True)
    macs = {path: cost.macs for path, cost in count.by_path(1).items() if cost.macs}
    assert macs == {"0": 2 * STEM, "3": 3 * DEPTHWISE, "6": 3 * POINT, "9": 3 * HEAD}
    assert set(count.by_kind()) >= {"conv", "linear", "norm", "activation", "pool_max", "pool_avg", "reduce"}
    assert "matmul" not in count.by_kind()


@pytest.mark.parametrize(
    ("frozen", "backward"),
    [
        ([9], 2 * POINT + 2 * DEPTHWISE + STEM + HEAD),  # the head's weight has none, its input has
        ([0, 1], HEAD * 2 + POINT * 2 + DEPTHWISE),  # nothing goes below the depthwise convolution
        ([0, 1, 3, 6], HEAD),
        ([3], 2 * HEAD + 2 * POINT + DEPTHWISE + STEM),
    ],
    ids=str,
)
def test_frozen_parameters(frozen, backward):
    assert uc.count(network(frozen=frozen), zeros(2, 3, 8, 6), train=True).backward.macs == backward


def test_nothing_to_train_is_said():
    with pytest.raises(uc.CostError, match="no result requires gradients"):
        uc.count(network().requires_grad_(False), zeros(2, 3, 8, 6), train=True)


def test_on_meta_and_from_meta_are_the_same():
    with torch.device("meta"):
        model = network()
    on_meta = uc.count(model, zeros(2, 3, 8, 6), train=True)
    assert on_meta == uc.count(network(), zeros(2, 3, 8, 6), train=True)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("forward", "shapes", "macs"),
    [
        (torch.matmul, [(5, 4), (4, 6)], 3 * (5 * 4 * 6)),
        (torch.bmm, [(2, 5, 4), (2, 4, 6)], 3 * (2 * 5 * 4 * 6)),
        (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), [(2, 3, 5, 4), (2, 3, 7, 4)], 3 * (2 * 3 * 5 * 7 * 4)),
        (F.scaled_dot_product_attention, [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)], 3 * 2 * 4 * 5 * 7 * (8 + 6)),
    ],
    ids=["matmul", "bmm", "einsum", "attention"],
)
def test_products_of_activations(forward, shapes, macs):
    inputs = tuple(zeros(*shape).requires_grad_() for shape in shapes)
    count = uc.count(Call(forward), inputs, train=True)
    assert count.macs == macs
    assert not count.uncounted


def test_an_encoder_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = zeros(3, 5, 8)
    forward, both = uc.count(layer, x), uc.count(layer, x, train=True)
    assert forward.macs == 4 * 3 * 5 * 8 * 8 + 2 * 3 * 5 * 5 * 8 + 2 * 3 * 5 * 8 * 16
    assert both.macs == 3 * forward.macs - 3 * 3 * 5 * 8 * 8  # the input's gradient through q, k and v
    assert not both.uncounted


def test_a_recurrent_layer():
    layer = nn.LSTM(3, 5)
    steps, gates = 7 * 2, 4 * 5
    both = uc.count(layer, zeros(7, 2, 3), train=True)
    # the input wants no gradient, and neither does the first step's state
    assert both.macs == steps * gates * (2 * 3 + 3 * 5) - 2 * gates * 5


def test_a_checkpoint_runs_its_part_again():
    part = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    first, second = 5 * 4 * 6, 5 * 6 * 3

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = part

        def forward(self, x):
            return checkpoint(self.part, x, use_reentrant=False)

    count = uc.count(Model(), zeros(5, 4), train=True)
    # the second layer's result is not needed again: the part stops before it
    assert (count.macs, count.real_run) == ((3 * (first + second) - first) + first, "")
    assert {path for path, cost in count.by_path(2).items() if cost.macs} == {"part.0", "part.2"}


def test_a_custom_function_is_followed_backwards():
    inputs = (zeros(5, 4).requires_grad_(), zeros(4, 6).requires_grad_())
    assert uc.count(Call(Product.apply), inputs, train=True).macs == 3 * (5 * 4 * 6)


def test_a_real_run_is_followed_backwards():
    layer = nn.Linear(4, 6, bias=False)
    model = nn.Sequential(Call(lambda x: x * 2 if x.sum() > 0 else x), layer)
    count = uc.count(model, zeros(5, 4) + 1, train=True)
    assert count.real_run
    assert count.macs == 2 * (5 * 4 * 6)
    assert layer.weight.grad is None


def test_a_bilinear_layer():
    n, i, j, o = 2, 3, 4, 5
    layer, inputs = nn.Bilinear(i, j, o), (zeros(n, i), zeros(n, j))
    # two operands meet, what only they have is summed, then the third comes
    forward = n * o * i * j + n * o * j
    weight = n * o * i + n * o * i * j
    first, second = n * o * i * j + n * i * j, n * o * i * j + n * o * j
    assert uc.count(layer, inputs).macs == forward
    count = uc.count(layer, inputs, train=True)
    assert (count.backward.macs, set(count.by_kind())) == (weight, {"linear", "add", "reduce"})
    wanted = tuple(x.requires_grad_() for x in inputs)
    assert uc.count(layer, wanted, train=True).backward.macs == weight + first + second


@torch.jit.script
def scripted_product(a, b):
    return a @ b


def scripted_parts():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("runs_before", [0, 1, 3])
@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda model: torch.jit.trace(model, zeros(5, 4))], ids=["script", "trace"]
)
def test_scripted_and_traced_modules(make, runs_before):
    model = make(scripted_parts())
    for _ in range(runs_before):
        model(zeros(5, 4)).sum().backward()
    model.zero_grad()
    first, second = 5 * 4 * 6, 5 * 6 * 3
    assert uc.count(model, zeros(5, 4)).macs == first + second
    count = uc.count(model, zeros(5, 4), train=True)
    assert count.macs == 3 * (first + second) - first  # the input wants no gradient
    assert count.params == 4 * 6 + 6 + 6 * 3 + 3
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_scripted_module_with_a_frozen_parameter():
    model = scripted_parts()
    model[0].requires_grad_(False)
    assert uc.count(torch.jit.script(model), zeros(5, 4), train=True).macs == 5 * 4 * 6 + 2 * 5 * 6 * 3


def test_a_scripted_part():
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 6)), nn.Linear(6, 3))
    first, second, third = 5 * 4 * 4, 5 * 4 * 6, 5 * 6 * 3
    assert uc.count(model, zeros(5, 4), train=True).macs == 2 * first + 3 * second + 3 * third


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return grad @ b.T, a.T @ grad


@pytest.mark.parametrize("function", [scripted_product, Product.apply], ids=["scripted", "custom"])
def test_a_function_that_takes_a_parameter(function):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 6, bias=False), nn.Parameter(torch.zeros(6, 3))

        def forward(self, x):
            return function(self.first(x), self.second)

    assert uc.count(Model(), zeros(5, 4), train=True).macs == 2 * (5 * 4 * 6) + 3 * (5 * 6 * 3)


def test_a_model_in_training_is_left_as_found():
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    uc.count(model, zeros(2, 3, 8, 6), train=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", ["mv2", "resnet50", "mnasnet1_0"])
def test_this_projects_networks(name):
    with torch.device("meta"):
        model = uc.build(name).train()
    x = torch.empty(1, 3, 64, 64, device="meta")
    count = uc.count(model, x, train=True)
    forward = uc.count(model, x)
    [first, *_] = [op.macs for op in forward.cost if op.macs]
    assert count.macs == 3 * forward.macs - first
    assert not count.uncounted


IN_PLACE = {
    "silu": lambda x: F.silu(x, inplace=True),
    "relu6": lambda x: F.relu6(x, inplace=True),
    "threshold": lambda x: F.threshold_(x, 0.1, 0.0),
    "clamp_": lambda x: x.clamp_(0, 1),
    "pow_": lambda x: x.pow_(2),
}


@pytest.mark.parametrize("function", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("asks", [False, True], ids=["meta", "real run"])
def test_what_autograd_copies_is_left_out_of_a_count_without_a_backward_pass(function, asks):
    device = "cpu" if asks else "meta"
    look = (lambda x: (x.sum().item(), x)[1]) if asks else (lambda x: x)
    model = nn.Sequential(nn.Linear(4, 6), Call(look), Call(function)).to(device)
    count = uc.count(model, torch.zeros(3, 4, device=device), fast=False)
    assert bool(count.real_run) is asks
    summed = [(18, 1)] if asks else []
    moved = [(op.reads, op.writes) for op in count.cost.ops]
    assert moved == [(3 * 4 + 6 * 4, 18), (6, 0), *summed, (18, 18)]  # the product, its bias, the function


def test_a_copy_of_the_models_own_is_counted_before_an_operation_in_place():
    def keep(x):
        before = x.clone()
        return x.mul_(2) + before

    model = nn.Sequential(nn.Linear(4, 6), Call(keep)).to("meta")
    count = count_both_ways(model, torch.zeros(3, 4, device="meta"))
    assert [op.operator for op in count.cost.ops] == ["linear", "linear", "clone", "mul_", "add"]


@pytest.mark.parametrize("layer", [nn.GRU, nn.RNN, nn.LSTM])
def test_recurrent_layers_that_train_are_counted_alike_on_meta(layer):
    count = count_both_ways(layer(5, 4, device="meta"), torch.zeros(7, 3, 5, device="meta"))
    assert count.cost.ops == uc.count(layer(5, 4), torch.zeros(7, 3, 5)).cost.ops


def test_the_backward_of_a_grouped_product_meets_every_row_in_one_group():
    taken = []

    def record(kind, shape, *, macs, reads, reduction):
        taken.append((kind, shape, macs, reads, reduction))

    groups, rows, length, out = 2, 6, 4, 5
    a, b, grad = zeros(rows, length), zeros(groups, length, out), zeros(rows, out)
    grouped_product_backward(record, None, a, b, zeros(groups), grad)
    macs = rows * length * out
    assert taken == [
        (OpKind.MATMUL, (rows, length), macs, rows * out + groups * length * out, out),
        (OpKind.MATMUL, (groups, length, out), macs, rows * out + rows * length, rows // groups),
    ]


def test_the_backward_of_attention_on_cuda_has_its_heads_behind_its_rows():
    taken = []

    def record(kind, shape, *, reads, macs=0, reduction=1, params=()):
        taken.append((kind, tuple(shape), macs, reads, reduction))

    n, heads, rows, keys, width = 2, 3, 4, 7, 5
    query, key = zeros(n, rows, heads, width), zeros(n, keys, heads, width)
    RULES[torch.ops.aten._flash_attention_backward](record, None, zeros(*query.shape), query, key, zeros(*key.shape))
    pairs = n * heads * rows * keys
    of_query, of_keys = n * heads * rows * width, n * heads * keys * width
    assert taken == [
        (OpKind.MATMUL, (n, heads, rows, width), pairs * width, pairs + of_keys, keys),
        (OpKind.MATMUL, (n, heads, keys, width), pairs * width, pairs + of_query, rows),
        (OpKind.MATMUL, (n, heads, keys, width), pairs * width, pairs + of_query, rows),
        (OpKind.MATMUL, (n, heads, rows, keys), pairs * width, of_query + of_keys, width),
        (OpKind.SOFTMAX, (n, heads, rows, keys), 0, 2 * pairs, keys),
    ]
