"""Attention by every road: the count is that of the two products, in full, whichever kernel would run."""

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.rules import RULES

PRODUCTS = 2 * 4 * (5 * 8 * 7) + 2 * 4 * (5 * 7 * 6)  # [2, 4, 5, 8] @ [2, 4, 8, 7], then [2, 4, 5, 7] @ [2, 4, 7, 6]


def kinds(count):
    return [(op.kind, op.output, op.macs, op.reduction) for op in count.cost]


def test_scaled_dot_product_attention_is_two_products_and_a_softmax():
    count = count_both_ways(
        Call(F.scaled_dot_product_attention), (zeros(2, 4, 5, 8), zeros(2, 4, 7, 8), zeros(2, 4, 7, 6))
    )
    assert kinds(count) == [
        ("matmul", (2, 4, 5, 7), 2 * 4 * 5 * 8 * 7, 8),
        ("softmax", (2, 4, 5, 7), 0, 7),
        ("matmul", (2, 4, 5, 6), 2 * 4 * 5 * 7 * 6, 7),
    ]


@pytest.mark.parametrize(
    ("options", "shapes", "macs"),
    [
        ({"is_causal": True}, [(2, 4, 5, 8)] * 3, 2 * 4 * 2 * 5 * 5 * 8),
        ({"attn_mask": torch.ones(5, 5, dtype=torch.bool)}, [(2, 4, 5, 8)] * 3, 2 * 4 * 2 * 5 * 5 * 8),
        ({"enable_gqa": True}, [(2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8)], 2 * 4 * 2 * 5 * 7 * 8),
        ({}, [(2, 5, 8)] * 3, 2 * 2 * 5 * 5 * 8),
        ({}, [(5, 8), (7, 8), (7, 3)], 5 * 7 * 8 + 5 * 7 * 3),
        ({}, [(4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 3)], 2 * 4 * (5 * 7 * 8 + 5 * 7 * 3)),
        ({}, [(1, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 3)], 2 * 4 * (5 * 7 * 8 + 5 * 7 * 3)),
        ({"enable_gqa": True}, [(1, 4, 5, 8), (3, 2, 7, 8), (3, 2, 7, 8)], 3 * 4 * 2 * 5 * 7 * 8),
    ],
    ids=[
        *("causal", "masked", "grouped queries", "three dimensions", "two dimensions"),
        *("queries of fewer dimensions", "one batch of queries", "one batch of grouped queries"),
    ],
)
def test_layouts(options, shapes, macs):
    count = count_both_ways(
        Call(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)), tuple(zeros(*s) for s in shapes)
    )
    assert count.macs == macs
    assert not count.uncounted


def test_a_transposed_layout():
    x = zeros(2, 5, 3, 4, 8)  # batch, positions, qkv, heads, width

    def forward(x):
        q, k, v = (part.transpose(1, 2) for part in x.unbind(2))
        return F.scaled_dot_product_attention(q, key=k, value=v).transpose(1, 2).view(2, 5, 4 * 8)

    assert count_both_ways(Call(forward), x).macs == 2 * 4 * 2 * 5 * 5 * 8
    by_name = Call(lambda x: F.scaled_dot_product_attention(query=x, key=x, value=x))
    assert count_both_ways(by_name, zeros(2, 4, 5, 8)).macs == 2 * 4 * 2 * 5 * 5 * 8


def mha_macs(batch, queries, keys, width):
    projections = batch * (2 * queries + 2 * keys) * width * width
    return projections + 2 * batch * queries * keys * width


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_multi_head_attention(training, need_weights, batch_first):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first).train(training)
    x = zeros(3, 5, 8) if batch_first else zeros(5, 3, 8)
    count = count_both_ways(Call(lambda x: layer(x, x, x, need_weights=need_weights)), x)
    assert count.macs == mha_macs(3, 5, 5, 8)
    assert not count.uncounted


def test_cross_attention():
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    count = count_both_ways(layer, (zeros(3, 5, 8), zeros(3, 7, 8), zeros(3, 7, 8)))
    assert count.macs == mha_macs(3, 5, 7, 8)
    assert count.params == 4 * 8 * 8 + 4 * 8
    assert count.cost.by_kind()["linear"].params + count.cost.by_kind()["bias"].params <= count.params


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_encoder_layer(training, norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first, dropout=0.0).train(training)
    with torch.no_grad():  # where the fused layer would run
        count = count_both_ways(layer, zeros(3, 5, 8))
    assert count.macs == mha_macs(3, 5, 5, 8) + 2 * 3 * 5 * 8 * 16
    assert count.params == 4 * 8 * 8 + 4 * 8 + 2 * 8 * 16 + 16 + 8 + 4 * 8
    assert not count.uncounted


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_encoder_with_padding_mask(device, gradients):
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=True)
    mask = torch.tensor([[False] * 5, [False] * 3 + [True] * 2], device=device)
    inputs = {"src": zeros(2, 5, 8).to(device), "src_key_padding_mask": mask}
    with torch.set_grad_enabled(gradients):
        count = count_both_ways(layer.eval().to(device), inputs)
    assert count.macs == 2 * (mha_macs(2, 5, 5, 8) + 2 * 2 * 5 * 8 * 16)
    assert (count.uncounted, count.real_run) == ((), "")
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_kernel_that_a_real_run_takes_counts_the_same():
    def forward(q, k, v):
        return F.scaled_dot_product_attention(q, k, v) if q.sum() >= 0 else q  # makes the run a real one

    count = uc.count(Call(forward), (zeros(2, 4, 5, 8), zeros(2, 4, 7, 8), zeros(2, 4, 7, 6)))
    assert count.real_run
    assert count.macs == PRODUCTS


def test_fused_layers_of_a_traced_model():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = zeros(3, 5, 8)
    with torch.no_grad():
        traced = torch.jit.trace(layer, x)
    count = uc.count(traced, x)
    assert count.macs == mha_macs(3, 5, 5, 8) + 2 * 3 * 5 * 8 * 16
    assert not count.uncounted
    assert count.params == 4 * 8 * 8 + 4 * 8 + 2 * 8 * 16 + 16 + 8 + 4 * 8


def kernel_inputs(*shapes):
    return tuple(torch.empty(shape, dtype=torch.bfloat16, device="meta") for shape in shapes)


def test_kernels_whose_heads_stand_behind_the_sequence():
    n, queries, keys, heads, width = 2, 6, 10, 4, 8
    inputs = kernel_inputs((n, queries, heads, width), (n, keys, heads, width), (n, keys, heads, width))
    macs = n * heads * (queries * keys) * (width + width)
    for operator, more in (
        (torch.ops.aten._flash_attention_forward, (None, None, queries, keys, 0.0, False, False)),
        (torch.ops.aten._efficient_attention_forward, (None, None, None, None, None, 0.0, 0)),
    ):
        count = uc.count(Call(lambda *x, operator=operator, more=more: operator(*x, *more)), inputs)
        assert (count.macs, count.uncounted) == (macs, ())
        assert [op.output for op in count.cost.ops] == [
            (n, heads, queries, keys),
            (n, heads, queries, keys),
            (n, heads, queries, width),
        ]


def packed(heads=4, width=8):
    ends = torch.tensor([0, 3, 10], dtype=torch.int32)
    call = torch.ops.aten._flash_attention_forward
    model = Call(lambda q, k, v, ends: call(q, k, v, ends, ends, 7, 7, 0.0, False, False))
    return model, kernel_inputs(*[(10, heads, width)] * 3), ends


def test_packed_sequences_whose_lengths_are_not_known():
    model, inputs, ends = packed()
    [row] = uc.count(model, (*inputs, ends.to("meta"))).uncounted
    assert "lengths of packed sequences" in row.error


@pytest.mark.parametrize(
    ("shape", "ends", "macs"),
    [
        ((2, 4, 6, 8), None, 2 * 4 * (6 * 6) * (8 + 8)),
        ((10, 4, 8), torch.tensor([0, 3, 10]), 4 * (3 * 3 + 7 * 7) * (8 + 8)),
    ],
    ids=["batch", "packed"],
)
def test_the_rule_of_cudnns_kernel_which_runs_on_cuda_alone(shape, ends, macs):
    taken = []

    def record(kind, shape, *, macs=0, **_):
        taken.append(macs)

    [q] = kernel_inputs(shape)
    RULES[torch.ops.aten._cudnn_attention_forward](record, q, q, q, q, None, ends, ends, 7, 7, True)
    assert sum(taken) == macs


def test_each_packed_sequence_reads_its_own_rows():
    taken = []

    def record(kind, shape, *, reads, **_):
        taken.append(reads)

    query, key, value, ends = zeros(10, 4, 8), zeros(10, 4, 8), zeros(10, 4, 6), torch.tensor([0, 3, 10])
    RULES[torch.ops.aten._cudnn_attention_forward](record, None, query, key, value, None, ends, ends, 7, 7, True)
    expected = []
    for rows in (3, 7):
        scores = 4 * rows * rows
        expected += [2 * rows * 4 * 8, scores, scores + rows * 4 * 6]
    assert taken == expected


def test_each_product_of_attention_reads_its_own_operands():
    query, key, value = zeros(2, 3, 4, 5), zeros(2, 3, 6, 5), zeros(2, 3, 6, 7)
    count = count_both_ways(Call(F.scaled_dot_product_attention), (query, key, value))
    scores = 2 * 3 * 4 * 6
    reads = [2 * 3 * (4 * 5 + 6 * 5), scores, scores + 2 * 3 * 6 * 7]
    assert [op.reads for op in count.cost.ops] == reads
