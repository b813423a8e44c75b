"""The page of the study of times: a roofline estimate is called one, and what was faster than it is named."""

import json
import re
from pathlib import Path

import pytest

from analyses.latency.page import latency_files

ROOT = Path(__file__).parents[1]


def mechanism(name, median_ms, estimate_ms):
    times = {"median_ms": median_ms, "p10_ms": median_ms, "p90_ms": median_ms, "runs": 9}
    return {
        "facts": {"section": "mechanism", "mechanism": name, "batch": 64, "mode": "eager"},
        "macs": 1000,
        "least_ms": estimate_ms,
        "limit": "compute",
        "latency": {"network": times},
    }


def page(*rows):
    record = {"machine": {"name": "here"}, "dtype": "float32", "rows": rows, "tasks": len(rows)}
    return latency_files(record, "here")["latency_here.md"].decode()


def test_what_was_faster_than_its_estimate_is_named():
    text = page(mechanism("se", 1.5, 1.0), mechanism("sk", 0.8, 1.0), mechanism("gc", 1.0, 1.0))
    assert "It is not a lower bound" in text
    assert "On this page, these are faster than their estimate: sk at batch 64 (0.80)." in text
    assert "measured / roofline" in text


def test_where_nothing_was_faster_nothing_is_named():
    assert "Faster than their estimate" not in page(mechanism("se", 1.5, 1.0))


def test_rows_of_a_busy_machine_are_told():
    quiet, busy = mechanism("se", 1.5, 1.0), mechanism("sk", 1.5, 1.0)
    busy["latency"]["busy"] = "other programs used 2.0 of 2 cores"
    assert "1 of these were taken on a busy machine" in page(quiet, busy)
    assert "busy" not in page(quiet)


def test_the_committed_study_names_all_of_them():
    record = json.loads((ROOT / "reports" / "latency_cpu.json").read_text(encoding="utf-8"))
    layers = [row["layers"]["rows"] for row in record["rows"] if row["facts"]["section"] == "layers"]
    mechanisms = [row for row in record["rows"] if row["facts"]["section"] == "mechanism"]
    beaten = [layer for rows in layers for layer in rows if (layer.get("over_least") or 1) < 0.995]
    beaten += [row for row in mechanisms if row["latency"]["network"]["median_ms"] / row["least_ms"] < 0.995]
    text = latency_files(record, "cpu")["latency_cpu.md"].decode()
    named = re.findall(r"(?:here: |, )[\w :]+ at batch \d+ \(0\.\d\d\)", text)
    assert len(named) == len(beaten) > 0


@pytest.mark.parametrize("place", ["README.md", "ulsam_cost", "analyses"])
def test_nobody_calls_it_the_least_time(place):
    files = [ROOT / place] if place.endswith(".md") else (ROOT / place).rglob("*.py")
    for file in files:
        assert not re.search(r"least[ _]time|least ms|over least", file.read_text(encoding="utf-8"), re.IGNORECASE), (
            file
        )
