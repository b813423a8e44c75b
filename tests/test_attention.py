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
