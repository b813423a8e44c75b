"""`ulsam-cost search`: its contract, its sentences, its picture, its measurements."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.formulas.attention.mechanism import GROUPS
from ulsam_cost.report.figures.search import search_figure
from ulsam_cost.searching.density import COARSE, density
from ulsam_cost.searching.search import search

EXAMPLE = (
    *("search", "mv2", "--attention", "ulsam,se", "--budget", "macs=240M,params=3M", "--layers", "8-17"),
    *("--widths", "0.75,1.0", "--resolutions", "192,224", "--minimise", "macs,params"),
)


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_json(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_contract_of_the_issue():
    record = run_json(*EXAMPLE)
    assert set(record) == {"network", "space", "feasible", "front", "nearest", "seconds"}
    space = record["space"]
    # layers 8, 12 and 15 change the shape; a mechanism each, in four networks, whose plain ones stand once
    assert space["considered"] == 4 * (2 * (3**3 * 4**7 - 1) + 1)
    assert 0 < record["feasible"] < space["considered"]
    assert space["layers"] == list(range(8, 18))
    assert (space["widths"], space["resolutions"]) == ([0.75, 1.0], [192, 224])
    assert (record["network"], space["attention"], space["mix"]) == ("mv2", ["ulsam", "se"], False)
    assert record["nearest"] is None
    for row in record["front"]:
        assert set(row) == {
            *("positions", "attention", "width", "resolution", "macs", "params", "activations", "traffic", "delta"),
            *("printed_accuracy", "counted"),
        }
        assert row["counted"] is True
        sizes = {"width": row["width"], "resolution": row["resolution"]}
        cost = uc.network_cost("mv2", positions=row["positions"], attention=row["attention"], **sizes)
        assert (row["macs"], row["params"], row["activations"]) == (cost.macs, cost.params, cost.activations)
        assert row["traffic"] == cost.reads + cost.writes
        assert row["delta"]["macs"] == cost.macs - uc.network_cost("mv2", **sizes).macs
        assert row["macs"] <= 240_000_000
        assert row["params"] <= 3_000_000


def test_the_table_says_what_was_searched_and_what_is_not_known():
    result = run(*EXAMPLE)
    assert result.exit_code == 0
    assert "3,538,940 placements considered" in result.stdout
    assert "macs <= 240,000,000, params <= 3,000,000" in result.stdout
    words = " ".join(result.stdout.split())
    assert "Only costs are computed" in words
    assert "also derived again as networks and counted, with the same numbers" in words


@pytest.mark.parametrize("style", ["table", "markdown", "csv", "json", "latex"])
def test_every_format_has_the_front(style):
    result = run("search", "mv2", "--layers", "13-17", "--format", style)
    assert result.exit_code == 0
    number = "224544384" if style in ("csv", "json") else "224,544,384"
    assert number in result.stdout


def test_the_printed_accuracy_stands_beside():
    assert "69.72% top1 ImageNet-1K (ulsam)" in run("search", "mv2", "--layers", "13-17").stdout
    (row,) = run_json("search", "mv2", "--layers", "13-17")["front"]
    assert {cell["table"] for cell in row["printed_accuracy"] if cell["source"] == "ulsam"} >= {"Table 8", "Table 10"}
    assert "top1" not in run("search", "mv2", "--layers", "13-17", "--widths", "0.5").stdout


def test_csv_has_every_metric_with_its_difference():
    result = run("search", "mv2", "--layers", "16,17", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    plain = uc.network_cost("mv2")
    assert int(row["traffic"]) - int(row["delta_traffic"]) == plain.reads + plain.writes
    assert float(row["pct_macs"]) == pytest.approx(100 * int(row["delta_macs"]) / plain.macs)


def test_most_are_shown_and_counted():
    args = ("search", "mv2", "--attention", "ulsam,se", "--mix", "--layers", "13-17", "--resolutions", 96, "--most", 2)
    assert "the first 2 are shown" in run(*args).stdout
    counted = [row["counted"] for row in run_json(*args)["front"]]
    assert len(counted) > 2
    assert counted == [True, True, *[False] * (len(counted) - 2)]


def test_a_count_that_differs_is_an_error(monkeypatch):
    from ulsam_cost.counting import networks

    plain = uc.network_spec("mv2", resolution=96)
    monkeypatch.setattr(networks, "count_network", lambda spec, real=networks.count_network: real(plain))
    result = run("search", "mv2", "--layers", "16,17", "--resolutions", 96)
    assert result.exit_code == 2
    macs = uc.network_cost("mv2", resolution=96).macs
    assert f"counted macs {macs:,} differ from those of the search" in result.stderr


def test_groups_of_mechanisms_are_accepted():
    (name, *_) = GROUPS
    record = run_json("search", "mv2", "--attention", name, "--layers", "16,17", "--resolutions", 96)
    assert len(record["space"]["attention"]) > 3


def test_options_beside_the_network_and_of_mechanisms():
    network = "mv2 --classes 10 --resolution 96"
    (row,) = run_json("search", network, "--layers", "16-17", "--option", "groups=2")["front"]
    cost = uc.network_cost("mv2", classes=10, resolution=96, positions="16,17", groups=2)
    assert (row["params"], row["traffic"]) == (cost.params, cost.reads + cost.writes)


def test_the_best_are_measured_against_the_plain_network():
    args = ("search", "mv1", "--attention", "se,ulsam", "--mix", "--layers", "8-12", "--widths", "0.25")
    args = (
        *args,
        "--resolutions",
        128,
        "--minimise",
        "macs,params",
        "--measure",
        2,
        "--repeats",
        12,
        "--device",
        "cpu",
    )
    rows = run_json(*args)["front"]
    assert len(rows) > 2
    for row in rows[:2]:
        assert row["latency"]["network"]["runs"] == row["latency"]["baseline"]["runs"] == 12
        assert row["latency"]["ratio"]["low"] <= row["latency"]["ratio"]["median"] <= row["latency"]["ratio"]["high"]
    assert all(row["latency"] is None for row in rows[2:])
    assert "time / plain" in run(*args).stdout


def test_a_budget_that_nothing_keeps_names_the_nearest():
    budget = ("--budget", "macs=200M,params=3.3M", "--layers", "8,9")
    result = run("search", "mv2", *budget)
    cost = uc.network_cost("mv2", positions="9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"macs by {cost.macs - 200_000_000:,}" in result.stderr
    assert f"params by {cost.params - 3_300_000:,}" in result.stderr
    assert "ulsam at 9" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    record = json.loads(run("search", "mv2", *budget, "--format", "json").stdout)
    assert (record["feasible"], record["front"], record["nearest"]["positions"]) == (0, [], "9")
    assert record["nearest"]["excess"]["macs"] == cost.macs - 200_000_000


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--budget", "macs=240X"), "240X"),
        (("--budget", "macs=240ms"), "240ms"),
        (("--budget", "macs"), "METRIC=LIMIT is accepted"),
        (("--budget", "latency=11"), "unknown metric of a budget 'latency'"),
        (("--budget", "mac=240M"), "did you mean 'macs'"),
        (("--budget", "macs=1M,macs=2M"), "macs is given twice"),
        (("--budget", "macs=0.5"), "a whole number is accepted"),
        (("--budget", "macs=-1M"), "a whole number from 1"),
        (("--minimise", "time"), "unknown metric to minimise 'time'"),
        (("--layers", "1"), "attention cannot follow layer 1"),
        (("--layers", "17-8"), "8-17 or 8,11,13-17 is accepted"),
        (("--layers", ""), "8-17 or 8,11,13-17 is accepted"),
        (("--widths", "0"), "width = 0"),
        (("--attention", "sse"), "unknown attention mechanism 'sse'"),
        (("--option", "reduction=4"), "unknown option of ulsam 'reduction'"),
        (
            ("--minimise", "macs", "--picture", "x.png"),
            "--picture with --minimise macs: two metrics or more are accepted",
        ),
        (("--measure", "1", "--device", "tpu"), "tpu"),
    ],
)
def test_bad_input_is_one_sentence(args, said):
    result = run("search", "mv2", *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("mv2 --positions 8:1", "the search chooses it"),
        ("mv2 --width 0.5", "width is given beside the network and as --widths"),
        ("mv3", "unknown network"),
    ],
)
def test_what_the_network_brings_is_checked(network, said):
    result = run("search", network, "--widths", "0.75")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_a_picture_is_written_whole(tmp_path):
    picture = tmp_path / "front.png"
    assert run("search", "mv2", "--layers", "13-17", "--picture", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("search", "mv2", "--picture", tmp_path).exit_code == 1
    assert search_figure(search("mv2", layers=[16, 17])) == search_figure(search("mv2", layers=[16, 17]))


def every_cost(found, metrics):
    costs = []
    for branch in found.branches:
        choices = np.stack(
            np.meshgrid(*(np.arange(len(layer.choices)) for layer in branch.layers), indexing="ij"), axis=-1
        )
        costs.append(branch.costs_of(choices.reshape(-1, len(branch.layers))))
    return np.concatenate(costs)[:, [["macs", "params", "activations", "traffic"].index(name) for name in metrics]]


@pytest.mark.parametrize("budget", [{}, {"macs": 60_000_000}])
def test_the_density_is_where_the_placements_are(budget):
    """Each placement lies within a cell of one that counts it, and they are as many."""
    found = search("mv2", attention=["ulsam", "se"], layers=range(13, 18), widths=[0.75, 1.0], resolutions=[96])
    costs = every_cost(found, ("params", "macs"))
    kept = costs[costs[:, 1] <= budget.get("macs", 10**12)]
    grid = density(found.branches, ("params", "macs"), budget)
    assert grid.counts.sum() == (len(kept) if not budget else pytest.approx(len(kept), rel=0.03))
    cell = (np.array(grid.high) - grid.low) / grid.counts.shape
    places = ((kept - grid.low) / cell).astype(int).clip(0, np.array(grid.counts.shape) - 1)
    padded = np.pad(grid.counts, 1)
    near = sum(padded[1 + a :, 1 + b :][tuple(places.T)] for a in (-1, 0, 1) for b in (-1, 0, 1))
    assert (near > 0).all()
    assert max(grid.counts.shape) <= COARSE
