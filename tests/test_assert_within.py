"""`assert_within`: a budget in a test of the reader's own."""

import doctest

import pytest
import torch
from designs import NET
from torch import nn

import ulsam_cost.testing
from ulsam_cost.errors import CostError
from ulsam_cost.testing import assert_within

X = torch.empty(1, 3, 10, 10)


def model():
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 2, 1, bias=False))


FIRST, SECOND = 8 * 3 * 3 * 3 * 8 * 8, 2 * 8 * 8 * 8


def test_limits_that_are_met_exactly_are_kept():
    assert_within(model(), X, macs=FIRST + SECOND, params=216 + 16, activations=8 * 64 + 2 * 64, uncounted=0)
    assert_within(model(), X, macs="14.848K", params="1M")


def test_an_error_says_by_how_much_and_where_the_cost_stands():
    with pytest.raises(AssertionError) as raised:
        assert_within(model(), X, macs="14.847K", params=232, traffic="1M")
    assert str(raised.value).splitlines() == [
        "Sequential has 14,848 MACs, 1 over 14,847",
        "layer    MACs     %",
        "-----  ------  ----",
        "0      13,824  93.1",
        "2       1,024   6.9",
        "1           0   0.0",
    ]


def test_beyond_ten_layers_the_others_are_one_row():
    deep = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(12)))
    with pytest.raises(AssertionError) as raised:
        assert_within(deep, torch.empty(1, 2), params=47)
    rows = str(raised.value).splitlines()
    assert rows[0] == "Sequential has 48 parameters, 1 over 47"
    assert rows[-1].split() == ["2", "others", "8", "16.7"]
    assert len(rows) == 3 + 10 + 1


def test_what_is_not_counted_is_not_within_a_limit():
    exec(NET, scope := {"__name__": "net"})
    incomplete = nn.Sequential(nn.Conv2d(3, 8, 3), scope["Unknown"]())
    with pytest.raises(AssertionError) as raised:
        assert_within(incomplete, X, macs="1M", params="1M", uncounted=0)
    said = str(raised.value)
    assert "has at least 13,824 MACs; whether more than 1,000,000 is not known: the count is incomplete" in said
    assert "Sequential has 1 uncounted operations, 1 over 0" in said
    assert "::matmul_twice" in said
    assert "parameters" not in said


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "no limit is given: one or more of macs, params, activations, traffic, uncounted"),
        ({"macs": "150"}, "macs = '150' has no unit"),
        ({"macs": 1.5}, "macs = 1.5: a whole number from 0 on, or a text such as '150M'"),
        ({"macs": -1}, "macs = -1: a whole number from 0 on"),
        ({"uncounted": "0"}, "uncounted = '0': a whole number"),
    ],
)
def test_what_is_no_limit_is_refused(limits, said):
    with pytest.raises(CostError, match=said.replace("(", r"\(")):
        assert_within(model(), X, **limits)


def test_the_model_is_left_as_found():
    one = model().train()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    assert_within(one, X, macs="1M")
    assert one.training
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


def test_the_examples_of_its_docstrings_run():
    done = doctest.testmod(ulsam_cost.testing)
    assert (done.failed, done.attempted) == (0, 6)
