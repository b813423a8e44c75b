"""The words of claims and explanations: when digits round to digits, and which operations are products."""

from fractions import Fraction

import pytest

from ulsam_cost.audit.expressions import evaluate, products, rounds_to
from ulsam_cost.formulas.layers import batch_norm_cost, conv2d_cost, linear_cost, matmul_cost


@pytest.mark.parametrize(
    ("number", "printed", "rounds"),
    [
        # half a unit of the last digit: below it the digit stays, from it on the next one stands
        ("9.05", "9.1", True),
        ("9.0499999", "9.1", False),
        ("9.1499999", "9.1", True),
        ("9.15", "9.1", False),
        ("9.15", "9.2", True),
        # a digit more is ten times as strict
        ("9.05", "9.10", False),
        ("9.0950", "9.10", True),
        ("9.0949", "9.10", False),
        ("9.1050", "9.10", False),
        # a whole number has its half, too
        ("24.5", "25", True),
        ("24.4999", "25", False),
        ("25.5", "25", False),
        # the sign belongs to the number
        ("9.1", "-9.1", False),
        ("-9.1", "9.1", False),
        ("-9.1", "-9.1", True),
        ("-9.15", "-9.1", True),
        ("-9.05", "-9.1", False),
        ("0.2", "-0.2", False),
    ],
)
def test_a_number_rounds_to_digits_within_half_a_unit(number, printed, rounds):
    assert rounds_to(Fraction(number), printed) is rounds
    assert evaluate(f'rounds_to(Fraction("{number}"), "{printed}")') is rounds


def test_products_are_convolutions_linear_layers_and_matrix_products_without_biases_and_norms():
    convolution = conv2d_cost("conv", (1, 3, 8, 6), 5, kernel=3, padding=1, bias=True)
    layer = linear_cost("linear", (2, 7), 11)
    scores = matmul_cost("scores", (2, 4, 5), (2, 5, 6))
    cost = products(convolution + layer + scores + batch_norm_cost("norm", (1, 5, 8, 6)))
    assert cost.macs == 8 * 6 * 5 * 3 * 3 * 3 + 2 * 7 * 11 + 2 * 4 * 5 * 6
    assert cost.params == 5 * 3 * 3 * 3 + 7 * 11
