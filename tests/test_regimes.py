"""Rows of a study that were measured while the machine was slower: found, said at the row, measured again."""

import pytest

from analyses.latency.page import latency_files
from analyses.latency.regimes import slowdowns

PLAIN = {"network": "mv1", "width": 1.0, "batch": 1, "mode": "eager"}


def times(median_ms):
    return {"median_ms": median_ms, "p10_ms": median_ms, "p90_ms": median_ms, "runs": 9}


def placement(plain_ms, **facts):
    paired = {"median": 1.05, "low": 1.04, "high": 1.06}
    return {
        "facts": {**PLAIN, "section": "placement", "positions": "11", "groups": 1, "style": "equation", **facts},
        "macs_pct": -9.09,
        "latency": {
            "baseline": times(plain_ms),
            "network": times(1.05 * plain_ms),
            "ratio": paired,
            "verdict": "slower",
        },
    }


def plain(median_ms, **facts):
    return {
        "facts": {**PLAIN, "section": "network", "positions": "none", **facts},
        "macs": 568_740_352,
        "latency": {"network": times(median_ms)},
    }


def page(rows):
    record = {"machine": {"name": "here"}, "dtype": "float32", "rows": rows, "tasks": len(rows)}
    return latency_files(record, "here")["latency_here.md"].decode()


def test_a_row_over_a_tenth_slower_than_the_fastest_is_told():
    rows = [placement(10.0, groups=1), placement(17.3, groups=4), placement(10.9, groups=8), placement(11.1, groups=16)]
    assert slowdowns(rows) == [None, pytest.approx(1.73), None, pytest.approx(1.11)]


def test_a_network_alone_is_compared_with_the_same_one_among_the_placements():
    assert slowdowns([plain(10.0), placement(12.0)]) == [None, pytest.approx(1.2)]
    assert slowdowns([plain(12.0), placement(10.0)]) == [pytest.approx(1.2), None]


@pytest.mark.parametrize("other", [{"network": "mv2"}, {"width": 0.5}, {"batch": 64}, {"mode": "compile"}])
def test_another_network_width_batch_or_mode_is_another_time(other):
    assert slowdowns([placement(10.0), placement(20.0, **other)]) == [None, None]


def test_rows_without_a_plain_network_are_left_alone():
    failed = {"facts": {**PLAIN, "section": "placement"}, "error": "no compiler here"}
    own = {"facts": {"section": "ulsam", "batch": 1, "mode": "eager"}, "model": times(1.0)}
    assert slowdowns([failed, own, placement(10.0)]) == [None, None, None]


def test_the_page_marks_the_slowed_rows_and_no_others():
    text = page([placement(11.5, groups=4), placement(17.3, groups=8)])
    assert "Slowed rows: 1 of 2." in text
    assert "(mv1 x1 up to 1.50 times)" in text
    (header,) = (line for line in text.splitlines() if "with ULSAM, ms" in line)
    assert header.split("|")[-2].strip() == "slowed"
    marks = {line.split("|")[4].strip(): line.split("|")[-2].strip() for line in text.splitlines() if "| 11 " in line}
    assert marks == {"4": "", "8": "x 1.50"}


def test_a_page_of_one_regime_has_no_column_for_it():
    text = page([placement(11.5, groups=4), placement(11.7, groups=8)])
    assert "slowed" not in text.lower()
