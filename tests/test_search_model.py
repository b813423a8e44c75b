"""A search in the reader's model: the front and both counts against every placement, built by `insert` and counted."""

import json
from itertools import product

import pytest
from click.testing import CliRunner

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.counting.loading import load_model
from ulsam_cost.errors import CostError

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.layers = nn.Sequential(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 8, 1))
        self.twice = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.twice(self.twice(self.layers(self.stem(x))))
        return self.head(x.mean((2, 3)))

def net():
    return Net(), torch.zeros(1, 3, 12, 8)

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(x))
"""
PATHS = ("layers.1", "twice")
METRICS = ("macs", "params", "activations", "traffic")


@pytest.fixture
def net(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return "net.py:net"


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def costs_of(model, inputs):
    cost = uc.count(model, inputs).cost
    return {
        "macs": cost.macs,
        "params": cost.params,
        "activations": cost.activations,
        "traffic": cost.reads + cost.writes,
    }


def every_placement(text, mechanisms, options):
    """Each placement of a mix as (positions, attention) -> its costs: built module by module, and counted."""
    choices = [("", 0), *((name, count) for name in mechanisms for count in (0, 1, 2))]
    found = {}
    for taken in product(choices, repeat=len(PATHS)):
        loaded = load_model(text)
        model = loaded.model
        for path, (name, count) in zip(PATHS, taken, strict=True):
            own = options if name == "se" else {}
            if name and not count:
                model = uc.insert(model, loaded.inputs, name, replace=path, **own)
            for _ in range(count):
                model = uc.insert(model, loaded.inputs, name, after=path, **own)
        standing = [(path, *choice) for path, choice in zip(PATHS, taken, strict=True) if choice[0]]
        positions = ",".join(f"{path}:{count}" if count else path for path, _, count in standing)
        found[positions, tuple(name for _, name, _ in standing)] = costs_of(model, loaded.inputs)
    return found


def test_the_front_and_the_counts_are_those_of_every_placement(net):
    mechanisms, options, minimise = ["se", "net.py:Gate"], {"reduction": 2}, ["macs", "params", "traffic"]
    every = every_placement(net, mechanisms, options)
    assert len(every) == 7 * 7
    limit = sorted(costs["macs"] for costs in every.values())[20]
    found = uc.search(
        net, attention=mechanisms, mix=True, layers=PATHS, budget={"macs": limit}, minimise=minimise, **options
    )
    keep = {key: costs for key, costs in every.items() if costs["macs"] <= limit}
    points = {tuple(costs[name] for name in minimise) for costs in keep.values()}
    front = sorted(
        p for p in points if not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)
    )
    assert (found.considered, found.feasible) == (len(every), len(keep))
    assert [tuple(answer.costs[name] for name in minimise) for answer in found.front] == front
    assert len(front) > 1
    plain = every["", ()]
    for answer in found.front:
        said = answer.to_dict()
        names = said["attention"].split(",")
        standing = said["positions"].split(",") if said["positions"] != "none" else []
        names = tuple(names * len(standing) if len(names) == 1 else names)[: len(standing)]
        assert every[",".join(standing), names] == {name: said[name] for name in METRICS}
        assert said["delta"] == {name: said[name] - plain[name] for name in METRICS}
        assert (said["width"], said["resolution"], said["printed_accuracy"]) == (None, None, None)


def test_what_the_command_shows_is_counted(net):
    result = run("search", net, "--attention", "se,net.py:Gate", "--mix", "--layers", "layers.[0-2],twice", "--option",
                 "reduction=2", "--budget", "params=3K", "--format", "json")  # fmt: skip
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["space"]["layers"] == ["layers.0", "layers.1", "layers.2", "twice"]
    assert record["space"]["considered"] == 7 * 7 * 5 * 7  # nothing replaces layers.2, which changes the shape
    assert all(row["counted"] for row in record["front"])
    shown = run("search", net, "--attention", "se", "--layers", "stem,layers.1", "--option", "reduction=2")
    assert "width" not in shown.stdout.splitlines()[3]
    assert "The placements shown were also built and counted, with the same numbers." in shown.stdout


def test_a_readers_mechanism_is_searched_in_a_network_of_the_project(net):
    found = uc.search("mv1", attention="net.py:Gate", layers=[8, 13], minimise=["macs", "params"])
    assert found.considered == 4 * 3
    [answer] = found.front
    assert str(answer.spec.placement) == "8"
    plain = {layer.layer: layer.cost for layer in uc.network_layers(uc.network_spec("mv1"))}
    assert answer.delta["macs"] == 512 * 14 * 14 - plain["8"].macs
    assert answer.delta["params"] == 2 * 512 - plain["8"].params


def test_what_cannot_stand_at_a_place_is_left_out(net):
    found = uc.search(net, attention=["se", "eca"], layers=["layers.[1-2]"])  # 16 does not reduce 8 channels
    assert found.to_dict()["space"]["refused"] == [{"attention": "se", "layer": "layers.2", "width": None}]
    assert found.considered == 4 * 1 + 4 * 3 - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "layers says where attention may stand"),
        ({"layers": ["layers", "layers.1"]}, "'layers.1' stands in 'layers'"),
        ({"layers": ["head"]}, "attention cannot follow 'head': its output has 2 dimensions, not 4"),
        ({"layers": ["layers.9"]}, "'layers.9' is not a submodule: did you mean 'layers"),
        ({"layers": ["stem"], "widths": [0.5]}, "has its own size"),
        ({"layers": ["stem"], "nothing": 1}, "unknown option of ulsam 'nothing'"),
        ({"layers": ["twice"], "attention": ["se"]}, "se can stand at none of these places"),
    ],
)
def test_what_cannot_be_searched_is_refused(net, options, message):
    with pytest.raises(CostError, match=message):
        uc.search(net, **options)
    assert run("search", net).exit_code == 2
