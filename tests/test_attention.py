"""The attention mechanisms: the closed forms against the counted modules, hand products and DCANet's rule."""

import inspect
from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mechanisms import CASES, fitted

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism
from ulsam_cost.nn.attention import build_attention


@st.composite
def maps_and_options(draw, name):
    n, m, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 72)), draw(st.integers(1, 17)), draw(st.integers(1, 17))
    strategies = CASES[name].draws(m, h, w)
    needed = {key: strategies.pop(key) for key in ("map_size",) if key in strategies}
    return (n, m, h, w), draw(st.fixed_dictionaries(needed, optional=strategies))


def derive(name, shape, options):
    n, m, h, w = shape
    return attention_cost(name, channels=m, height=h, width=w, batch=n, **options)


def module_count(name, shape, options, *, fast=True):
    with torch.device("meta"):
        module = build_attention(name, shape[1], **options).eval()
        return uc.count(module, torch.empty(shape), fast=fast)


@pytest.mark.parametrize("name", REGISTERED)
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_derived_is_what_is_counted(name, data):
    """Operation by operation: kind, MACs, reads, writes, parameters, shapes, module names; refusals too."""
    shape, options = data.draw(maps_and_options(name))
    try:
        derived = derive(name, shape, options)
    except CostError:
        with pytest.raises(ValueError, match=r"accepted|Expected more than 1 value"):
            module_count(name, shape, options)
        return
    for fast in (True, False):
        counted = module_count(name, shape, options, fast=fast)
        assert counted.uncounted == ()
        assert counted.cost == derived


@pytest.mark.parametrize("shape", [(1, 32, 1, 1), (2, 48, 7, 5), (2, 40, 1, 9), (3, 72, 14, 14)])
@pytest.mark.parametrize("name", REGISTERED)
def test_defaults_on_awkward_maps(name, shape):
    shape = fitted(name, shape)
    options = {"extent": 0} if name == "ge" and min(shape[2:]) < 5 else {}
    options |= get_mechanism(name).built_for(shape[2:], **options)
    counted = module_count(name, shape, options)
    assert counted.cost == derive(name, shape, options)
    assert counted.params == sum(p.numel() for p in build_attention(name, shape[1], **options).parameters())


def test_every_mechanism_has_a_row():
    assert set(CASES) == set(REGISTERED)
    assert all(row.by_hand and row.runs for row in CASES.values())


@pytest.mark.parametrize("name", REGISTERED)
def test_every_option_is_drawn_and_is_the_modules_own(name):
    options = get_mechanism(name).options
    assert set(CASES[name].draws(4, 4, 4)) == set(options)
    module = inspect.signature(import_module(f"ulsam_cost.nn.attention.{name}").MODULE).parameters
    assert {key: parameter.default for key, parameter in module.items() if key != "channels"} == options


M20 = (2, 20, 7, 5)


@pytest.mark.parametrize(("name", "by_hand"), [(name, row) for name, case in CASES.items() for row in case.by_hand])
def test_parameters_and_macs_by_hand(name, by_hand):
    options, params, macs = by_hand
    cost = derive(name, M20, options)
    assert (cost.params, cost.macs) == (params, macs)
    options = {**get_mechanism(name).built_for(M20[2:], **options), **options}
    assert sum(p.numel() for p in build_attention(name, 20, **options).parameters()) == params
    assert module_count(name, M20, options).cost == cost


@pytest.mark.parametrize(("name", "options"), [(name, row) for name, case in CASES.items() for row in case.runs])
def test_the_options_that_are_run_are_derived_as_they_are_counted(name, options):
    shape = (2, 12, 5, 4)
    options = {**get_mechanism(name).built_for(shape[2:], **options), **options}
    assert module_count(name, shape, options).cost == derive(name, shape, options)


def test_none_stands_for_an_options_default():
    m, h, w = 64, 7, 5
    given = attention_cost("se", channels=m, height=h, width=w, reduction=None, bias=None)
    assert given == attention_cost("se", channels=m, height=h, width=w)
    assert given.params == 2 * m * (m // 16)
    with pytest.raises(CostError, match="option of se"):
        attention_cost("se", channels=m, height=h, width=w, reduktion=4)


@pytest.mark.parametrize("name", REGISTERED)
def test_one_map_is_meant_where_no_batch_is_given(name):
    _, m, h, w = fitted(name, (1, 48, 8, 9))
    sizes = {"channels": m, "height": h, "width": w}
    one = get_mechanism(name).cost(**sizes, batch=1)
    assert get_mechanism(name).cost(**sizes) == attention_cost(name, **sizes) == one


def test_two_channels_are_shuffled_without_a_copy():
    derived = derive("shuffle", (2, 2, 7, 5), {"groups": 1})
    assert derived == module_count("shuffle", (2, 2, 7, 5), {"groups": 1}).cost
    assert "reshape" not in [op.operator for op in derived]
    assert "reshape" in [op.operator for op in derive("shuffle", (2, 4, 7, 5), {"groups": 1})]


def test_gathering_the_whole_map_without_parameters():
    """GE's global theta-minus: the mean of each map, spread by broadcasting, gates it."""
    n, m, h, w = 2, 20, 7, 5
    cost = derive("ge", (n, m, h, w), {"style": "theta-minus", "extent": 0})
    assert [(op.kind, op.path, op.output, op.reads, op.reduction) for op in cost] == [
        ("pool_avg", "gather", (n, m, 1, 1), n * m * h * w, h * w),
        ("activation", "sigmoid", (n, m, 1, 1), n * m, 1),
        ("multiply", "", (n, m, h, w), n * m * h * w + n * m, 1),
    ]
    assert (cost.params, cost.macs) == (0, 0)
    assert module_count("ge", (n, m, h, w), {"style": "theta-minus", "extent": 0}).cost == cost


# Modules written from the authors' code or timm's alone, their parameters counted by numel and their MACs by PyTorch's
# own counter: channels, height, width, parameters, MACs.
COUNTED_ELSEWHERE = [
    ("eca", {"kernel": 5}, "48 7 11 5 240, 96 13 5 5 480, 40 9 4 5 200"),
    ("coord", {}, "48 7 11 1272 13824, 96 13 5 2520 27648, 40 9 4 1064 8320, 600 5 3 33654 172800"),
    ("triplet", {}, "48 7 11 300 92218, 96 13 5 300 175714, 40 9 4 300 54488"),
    ("triplet", {"kernel": 3}, "48 7 11 60 16938"),
    ("simam", {}, "48 7 11 0 0, 96 13 5 0 0, 40 9 4 0 0"),
    ("sge", {"groups": 8}, "48 7 11 16 0, 96 13 5 16 0, 40 9 4 16 0"),
    ("sge", {}, "192 7 11 128 0"),
    ("shuffle", {"groups": 4}, "48 7 11 36 0, 96 13 5 72 0, 40 9 4 30 0"),
    ("shuffle", {}, "384 7 11 18 0"),
    ("ema", {"groups": 8}, "48 7 11 384 212160, 96 13 5 1488 707136, 40 9 4 270 70280"),
    ("ema", {}, "96 7 11 102 219552, 160 5 9 270 349600"),
    ("gct", {}, "48 7 11 144 0, 96 13 5 288 0, 40 9 4 120 0"),
    ("nam", {}, "48 7 11 96 0, 96 13 5 192 0, 40 9 4 80 0"),
    ("gam", {}, "48 7 11 57840 4435200, 40 9 4 40200 1440000"),
    ("gam", {"groups": 4}, "96 13 5 61536 3968640"),
    ("gam", {"reduction": 16}, "96 13 5 58008 3744000"),
    ("psa", {}, "64 7 11 27121 2084672, 192 13 5 243987 15838272, 320 9 4 677685 24368000"),
    ("splat", {}, "48 7 11 25728 1601280"),
    ("splat", {"radix": 1}, "96 13 5 89472 5397504"),
    ("splat", {"groups": 2}, "80 9 4 34200 1041600"),
    ("mhsa", {}, "48 7 11 7320 1227072, 96 13 5 28464 2820480, 40 9 4 5040 311040"),
    ("mhsa", {"relative": False}, "48 7 11 6912 1101408, 96 13 5 27648 2608320, 40 9 4 4800 276480"),
    ("mhsa", {"heads": 8}, "80 9 4 19440 967680"),
    ("strip", {}, "48 7 11 16368 301824, 96 13 5 64992 1096704, 40 9 4 11400 120000"),
    ("ela", {}, "48 7 11 864 6048, 96 13 5 1728 12096, 40 9 4 720 3640"),
    ("lsk", {}, "48 7 11 7398 554708, 96 13 5 21510 1373060, 33 6 5 4355 126660"),
    ("fca", {}, "48 7 11 288 288, 96 13 5 1152 1152, 80 9 4 800 800"),
    ("bam", {"style": "release"}, "48 7 7 682 15429, 96 13 13 2551 209022, 160 9 9 6891 279410"),
]


@pytest.mark.parametrize(("name", "options", "rows"), COUNTED_ELSEWHERE)
def test_other_modules_of_the_same_description_have_the_same_cost(name, options, rows):
    for row in rows.split(", "):
        channels, height, width, params, macs = map(int, row.split())
        cost = attention_cost(name, channels=channels, height=height, width=width, **options)
        assert (cost.params, cost.macs) == (params, macs), row


# What DCANet's counting rule gives at the last map of ResNet50's first stage, C = 256, 7 x 7 positions after pooling.
C, D, P49 = 256, 16, 49
DCANET = [
    ("se", {"bias": True}, 2 * C * D + D + C, C * P49 + 2 * C * D + D, 2 * C * D),
    (
        "cbam",
        {"bias": True},
        2 * C * D + D + C + 98 + 2,
        2 * C * P49 + 2 * (2 * C * D + D) + 98 * P49 + 2 * P49,
        4 * C * D + 98 * P49,
    ),
    (
        "gc",
        {"bias": True},
        (C + 1) + (C * D + D) + 2 * D + (D * C + C),
        C * P49 + P49 + 2 * C * D + 2 * D + C,
        2 * C * P49 + 2 * C * D,
    ),
    ("ge", {"extent": 8}, 33 * C, 11 * C * (16 + 4 + 1), 9 * C * (16 + 4 + 1)),
    (
        "sk",
        {},
        9 * C * C + 2 * C + 3 * C * D + 2 * D,
        9 * C * C * P49 + 5 * C * P49 + 3 * C * D + 2 * D,
        9 * C * C * P49 + 3 * C * D,
    ),
    (
        "sk",
        {"groups": C, "activation": "relu6", "reduction": 8},
        9 * C + 2 * C + 3 * C * 32 + 2 * 32,
        14 * C * P49 + 3 * C * 32 + 2 * 32,
        9 * C * P49 + 3 * C * 32,
    ),
]


def dcanet_weight(op):
    """DCANet's rule, written down once more: module calls only."""
    of_module = {
        "Conv2d": op.macs if op.kind is OpKind.CONV else op.elements,
        "Linear": op.macs,
        "BatchNorm2d": 2 * op.elements,
        "ReLU": op.elements,
        "ReLU6": op.elements,
        "AdaptiveAvgPool2d": op.reads,
        "AdaptiveMaxPool2d": op.reads,
    }
    return of_module.get(op.module, 0)


@pytest.mark.parametrize(("name", "options", "params", "rule", "macs"), DCANET)
def test_modules_and_functional_calls_are_told_apart_as_dcanet_counts_them(name, options, params, rule, macs):
    sizes = {"channels": C, "height": 7, "width": 7}
    cost, replaces = attention_cost(name, **sizes, **options), get_mechanism(name).replaces
    plain = replaces(**sizes, **options) if replaces else uc.Cost()
    assert cost.params - plain.params == params
    assert cost.macs - plain.macs == macs
    assert sum(map(dcanet_weight, cost)) - sum(map(dcanet_weight, plain)) == rule
