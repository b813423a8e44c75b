"""The attention mechanisms: the closed forms against the counted modules, hand products and DCANet's rule."""

import inspect
from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism
from ulsam_cost.nn.attention import build_attention

REDUCTION, FLAG = st.integers(1, 40), st.booleans()


def divisors(number):
    return st.sampled_from([d for d in range(1, number + 1) if number % d == 0])


def option_strategies(name, m, h, w):
    """What each mechanism's options are drawn from, for a map of m x h x w."""
    return {
        "non_local": {"reduction": REDUCTION, "bias": FLAG},
        "a2": {"reduction": REDUCTION, "maps": st.integers(1, 40), "bias": FLAG},
        "se": {"reduction": REDUCTION, "bias": FLAG},
        "bam": {
            "reduction": REDUCTION,
            "dilation": st.integers(1, 6),
            "bias": FLAG,
            "style": st.sampled_from(["equation", "release"]),
        },
        "cbam": {
            "reduction": REDUCTION,
            "kernel": st.sampled_from([1, 3, 5, 7]),
            "max_pooling": FLAG,
            "spatial_gate": FLAG,
            "bias": FLAG,
        },
        "ulsam": {"groups": divisors(m), "style": st.sampled_from(["equation", "release"])},
        "aw": {
            "kernel": st.sampled_from([1, 3, 5]),
            "reduction": REDUCTION,
            "map_reduction": divisors(m),
            "literal": FLAG,
            "bias": FLAG,
        },
        "ge": {
            "style": st.sampled_from(["theta-minus", "theta", "theta-plus"]),
            "extent": st.sampled_from([0, 2, 4, 8, 16]),
            "map_size": st.just((h, w)),
            "reduction": REDUCTION,
            "bias": FLAG,
        },
        "gc": {"reduction": REDUCTION, "bias": FLAG},
        "sk": {
            "branches": st.integers(2, 4),
            "kernel": st.sampled_from([1, 3, 5]),
            "reduction": REDUCTION,
            "groups": divisors(m),
            "stride": st.integers(1, 3),
            "activation": st.sampled_from(["relu", "relu6"]),
            "bias": FLAG,
        },
    }.get(name, {})


@st.composite
def maps_and_options(draw, name):
    n, m, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 72)), draw(st.integers(1, 17)), draw(st.integers(1, 17))
    strategies = option_strategies(name, m, h, w)
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
        with pytest.raises(CostError):
            module_count(name, shape, options)
        return
    for fast in (True, False):
        counted = module_count(name, shape, options, fast=fast)
        assert counted.uncounted == ()
        assert counted.cost == derived


@pytest.mark.parametrize("shape", [(1, 32, 1, 1), (2, 48, 7, 5), (2, 40, 1, 9), (3, 72, 14, 14)])
@pytest.mark.parametrize("name", REGISTERED)
def test_defaults_on_awkward_maps(name, shape):
    options = {"extent": 0, "map_size": shape[2:]} if name == "ge" and min(shape[2:]) < 5 else {}
    counted = module_count(name, shape, options)
    assert counted.cost == derive(name, shape, options)
    assert counted.params == sum(p.numel() for p in build_attention(name, shape[1], **options).parameters())


@pytest.mark.parametrize("name", REGISTERED)
def test_every_option_is_drawn_and_is_the_modules_own(name):
    options = get_mechanism(name).options
    assert set(option_strategies(name, 4, 4, 4)) == set(options)
    module = inspect.signature(import_module(f"ulsam_cost.nn.attention.{name}").MODULE).parameters
    assert {key: parameter.default for key, parameter in module.items() if key != "channels"} == options


# n = 2 maps of m = 20 channels, 7 x 5; parameters and MACs drawn by hand
M20 = (2, 20, 7, 5)
HAND = [
    ("non_local", {}, 4 * (20 * 10), 2 * (4 * 20 * 10 * 35 + 2 * 10 * 35 * 35)),
    ("non_local", {"bias": True}, 4 * (20 * 10) + 3 * 10 + 20, 2 * (4 * 20 * 10 * 35 + 2 * 10 * 35 * 35)),
    ("a2", {"maps": 3}, 20 * 5 + 2 * 20 * 3 + 5 * 20, 2 * 35 * (20 * 5 + 2 * 20 * 3 + 2 * 5 * 3 + 5 * 20)),
    ("se", {"reduction": 7}, 2 * (20 * 2), 2 * (2 * 20 * 2)),
    ("se", {"reduction": 7, "bias": True}, 2 * (20 * 2) + 2 + 20, 2 * (2 * 20 * 2)),
    (
        "bam",
        {"reduction": 5},
        (20 * 4 + 4 * 20) + (20 * 4 + 2 * (9 * 4 * 4) + 4) + 2 * (4 + 20 + 4 + 4 + 4 + 1),
        2 * (20 * 4 + 4 * 20) + 2 * 35 * (20 * 4 + 2 * (9 * 4 * 4) + 4),
    ),
    (
        "bam",
        {"reduction": 5, "style": "release"},
        (20 * 4 + 4 + 4 * 20 + 20) + (20 * 4 + 4 + 2 * (9 * 4 * 4 + 4) + 4 + 1) + 2 * (4 + 4 + 4 + 4),
        2 * (20 * 4 + 4 * 20) + 2 * 35 * (20 * 4 + 2 * (9 * 4 * 4) + 4),
    ),
    ("cbam", {"reduction": 3}, 2 * 20 * 6 + 2 * 49 + 2, 2 * (2 * (2 * 20 * 6) + 2 * 49 * 35)),
    ("cbam", {"reduction": 3, "max_pooling": False}, 2 * 20 * 6 + 2 * 49 + 2, 2 * (2 * 20 * 6 + 2 * 49 * 35)),
    ("cbam", {"reduction": 3, "spatial_gate": False}, 2 * 20 * 6, 2 * 2 * (2 * 20 * 6)),
    ("ulsam", {"groups": 5}, 20 + 20, 2 * (20 + 20) * 35),
    ("ulsam", {"groups": 5, "style": "release"}, 20 + 20 + 2 * 20 + 20 + 5 + 2 * 5, 2 * (20 + 20) * 35),
    ("aw", {}, 9 * 20 * 20 + 1 * (20 + 20) + 2 * (1 + 20), 2 * (9 * 20 * 20 * 35 + 1 * (20 + 20) * 9)),
    ("aw", {"literal": True}, 9 * 20 * 20 + 1 * (20 + 20) + 2 * (1 + 20), 2 * (9 * 20 * 20 * 35 + 1 * (20 + 20) * 9)),
    (
        "aw",
        {"kernel": 1, "map_reduction": 4, "reduction": 5, "bias": True},
        20 * 20 + 4 * (20 + 20 * 5) + 2 * (4 + 20 * 5) + 4 + 20 * 5,
        2 * (20 * 20 * 35 + 4 * (20 + 20 * 5)),
    ),
    ("ge", {"style": "theta-minus", "extent": 4}, 0, 0),
    ("ge", {"extent": 8}, 3 * (9 * 20 + 2 * 20), 2 * 9 * 20 * (4 * 3 + 2 * 2 + 1 * 1)),
    (
        "ge",
        {"style": "theta-plus", "extent": 2, "reduction": 5},
        9 * 20 + 2 * 20 + 2 * 20 * 4,
        2 * (9 * 20 + 2 * 20 * 4) * (4 * 3),
    ),
    ("ge", {"extent": 0, "map_size": (7, 5)}, 20 * 7 * 5 + 2 * 20, 2 * 20 * 7 * 5),
    ("gc", {}, 20 + 2 * 20 * 1 + 2 * 1, 2 * (20 * 35 + 20 * 35 + 2 * 20 * 1)),
    ("gc", {"reduction": 4, "bias": True}, 21 + (20 * 5 + 5) + 2 * 5 + (5 * 20 + 20), 2 * (2 * 20 * 35 + 2 * 20 * 5)),
    (
        "sk",
        {"reduction": 4},
        2 * (9 * 20 * 20 + 2 * 20) + 20 * 5 + 2 * 5 + 5 * 2 * 20,
        2 * (2 * 9 * 20 * 20 * 35 + 3 * 20 * 5),
    ),
    (
        "sk",
        {"branches": 3, "kernel": 5, "groups": 20, "reduction": 4, "stride": 2, "bias": True},
        3 * (25 * 20 + 2 * 20) + (20 * 5 + 5) + 2 * 5 + (5 * 3 * 20 + 3 * 20),
        2 * (3 * 25 * 20 * (4 * 3) + 20 * 5 + 5 * 3 * 20),
    ),
]


@pytest.mark.parametrize(("name", "options", "params", "macs"), HAND)
def test_parameters_and_macs_by_hand(name, options, params, macs):
    cost = derive(name, M20, options)
    assert (cost.params, cost.macs) == (params, macs)
    assert sum(p.numel() for p in build_attention(name, 20, **options).parameters()) == params


def test_every_mechanism_is_drawn_by_hand():
    assert {name for name, *_ in HAND} == set(REGISTERED)


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
