"""The attention mechanisms: the closed forms against the counted modules, hand products, symbols and arrays."""

import inspect
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.errors import CostError, SizeError, UnknownNameError
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism
from ulsam_cost.formulas.attention.aw import aw_conv2d_cost, aw_overhead_cost
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.aw import AWConv2d
from ulsam_cost.nn.attention.ge import GE

REDUCTION, FLAG = st.integers(1, 40), st.booleans()


def divisors(number):
    return st.sampled_from([d for d in range(1, number + 1) if number % d == 0])


def option_strategies(name, m, h, w):
    """What each mechanism's options are drawn from, for a map of m x h x w."""
    return {
        "non_local": {"reduction": REDUCTION, "bias": FLAG},
        "a2": {"reduction": REDUCTION, "maps": st.integers(1, 40), "bias": FLAG},
        "se": {"reduction": REDUCTION, "bias": FLAG},
        "bam": {"reduction": REDUCTION, "dilation": st.integers(1, 6), "bias": FLAG},
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


class TestAWConvolution:
    x = (2, 12, 7, 5)

    def test_the_literal_form_modulates_every_weight_of_every_sample(self):
        cost = aw_conv2d_cost(self.x, 9, kernel=3, padding=1, hidden=4, map_reduction=3, literal=True)
        multiply, add = (cost.of_kind(kind).ops for kind in (OpKind.MULTIPLY, OpKind.ADD))
        assert [op.writes for op in multiply] == [2 * 12 * 9 * 9]
        assert [op.writes for op in add] == [2 * (9 * 12 // 3) * 9]

    def test_the_cheap_form_gates_each_tap(self):
        cost = aw_conv2d_cost(self.x, 9, kernel=3, padding=1, hidden=4)
        assert cost.of_kind(OpKind.MULTIPLY).writes == 9 * (2 * 9 * 35)
        assert cost.of_kind(OpKind.ADD).writes == 2 * 9 * 9 + 8 * (2 * 9 * 35)
        assert cost.of_kind(OpKind.MOVEMENT).writes == 2 * 12 * 9 * 7

    def test_the_cheap_form_of_a_1x1_kernel_gates_the_output(self):
        cost = aw_conv2d_cost(self.x, 9, kernel=1, hidden=4)
        assert cost.of_kind(OpKind.MULTIPLY).writes == 2 * 9 * 35
        assert cost.of_kind(OpKind.ADD).writes == 2 * 9

    @pytest.mark.parametrize("kernel", [1, 3])
    def test_both_forms_have_the_same_macs_and_parameters(self, kernel):
        sizes = {"kernel": kernel, "padding": kernel // 2, "hidden": 4, "bias": True}
        cheap, literal = (aw_conv2d_cost(self.x, 9, **sizes, literal=literal) for literal in (False, True))
        assert (cheap.macs, cheap.params) == (literal.macs, literal.params)

    @pytest.mark.parametrize("literal", [False, True])
    @pytest.mark.parametrize(("kernel", "map_reduction"), [(1, None), (3, None), ((3, 2), 4)])
    def test_the_overhead_is_all_but_the_plain_convolution(self, kernel, map_reduction, literal):
        q = 9 if map_reduction is None else 9 * 12 // 4
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        sizes = {"kernel": kernel, "hidden": 4, "map_reduction": map_reduction, "literal": literal}
        cost = aw_overhead_cost(self.x, 9, **sizes, bias=True)
        assert cost.params == 4 * (12 + q) + 2 * (4 + q)
        assert cost.macs == 2 * 4 * (12 + q) * kh * kw
        assert aw_overhead_cost(self.x, 9, **sizes, point_bias=True).params == cost.params + 4 + q

    # kernel, stride, padding, dilation of convolutions 12 -> 9
    @pytest.mark.parametrize("literal", [False, True])
    @pytest.mark.parametrize("map_reduction", [None, 1, 4])
    @pytest.mark.parametrize(
        ("kernel", "stride", "padding", "dilation"),
        [(3, 1, 1, 1), (3, 2, 1, 1), ((3, 2), (2, 1), (0, 1), (1, 2)), (1, 2, 0, 1), (1, 1, 1, 1), (2, 1, 0, 2)],
    )
    def test_what_is_derived_is_what_is_counted(self, kernel, stride, padding, dilation, map_reduction, literal):
        sizes = {"stride": stride, "padding": padding, "dilation": dilation}
        options = {"hidden": 5, "map_reduction": map_reduction, "literal": literal, "bias": True, "point_bias": True}
        with torch.device("meta"):
            module = AWConv2d(12, 9, kernel, **sizes, **options).eval()
            counted = uc.count(module, torch.empty(self.x))
        assert counted.cost == aw_conv2d_cost(self.x, 9, kernel=kernel, **sizes, **options)

    def test_the_papers_added_parameters(self):
        """Table 1 of Zhu et al.: +0.16 M on ResNet50's 3 x 3 convolutions, +0.45 M on MobileNet's pointwise ones."""
        planes = [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
        added = sum(aw_overhead_cost((1, c, 7, 7), c, kernel=3, padding=1, hidden=c // 16).params for c in planes)
        assert round((25_557_032 + added) / 1e6, 2) == 25.72
        widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
        pairs = list(pairwise(widths))
        assert len(pairs) == 13
        added = sum(aw_overhead_cost((1, a, 7, 7), b, kernel=1, hidden=b // 16).params for a, b in pairs)
        assert round(added / 1e6, 2) == 0.45


# The docstring's closed form as it stands there, symbol by symbol: options, parameters, biases, MACs, definitions.
SYMBOLIC = {
    "non_local": ({}, ["4 m d"], "3 d + m", "n (4 m d p + 2 d p^2)", {"d": "floor(m / 2)"}),
    "a2": (
        {"maps": "t"},
        ["2 m (c + t)"],
        "c + 2 t + m",
        "n p (2 m (c + t) + 2 c t)",
        {"c": "floor(m / 4)"},
    ),
    "se": ({"reduction": "r"}, ["2 m d"], "m + d", "2 n m d", {"d": "floor(m / r)"}),
    "bam": (
        {"reduction": "r"},
        ["3 m d + 18 d^2 + d", "2 m + 8 d + 2"],
        "m + 4 d + 1",
        "n (2 m d + (m d + 18 d^2 + d) p)",
        {"d": "floor(m / r)"},
    ),
    "cbam": (
        {"reduction": "r"},
        ["2 m d + 2 k^2 + 2"],
        "m + d",
        "n (4 m d + 2 k^2 p)",
        {"d": "floor(m / r)", "k": "7"},
    ),
    "ulsam": ({"groups": 1}, ["2 m"], None, "2 n m h w", {}),
    "aw": (
        {"reduction": "r"},
        ["k^2 m^2 + t (m + q) + 2 (t + q)"],
        "t + q",
        "n (k^2 m^2 p + t (m + q) k^2)",
        {"t": "floor(m / r)", "q": "m", "k": "3"},
    ),
    "ge": (
        {"style": "theta-plus", "extent": 0, "reduction": "r"},
        ["m h w + 2 m", "2 m d"],
        "d + m",
        "n m h w + 2 n m d",
        {"d": "floor(m / r)"},
    ),
    "gc": ({"reduction": "r"}, ["2 m d + m + 2 d"], "m + d + 1", "n (2 m p + 2 m d)", {"d": "floor(m / r)"}),
    "sk": (
        {"reduction": "r"},
        ["B m (m/G) k^2 + 2 B m", "(B + 1) m d + 2 d"],
        "d + B m",
        "n (B m (m/G) k^2 p' + (B + 1) m d)",
        {"d": "floor(m / r)", "B": "2", "G": "1", "k": "3", "p'": "h w"},
    ),
}


def symbol(name):
    return sympy.Symbol(name, integer=True, positive=True)


def read_formula(text, definitions):
    names = {name: symbol(name) for name in "nmhwrtckqdpBG"} | {"pp": symbol("pp")}
    transformations = (*standard_transformations, convert_xor, implicit_multiplication_application)
    expression = parse_expr(text.replace("p'", "pp"), local_dict=names, transformations=transformations)
    for letter, meaning in {"p": "h w", **definitions}.items():
        value = parse_expr(meaning, local_dict=names, transformations=transformations)
        expression = expression.subs(names[letter.replace("p'", "pp")], value)
    return expression


@pytest.mark.parametrize("name", REGISTERED)
def test_on_symbols_the_cost_is_the_docstrings_formula(name):
    options, params, biases, macs, definitions = SYMBOLIC[name]
    docstring = " ".join(get_mechanism(name).cost.__doc__.split())
    symbols = {key: symbol(value) if value in {"r", "t"} else value for key, value in options.items()}
    sizes = {"channels": symbol("m"), "height": symbol("h"), "width": symbol("w"), "batch": symbol("n")}
    cost = attention_cost(name, **sizes, **symbols)
    assert sympy.expand(cost.params - sum(read_formula(text, definitions) for text in params)) == 0
    assert sympy.expand(cost.macs - read_formula(macs, definitions)) == 0
    assert all(text in docstring for text in params)
    assert all(part in docstring for part in ([macs] if name != "ge" else macs.split(" + ")))
    if biases:
        biased = attention_cost(name, **sizes, **symbols, bias=True)
        assert sympy.expand(biased.params - cost.params - read_formula(biases, definitions)) == 0
        assert f"+ {biases}" in docstring


def test_gathering_by_convolutions_on_symbols():
    m, h, w, n = map(symbol, "mhwn")
    cost = attention_cost("ge", channels=m, height=h, width=w, batch=n, extent=4)
    half, quarter = ((sympy.ceiling(h / k), sympy.ceiling(w / k)) for k in (2, 4))
    assert cost.params == 11 * 2 * m
    expected = 9 * n * m * (half[0] * half[1] + quarter[0] * quarter[1])
    for sizes in ((7, 5), (8, 14), (9, 16)):
        assert (cost.macs - expected).subs({h: sizes[0], w: sizes[1]}).simplify() == 0


def test_symbols_and_numbers_agree():
    for name in REGISTERED:
        m, h, w, n = map(symbol, "mhwn")
        options = {"extent": 2} if name == "ge" else {"groups": 3} if name == "ulsam" else {}
        symbolic = attention_cost(name, channels=m, height=h, width=w, batch=n, **options)
        plain = attention_cost(name, channels=51, height=9, width=4, batch=2, **options)
        values = {m: 51, h: 9, w: 4, n: 2}
        for unit in ("params", "macs", "reads", "writes"):
            assert getattr(symbolic, unit).subs(values) == getattr(plain, unit)


class TestArrays:
    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint16"])
    @pytest.mark.parametrize("name", REGISTERED)
    def test_each_element_is_what_its_own_number_gives(self, name, dtype):
        channels, heights = np.arange(16, 2000, 68, dtype=dtype), np.arange(9, 39, dtype=dtype)
        cost = attention_cost(name, channels=channels, height=heights, width=7, batch=2)
        for index, (m, h) in enumerate(zip(channels.tolist(), heights.tolist(), strict=True)):
            one = attention_cost(name, channels=m, height=h, width=7, batch=2)
            for unit in ("params", "macs", "reads", "writes"):
                assert np.broadcast_to(getattr(cost, unit), channels.shape)[index] == getattr(one, unit)

    @pytest.mark.parametrize("name", REGISTERED)
    def test_nothing_wraps(self, name):
        sizes = {"height": np.array([2**21, 7 * 2**30]), "width": 2**21, "batch": 2**20}
        channels = [2**33, 2**62]
        cost = attention_cost(name, channels=np.array(channels), **sizes)
        for index, m in enumerate(channels):
            one = attention_cost(name, channels=m, height=int(sizes["height"][index]), width=2**21, batch=2**20)
            for unit in ("params", "macs", "reads", "writes"):
                assert int(getattr(cost, unit)[index]) == getattr(one, unit)
            assert int(cost.bytes(8)[index]) == one.bytes(8)

    def test_an_unsigned_array_above_int64_is_exact(self):
        cost = attention_cost("se", channels=np.array([2**63, 2**64 - 1], dtype=np.uint64), height=7, width=7)
        assert [int(params) for params in cost.params] == [2 * 2**63 * 2**59, 2 * (2**64 - 1) * (2**60 - 1)]

    def test_a_million_channel_counts_are_a_million_totals(self):
        channels = np.arange(16, 1_000_016)
        totals = attention_cost("cbam", channels=channels, height=14, width=14).macs
        expected = [4 * m * (m // 16) + 98 * 14 * 14 for m in (16, 1_000_015)]
        assert totals.shape == channels.shape
        assert [totals[0], totals[-1]] == expected

    def test_reductions_and_maps_may_be_arrays(self):
        r, m = np.array([16, 24], dtype=np.int8), np.array([64, 100])
        assert attention_cost("se", channels=1024, height=7, width=7, reduction=r).params.tolist() == [
            2 * 1024 * 64,
            2 * 1024 * 42,
        ]
        assert attention_cost("a2", channels=m, height=7, width=7, maps=m // 8).params.tolist() == [
            2 * 64 * (16 + 8),
            2 * 100 * (25 + 12),
        ]


SIZES = {"channels": 20, "height": 7, "width": 5}


class TestBadInput:
    @pytest.mark.parametrize("name", [name for name in REGISTERED if "reduction" in get_mechanism(name).options])
    def test_a_reduction_that_leaves_nothing(self, name):
        options = {"reduction": 21, **({"style": "theta-plus", "extent": 4} if name == "ge" else {})}
        message = r"r = 21 leaves no channel of m = 20: 1 to 20 is accepted"
        with pytest.raises(SizeError, match=message):
            attention_cost(name, **SIZES, **options)
        with pytest.raises(SizeError, match=message):
            build_attention(name, 20, **options)

    @pytest.mark.parametrize(
        "wrong", [0, -1, 2.0, 7.5, True, "7", None, np.array([7.0]), np.array([0, 7]), np.array([])]
    )
    @pytest.mark.parametrize("size", ["channels", "height", "width", "batch"])
    @pytest.mark.parametrize("name", REGISTERED)
    def test_sizes_that_are_no_positive_whole_numbers(self, name, size, wrong):
        with pytest.raises(SizeError, match=f"{size} = .*: a positive whole number is accepted"):
            attention_cost(name, **{**SIZES, size: wrong})

    @pytest.mark.parametrize("wrong", [sympy.Float(2.5), sympy.Integer(-3), sympy.Symbol("x", negative=True)])
    def test_symbols_that_are_no_positive_whole_numbers(self, wrong):
        with pytest.raises(SizeError, match="a positive whole number is accepted"):
            attention_cost("se", **{**SIZES, "channels": wrong})

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("a2", {"maps": 0}, "maps t = 0: a positive whole number is accepted"),
            ("a2", {"maps": 2.5}, "maps t = 2.5"),
            ("se", {"reduction": 0}, "reduction = 0: a positive whole number"),
            ("bam", {"dilation": 0}, "dilation = 0"),
            ("cbam", {"kernel": 6}, "kernel = 6: an odd one is accepted"),
            ("sk", {"kernel": 2}, "kernel = 2: an odd one is accepted"),
            ("aw", {"kernel": 4}, "kernel = 4: an odd one is accepted"),
            ("sk", {"branches": 1}, "branches = 1: 2 or more are accepted"),
            ("sk", {"groups": 3}, "groups = 3 does not divide channels = 20; accepted are 1, 2, 4, 5, 10, 20"),
            ("sk", {"groups": 2.0}, "groups = 2.0"),
            ("sk", {"stride": 0}, "stride = 0"),
            ("sk", {"activation": "gelu"}, "activation = 'gelu': accepted are relu, relu6"),
            ("aw", {"map_reduction": 6}, "map_reduction = 6 does not divide channels = 20"),
            ("ulsam", {"groups": 3}, "g = 3 does not divide m = 20"),
            ("ulsam", {"style": "equations"}, "style = 'equations': accepted are equation, release"),
            ("ge", {"style": "theta+"}, "style = 'theta\\+': accepted are theta-minus, theta, theta-plus"),
            ("ge", {"extent": 3}, "extent = 3: a power of two from 2 on is accepted, or 0 for the whole map"),
            ("ge", {"extent": 1}, "extent = 1: a power of two"),
            ("ge", {"extent": False}, "extent = False"),
            ("ge", {"extent": -2}, "extent = -2"),
            ("ge", {"extent": 2.0}, "extent = 2.0"),
        ],
    )
    def test_options_that_neither_formula_nor_module_take(self, name, options, message):
        options = {"reduction": 4, **options} if name not in {"ulsam"} else options
        with pytest.raises(CostError, match=message):
            attention_cost(name, **SIZES, **options)
        with pytest.raises(CostError, match=message):
            build_attention(name, 20, **options)

    # the extents that the shorter side holds: those below twice of it
    @pytest.mark.parametrize(("h", "w", "largest"), [(7, 7, 8), (14, 5, 8), (4, 9, 4), (2, 2, 2), (16, 16, 16)])
    @pytest.mark.parametrize("style", ["theta-minus", "theta", "theta-plus"])
    def test_an_extent_that_the_map_cannot_hold(self, style, h, w, largest):
        module = {"style": style, "reduction": 4}
        attention_cost("ge", channels=20, height=h, width=w, extent=largest, **module)
        message = f"extent = {2 * largest} on a map of {h} x {w}: less than twice its shorter side is accepted"
        with pytest.raises(SizeError, match=message):
            attention_cost("ge", channels=20, height=h, width=w, extent=2 * largest, **module)
        with pytest.raises(SizeError, match=message):
            GE(20, extent=2 * largest, **module)(torch.ones(1, 20, h, w))

    def test_an_extent_that_one_map_of_a_sweep_cannot_hold(self):
        with pytest.raises(SizeError, match="extent = 8 on a map of"):
            attention_cost("ge", channels=20, height=np.array([14, 7, 4]), width=14)

    def test_a_map_size_that_is_not_the_maps(self):
        with pytest.raises(SizeError, match=r"map_size = 14: the map's own 7 x 5 is accepted"):
            attention_cost("ge", **SIZES, extent=0, map_size=14)
        with pytest.raises(SizeError, match="map_size = None"):
            build_attention("ge", 20, extent=0)
        with pytest.raises(SizeError, match="map_size = 0"):
            build_attention("ge", 20, extent=0, map_size=0)

    def test_the_nearest_mechanism_and_option_are_offered(self):
        for ask in (
            lambda name, **o: attention_cost(name, **SIZES, **o),
            lambda name, **o: build_attention(name, 20, **o),
        ):
            with pytest.raises(UnknownNameError, match="unknown attention mechanism 'cbm': did you mean 'cbam'"):
                ask("cbm")
            with pytest.raises(UnknownNameError, match="unknown option of se 'reductoin': did you mean 'reduction'"):
                ask("se", reductoin=4)

    def test_a_module_of_no_channels(self):
        for name in REGISTERED:
            for wrong in (0, -4, 16.0):
                with pytest.raises(SizeError, match=f"channels = {wrong}: a positive whole number"):
                    build_attention(name, wrong)

    def test_a_convolution_in_groups(self):
        with pytest.raises(SizeError, match="groups = 4: 1 is accepted"):
            AWConv2d(32, 32, 3, groups=4)

    def test_a_kernel_that_does_not_fit(self):
        module = AWConv2d(32, 32, 3)
        with pytest.raises(SizeError, match="a window of 3 does not fit a map of 2"):
            module(torch.ones(2, 32, 2, 2))
        with pytest.raises(SizeError, match="a window of 3 does not fit a map of 2"):
            aw_conv2d_cost((1, 32, 2, 2), 32, kernel=3, hidden=2)

    def test_a_sweep_in_which_the_map_is_shared_only_here_and_there(self):
        with pytest.raises(SizeError, match="map_reduction"):
            attention_cost("aw", channels=np.array([32, 64]), height=7, width=7, map_reduction=32)
