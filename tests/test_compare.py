"""`compare`: networks side by side."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.formulas.networks import network_cost

CONNECTED = "resnet50 --attention se --connection dca"
FILE = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU()), torch.zeros(1, 3, 8, 8)

def wide():
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 2, 1, bias=False))
"""


@pytest.mark.parametrize("option", ["reduction", "=8", "reduction=", "="])
def test_an_option_has_a_name_and_a_value(option):
    result = run("mv1", f"mv1 --positions 8:1 --option {option}")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert f"option {option!r}: NAME=VALUE is accepted" in result.output


def run(*args):
    return CliRunner().invoke(main, ["compare", *args])


def compared(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_networks_with_options():
    record = compared("resnet50", "resnet50 --attention se", CONNECTED)
    plain, attended, connected = record["networks"]
    assert [network["letter"] for network in record["networks"]] == ["A", "B", "C"]
    assert (plain["params"], plain["macs"]) == (25_557_032, 4_089_184_256)
    assert attended["delta"]["params"] == 28_088_024 - 25_557_032
    assert connected["delta_pct"]["params"] == pytest.approx(100 * (30_898_696 / 25_557_032 - 1))
    assert plain["delta"] == {"params": 0, "macs": 0, "activations": 0}
    cost = network_cost("resnet50", attention="se", connection="dca")
    assert (connected["macs"], connected["activations"]) == (cost.macs, cost.activations)


def test_only_layers_that_part_are_shown_and_columns_add_up():
    record = compared("mv1", "mv1 --positions 8:1,9:1,11", "mv1 --positions 8:2")
    assert [row["layer"] for row in record["layers"]] == ["8:1", "8:2", "9:1", "11", "all others"]
    first, second, third, *_ = record["layers"]
    assert first["networks"][0] is None
    assert (
        first["networks"][1]
        == first["networks"][2]
        == {"params": 1024, "macs": 2 * 512 * 196, "activations": 516 * 196}
    )
    assert second["networks"][1] is None
    assert third["networks"][2] is None
    for position, network in enumerate(record["networks"]):
        for unit in ("params", "macs", "activations"):
            parts = [row["networks"][position] for row in record["layers"]]
            assert sum(part[unit] for part in parts if part) == network[unit]


def test_networks_of_an_input():
    record = compared("resnet101_fpn --input 1x3x800x1344", "resnet101_fpn --connection aw --input 1x3x800x1344")
    assert record["networks"][0]["macs"] == network_cost("resnet101_fpn", resolution=(800, 1344)).macs
    assert {row["layer"].split()[0] for row in record["layers"]} == {"lateral", "output", "all"}


def test_networks_alike_part_nowhere():
    record = compared("mv2", "mv2 --attention none")
    assert [row["layer"] for row in record["layers"]] == ["all others"]


def test_models_from_files(tmp_path):
    file = tmp_path / "models.py"
    file.write_text(FILE, encoding="utf-8")
    record = compared(f"{file}:small", f"{file}:wide", "--input", "1x3x8x8", "--depth", "1")
    small, wide = record["networks"]
    assert (small["params"], small["macs"]) == (3 * 4 * 9, 36 * 3 * 4 * 9)
    assert wide["delta"]["macs"] == 36 * (3 * 4 * 9 + 8 * 2)
    assert {row["layer"]: [part and part["macs"] for part in row["networks"]] for row in record["layers"]} == {
        "0": [36 * 3 * 4 * 9, 36 * 3 * 8 * 9],
        "2": [None, 36 * 8 * 2],
        "all others": [0, 0],
    }


@pytest.mark.parametrize("style", ["table", "markdown", "latex"])
def test_other_formats(style):
    result = run("mv1", "mv1 --width 0.5", "--format", style)
    assert result.exit_code == 0
    assert "4,231,976" in result.stdout
    assert "all others" in result.stdout


def test_csv_is_one_table():
    totals = list(csv.DictReader(io.StringIO(run("mv1", "mv2", "--format", "csv").stdout)))
    assert [row["params"] for row in totals] == ["4231976", "3504872"]
    assert [row["macs_delta"] for row in totals] == ["", str(300_774_272 - 568_740_352)]
    layers = list(csv.DictReader(io.StringIO(run("mv1", "mv2", "--format", "csv", "--layers").stdout)))
    assert sum(int(row["B_params"] or 0) for row in layers) == 3_504_872


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("mv1",), "1 to compare: 2 to 26 networks are accepted"),
        (("mv1", "resnet5"), "'resnet5' is not a model"),
        (("mv1", "mv1 --positions 13"), "layer 13 of mv1 changes the shape"),
        (("mv1", "resnet50 --attention ulsam --connection dca"), "dca is not defined for ulsam"),
        (("mv1", "mv1 --input 1x4x32x32"), "input '1x4x32x32': a batch of images with 3 channels"),
        (("mv1", "no.py:model"), "there is no file no.py"),
        ((), "Missing argument"),
    ],
)
def test_bad_input_is_one_sentence(args, message):
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
