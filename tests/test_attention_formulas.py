"""The closed forms of the attention mechanisms on symbols, and on arrays of sizes."""

import numpy as np
import pytest
import sympy
from mechanisms import CASES, fitted
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

from ulsam_cost.arrays import exact_array
from ulsam_cost.formulas.attention import REGISTERED, attention_cost, get_mechanism

LETTERS = tuple("nmhwrtckqdpegsBGKRH")


def symbol(name):
    return sympy.Symbol(name, integer=True, positive=True)


def read_formula(text, definitions):
    names = {name: symbol(name) for name in (*LETTERS, "pp")}
    transformations = (*standard_transformations, convert_xor, implicit_multiplication_application)
    expression = parse_expr(text.replace("p'", "pp"), local_dict=names, transformations=transformations)
    for letter, meaning in {"p": "h w", **definitions}.items():
        value = parse_expr(meaning, local_dict=names, transformations=transformations)
        expression = expression.subs(names[letter.replace("p'", "pp")], value)
    return expression


@pytest.mark.parametrize("name", REGISTERED)
def test_on_symbols_the_cost_is_the_docstrings_formula(name):
    formula = CASES[name].formula
    docstring = " ".join(get_mechanism(name).cost.__doc__.split())
    symbols = {key: symbol(value) if value in LETTERS else value for key, value in formula.options.items()}
    sizes = {"channels": symbol("m"), "height": symbol("h"), "width": symbol("w"), "batch": symbol("n")}
    cost = attention_cost(name, **sizes, **symbols)
    for total, texts in ((cost.params, formula.params), (cost.macs, formula.macs)):
        assert sympy.expand(total - sum(read_formula(text, formula.where) for text in texts)) == 0
        assert all(text in docstring for text in texts)
    if formula.biases:
        biased = attention_cost(name, **sizes, **symbols, bias=True)
        assert sympy.expand(biased.params - cost.params - read_formula(formula.biases, formula.where)) == 0
        assert f"+ {formula.biases}" in docstring


@pytest.mark.parametrize("name", [name for name in REGISTERED if get_mechanism(name).printed])
def test_the_terms_of_a_printed_formula_add_up_to_its_text(name):
    printed = get_mechanism(name).printed
    symbols = {letter: symbol(letter) for letter in LETTERS}
    for text, unit in ((printed.params_text, "params"), (printed.macs_text, "macs")):
        assert sympy.expand(getattr(printed, unit)(**symbols) - read_formula(text, {})) == 0


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
        channels = fitted(name, (2, 51, 9, 5))[1]
        symbolic = attention_cost(name, channels=m, height=h, width=w, batch=n)
        plain = attention_cost(name, channels=channels, height=9, width=5, batch=2)
        values = {m: channels, h: 9, w: 5, n: 2}
        for unit in ("params", "macs", "reads", "writes"):
            assert sympy.sympify(getattr(symbolic, unit)).subs(values) == getattr(plain, unit)


class TestArrays:
    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint16"])
    @pytest.mark.parametrize("name", REGISTERED)
    def test_each_element_is_what_its_own_number_gives(self, name, dtype):
        multiple = get_mechanism(name).multiple
        channels = (-(-np.arange(16, 2000, 68) // multiple) * multiple).astype(dtype)
        heights = np.arange(9, 39, dtype=dtype)
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
                assert int(np.broadcast_to(getattr(cost, unit), len(channels))[index]) == getattr(one, unit)
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
