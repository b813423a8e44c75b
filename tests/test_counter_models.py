"""Models that trip counters: shared, unused, subclassed, called twice, compiled, scripted, dependent on values."""

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc

CONV = 2 * 6 * (7 * 5) * (4 * 3 * 3)  # [2, 4, 9, 7] * [6, 4, 3, 3]
X = zeros(2, 4, 9, 7)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


def test_paths_kinds_and_sums():
    model = nn.Sequential(Block(), nn.Sequential(nn.Flatten(), nn.Linear(6 * 7 * 5, 3)))
    count = count_both_ways(model.eval(), X)
    assert [(op.path, op.kind, op.module) for op in count.cost] == [
        ("0.conv", "conv", "Conv2d"),
        ("0.conv", "bias", "Conv2d"),
        ("0.norm", "norm", "BatchNorm2d"),
        ("0", "activation", ""),
        ("1.1", "linear", "Linear"),
        ("1.1", "bias", "Linear"),
    ]
    assert sum(cost.macs for cost in count.by_path(1).values()) == count.macs
    assert sum(cost.macs for cost in count.by_kind().values()) == count.macs == CONV + 2 * 3 * 6 * 7 * 5
    assert count.params == sum(p.numel() for p in model.parameters())
    assert count.activations == 2 * 6 * 7 * 5 + 2 * 3


def test_a_subclass_is_seen():
    class Own(nn.Conv2d):
        pass

    count = count_both_ways(Own(4, 6, 3), X)
    assert (count.macs, count.cost.ops[0].module) == (CONV, "")


def test_called_several_times():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, layer)
    count = count_both_ways(Call(lambda x: model(model(x))), zeros(5, 4))
    assert count.macs == 4 * (5 * 4 * 4)
    assert count_both_ways(model, zeros(5, 4)).params == 4 * 4 + 4


def test_called_through_forward():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3)

        def forward(self, x):
            return self.conv.forward(x)

    count = count_both_ways(Model(), X)
    assert (count.macs, count.params, count.cost.ops[0].path) == (CONV, 6 * 4 * 3 * 3 + 6, "")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


def test_tied_weights_count_once():
    count = count_both_ways(Tied(), torch.zeros(2, 5, dtype=torch.int64))
    assert (count.macs, count.params) == (2 * 5 * 4 * 10, 10 * 4)


def test_unused_modules_and_bare_parameters():
    model = Block().eval()
    model.spare = nn.Linear(7, 3)
    model.scale = nn.Parameter(torch.ones(5))
    count = count_both_ways(model, X)
    assert count.macs == CONV
    assert count.params == 6 * 4 * 3 * 3 + 6 + 2 * 6 + (7 * 3 + 3) + 5
    unused = [(op.path, op.params) for op in count.cost if op.kind == "unused"]
    assert unused == [("", 5), ("spare", 7 * 3), ("spare", 3)]


def test_parameters_used_through_views_are_used():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 6))
            self.rows = nn.Parameter(torch.ones(3, 4, 5))

        def forward(self, x):
            return x @ self.weight, x @ self.weight.data, x @ self.rows[1], self.weight.T

    count = count_both_ways(Model(), zeros(5, 4))
    assert [(op.kind, op.macs, op.params) for op in count.cost] == [
        ("linear", 5 * 4 * 6, 4 * 6),
        ("linear", 5 * 4 * 6, 0),
        ("linear", 5 * 4 * 5, 3 * 4 * 5),
    ]


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Call(lambda a, b: a @ b), (zeros(5, 4), zeros(4, 6))),
        (Call(lambda *, a, b: a @ b), {"a": zeros(5, 4), "b": zeros(4, 6)}),
        (Call(lambda pair: pair["a"] @ pair["b"][0]), ({"a": zeros(5, 4), "b": [zeros(4, 6)]},)),
        (Call(lambda a, n, flag: a @ a.new_zeros(4, 6 if flag and n == 3 else 1)), (zeros(5, 4), 3, True)),
        (Call(lambda a: {"out": [(a @ a.new_zeros(4, 6), None)]}), zeros(5, 4)),
        (Call(lambda a, rows: a[rows] @ a.new_zeros(4, 6)), (zeros(9, 4), torch.tensor([0, 1, 2, 3, 8]))),
        (Call(lambda a: a @ a.new_zeros(4, 6)), torch.zeros(5, 4, dtype=torch.bfloat16)),
        (Call(lambda a: a @ a.new_zeros(4, 6)), torch.zeros(5, 4, device="meta")),
    ],
    ids=["several", "keywords", "nested", "plain values", "nested outputs", "integers", "bfloat16", "meta"],
)
def test_inputs_of_every_kind(model, inputs):
    assert count_both_ways(model, inputs).macs == 5 * 4 * 6


def test_a_model_on_meta_is_counted_there():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**6, 10**6), nn.Linear(10**6, 10**6))
    assert count_both_ways(model, zeros(1, 10**6)).macs == 2 * 10**12


def test_train_mode_counts_the_same_products():
    assert count_both_ways(Block().train(), X).macs == CONV


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x @ x.T if x.sum() > 0 else x @ x.T @ x,
        lambda x: x[x[:, 0] > 0] @ x.T,
        lambda x: x[torch.nonzero(x[:, 0] > 0).squeeze(1)] @ x.T,
        lambda x: torch.from_numpy(x.numpy() + 1) @ x.T,
        lambda x: x @ x.T if max(x.tolist()[0]) == 1 else x,
        lambda x: x.masked_select(x > 0).view(5, 4) @ x.T,
    ],
    ids=["if", "mask", "nonzero", "numpy", "tolist", "masked_select"],
)
def test_dependence_on_values_makes_a_real_run_and_says_so(forward):
    count = uc.count(Call(forward), torch.ones(5, 4))
    assert count.macs == 5 * 4 * 5
    assert "(raised in the model itself)" in count.real_run


def test_what_another_library_does_is_said_not_to_be_seen():
    count = uc.count(Call(lambda x: torch.from_numpy(x.numpy() @ x.numpy().T)), torch.ones(5, 4))
    assert [(op.operator, op.calls, op.severity) for op in count.uncounted] == [("Tensor.numpy", 2, "product")]


def test_a_condition_that_the_model_swallows_is_noticed_all_the_same():
    def forward(x):
        try:
            rows = int(x.sum())
        except RuntimeError:
            rows = 1
        return x[:rows] @ x.T

    assert uc.count(Call(forward), torch.ones(5, 4)).macs == 5 * 4 * 5


def test_values_that_do_not_depend_on_the_input_need_no_real_run():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("size", torch.tensor(3))

        def forward(self, x):
            sizes = [int(n) for n in torch.linspace(1, self.size.item(), 3)] + (torch.arange(2) * 2).tolist()
            return x[:, : sum(sizes)] @ x.new_zeros(sum(sizes), 2) if self.size > 2 or self.size else x

    count = count_both_ways(Model(), zeros(5, 9))
    assert count.macs == 5 * (1 + 2 + 3 + 0 + 2) * 2
    assert not count.real_run


def test_values_are_refused_where_there_are_none():
    model = Call(lambda x: x @ x.T if x.sum() > 0 else x)
    with pytest.raises(uc.CostError, match="on the meta device"):
        uc.count(model, torch.ones(5, 4, device="meta"))


def test_a_device_in_the_model_does_not_matter():
    def forward(x):
        mask = torch.ones(5, 5, device="cpu") + torch.zeros(5, 5)
        return x.cpu().to("cpu", torch.float64) @ x.double().T + mask.to(x.device)

    assert count_both_ways(Call(forward), zeros(5, 4)).macs == 5 * 4 * 5


def test_gradients_inside_the_forward_are_counted():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 6, bias=False)

        def forward(self, x):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.layer(x).sum(), x)[0]

    assert uc.count(Force(), zeros(5, 4)).macs == 2 * (5 * 4 * 6)


def test_custom_autograd_function():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a @ b

        @staticmethod
        def backward(ctx, grad):
            return grad, grad

    assert count_both_ways(Call(Product.apply), (zeros(5, 4), zeros(4, 6))).macs == 5 * 4 * 6


def test_scripted_and_traced_models():
    model = Block().eval()
    expected = count_both_ways(model, X)
    for other in (torch.jit.script(model), torch.jit.trace(model, X)):
        for _ in range(3):  # the interpreter optimises what it has run before
            count = uc.count(other, X)
            assert (count.macs, count.params) == (expected.macs, expected.params)
            assert {kind: cost.reads for kind, cost in count.by_kind().items()} == {
                kind: cost.reads for kind, cost in expected.by_kind().items()
            }
    assert uc.count(nn.Sequential(torch.jit.script(model)), X).macs == CONV


def test_compiled_models():
    model = Block().eval()
    expected = count_both_ways(model, X)
    compiled = torch.compile(model, backend="eager")
    for _ in range(2):
        assert uc.count(compiled, X) == expected
        compiled(X)
    inner = nn.Sequential(compiled)
    assert uc.count(inner, X) == uc.count(nn.Sequential(model), X)
    model.compile(backend="eager")
    model(X)
    assert uc.count(model, X) == expected
    function = Call(torch.compile(F.conv2d, backend="eager"))
    function(X, zeros(6, 4, 3, 3))
    assert uc.count(function, (X, zeros(6, 4, 3, 3))).macs == CONV


def test_exported_programs():
    model = Block().eval()
    program = torch.export.export(model, (X,))
    for exported in (program, program.module()):
        count = uc.count(exported, X)
        assert (count.macs, count.params) == (CONV, sum(parameter.numel() for parameter in model.parameters()))


def test_data_parallel_is_unwrapped():
    assert uc.count(nn.DataParallel(Block().eval()), X) == uc.count(Block().eval(), X)


def test_hooks_of_the_model_run():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())
    model[1].register_forward_hook(lambda module, args, out: out @ out.new_zeros(5, 2))
    count = count_both_ways(model, X)
    assert count.macs == CONV + 2 * 6 * 7 * 5 * 2


def test_a_forward_put_in_its_place_runs():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    model[0].forward = lambda x: x @ x.new_zeros(4, 3)
    assert count_both_ways(model, zeros(5, 4)).macs == 5 * 4 * 3


def test_channels_last_and_views_of_it():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(6)).eval()
    model = model.to(memory_format=torch.channels_last)
    view = Call(lambda x: model(x).permute(0, 2, 3, 1).view(2, 9 * 7, 6) @ x.new_zeros(6, 3))
    count = count_both_ways(view, X.to(memory_format=torch.channels_last))
    assert count.macs == 2 * 9 * 7 * (6 * 4 * 3 * 3 + 6 * 3)


def test_a_memory_format_that_a_tensor_does_not_have_is_a_copy():
    def change(x):
        y = x.contiguous().contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last).contiguous()

    count = count_both_ways(Call(change), zeros(2, 3, 5, 7))
    assert [(op.kind, op.operator, op.writes) for op in count.cost] == 2 * [("movement", "contiguous", 2 * 3 * 5 * 7)]


def test_layouts_that_views_ask_for_are_kept():
    count = count_both_ways(Call(lambda x: (x.transpose(1, 2) + 1).relu().transpose(1, 2).view(-1)), zeros(2, 3, 5))
    assert [op.output for op in count.cost] == [(2, 5, 3), (2, 5, 3)]


def test_a_lazy_module_is_refused():
    with pytest.raises(uc.CostError, match="without a shape"):
        uc.count(nn.Sequential(nn.LazyLinear(3)), zeros(5, 4))


def test_only_modules_are_accepted():
    with pytest.raises(uc.CostError, match=r"is not a torch\.nn\.Module"):
        uc.count(lambda x: x, zeros(5, 4))


def test_transforms_over_parameters():
    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.Parameter(torch.ones(3, 4, 6))

        def forward(self, x):
            return torch.vmap(lambda weight: F.relu(x @ weight))(self.weights)

    count = count_both_ways(Ensemble(), zeros(5, 4))
    assert (count.macs, count.params) == (3 * 5 * 4 * 6, 3 * 4 * 6)
    layer = nn.Linear(4, 6)
    model = Call(lambda x: torch.func.functional_call(layer, {"weight": torch.ones(6, 4)}, (x,)))
    assert count_both_ways(model, zeros(5, 4)).macs == 5 * 4 * 6
    model = Call(torch.func.grad(lambda a: (a @ torch.ones(4, 6)).sum()))
    count = count_both_ways(model, zeros(5, 4))
    assert (count.macs, count.real_run) == (2 * (5 * 4 * 6), "")


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_callers_mode_does_not_matter(mode):
    class Inside(Block):
        def forward(self, x):
            with torch.inference_mode():
                return super().forward(x)

    for model in (Block().eval(), Inside().eval()):
        with mode():
            assert count_both_ways(model, X).macs == CONV


def test_jagged_tensors_that_a_model_makes_are_uncounted():
    def forward(x):
        return torch.nested.nested_tensor([x[:2], x[:3]], layout=torch.jagged).sum(-1)

    count = uc.count(Call(forward), torch.zeros(4, 5))
    assert "aten::sum" in {row.operator for row in count.uncounted}


@pytest.mark.filterwarnings("ignore:.*nested tensors")
def test_a_nested_tensor_that_is_given_is_an_uncounted_product():
    given = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)])
    count = uc.count(nn.Linear(4, 6), given)
    assert "product" in {row.severity for row in count.uncounted}
    assert (count.macs, count.complete) == (0, False)
    assert torch.equal(given[1], torch.ones(3, 4))


@pytest.mark.filterwarnings("ignore:.*nested tensors")
def test_nested_tensors_are_uncounted_products():
    def forward(x):
        nested = torch.nested.nested_tensor([x[:2], x[:3]])
        return nested @ nested.transpose(1, 2)

    count = uc.count(Call(forward), zeros(5, 4))
    assert "product" in {operation.severity for operation in count.uncounted}


def test_a_counter_inside_a_counted_model():
    inner = nn.Linear(4, 6)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            assert uc.count(inner, zeros(5, 4)).macs == 5 * 4 * 6
            return self.layer(x)

    count = uc.count(Model(), zeros(5, 4))
    assert [op.path for op in count.cost if op.macs][-1] == "layer"
