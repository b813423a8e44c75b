"""crosscheck and explain as a stranger uses them."""

import json

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main

HEADER = "source,table,row,metric,printed,MODEL\n"


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_crosscheck_keeps_its_contract():
    result = run("crosscheck", "--source", "ulsam", "--table", "Table 8", "--format", "json")
    assert result.exit_code == 0
    records = json.loads(result.stdout)
    assert len(records) == 8
    needed = {"source", "table", "row", "metric", "printed", "computed", "reading", "convention", "verdict"}
    assert all(needed | {"explanation"} <= set(record) for record in records)
    assert records[1]["computed"] == 300_774_272


def test_claims_have_their_id():
    records = json.loads(run("crosscheck", "--claims", "--format", "json").stdout)
    assert [record["id"] for record in records] == [f"c{number:02d}" for number in range(1, 67)]


@pytest.mark.parametrize("args", [("--source", "ulsam"), ("--claims",), ("--source", "dca", "--table", "Table 1")])
def test_tables_read_at_100_columns(args):
    output = run("crosscheck", *args).stdout
    assert max(map(len, output.split("\n\n")[0].splitlines())) <= 100


def test_only_shows_a_verdict_and_sums_up_all():
    output = run("crosscheck", "--source", "ulsam", "--only", "explained").stdout
    assert output.count("224.16M") >= 3
    assert "517M" not in output
    assert output.rstrip().splitlines()[-1].split()[:2] == ["all", "120"]


def test_anyones_table_is_checked(tmp_path):
    model = tmp_path / "mine.py"
    model.write_text(
        "from torch import nn\nimport torch\n"
        "def net():\n    return nn.Sequential(nn.Linear(30, 20, bias=False)), torch.zeros(1, 30)\n",
        encoding="utf-8",
    )
    cells = tmp_path / "cells.csv"
    rows = f"a,T,1,macs,600,{model}:net\na,T,1,params,600,{model}:net\na,T,2,macs,569M,mv1\na,T,3,macs,0.33G,mv1\n"
    cells.write_text(HEADER + rows, encoding="utf-8")
    result = run("crosscheck", "--cells", cells, "--format", "json")
    verdicts = [record["verdict"] for record in json.loads(result.stdout)]
    assert verdicts == ["match", "match", "match", "unexplained"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,T,1,macs,4x,mv1\n", "line 2: '4x' is not a number"),
        ("a,T,1,macs,4M,mv1\na,T,1,macs,5M,mv1\n", "line 3: T row 1 macs stands in line 2 too"),
        ("a,T,1,macs,4M,mv9\n", "line 2: 'mv9' is not a model"),
        ("a,T,1,macs,4M,mv1 --widht 2\n", "line 2: unknown option 'widht'"),
        ("a,T,1,flop,4M,mv1\n", "line 2: metric 'flop'"),
        ("a,T,1,macs,4M,\n", "line 2: MODEL is empty"),
        ("a,T,1,macs,4M,nowhere.py:net\n", "line 2: there is no file nowhere.py"),
    ],
)
def test_a_bad_cells_file_is_refused_with_its_line(tmp_path, rows, said):
    cells = tmp_path / "cells.csv"
    cells.write_text(HEADER + rows, encoding="utf-8")
    result = run("crosscheck", "--cells", cells)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_column_or_file_is_refused(tmp_path):
    cells = tmp_path / "cells.csv"
    cells.write_text("source,table,row,metric,printed\n", encoding="utf-8")
    assert "line 1: no column MODEL" in run("crosscheck", "--cells", cells).stderr
    result = run("crosscheck", "--cells", tmp_path / "none.csv")
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("crosscheck", "--source", "ulsan"), "did you mean 'ulsam'"),
        (("crosscheck", "--table", "Table 99"), "unknown table"),
        (("crosscheck", "--only", "wrong"), "unknown verdict"),
        (("explain", "ulsam", "Table 8"), "is accepted"),
        (("explain", "ulsam", "Table 8", "9"), "unknown row '9'"),
        (("explain", "--model", "mv1"), "models given: 1, printed numbers given: 0"),
        (("explain", "--model", "mv1", "--printed", "lots"), "is not a number"),
        (("explain", "--model", "x.py:f", "--printed", "1M"), "there is no file x.py"),
    ],
)
def test_bad_input_is_one_sentence(args, said):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_explain_tells_the_story_of_a_cell():
    output = run("explain", "ulsam", "Table 8", "2").stdout
    assert "paper's arithmetic" in output
    assert "261,885,056" in output
    assert "-38,114,944" in output
    stories = json.loads(run("explain", "ulsam", "Table 8", "2", "--format", "json").stdout)
    assert [story["metric"] for story in stories] == ["params", "macs"]
    assert stories[1]["readings"][1]["off"] == 261_885_056 - 261_880_000


def test_explain_says_what_the_prefix_stands_for():
    output = run("explain", "--model", "resnet50", "--printed", "24.37M").stdout
    assert output.startswith("1 rule gives 24.37M; the simplest:\n* 1 per parameter; M=2^20\n")
    for printed, units in (("24.37M", "M=2^20"), ("24.37Mi", ""), ("25557032", "")):
        (rule,) = json.loads(run("explain", "--model", "resnet50", "--printed", printed, "--format", "json").stdout)
        assert (rule["rule"], rule["units"], rule["verdicts"]) == ("1 per parameter", units, ["match"])


def test_explain_finds_the_rule_of_anybodys_number():
    output = run("explain", "--model", "resnet50", "--printed", "4.122G").stdout
    assert "dcanet" in output
    assert "4,121,924,096" in output
    nothing = run("explain", "--model", "resnet50", "--printed", "1.234567G")
    assert "No known convention" in nothing.stdout
