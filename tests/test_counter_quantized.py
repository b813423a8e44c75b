"""Quantized layers: parameters, their bits and MACs, although they are packed."""

import pytest
import torch
from counting import Call
from torch import nn
from torch.ao import quantization
from torch.ao.nn import quantized
from torch.ao.nn.quantized import dynamic
from torch.utils.flop_counter import FlopCounterMode

import ulsam_cost as uc
from ulsam_cost.counting.modules import split_params
from ulsam_cost.peers import run_peer


def dynamically(*layers, dtype=torch.qint8):
    return quantization.quantize_dynamic(nn.Sequential(*layers).eval(), {type(layer) for layer in layers}, dtype=dtype)


LINEAR = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)]
WEIGHTS, BIASES = 6 * 8 + 8 * 3, 8 + 3
GATES = 4 * 8
X, SEQUENCE = torch.ones(2, 6), torch.ones(5, 2, 6)
# name: (model, input, MACs, weights and biases, bits of the weights)
MODELS = {
    "linear, 8 bits": (dynamically(*LINEAR), X, 2 * WEIGHTS, (WEIGHTS, BIASES), 8),
    "linear, 16 bits": (dynamically(*LINEAR, dtype=torch.float16), X, 2 * WEIGHTS, (WEIGHTS, BIASES), 16),
    "linear on a map": (dynamically(nn.Linear(6, 8)), SEQUENCE, 5 * 2 * 6 * 8, (6 * 8, 8), 8),
    "LSTM, two layers": (
        dynamically(nn.LSTM(6, 8, num_layers=2)),
        SEQUENCE,
        5 * 2 * GATES * (6 + 8 + 8 + 8),
        (GATES * (6 + 8 + 8 + 8), 2 * 2 * GATES),
        8,
    ),
    "LSTM, two ways": (
        dynamically(nn.LSTM(6, 8, bidirectional=True)),
        SEQUENCE,
        2 * (5 * 2 * GATES * (6 + 8)),
        (2 * GATES * (6 + 8), 2 * 2 * GATES),
        8,
    ),
    "GRU": (dynamically(nn.GRU(6, 8)), SEQUENCE, 5 * 2 * 3 * 8 * (6 + 8), (3 * 8 * (6 + 8), 2 * 3 * 8), 8),
    "LSTMCell": (dynamically(nn.LSTMCell(6, 8)), X, 2 * GATES * (6 + 8), (GATES * (6 + 8), 2 * GATES), 8),
    "GRUCell": (dynamically(nn.GRUCell(6, 8)), X, 2 * 3 * 8 * (6 + 8), (3 * 8 * (6 + 8), 2 * 3 * 8), 8),
    "RNNCell": (dynamically(nn.RNNCell(6, 8)), X, 2 * 8 * (6 + 8), (8 * (6 + 8), 2 * 8), 8),
    "dynamic convolution": (
        dynamic.Conv2d(4, 6, 3),
        torch.ones(2, 4, 9, 7),
        2 * 6 * (7 * 5) * (4 * 3 * 3),
        (6 * 4 * 3 * 3, 6),
        8,
    ),
    "embedding": (quantized.Embedding(10, 4), torch.zeros(2, 5, dtype=torch.int64), 0, (10 * 4, 0), 8),
    "embedding of 4 bits": (
        quantization.quantize_dynamic(
            nn.Sequential(nn.EmbeddingBag(10, 4, mode="sum")).eval(),
            {nn.EmbeddingBag: quantization.float_qparams_weight_only_qconfig_4bit},
            dtype=torch.quint4x2,
        ),
        torch.zeros(2, 5, dtype=torch.int64),
        0,
        (10 * 4, 0),
        4,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers(name):
    model, x, macs, (weights, biases), bits = MODELS[name]
    count = uc.count(model, x)
    assert count.macs == macs
    assert not count.uncounted
    assert count.real_run
    split = split_params(model)
    assert split.pop(f"quantized to {bits} bits") == weights
    assert sum(split.values()) in (
        biases,
        biases + (3 if len(model) == 3 else 0) if isinstance(model, nn.Sequential) else 0,
    )
    assert count.params == weights + sum(split.values())
    assert not [op for op in count.cost if op.kind == "unused"]


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.quantize, self.dequantize = quantization.QuantStub(), quantization.DeQuantStub()
        self.first, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=2)
        self.flatten, self.head = nn.Flatten(), nn.Linear(2 * 13 * 13, 5)
        self.sum = quantized.FloatFunctional()

    def forward(self, x):
        x = self.relu(self.first(self.quantize(x)))
        return self.dequantize(self.head(self.flatten(self.up(self.sum.add(x, self.second(x))))))


@pytest.mark.parametrize("fused", [False, True])
def test_statically_quantized(fused):
    plain = Convolutions().eval()
    x = torch.ones(2, 3, 8, 8)
    expected = uc.count(plain, x)
    plain.qconfig = quantization.QConfig(
        activation=quantization.MinMaxObserver, weight=quantization.default_weight_observer
    )
    if fused:
        plain = quantization.fuse_modules(plain, [["first", "relu"]])
    model = quantization.prepare(plain)
    model(x)
    model = quantization.convert(model)
    count = uc.count(model, x)
    by_hand = 2 * 4 * 36 * (3 * 9) + 2 * 4 * 36 * (2 * 9) + 2 * 4 * 36 * (2 * 9) + 2 * 5 * (2 * 13 * 13)
    assert count.macs == expected.macs == by_hand
    assert count.params == expected.params
    assert not [op for op in count.uncounted if op.severity == "product"]
    macs = {path: cost.macs for path, cost in count.by_path(1).items() if cost.macs}
    assert macs == {path: cost.macs for path, cost in expected.by_path(1).items() if cost.macs}


def test_parameters_that_no_operation_uses_are_counted_too():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = dynamically(nn.Linear(6, 8)), dynamically(nn.Linear(8, 3))

        def forward(self, x):
            return self.used(x)

    count = uc.count(Model(), X)
    assert count.params == (6 * 8 + 8) + (8 * 3 + 3)
    assert [(op.path.split(".")[0], op.params) for op in count.cost if op.kind == "unused"] == [("spare", 8 * 3 + 3)]


def test_the_other_tools_see_none_of_it():
    model = dynamically(nn.Linear(6, 8), nn.Linear(8, 3))
    count = uc.count(model, X)
    assert count.number("thop") == run_peer("thop", model, X) == 0
    with FlopCounterMode(display=False) as counter:
        model(X)
    assert count.number("torch") == counter.get_total_flops() == 0


def test_what_the_model_gives_is_unchanged():
    model = dynamically(nn.Linear(6, 8), nn.Linear(8, 3))
    before = model(X)
    uc.count(model, X)
    assert torch.equal(model(X), before)


def test_an_operator_without_a_rule_is_listed():
    def forward(x):
        return torch.ops.quantized.embedding_bag_byte_prepack(x)

    count = uc.count(Call(forward), torch.ones(4, 4))
    assert [op.operator for op in count.uncounted] == ["quantized::embedding_bag_byte_prepack"]


def test_a_product_of_two_maps():
    def forward(x, y):
        x, y = (torch.quantize_per_tensor(z, 0.1, 0, torch.qint8) for z in (x, y))
        return torch.ops.quantized.softmax(torch.ops.quantized.matmul(x, y, 0.1, 0), -1, 0.1, 0)

    count = uc.count(Call(forward), (torch.ones(2, 5, 4), torch.ones(2, 4, 7)))
    assert (count.macs, count.uncounted) == (2 * 5 * 4 * 7, ())


def test_a_weight_that_is_packed_in_the_forward():
    def forward(x, weight):
        x = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
        weight = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
        return torch.ao.nn.quantized.functional.linear(x, weight)

    count = uc.count(Call(forward), (torch.ones(2, 6), torch.ones(8, 6)))
    assert (count.macs, count.uncounted) == (2 * 6 * 8, ())
