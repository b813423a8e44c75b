"""Verdicts and sentences that rest on times: of given times, so that no clock decides."""

from dataclasses import replace

import pytest
from designs import DESIGN, write

from ulsam_cost.report.figures import review as figures
from ulsam_cost.report.views.review import candidates_table, exported_notes, exported_table, spots, times_table
from ulsam_cost.reviewing.budget import Verdict, judge_budget, parse_limit
from ulsam_cost.reviewing.costs import Latency, Ratio, Times, Untimed
from ulsam_cost.reviewing.design import read_design
from ulsam_cost.reviewing.findings import findings
from ulsam_cost.reviewing.review import count_design


def times(low, median, high, runs=11):
    return Times(median, low, high, low, high, runs, runs >= 6)


def latency(low, median, high, *, verdict="slower", busy=None, runs=11, ratio=(1.1, 1.05, 1.15)):
    return Latency(
        device="cpu",
        batch=1,
        dtype="float32",
        network=times(low, median, high, runs),
        baseline=times(9, 10, 11, runs),
        ratio=Ratio(*ratio),
        verdict=verdict,
        busy=busy,
    )


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    return count_design(read_design(write(tmp_path_factory.mktemp("d"), DESIGN.replace("71.73K", "80K"))))


def timed(review, *measured):
    """The review with a measurement of its first candidates, and a limit of 12 ms."""
    candidates = [
        replace(each.timed((one,)), budget={"latency": parse_limit("latency", "12 ms")})
        for each, one in zip(review.candidates, measured, strict=False)
    ]
    return replace(review, candidates=(*candidates, *review.candidates[len(candidates) :]))


@pytest.mark.parametrize(
    ("measured", "verdict", "why"),
    [
        (latency(12.5, 13, 14), Verdict.OVER, ""),
        (latency(10, 11, 12), Verdict.WITHIN, ""),
        (latency(11.5, 13, 14), Verdict.UNDECIDED, "the interval of the median, 11.5 to 14.0 ms, holds the limit"),
        (latency(11, 11.5, 12.5), Verdict.UNDECIDED, "the interval of the median, 11.0 to 12.5 ms, holds the limit"),
        (latency(12.5, 13, 14, runs=5), Verdict.UNDECIDED, "5 runs are too few for an interval"),
        (latency(12.5, 13, 14, busy="a load"), Verdict.UNDECIDED, "the machine was busy: a load"),
    ],
)
def test_a_latency_is_over_only_if_the_whole_interval_is(counted, measured, verdict, why):
    [judged] = judge_budget({"latency": 12.0}, timed(counted, measured).candidates[0].costs)
    assert (judged.verdict, judged.why, judged.value) == (verdict, why, measured.network.median_ms)


def test_without_times_there_is_no_verdict(counted):
    [judged] = judge_budget({"latency": 12.0}, counted.baseline)
    assert (judged.verdict, judged.why, judged.value) == (Verdict.UNDECIDED, "no time was measured", None)


def test_sentences_about_time(counted):
    # slim has 29.28 % fewer MACs than the baseline, gated has more
    faster = latency(8, 8.5, 9, verdict="faster", ratio=(0.9, 0.85, 0.95))
    said = " ".join(findings(timed(counted, faster, latency(12.5, 13, 14))))
    assert "slim takes 13.0 ms [12.5, 14.0] on cpu at batch 1: the whole interval is over 12.0 ms." in said
    assert "slim saves 29.28% of the MACs and costs time: 1.100 [1.050, 1.150] times the baseline's" in said
    assert "gated adds 0.04% of the MACs and saves time: 0.900 [0.850, 0.950]" in said
    said = " ".join(findings(timed(counted, latency(12.5, 13, 14), faster)))
    assert "saves time" not in said
    assert "costs time" not in said


def test_a_busy_machine_has_no_verdict_and_says_so(counted):
    busy = latency(12.5, 13, 14, verdict="no verdict: the machine was busy", busy="others used 2.0 of 2 cores")
    review = timed(counted, busy, latency(10, 11, 11.5))
    said = " ".join(findings(review))
    assert "There is no verdict on the time of gated at batch 1, because the machine was busy: others used 2.0" in said
    assert "There is no verdict on gated." in said
    assert said.count("busy") == 1
    rows = {record["name"]: record.get("ratio") for record in candidates_table(review).records}
    assert rows == {"baseline": None, "gated": None, "slim": 1.1}
    assert [spot.name for spot in spots(review)["time relative to the baseline, batch 1"]] == ["baseline", "slim"]


def test_pictures_of_times_are_drawn(counted):
    review = timed(counted, latency(12.5, 13, 14), latency(10, 11, 12, busy="a load"))
    for draw in (figures.ratios_figure, figures.trade_offs_figure, figures.budget_figure):
        assert draw(review).startswith(b"\x89PNG")
    assert figures.ratios_figure(counted) is None


def test_a_budget_speaks_of_the_first_runtime(counted):
    other = replace(latency(8, 8.5, 9, verdict="faster", ratio=(0.9, 0.85, 0.95)), runtime="onnxruntime", threads=1)
    gated, slim = timed(counted, latency(12.5, 13, 14)).candidates
    both = replace(counted, candidates=(gated.timed((latency(12.5, 13, 14), other)), slim))
    [judged] = both.candidates[0].judgements
    assert (judged.verdict, judged.value) == (Verdict.OVER, 13)
    said = " ".join(findings(both))
    assert "gated takes 13.0 ms [12.5, 14.0] on cpu at batch 1: the whole" in said
    assert "saves time: 0.900 [0.850, 0.950] times the baseline's on cpu at batch 1 in onnxruntime." in said
    assert [row["runtime"] for row in times_table(both).records] == ["torch", "onnxruntime"]
    assert "runtime" in [column.key for column in times_table(both).columns]
    assert "runtime" not in [column.key for column in times_table(timed(counted, latency(1, 2, 3))).columns]
    assert list(spots(both)) == [
        "time relative to the baseline, batch 1",
        "time relative to the baseline, batch 1 in onnxruntime",
        "accuracy given in the design",
    ]


def test_a_first_runtime_that_failed_is_no_verdict(counted):
    gated, slim = timed(counted, latency(10, 11, 11.5)).candidates
    failed = Untimed("onnxruntime", 1, "the outputs differ", is_first=True)
    review = replace(counted, candidates=(gated.timed(gated.costs.latency, (failed,)), slim))
    [judged] = review.candidates[0].judgements
    assert (judged.verdict, judged.value, judged.why) == (Verdict.UNDECIDED, None, "the outputs differ")
    said = " ".join(findings(review))
    assert "gated has no time at batch 1 in onnxruntime: the outputs differ." in said
    assert candidates_table(review).records[1].get("ratio") is None
    later = gated.timed(gated.costs.latency, (failed._replace(is_first=False),))
    assert later.judgements[0].verdict is Verdict.WITHIN
    assert type(later.costs).from_dict(later.costs.to_dict()) == later.costs


def test_one_reason_is_said_of_all_that_it_concerns(counted):
    failed = Untimed("onnxruntime", 8, "no kernel", is_first=False, dtype="int8")
    gated, slim = counted.candidates
    other = failed._replace(error="the outputs differ")
    review = replace(counted, candidates=(gated.timed((), (failed,)), slim.timed((), (failed, other))))
    said = [each for each in findings(review) if "no time at" in each]
    assert said == [
        "gated and slim have no time at batch 8, int8 in onnxruntime: no kernel.",
        "slim has no time at batch 8, int8 in onnxruntime: the outputs differ.",
    ]


def files(size):
    agreement = {"difference": 0.25, "tolerance": None, "note": None}
    return {"file_bytes": size, "resident_bytes": 3 * 2**20, "macs": 7, "counted_macs": 7, "agreement": agreement}


def test_files_stand_beside_the_times_the_baselines_once(counted):
    def quantized(size, calibration):
        made = {"version": "1", "settings": {"threads": 1}, "calibration": calibration}
        return replace(
            latency(10, 11, 12),
            runtime="onnxruntime",
            dtype="int8",
            exported=made | {"network": files(size), "baseline": files(size - 100)},
        )

    plain, (gated, slim) = latency(1, 2, 3), counted.candidates
    timed_candidates = (gated.timed((quantized(1000, "a.py:x"), plain)), slim.timed((quantized(800, "a.py:x"),)))
    review = replace(counted, candidates=timed_candidates)
    rows = [(row["name"], row["dtype"], row["file_bytes"]) for row in exported_table(review).records]
    assert rows == [("baseline", "int8", 900), ("gated", "int8", 1000), ("slim", "int8", 800)]
    assert [row["dtype"] for row in times_table(review).records] == ["int8", "float32", "int8"]
    assert "dtype" in [column.key for column in times_table(review).columns]
    assert "dtype" not in [column.key for column in times_table(timed(counted, plain)).columns]
    set_of_it = "batch 1, int8 in onnxruntime: any difference is accepted; version 1, threads 1, calibrated with a.py:x"
    assert exported_notes(review)[2:] == [set_of_it]
    said = findings(review)
    assert "int8 in onnxruntime was calibrated with a.py:x." in said
    assert "gated adds 0.04% of the MACs" not in " ".join(said)
    assert exported_notes(timed(counted, plain)) == exported_table(timed(counted, plain)).records == []
