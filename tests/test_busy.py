"""A busy machine gives no verdict: who decides it, and where it is said."""

import itertools
import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from ulsam_cost.audit.evidence import PlacementTiming
from ulsam_cost.cli import main
from ulsam_cost.measuring import rounds
from ulsam_cost.measuring import timing as latency
from ulsam_cost.measuring.busy import BUSY, Load, ProcessorTime, busy_reason, load_between
from ulsam_cost.measuring.measure import measure
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.samples import Timing
from ulsam_cost.measuring.timing import measure_alone, measure_together
from ulsam_cost.report.site.build import measured_files

X = torch.ones(2, 3)
STEADY = Timing(times_ms=(10.0,) * 20)
SMALL = ("mv1", "--width", "0.25", "--resolution", "32", "--device", "cpu", "--positions", "11:1", "--groups", "4")


def load(others, *, cores=8, threads=2):
    return Load(others=others, cores=cores, threads=threads)


def with_slow_tail(slow_ms, runs):
    """Twenty times, so many of which are slow; the others take 10 ms."""
    return Timing(times_ms=(10.0,) * (20 - runs) + (slow_ms,) * runs)


@pytest.mark.parametrize("beside", [None, load(0.0), load(6.4), load(0.4, cores=2), load(0.4, cores=2, threads=4)])
def test_an_idle_machine_is_not_busy(beside):
    assert busy_reason({"the model": STEADY}, beside) is None


@pytest.mark.parametrize("beside", [load(6.6), load(0.6, cores=2), load(0.6, cores=2, threads=4), load(7.0, threads=2)])
def test_others_on_more_cores_than_are_free_make_it_busy(beside):
    reason = busy_reason({"the model": STEADY}, beside)
    assert f"other programs used {beside.others:.1f} of {beside.cores} cores" in reason


@pytest.mark.parametrize(("slow_ms", "runs", "is_busy"), [(21.0, 3, True), (19.9, 3, False), (1373.0, 1, False)])
def test_a_90th_percentile_over_twice_the_median_makes_it_busy(slow_ms, runs, is_busy):
    # of 20 times the 90th percentile lies between the 18th and the 19th: three slow ones reach it, one does not
    reason = busy_reason({"steady": STEADY, "the network": with_slow_tail(slow_ms, runs)}, None)
    assert (reason is not None) == is_busy
    assert reason is None or reason == "a tenth of the runs of the network took over 2.1 times the median"


def test_the_times_that_were_seen_on_a_busy_machine_are_told():
    times = Timing(times_ms=tuple([34.0] * 3 + [120.0] * 20 + [1373.0] * 7))
    assert "11.4 times the median" in busy_reason({"the network": times}, load(0.0))


def test_the_load_is_what_everyone_used_less_what_we_used():
    start = ProcessorTime(clock=100.0, everyone=1000.0, own=50.0)
    end = ProcessorTime(clock=102.0, everyone=1007.0, own=53.0)
    # in 2 s all programs used 7 s of the cores, this one 3 s: 4 s in 2 s are 2 cores
    assert load_between(start, end, threads=3).others == 2.0


@pytest.mark.parametrize(
    "end",
    [
        ProcessorTime(clock=100.1, everyone=1007.0, own=53.0),  # too short for hundredths of a second
        ProcessorTime(clock=102.0, everyone=1000.0, own=53.0),  # a system that does not count
    ],
)
def test_a_load_that_cannot_be_known_is_none(end):
    assert load_between(ProcessorTime(clock=100.0, everyone=1000.0, own=50.0), end, threads=1) is None


def test_a_load_is_never_negative():
    start = ProcessorTime(clock=0.0, everyone=0.0, own=0.0)
    assert load_between(start, ProcessorTime(clock=1.0, everyone=0.9, own=1.0), threads=1).others == 0.0


def test_our_own_work_is_not_load():
    start = ProcessorTime.now()
    matrix = torch.ones(600, 600)
    while ProcessorTime.now().own - start.own < 0.5:
        torch.mm(matrix, matrix)
    end = ProcessorTime.now()
    assert end.own - start.own >= 0.5
    assert end.everyone - start.everyone >= 0.9 * (end.own - start.own)


@pytest.fixture
def times(monkeypatch):
    """A function that sets the times that will be measured, over and over, beside a load that is not known."""
    monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)
    monkeypatch.setattr(latency, "load_between", lambda *_, **__: None)

    def will_be(*values):
        handed = itertools.cycle(values)
        monkeypatch.setattr(latency, "_stopwatch", lambda device: lambda run: (run(), next(handed))[1])

    return will_be


SLOWER, DISTURBED = (10.0, 12.0), (10.0, 12.0, 10.0, 12.0, 50.0, 60.0)


def test_a_pair_on_a_busy_machine_has_no_verdict_and_says_why(times):
    times(*SLOWER)
    quiet = measure(nn.Identity(), X, baseline=nn.Identity(), device="cpu", repeats=12).to_dict()
    assert (quiet["verdict"], quiet["busy"]) == ("slower", None)
    times(*DISTURBED)
    busy = measure(nn.Identity(), X, baseline=nn.Identity(), device="cpu", repeats=12).to_dict()
    assert busy["ratio"] == quiet["ratio"]
    assert busy["verdict"] == BUSY
    assert "5.0 times the median" in busy["busy"]


def test_the_load_beside_a_pair_counts_too(times, monkeypatch):
    times(*SLOWER)
    monkeypatch.setattr(latency, "load_between", lambda start, end, *, threads: load(7.9, threads=threads))
    busy = measure(nn.Identity(), X, baseline=nn.Identity(), device="cpu", repeats=12).to_dict()
    assert busy["verdict"] == BUSY
    assert f"the measurement runs {torch.get_num_threads()} thread" in busy["busy"]


def test_one_model_and_a_group_say_it(times):
    times(*DISTURBED)
    setting, effort = make_setting(device="cpu"), rounds.make_effort(repeats=12)
    assert "times the median" in measure_alone(nn.Identity(), X, setting=setting, effort=effort).to_dict()["busy"]
    group = measure_together(nn.Identity(), [nn.Identity()], X, setting=setting, effort=effort).to_dict(("other",))
    assert group["over_other"]["verdict"] == BUSY
    assert "times the median" in group["busy"]


@pytest.mark.parametrize("command", ["profile", "measure"])
def test_the_commands_say_it_and_conclude_nothing(times, command):
    times(*DISTURBED)
    shown = CliRunner().invoke(main, [command, *SMALL, "--repeats", "12"])
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert BUSY in words
    assert "5.0 times the median" in words
    assert "slower" not in words
    record = json.loads(CliRunner().invoke(main, [command, *SMALL, "--repeats", "12", "--format", "json"]).stdout)
    timed = record["latency"] if command == "profile" else record["rows"][0]
    assert timed["verdict"] == BUSY
    assert "5.0 times the median" in timed["busy"]


def test_one_model_measured_says_it_in_every_format(times):
    times(*DISTURBED)
    plain = ("measure", "mv1", "--width", "0.25", "--resolution", "32", "--device", "cpu", "--repeats", "12")
    assert "the machine was busy" in CliRunner().invoke(main, plain).stdout
    assert BUSY in CliRunner().invoke(main, [*plain, "--format", "csv"]).stdout


def test_the_reports_page_of_timings_says_it(times):
    times(*DISTURBED)
    busy = measure(nn.Identity(), X, baseline=nn.Identity(), device="cpu", repeats=12)
    times(*SLOWER)
    quiet = measure(nn.Identity(), X, baseline=nn.Identity(), device="cpu", repeats=12)
    measured = [PlacementTiming("MV1", -9.0, quiet), PlacementTiming("MV2", -25.0, busy)]
    page = measured_files(measured)["measured.md"].decode()
    assert "MV2: the machine was busy: a tenth of the runs" in page
    assert "MV1: the machine" not in page
