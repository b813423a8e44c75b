"""Layers of torch.nn that have attention, under the conventions of the tools that count them in ways of their own.

2 sequences of 5, or of 5 and 7, in 4 heads of 3 of the 12 features; other keys have 6 features, other values 8.
"""

import json
from importlib.resources import files

import pytest
from counting import Call, count_both_ways, zeros
from torch import nn

import ulsam_cost as uc
from analyses.counters_recorded import Attends, attention_layers
from ulsam_cost.peers import PEERS, is_installed, peer_number, run_peer
from ulsam_cost.report.views.count import peers_text

RECORDED = json.loads((files("ulsam_cost") / "published" / "counters.json").read_text(encoding="utf-8"))["totals"]
LAYERS = attention_layers()

SCORES, OTHER_SCORES = 2 * 4 * 5 * 5, 2 * 4 * 5 * 7
SELF = 2 * 5 * 3 * 12 * 12  # projections
OUT, WIDE_OUT = 2 * 5 * 12 * 12, 2 * 5 * 8 * (8 + 1)
CROSS = 2 * (5 + 7 + 7) * 12 * 12
WIDTHS = 2 * (5 * 12 + 7 * 6 + 7 * 8) * 12
FEED_FORWARD = 2 * 5 * 12 * 20 + 2 * 5 * 20 * 12
NORM = 2 * 5 * 12

# ptflops takes a projection to be as wide as its input, does not see the layer's own keys, and adds what it counts of
# softmax and bmm once more.
SELF_HOOK = 2 * 5 * 12 + SELF + SCORES * (3 + 1 + 3) + OUT + 2 * 5 * 12
CROSS_HOOK = 2 * 5 * 12 + CROSS + OTHER_SCORES * (3 + 1 + 3) + OUT + 2 * 5 * 12
WIDTHS_HOOK = 2 * 5 * 12 + 2 * (5 * 12**2 + 7 * 6**2 + 7 * 8**2) + OTHER_SCORES * (3 + 1 + 2) + WIDE_OUT
SELF_BIAS, CROSS_BIAS = 2 * 3 * 5 * 12, 2 * (5 + 7 + 7) * 12
PTFLOPS = {
    "attention": SELF_HOOK + SELF_BIAS + SCORES * (3 + 1 + 3),
    "attention, time first, without bias": SELF_HOOK + SCORES * (3 + 1 + 3),
    "attention to another sequence": CROSS_HOOK + CROSS_BIAS + OTHER_SCORES * (3 + 1 + 3),
    "attention to other widths": WIDTHS_HOOK + CROSS_BIAS + OTHER_SCORES * (3 + 1 + 3),
    "attention to other widths, without bias": WIDTHS_HOOK + OTHER_SCORES * (3 + 1 + 3),
    "attention with a key of its own": WIDTHS_HOOK + CROSS_BIAS + 2 * 4 * 5 * 8 * (3 + 1 + 3),
    "attention with a zero key": SELF_HOOK + SELF_BIAS + 2 * 4 * 5 * 6 * (3 + 1 + 3),
    "attention in a model": CROSS_HOOK + CROSS_BIAS + OTHER_SCORES * (3 + 1 + 3),
    "attention in a model, without weights": CROSS_HOOK,
    "attention in a model, masked": CROSS_HOOK + CROSS_BIAS + OTHER_SCORES * (3 + 1 + 3) + 5 * 7,
    "encoder layer": SELF_HOOK + SELF_BIAS + FEED_FORWARD + 2 * 5 * (20 + 12) + 2 * NORM,
    "decoder layer": SELF_HOOK + SELF_BIAS + CROSS_HOOK + CROSS_BIAS + FEED_FORWARD + 2 * 5 * (20 + 12) + 3 * NORM,
}
# calflops counts linear layers and softmax, and baddbmm, with what is added, but not bmm, fused attention and biases.
CALFLOPS = {
    "attention": 2 * (SELF + OUT) + SCORES,
    "attention, time first, without bias": 2 * (SELF + OUT) + SCORES,
    "attention to another sequence": 2 * (CROSS + OUT) + OTHER_SCORES,
    "attention to other widths": 2 * (WIDTHS + OUT) + OTHER_SCORES,
    "attention to other widths, without bias": 2 * (WIDTHS + OUT) + OTHER_SCORES,
    "attention with a key of its own": 2 * (WIDTHS + OUT) + 2 * 4 * 5 * 8,
    "attention with a zero key": 2 * (SELF + OUT) + 2 * 4 * 5 * 6,
    "attention in a model": 2 * (CROSS + OUT) + OTHER_SCORES,
    "attention in a model, without weights": 2 * (CROSS + OUT),
    "attention in a model, masked": 2 * (CROSS + OUT) + OTHER_SCORES + 2 * OTHER_SCORES * 3 + 5 * 7,
    "encoder layer": 2 * (SELF + OUT + FEED_FORWARD) + 5 * 2 * NORM,
    "decoder layer": 2 * (SELF + CROSS + 2 * OUT + FEED_FORWARD) + 5 * 3 * NORM,
}
# torchprofile counts every product, the scaling of queries, the average of weights that are used, and sizes.
TORCHPROFILE = {
    "attention": SELF + OUT + 2 * SCORES * 3 + 2 * 5 * 12 + 2 * 5 * 5 + 4,
    "attention, time first, without bias": SELF + OUT + 2 * SCORES * 3 + 2 * 5 * 12 + 2 * 5 * 5 + 4,
    "attention to another sequence": CROSS + OUT + 2 * OTHER_SCORES * 3 + 2 * 5 * 12 + 2 * 5 * 7 + 4,
    "attention to other widths": WIDTHS + OUT + 2 * OTHER_SCORES * 3 + 2 * 5 * 12 + 2 * 5 * 7 + 4,
    "attention to other widths, without bias": WIDTHS + OUT + 2 * OTHER_SCORES * 3 + 2 * 5 * 12 + 2 * 5 * 7 + 4,
    "attention with a key of its own": WIDTHS + OUT + 2 * (2 * 4 * 5 * 8) * 3 + 2 * 5 * 12 + 2 * 5 * 8 + 4,
    "attention with a zero key": SELF + OUT + 2 * (2 * 4 * 5 * 6) * 3 + 2 * 5 * 12 + 2 * 5 * 6 + (4 + 1),
    "attention in a model": CROSS + OUT + 2 * OTHER_SCORES * 3 + 2 * 5 * 12 + (4 + 2),
    "attention in a model, without weights": CROSS + OUT + 2 * OTHER_SCORES * 3 + (4 + 1),
    "attention in a model, masked": CROSS + OUT + 2 * OTHER_SCORES * 3 + 2 * 5 * 12 + (4 + 2),
    "encoder layer": SELF + OUT + 2 * SCORES * 3 + FEED_FORWARD + 2 * NORM + 4,
    "decoder layer": SELF + CROSS + 2 * OUT + 2 * (SCORES + OTHER_SCORES) * 3 + FEED_FORWARD + 3 * NORM + (4 + 4 + 2),
}
BY_HAND = {"ptflops": PTFLOPS, "calflops": CALFLOPS, "torchprofile": TORCHPROFILE}
for products in BY_HAND.values():
    products["encoder layer, time first"] = products["encoder layer"]


@pytest.mark.parametrize("tool", PEERS)
@pytest.mark.parametrize("name", LAYERS)
def test_attention_is_counted_as_the_tool_counts_it(name, tool):
    layer, inputs = LAYERS[name]
    number = count_both_ways(layer.eval(), inputs).number(tool)
    if tool in BY_HAND:
        assert number == BY_HAND[tool][name]
    if tool not in ("fvcore", "thop", "torch"):
        assert number == RECORDED[f"layer {name}"][tool]
    if is_installed(tool):
        assert number == run_peer(tool, layer, inputs)
    assert uc.count(layer.train(), inputs).number(tool) == number


def test_each_call_is_weighed_by_itself():
    layer = nn.MultiheadAttention(12, 4, batch_first=True)
    x, y = zeros(2, 5, 12), zeros(2, 7, 12)
    twice = nn.Module()
    twice.attention = layer
    twice.forward = lambda x, y: layer(layer(x, x, x)[0], y, y)[0]
    assert uc.count(twice, (x, y)).number("ptflops") == sum(
        PTFLOPS[name] for name in ("attention", "attention to another sequence")
    )


@pytest.mark.parametrize("shape", [(0, 5, 12), (2, 0, 12), (5, 12)])
def test_attention_to_nothing_or_without_a_batch_has_a_number(shape):
    x = zeros(*shape)
    count = uc.count(nn.MultiheadAttention(12, 4, batch_first=True), (x, x, x))
    assert (count.number("ptflops") == 0) == (0 in shape)


def test_the_kinds_add_up_where_a_tool_counts_a_call_as_a_whole():
    layer, inputs = LAYERS["decoder layer"]
    cost = uc.count(layer, inputs).cost
    for name in ("ptflops", "torchprofile", "thop_2019_06"):
        convention = uc.CONVENTIONS[name]
        assert cost.macs * convention.per_mac + sum(convention.beyond_macs(cost).values()) == convention.number(cost)


def test_tools_run_with_gradients_and_a_frozen_layer_takes_the_fast_path():
    layer, x = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True).eval(), zeros(2, 5, 12)
    count = uc.count(layer, x)
    assert peer_number("fvcore", layer, x, count.cost).difference == 0
    reading = peer_number("fvcore", layer.requires_grad_(False), x, count.cost)
    assert reading.difference == -(SELF + OUT)
    assert "take PyTorch's fast path" in peers_text([reading], count)


@pytest.mark.skipif(not is_installed("ptflops"), reason="needs ptflops")
def test_ptflops_says_why_it_could_not_run():
    layer, x = nn.MultiheadAttention(12, 4, batch_first=True), zeros(2, 5, 12)
    model = Call(lambda x: layer(query=x, key=x, value=x)[0])
    model.layer = layer
    reading = peer_number("ptflops", model, x, uc.count(model, x).cost)
    assert (
        reading.error == "CostError: the tool could not run the model: not enough values to unpack (expected 3, got 0)"
    )


def test_attention_is_a_layer_of_torch_nn_but_no_leaf_of_the_model():
    counts = [
        uc.count(model, inputs) for model, inputs in (LAYERS["attention"], (Attends(), LAYERS["decoder layer"][1]))
    ]
    for count in counts:
        assert {op.module for op in count.cost} == {"MultiheadAttention"}
        assert {op.leaf for op in count.cost} == {""}
        assert count.number("dcanet") == count.number("thop") == count.number("torchinfo") == 0
