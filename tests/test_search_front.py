"""The algorithms of a search, on small random tables of costs, against all sums listed one by one."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulsam_cost.errors import CostError
from ulsam_cost.searching import tally
from ulsam_cost.searching.front import as_counts, front_of_sums, pareto, sums_of
from ulsam_cost.searching.tally import TooManySumsError, count_within, distribution, weights_below


@st.composite
def spaces(draw, most_layers=5):
    """Tables of costs with many equal sums, and limits of which some bind."""
    columns = draw(st.integers(1, 4))
    row = st.lists(st.integers(-4, 4), min_size=columns, max_size=columns)
    table = st.lists(row, min_size=1, max_size=4)
    tables = draw(st.lists(table, min_size=1, max_size=most_layers))
    limits = draw(st.lists(st.integers(-8, 8), min_size=columns, max_size=columns))
    return [np.array(rows, dtype=np.int64) for rows in tables], np.array(limits, dtype=np.int64)


def every_sum(tables):
    return [tuple(map(sum, zip(*rows, strict=True))) for rows in product(*(table.tolist() for table in tables))]


def within(total, limits):
    return all(cost <= limit for cost, limit in zip(total, limits.tolist(), strict=True))


def undominated(points):
    """One by one: nobody else is at most as large everywhere."""
    points = set(points)
    return sorted(
        point
        for point in points
        if not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
    )


@given(spaces())
def test_the_front_is_that_of_all_sums(space):
    tables, limits = space
    for given_limits, kept in (
        (None, every_sum(tables)),
        (limits, [total for total in every_sum(tables) if within(total, limits)]),
    ):
        front, chosen = front_of_sums(tables, given_limits)
        assert list(map(tuple, front.tolist())) == undominated(kept)
        for total, rows in zip(front.tolist(), chosen.tolist(), strict=True):
            assert total == np.sum([table[row] for table, row in zip(tables, rows, strict=True)], axis=0).tolist()


@given(spaces())
def test_the_count_is_that_of_all_sums(space):
    tables, limits = space
    assert count_within(tables, limits) == sum(within(total, limits) for total in every_sum(tables))


@given(spaces())
def test_the_distribution_is_that_of_all_sums(space):
    tables, _ = space
    sums, weights = distribution(tables)
    listed = every_sum(tables)
    assert {tuple(total): weight for total, weight in zip(sums.tolist(), weights.tolist(), strict=True)} == {
        total: listed.count(total) for total in listed
    }


@given(st.data())
def test_points_below_are_counted_one_by_one(data):
    columns = data.draw(st.integers(1, 4))
    row = st.lists(st.integers(-3, 3), min_size=columns, max_size=columns)
    points, queries = (np.array(data.draw(st.lists(row, min_size=1, max_size=30)), dtype=np.int64) for _ in range(2))
    weights = np.arange(1, len(points) + 1)
    wanted = [int(weights[(points <= query).all(axis=1)].sum()) for query in queries]
    assert weights_below(points, weights, queries).tolist() == wanted


def test_a_front_in_many_blocks():
    """More points than are compared at once: the corner of a simplex, all of it undominated, and one above each."""
    side = 70
    corner = np.array([(a, b, side - a - b) for a in range(side) for b in range(side - a)], dtype=np.int64)
    points = np.concatenate([corner + 1, corner])
    assert sorted(map(tuple, points[pareto(points)].tolist())) == sorted(map(tuple, corner.tolist()))


def test_counts_beyond_64_bits_are_exact():
    """80 layers of 7 equal choices, half of them allowed: 7 ** 80 has 68 digits."""
    tables = [np.array([[0]] * 3 + [[1]] * 4, dtype=np.int64) for _ in range(80)]
    assert count_within(tables, np.array([79])) == 7**80 - 4**80
    assert count_within(tables, np.array([80])) == 7**80
    assert count_within(tables, np.array([-1])) == 0
    assert count_within(tables, np.array([0])) == 3**80


def test_too_many_different_sums_are_refused(monkeypatch):
    monkeypatch.setattr(tally, "MOST_STATES", 100)
    tables = [np.array([[0], [2**place]], dtype=np.int64) for place in range(20)]
    with pytest.raises(TooManySumsError, match="more than 100 different sums"):
        count_within(tables, np.array([1000]))


def test_costs_that_a_sum_has_no_room_for_are_refused():
    assert as_counts([(2**45, -(2**45))]).tolist() == [[2**45, -(2**45)]]
    for value in (2**46, -(2**46), 10**30):
        with pytest.raises(CostError, match="smaller sizes are accepted"):
            as_counts([(0, value)])


def test_explicit_choices_are_summed_all_at_once():
    tables = [np.array([[0, 0], [1, 10]]), np.array([[0, 0], [2, 20], [4, 40]])]
    chosen = np.array(list(product(range(2), range(3))))
    assert sums_of(tables, chosen).tolist() == [[0, 0], [2, 20], [4, 40], [1, 10], [3, 30], [5, 50]]
    assert len(chosen) == prod(map(len, tables))
    assert (sums_of(tables, np.tile(chosen, (5000, 1))) == np.tile(sums_of(tables, chosen), (5000, 1))).all()
