"""The closed forms of the attention mechanisms on symbols, and on arrays of sizes."""

import numpy as np
import pytest
import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

from ulsam_cost.arrays import exact_array
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism

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


def test_bam_as_released_on_symbols():
    m, h, w, n, r = map(symbol, "mhwnr")
    cost = attention_cost("bam", channels=m, height=h, width=w, batch=n, reduction=r, style="release")
    written = "3 m d + 18 d^2 + m + 13 d + 1"
    assert sympy.expand(cost.params - read_formula(written, {"d": "floor(m / r)"})) == 0
    assert f"release: {written} in all" in " ".join(get_mechanism("bam").cost.__doc__.split())


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

    def test_sums_and_folds_that_int64_cannot_hold(self):
        large = exact_array(np.array([2**62, 3]))
        assert (large + large).tolist() == [2**63, 6]
        assert (large - -(2**62)).tolist() == [2**63, 2**62 + 3]
        assert (large**2).tolist() == [2**124, 9]
        assert (2**3 * large // 2**3).tolist() == [2**62, 3]
        assert exact_array(np.full(3, 2**62)).sum() == 3 * 2**62
        assert exact_array(np.full(3, 2**40)).prod() == 2**120
        assert exact_array(np.full(3, 2**62)).cumsum().tolist() == [2**62, 2**63, 3 * 2**62]

    def test_an_array_is_a_value(self):
        sizes = np.array([16, 32])
        cost = attention_cost("se", channels=sizes, height=7, width=7)
        sizes[0] = 1600
        assert cost.params.tolist() == [2 * 16 * 1, 2 * 32 * 2]
        assert cost.ops[0].output[1].tolist() == [16, 32]
        total = cost.params
        total += 2**63
        assert total.tolist() == [2**63 + 32, 2**63 + 128]
        assert cost.params.tolist() == [32, 128]
        with pytest.raises(ValueError, match="read-only"):
            cost.params[0] = 1
        with pytest.raises(TypeError):
            np.add(cost.params, 1, out=np.zeros(2, dtype=np.int64))
