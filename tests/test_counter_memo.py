"""A function that is called again on operands of the same kinds is recorded again, and does not run."""

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.dispatch_mode import DispatchMode


@pytest.fixture
def ran(monkeypatch):
    """The operations that the dispatcher runs."""
    names = []
    run = DispatchMode._run

    def heard(self, operator, args, kwargs):
        names.append(operator.overloadpacket.__name__)
        return run(self, operator, args, kwargs)

    monkeypatch.setattr(DispatchMode, "_run", heard)
    return names


def repeated(function, times=5):
    def forward(x):
        for _ in range(times):
            x = function(x)
        return x

    return Call(forward)


def test_what_ran_once_runs_no_more(ran):
    count = uc.count(repeated(lambda x: torch.cumsum(x, 1)), zeros(2, 3))
    assert ran == ["cumsum"]
    assert [op.operator for op in count.cost.ops] == 5 * ["cumsum"]
    assert count.cost.reads == 5 * 2 * 3


def test_a_view_that_was_given_once_is_given_again_without_a_run(ran):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3))

        def forward(self, x):
            return [x.movedim(0, 1) @ self.weight.movedim(0, 1).movedim(0, 1) for _ in range(5)]

    count = uc.count(Model().to("meta"), zeros(4, 2).to("meta"))
    assert ran == 3 * ["permute"]  # of the map, of the parameter, and back
    assert [(op.kind, op.macs) for op in count.cost.ops] == 5 * [("linear", 2 * 4 * 3)]
    assert count.params == 4 * 3


def test_an_lstm_that_is_called_again_does_not_run_again(ran):
    layer = nn.LSTM(4, 4, batch_first=True)
    model = repeated(lambda x: layer(x)[0], 3)
    assert count_both_ways(model, zeros(2, 6, 4)).macs == 3 * (2 * 6 * (4 * 4) * (4 + 4))
    ran.clear()
    uc.count(model, zeros(2, 6, 4))
    of_three = ran.copy()
    ran.clear()
    uc.count(repeated(lambda x: layer(x)[0], 5), zeros(2, 6, 4))
    # The states that it begins with are made anew; its results lie in memory in another order than the first input.
    assert ran[: len(of_three)] == of_three
    assert set(ran[len(of_three) :]) <= {"zeros", "detach"}


def test_each_layer_is_charged_with_parameters_of_its_own():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4, 3))

        def forward(self, x):
            return F.conv1d(x, self.weight, padding="same")

    count = count_both_ways(nn.Sequential(Layer(), Layer(), Layer()), zeros(2, 4, 5))
    assert [(op.path, op.params) for op in count.cost.ops if op.macs] == [(str(at), 4 * 4 * 3) for at in range(3)]


def test_a_product_with_a_parameter_is_not_one_of_activations():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4))

        def forward(self, x):
            return torch.einsum("ij,jk->ik", x, x), torch.einsum("ij,jk->ik", x, self.weight)

    kinds = count_both_ways(Model(), zeros(4, 4)).by_kind()
    assert {kind.value: part.macs for kind, part in kinds.items() if part.macs} == {"matmul": 4**3, "linear": 4**3}


SEEN = []  # a global: a run has its own copy of what a closure holds


def powers(x):
    ints = x.to(torch.int64)
    SEEN.append([(ints**exponent).dtype for exponent in (2, 2.0, 2, 2.0)])


def test_numbers_that_are_equal_are_no_less_different():
    SEEN.clear()
    count_both_ways(Call(powers), zeros(2, 3))
    # 2 == 2.0: the one power is of integers, the other of floats
    assert 2 * [2 * [torch.int64, torch.float32]] == SEEN


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x.cumsum_(1), id="in place"),
        pytest.param(lambda x: x.index_select(0, torch.tensor([1, 0])), id="constants"),
        pytest.param(lambda x: x.unfold(0, 2, 1)[0].T.contiguous(), id="a view"),
        pytest.param(lambda x: x.sort(1).values, id="two results with names"),
        pytest.param(lambda x: torch.cat(x.tensor_split(2)), id="a list"),
        pytest.param(lambda x: x.t().cumsum(0).t(), id="strides"),
    ],
)
def test_results_are_what_they_would_be(function):
    shapes = []

    def forward(x):
        for _ in range(3):
            x = function(x)
            shapes.append((tuple(x.shape), x.stride(), x.dtype))
        return x

    class Model(nn.Module):
        def forward(self, x):
            return forward(x)

    count = count_both_ways(Model(), zeros(2, 2))
    assert len(count.cost.ops) % 3 == 0
    assert shapes[:3] == shapes[3:6]


def test_a_users_own_function_runs_each_time():
    calls = []

    class Model(nn.Module):
        def forward(self, x):
            return [torch.overrides.handle_torch_function(own_function, (x,), x) for _ in range(3)]

    def own_function(x):
        calls.append(x)
        return x.cumsum(0)

    count = uc.count(Model(), zeros(2, 3))
    assert len(calls) == len(count.cost.ops) == 3


def test_a_function_whose_out_is_none_runs_once(ran):
    count = uc.count(repeated(lambda x: F.normalize(x, dim=1)), zeros(2, 3))
    assert ran.count("linalg_vector_norm") == 1
    assert [(op.kind.value, op.reads) for op in count.cost.ops] == 5 * [
        ("reduce", 2 * 3),
        ("elementwise", 2),
        ("multiply", 2 * (2 * 3)),
    ]


@pytest.mark.parametrize("function", [torch.abs, torch.angle, lambda z: torch.atan2(z.imag, z.real)])
def test_conjugates_are_copied_however_often_the_function_ran(function):
    def forward(x):
        z = torch.complex(x, x)
        return function(z), function(z.conj()), function(z.conj())

    ops = count_both_ways(Call(forward), zeros(2, 3)).cost.ops
    assert [op.kind for op in ops].count("movement") == 1 + 2  # the complex number is made of its parts


@pytest.mark.parametrize(
    ("function", "size_of"),
    [
        (lambda x, n: x.repeat_interleave(n, 1), lambda n: (6, 6 * n)),
        (lambda x, n: x.repeat(1, n), lambda n: (6, 6 * n)),
        (lambda x, n: F.pad(x, (n, n)), lambda n: (6, 6 + 2 * n)),
        (lambda x, n: torch.topk(x, n, 1)[0], lambda n: (6, n)),
        (lambda x, n: F.interpolate(x[None, None], size=(n, n)), lambda n: (1, 1, n, n)),
    ],
    ids=["repeat_interleave", "repeat", "pad", "topk", "interpolate"],
)
def test_a_number_that_stands_for_a_size_is_looked_at_each_time(function, size_of):
    def forward(x):
        return tuple(function(x, torch.tensor(n)) for n in (2, 3, 2))

    assert count_both_ways(Call(forward), zeros(6, 6)).outputs == (size_of(2), size_of(3), size_of(2))
