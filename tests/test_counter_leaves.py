"""A leaf that was answered once is answered again only while all that its function sees is as it was."""

import copy
import gc
import weakref

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import ulsam_cost as uc
from ulsam_cost.cost import OpKind

X = zeros(2, 4, 7, 5)


def conv(**options):
    return nn.Conv2d(4, 6, 3, padding=1, **options)


def macs_of(places, channels=4, out=6, taps=9):
    return 2 * out * places * channels * taps


def give_weight(layer, weight):
    layer.weight = nn.Parameter(weight.to(layer.weight.device))


def give_data(layer, weight):
    layer.weight.data = weight.to(layer.weight.device)


@pytest.mark.parametrize(
    ("change", "macs", "params"),
    [
        pytest.param(lambda m: setattr(m, "stride", (2, 2)), macs_of(4 * 3), 6 * 4 * 9 + 6, id="stride"),
        pytest.param(lambda m: setattr(m, "padding", (0, 0)), macs_of(5 * 3), 6 * 4 * 9 + 6, id="padding"),
        pytest.param(lambda m: setattr(m, "dilation", (2, 1)), macs_of(5 * 5), 6 * 4 * 9 + 6, id="dilation"),
        pytest.param(lambda m: setattr(m, "bias", None), macs_of(7 * 5), 6 * 4 * 9, id="no bias"),
        pytest.param(lambda m: give_weight(m, zeros(6, 4, 1, 3)), macs_of(9 * 5, taps=3), 6 * 4 * 3 + 6, id="weight"),
        pytest.param(lambda m: give_data(m, zeros(6, 4, 1, 3)), macs_of(9 * 5, taps=3), 6 * 4 * 3 + 6, id="its data"),
        pytest.param(lambda m: m.requires_grad_(False), macs_of(7 * 5), 6 * 4 * 9 + 6, id="frozen"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_layer_that_was_changed(change, macs, params, device):
    layer = conv().to(device)
    before = count_both_ways(layer, X.to(device))
    assert (before.macs, before.params) == (macs_of(7 * 5), 6 * 4 * 9 + 6)
    change(layer.to("cpu") if device == "cpu" else layer)
    layer.to(device)
    after = count_both_ways(layer, X.to(device))
    assert (after.macs, after.params) == (macs, params)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: setattr(m, "stride", (1.0, 1.0)), id="equal numbers of another type"),
        pytest.param(lambda m: setattr(m, "groups", 3), id="groups"),
        pytest.param(lambda m: m.half(), id="dtype"),
        pytest.param(lambda m: give_data(m, zeros(6, 5, 3, 3)), id="channels"),
        pytest.param(lambda m: setattr(m, "bias", nn.Parameter(zeros(5))), id="length of the bias"),
    ],
)
def test_a_layer_that_does_not_run_any_more(change):
    layer = conv()
    uc.count(layer, X)
    change(layer)
    with pytest.raises((RuntimeError, TypeError)):
        layer(X)
    with pytest.raises((RuntimeError, TypeError)):
        uc.count(layer, X)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
def test_a_norm_with_a_vector_of_another_length(name):
    layer = nn.BatchNorm2d(4).eval()
    assert count_both_ways(layer, X).cost.reads == 2 * 4 * 7 * 5 + 4 * 4
    value = zeros(5)
    setattr(layer, name, nn.Parameter(value) if name in layer._parameters else value)
    with pytest.raises(RuntimeError):
        uc.count(layer, X)


def test_a_norm_in_training_is_not_one_in_evaluation():
    layer = nn.BatchNorm2d(4)
    for training in (False, True, False):
        [op] = count_both_ways(layer.train(training), X).cost.by_kind()[OpKind.NORM].ops
        assert op.reduction == (2 * 7 * 5 if training else 1)


def test_a_weight_that_the_run_makes_is_no_parameter_of_the_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            first = self.layer(x)
            self.layer.weight = nn.Parameter(x.new_zeros(4, 4))
            return self.layer(first)

    ops = count_both_ways(Model(), zeros(2, 4)).cost.ops
    assert [(op.kind.value, op.params) for op in ops if op.macs] == [("linear", 16), ("matmul", 0)]


def test_a_weight_that_is_no_parameter_any_more():
    layer = nn.Linear(4, 3, bias=False)
    assert [(op.kind.value, op.params) for op in count_both_ways(layer, zeros(2, 4)).cost.ops] == [("linear", 12)]
    del layer._parameters["weight"]
    layer._parameters["bias"] = None
    layer.weight = zeros(3, 4)
    assert [(op.kind.value, op.params) for op in count_both_ways(layer, zeros(2, 4)).cost.ops] == [("matmul", 0)]


class Twice(nn.Parameter):
    """A weight that a convolution uses twice."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **(kwargs or {}))
            return function(result, *args[1:]) if function is F.conv1d else result


def test_a_weight_of_a_class_of_its_own_runs():
    layer = nn.Conv1d(4, 4, 1, device="meta")
    for weight, times in ((nn.Parameter, 1), (Twice, 2), (nn.Parameter, 1)):
        layer.weight = weight(torch.empty(4, 4, 1, device="meta"))
        assert uc.count(layer, torch.empty(2, 4, 5, device="meta")).macs == times * (2 * 5 * 4 * 4)


def test_hooks_and_parametrizations_are_run():
    layer = nn.Linear(4, 4)
    uc.count(layer, zeros(2, 4))
    handle = layer.register_forward_hook(lambda module, args, result: result @ result.T)
    assert count_both_ways(layer, zeros(2, 4)).macs == 2 * 4 * 4 + 2 * 2 * 4
    handle.remove()
    parametrize.register_parametrization(layer, "weight", Call(lambda weight: weight @ weight))
    assert count_both_ways(layer, zeros(2, 4)).macs == 4 * 4 * 4 + 2 * 4 * 4


def test_a_layer_that_is_called_twice_has_its_parameters_once():
    layer = nn.Linear(4, 4)
    for _ in range(2):
        ops = count_both_ways(nn.Sequential(layer, layer, nn.Linear(4, 4)), zeros(2, 4)).cost.ops
        assert [(op.path, op.params) for op in ops if op.macs] == [("0", 16), ("0", 0), ("2", 16)]


class Reshaped(nn.Module):
    """Changes what a layer gave before the next layer takes it."""

    def __init__(self, change) -> None:
        super().__init__()
        self.first, self.second, self.change = nn.Linear(4, 4), nn.ReLU(), change

    def forward(self, x):
        x = self.first(x)
        self.change(x)
        return self.second(x)


class TransposesInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose_(0, 2)


OTHER = torch.empty(4, 3, 2, device="meta")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x.transpose_(0, 2), id="method"),
        pytest.param(lambda x: setattr(x, "data", OTHER), id="data"),
        pytest.param(torch.jit.script(TransposesInPlace()), id="script"),
    ],
)
def test_a_tensor_that_is_changed_in_place_is_not_what_was_made(change):
    for own_change, output in ((lambda x: None, (2, 3, 4)), (change, (4, 3, 2))):
        count = count_both_ways(Reshaped(own_change), zeros(2, 3, 4))
        assert [op.output for op in count.cost.ops if op.path == "second"] == [output]
        assert count.outputs == (output,)


def test_a_view_of_a_parameter_is_charged_where_a_layer_takes_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.layer = nn.Parameter(zeros(6)), nn.ReLU()

        def forward(self, x):
            return self.layer(x), self.layer(self.scale.view(2, 3))

    for device in ("cpu", "meta"):
        count = count_both_ways(Model().to(device), zeros(2, 3).to(device))
        assert [op.params for op in count.cost.ops] == [0, 6]


def test_a_result_lies_in_memory_as_on_the_meta_device():
    strides = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = conv()

        def forward(self, x):
            strides.append(self.layer(x).stride())

    model = Model().eval()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        count_both_ways(model.to(memory_format=memory_format), X)
    on_meta = [copy.deepcopy(model).to("meta").layer(X.to("meta")).stride()]
    assert strides == 2 * [(6 * 7 * 5, 7 * 5, 5, 1)] + 2 * on_meta


def test_each_result_is_a_tensor_of_its_own():
    made = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            results = [self.layer(x) for _ in range(40)]
            results[0].add_(1)
            made.extend((id(result), result._version, result.is_inference()) for result in results)
            return results

    model = Model()
    with torch.inference_mode():
        uc.count(model, zeros(3, 4))
    uc.count(model, zeros(3, 4))
    for run in (made[:40], made[40:80]):
        assert len({key for key, _, _ in run}) == 40
    assert not any(is_inference for _, _, is_inference in made)


def test_no_model_is_kept_alive_and_nothing_is_left_to_collect():
    model = nn.Sequential(conv(), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Flatten()).eval()
    uc.count(model, X)
    parts = [weakref.ref(part) for part in (model, *model, *model.parameters(), *model.buffers())]
    gc.collect()
    gc.disable()
    try:
        uc.count(model, X)
        del model
        assert not any(part() is not None for part in parts)
        assert gc.collect() == 0
    finally:
        gc.enable()
