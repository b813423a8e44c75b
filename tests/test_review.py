"""`review`: the candidates of a design file beside its baseline, under a budget, and the report of it."""

import json
import os

import pytest
from click.testing import CliRunner
from designs import BODY, DESIGN, GATE, HEAD, NET, STEM, write
from matplotlib import image

from ulsam_cost.cli import main
from ulsam_cost.reviewing.costs import Costs
from ulsam_cost.reviewing.design import read_design
from ulsam_cost.reviewing.review import count_design

pytestmark = pytest.mark.usefixtures("undrawn")


def run(*args):
    return CliRunner().invoke(main, ["review", *map(str, args)])


def reviewed(path):
    result = run(path, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_candidates_are_counted_and_held_against_the_budget(tmp_path):
    record = reviewed(write(tmp_path))
    gated, slim = record["candidates"]
    assert record["baseline"]["macs"] == STEM + BODY + HEAD == 71_712
    assert (gated["macs"], gated["delta"]["macs"], gated["verdict"]) == (71_712 + GATE, GATE, "over")
    assert gated["budget"] == [
        {"metric": "macs", "limit": 71_730, "value": 71_744, "verdict": "over", "why": ""},
        {"metric": "uncounted", "limit": 0, "value": 0, "verdict": "within", "why": ""},
    ]
    assert [judged["metric"] for judged in slim["budget"]] == ["macs", "params", "uncounted"]
    assert slim["params"] == 6 * 3 * 9 + 6 * 6 + 6 * 4 + 4
    assert (slim["verdict"], record["verdict"], record["failed"]) == ("within", "over", [])
    assert gated["accuracy"] == 71.9


def test_a_limit_that_is_met_to_the_last_operation_is_kept(tmp_path):
    for limit, verdict in (("71.744K", "within"), ("71.743K", "over")):
        record = reviewed(write(tmp_path, DESIGN.replace("71.73K", limit)))
        assert record["candidates"][0]["verdict"] == verdict


def test_differences_by_layer_add_up(tmp_path):
    gated, slim = reviewed(write(tmp_path))["candidates"]
    assert [(layer["path"], layer["fate"], layer["macs"]) for layer in gated["differences"]] == [
        ("1.1", "inserted", GATE)
    ]
    for each in (gated, slim):
        for key, total in each["delta"].items():
            assert total == sum(layer[key] for layer in each["differences"]), key
    assert {layer["path"] for layer in slim["differences"]} == {"0", "1.0", "2.0", "2.2"}


def test_sentences_say_what_was_found(tmp_path):
    said = reviewed(write(tmp_path))["findings"]
    assert said[0] == "1 of 2 candidates keeps the budget: slim. gated breaks it."
    assert said[1] == "gated has 71,744 MACs, 14 (+0.02%) over 71,730; 1.1 adds the most, +32."
    # 226 of 216 + 64 + 36 parameters
    assert said[2] == (
        "slim has the fewest MACs (50,712, -29.28%) and the fewest parameters (226, -28.48%), "
        "compared with the baseline."
    )
    assert said[-1] == "Every operation was counted."


def test_a_baseline_that_breaks_the_budget_is_named(tmp_path):
    said = reviewed(write(tmp_path, DESIGN.replace("71.73K", "60K")))["findings"]
    assert said[1].endswith("over 60,000; the baseline alone has 71,712; 1.1 adds the most, +32.")


def test_conventions_say_what_others_would_print_and_why(tmp_path):
    folder = tmp_path / "design_review"
    record = reviewed(write(tmp_path))
    # fvcore counts what the average pool reads: 8 * 16 * 16; the gate's mean is no pool to it
    assert record["baseline"]["conventions"] == {"macs": 71_712, "fvcore": 71_712 + 8 * 16 * 16}
    assert record["baseline"]["kinds"] == {"macs": {}, "fvcore": {"pool_avg": 2048}}
    assert "+2,048 for pool\\_avg" in (folder / "README.md").read_text()


def test_an_incomplete_count_is_no_verdict_below_the_limit(tmp_path):
    design = DESIGN.replace("net.py:gated", "net.py:unknown").replace("uncounted = 0\n", "")
    for limit, verdict in (("1M", "undecided"), ("71K", "over")):
        gated, _ = reviewed(write(tmp_path, design.replace("71.73K", limit)))["candidates"]
        assert (gated["verdict"], gated["complete"], gated["delta"]["macs"]) == (verdict, False, None)
    said = reviewed(write(tmp_path, design))["findings"]
    assert "unknown: no verdict" not in " ".join(said)
    assert "gated: no verdict on its MACs, because the count is incomplete: 1 operation without a rule." in said
    assert "Operations without a rule, which no number includes: 1 in gated." in said
    over = reviewed(write(tmp_path, DESIGN.replace("net.py:gated", "net.py:unknown")))["candidates"][0]["budget"][-1]
    assert (over["metric"], over["value"], over["verdict"]) == ("uncounted", 1, "over")


def test_inputs_of_the_file_are_for_models_without_their_own(tmp_path):
    record = reviewed(write(tmp_path, DESIGN.replace("net.py:slim", "net.py:own")))
    assert record["candidates"][1]["macs"] == (STEM + BODY) // 4 + HEAD


def test_the_report_is_written_beside_the_design(tmp_path, monkeypatch):
    monkeypatch.undo()  # the pictures are drawn here
    path = write(tmp_path / "elsewhere")
    assert run(path).exit_code == 0
    folder = tmp_path / "elsewhere" / "design_review"
    assert sorted(os.listdir(folder)) == [
        "README.md",
        "budget.png",
        "costs.json",
        "index.html",
        "layers.png",
        "trade_offs.png",
    ]
    assert json.loads((folder / "costs.json").read_text()) == reviewed(path)
    page = (folder / "README.md").read_text()
    assert page.index("1 of 2 candidates") < page.index("budget.png") < page.index("## Candidates")
    for name in ("budget.png", "layers.png", "trade_offs.png"):
        assert image.imread(folder / name).std() > 0.05  # something is drawn
        assert name in page
    run(path, "--out", tmp_path / "other")
    assert (tmp_path / "other" / "costs.json").read_bytes() == (folder / "costs.json").read_bytes()


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path):
    path = write(tmp_path)
    run(path)
    write(tmp_path, DESIGN.replace("accuracy = 71.9\n", ""))
    run(path)
    assert not (tmp_path / "design_review" / "trade_offs.png").exists()


def test_measured_candidates_have_times_and_a_verdict_or_a_reason(tmp_path):
    measured = DESIGN.replace("[budget]", '[measure]\ndevice = "cpu"\nbatch = [1, 2]\nrepeats = 6\n[budget]')
    path = write(tmp_path, measured.replace('macs = "71.73K"', 'latency = "1 us"'))
    record = reviewed(path)
    for each in record["candidates"]:
        assert [timed["batch"] for timed in each["latency"]] == [1, 2]
        [judged] = [judged for judged in each["budget"] if judged["metric"] == "latency"]
        busy = each["latency"][0]["busy"]
        assert (judged["verdict"], bool(judged["why"])) == (("undecided", True) if busy else ("over", False))
        assert judged["value"] == each["latency"][0]["network"]["median_ms"] > judged["limit"] == 0.001
    assert record["machine"]["device"] == "cpu"
    assert (tmp_path / "design_review" / "time.png").is_file()


@pytest.mark.parametrize("style", ["table", "markdown", "csv", "latex"])
def test_other_formats_show_the_candidates(tmp_path, style):
    long = DESIGN.replace('"gated"', f'"{"gated " * 15}"')
    result = run(write(tmp_path, long), "--format", style)
    assert result.exit_code == 0
    assert "slim" in result.stdout
    assert max(map(len, result.stdout.splitlines() if style == "table" else [""])) <= 100


def test_costs_are_read_back_as_they_were(tmp_path):
    review = count_design(read_design(write(tmp_path)))
    for costs in (review.baseline, *(each.costs for each in review.candidates)):
        assert Costs.from_dict(json.loads(json.dumps(costs.to_dict()))) == costs


def test_the_models_are_left_where_they_are_and_so_is_the_folder(tmp_path):
    here = os.getcwd()
    path = write(tmp_path, net=NET + "\nimport os\nassert os.path.exists('design.toml')\n")
    assert run(path).exit_code == 0
    assert os.getcwd() == here
