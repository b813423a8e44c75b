"""The JSON of every command holds to its schema, which leaves no object open to keys that it does not name."""

import copy
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import ulsam_cost
from ulsam_cost.audit import Verdict
from ulsam_cost.audit.outcomes import Outcome
from ulsam_cost.cli import main
from ulsam_cost.counting.severity import Severity
from ulsam_cost.measuring import roofline

FOLDER = Path(ulsam_cost.__file__).parent / "schemas"
SMALL = ("mv1", "--width", "0.25", "--resolution", "32")
PLACED = (*SMALL, "--positions", "11:1")
QUICK = ("--device", "cpu", "--repeats", "6")
MEASURED = (*QUICK, "--measure", "1")
OWN = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.unused = nn.Conv2d(3, 4, 3), nn.Linear(2, 2)
    def forward(self, x):
        x = self.conv(x)
        torch.linalg.matrix_exp(x.flatten(1) @ x.flatten(1).T)
        return torch.special.bessel_j0(x)

def odd(): return Odd(), torch.zeros(1, 3, 8, 8)
def other(): return nn.Sequential(Odd(), Pool()), torch.zeros(1, 3, 8, 8)
class Pool(nn.Module):
    def forward(self, x): return torch.special.bessel_j0(x)
def plain(): return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU()), torch.zeros(1, 3, 8, 8)
"""
CELLS = "source,table,row,metric,printed,MODEL\nme,T,1,macs,4032,OWN:odd\nme,T,2,macs,9M,OWN:plain\n"
DESIGN = """
title = "Odd"
baseline = "own.py:plain"
conventions = ["fvcore", "torch"]
[measure]
device = "cpu"
repeats = 6
[[candidate]]
name = "odd"
model = "own.py:other"
accuracy = 50
budget = { macs = "1M", latency = "1 s", uncounted = 0 }
[[candidate]]
name = "none"
model = "own.py:none"
"""
CALLS = [
    ("table1",),
    ("table1", "--exact", "--counted"),
    ("overhead", "--m", "64,96", "--hw", "7x14", "--mechanisms", "se,gc,bam,sk"),
    ("profile", *PLACED, *QUICK),
    ("profile", *SMALL[:-1], "64x32", "--no-latency"),
    ("profile", "OWN:plain --attention torch.nn:BatchNorm2d --after 0", *QUICK),
    ("profile", *PLACED, "--attention", "torch.nn:BatchNorm2d", "--no-latency"),
    ("table1", "--mechanisms", "se,torch.nn:BatchNorm2d", "--exact"),
    ("overhead", "--mechanisms", "torch.nn:BatchNorm2d"),
    ("layers", "mv1"),
    ("layers", "resnet50", "--attention", "se"),
    ("layers", "OWN:odd"),
    ("compare", "mv1", "mv1 --positions 8:1,11"),
    ("compare", "OWN:odd", "OWN:plain", "OWN:odd"),
    ("measure", *PLACED, *QUICK, "--batch", "1,2", "--memory", "--roofline", "--kernels"),
    ("measure", "OWN:odd", *QUICK, "--roofline"),
    ("measure", "OWN:plain", *QUICK, "--layers"),
    ("measure", *SMALL, *QUICK, "--batch", "1,1000000000"),
    ("search", "mv2", "--layers", "13-17", "--budget", "macs=240M"),
    (
        "search",
        "mv1",
        "--attention",
        "se,ulsam",
        "--mix",
        "--layers",
        "8-9",
        "--resolutions",
        "128,64x32",
        *QUICK,
        "--measure",
        "1",
    ),
    ("search", "mv2", "--attention", "se", "--widths", "0.35", "--layers", "2-5", "--budget", "macs=1M,params=1M"),
    ("search", "OWN:plain", "--attention", "torch.nn:BatchNorm2d", "--layers", "0,1"),
    ("review", "DESIGN", "--keep-going"),
    ("review", "DESIGN", "--keep-going", "--accept"),
    ("review", "DESIGN", "--keep-going", "--check"),
    ("sweep", "MODELS", "--out", "OUT", "--derive", "--workers", "1"),
    ("count", "OWN:odd"),
    ("count", "OWN:plain", "--peers"),
    ("count", "OWN:odd", "--by", "call"),
    ("count", "mv1", "--depth", "1"),
    ("conventions",),
    ("crosscheck", "--source", "ulsam_poster"),
    ("crosscheck", "--source", "dca"),
    ("crosscheck", "--claims"),
    ("crosscheck", "--cells", "CELLS"),
    ("explain", "ulsam", "Table 8", "2"),
    ("explain", "--model", "OWN:plain", "--printed", "4K"),
]


@pytest.fixture(autouse=True)
def quick_roof(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(roofline, "COPIED_BYTES", {"cpu": 2**16})
    monkeypatch.setattr(roofline, "MATRIX_SIZES", {"cpu": (16,)})
    monkeypatch.setattr(roofline, "CALIBRATION_SECONDS", 0.01)


@pytest.fixture
def run_json(tmp_path):
    own, cells, design, models = (tmp_path / name for name in ("own.py", "cells.csv", "design.toml", "models.txt"))
    models.write_text("mv1\nmv2 --width 0.5\nmv7\n")
    own.write_text(OWN)
    design.write_text(DESIGN)
    cells.write_text(CELLS.replace("OWN", str(own)))

    def run(*args):
        places = {"OWN": own, "CELLS": cells, "DESIGN": design, "MODELS": models, "OUT": tmp_path / "costs.csv"}
        filled = [re.sub("|".join(places), lambda match: str(places[match[0]]), arg) for arg in args]
        if {"--check", "--accept"} & {*args}:
            CliRunner().invoke(main, ["review", str(design), "--keep-going"])
        result = CliRunner().invoke(main, [*filled, "--format", "json"])
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)

    return run


def schema(command):
    return json.loads((FOLDER / f"{command}.json").read_text(encoding="utf-8"))


def parts(node):
    """Every schema within a schema, and itself."""
    yield node
    for key, value in node.items():
        for child in value.values() if key in ("properties", "$defs") else [value] if key == "items" else []:
            yield from parts(child)
        for child in value if key == "anyOf" else []:
            yield from parts(child)


def test_every_command_that_prints_json_has_a_schema_and_a_call():
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    printing = {name for name, command in commands.items() if any("--format" in p.opts for p in command.params)}
    assert {file.stem for file in FOLDER.glob("*.json")} == printing == {call[0] for call in CALLS}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_the_output_is_as_described(run_json, call):
    validator = Draft202012Validator(schema(call[0]))
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(run_json(*call))]
    assert not errors, errors


@pytest.mark.parametrize("command", sorted({call[0] for call in CALLS}))
def test_a_schema_leaves_nothing_open(command):
    Draft202012Validator.check_schema(schema(command))
    for part in parts(schema(command)):
        assert {"type", "anyOf", "$ref"} & part.keys(), part
        if "object" in part.get("type", ""):
            assert part.keys() & {"additionalProperties"}, part
            assert part.get("additionalProperties") is not True, part


@pytest.mark.parametrize("key", ["macs", "complete", "uncounted", "real_run"])
def test_a_key_that_is_missing_or_new_is_found(run_json, key):
    output, validator = run_json("count", "OWN:plain"), Draft202012Validator(schema("count"))
    missing, renamed = copy.deepcopy(output), copy.deepcopy(output)
    del missing[key]
    renamed[f"{key}_"] = renamed[key]
    assert [validator.is_valid(each) for each in (output, missing, renamed)] == [True, False, False]


def test_words_of_the_schemas_are_those_of_the_program():
    finding = schema("crosscheck")["items"]["properties"]
    assert finding["verdict"]["enum"] == [str(verdict) for verdict in Verdict]
    assert finding["outcome"]["enum"] == [str(outcome) for outcome in Outcome]
    assert schema("count")["$defs"]["uncounted"]["properties"]["severity"]["enum"] == [str(each) for each in Severity]
