"""K, M and G, printed and read."""

from decimal import Decimal

import pytest

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.samples import Interval
from ulsam_cost.units import format_count, format_mib, format_pct, format_ratio, format_tick, parse_printed


@pytest.mark.parametrize(
    ("text", "value", "resolution"),
    [
        ("4.122G", "4122000000", "1000000"),
        ("569M", "569000000", "1000000"),
        ("300.01M", "300010000", "10000"),
        ("1.02K", "1020", "10"),
        ("94.86", "94.86", "0.01"),
        ("12", "12", "1"),
        ("-0.3M", "-300000", "100000"),
        ("24.37Mi", "25553797.12", "10485.76"),  # 24.37 and 0.01 times 1024 * 1024
        ("3.86 Gi", "4144643440.64", "10737418.24"),
        ("7Ki", "7168", "1024"),
    ],
)
def test_a_printed_number_has_a_value_and_a_precision(text, value, resolution):
    printed = parse_printed(text)
    assert (printed.value, printed.resolution) == (Decimal(value), Decimal(resolution))


@pytest.mark.parametrize("text", ["", "M", "4,122", "1e9", "4.122g", "4.122GM", "nan", "٣M", "4i", "4mi", "4 M i"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(CostError, match="is not a number"):
        parse_printed(text)


def test_only_a_decimal_prefix_can_be_read_as_a_binary_one():
    assert parse_printed("24.37M").as_binary() == parse_printed("24.37Mi")
    for text in ("24.37Mi", "24"):
        assert parse_printed(text).as_binary() == parse_printed(text)


def test_counts_are_printed_in_the_largest_unit():
    assert format_count(517_059_072) == "517.06M"
    assert format_count(4_121_924_096, 3) == "4.122G"
    assert format_count(999) == "999"
    assert format_count(1000, 0) == "1K"


def test_ticks_have_no_digits_that_say_nothing():
    shown = [format_tick(value) for value in (0, 0.1, 999, 1e3, 2.5e6, 200e6, 1e9, -1.5e3, 0.1 + 0.2)]
    assert shown == ["0", "0.1", "999", "1K", "2.5M", "200M", "1G", "-1.5K", "0.3"]


def test_per_cents_are_signed():
    assert format_pct(-51_681_280, 568_740_352) == "-9.09%"
    assert format_pct(1, 0) == "n/a"


def test_a_ratio_has_three_digits_and_its_interval():
    assert format_ratio(1.23456) == "1.235"
    assert format_ratio(1.23456, 1.2, 1.3) == "1.235 [1.200, 1.300]"
    assert str(Interval(median=2.0, low=1.5, high=2.25, confidence=0.95)) == "2.000 [1.500, 2.250]"


def test_a_size_is_shown_in_mebibytes():
    assert format_mib(3 * 2**20 + 2**19) == "3.5"
