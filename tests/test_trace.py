"""The counter sees every operation, says what it has no rule for, and leaves the model as it found it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as module_globals

import ulsam_cost as uc


class Functional(nn.Module):
    """Everything through functions, nothing through modules."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.matrix = nn.Parameter(torch.randn(6, 5))

    def forward(self, x):
        y = F.relu(F.conv2d(x, self.weight, padding=1))
        pooled = y.mean((2, 3))
        return torch.einsum("nc,cd->nd", pooled, self.matrix).softmax(-1)


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 4)

    def forward(self, x):
        raise KeyError("the model's own") from None


def hooks_of(model):
    return [
        len(hooks)
        for module in model.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    ] + [len(module_globals._global_forward_hooks), len(module_globals._global_forward_pre_hooks)]


@pytest.mark.parametrize("fast", [True, False])
def test_functions_are_counted_by_hand(fast):
    result = uc.count(Functional(), torch.randn(2, 4, 5, 7), fast=fast)
    assert result.uncounted == ()
    assert result.macs == 2 * 6 * 5 * 7 * (4 * 3 * 3) + 2 * 6 * 5
    assert result.params == 6 * 4 * 3 * 3 + 6 * 5
    kinds = {kind.value: cost for kind, cost in result.by_kind().items()}
    assert set(kinds) == {"conv", "activation", "pool_avg", "linear", "softmax"}
    assert kinds["pool_avg"].writes == 2 * 6


def test_paths_are_the_modules_names():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 5, bias=False)))
    result = uc.count(model, torch.randn(2, 3))
    assert [(op.path, op.kind.value, op.module) for op in result.cost] == [
        ("0", "linear", "Linear"),
        ("0", "bias", "Linear"),
        ("1.0", "activation", "ReLU"),
        ("1.1", "linear", "Linear"),
    ]


def test_an_operation_without_a_rule_is_listed_with_module_and_shapes():
    class Sorts(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x)

    result = uc.count(nn.Sequential(nn.Linear(3, 3), Sorts()), torch.randn(3, 3))
    listed = [(u.operator, u.path, u.shapes, u.calls) for u in result.uncounted]
    assert listed == [("aten::linalg_matrix_exp", "1", ((3, 3),), 1)]


def test_shared_and_unused_parameters_count_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model.register_parameter("bare", nn.Parameter(torch.zeros(7)))
    result = uc.count(model, torch.randn(1, 4))
    assert result.params == 4 * 4 + 4 + 4 + 7
    assert [(op.kind.value, op.params) for op in result.cost if op.params == 7] == [("unused", 7)]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_found(training):
    model = uc.build("mv2", positions="13", style="release", width=0.25).train(training)
    model.features[1].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    hooks, random = hooks_of(model), torch.get_rng_state()
    uc.count(model, torch.empty(2, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert hooks_of(model) == hooks
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_hooks_are_gone_after_an_exception_and_the_exception_is_the_models():
    model = nn.Sequential(nn.Linear(3, 3), Raises())
    hooks = hooks_of(model)
    with pytest.raises(KeyError, match="the model's own"):
        uc.count(model, torch.randn(1, 3))
    assert hooks_of(model) == hooks


def test_a_forward_that_catches_its_own_exception_keeps_its_paths():
    class Catches(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.good = Raises(), nn.Linear(3, 2)

        def forward(self, x):
            try:
                return self.bad(x)
            except KeyError:
                return self.good(x)

    result = uc.count(Catches(), torch.randn(1, 3))
    assert [op.path for op in result.cost if op.macs] == ["good"]


def test_a_count_gives_numbers_under_conventions():
    result = uc.count(nn.Linear(3, 4), torch.randn(2, 3))
    assert (result.number("macs"), result.number("flops")) == (2 * 3 * 4, 2 * 2 * 3 * 4)
    with pytest.raises(uc.CostError, match="did you mean 'flops'"):
        result.number("flop")
