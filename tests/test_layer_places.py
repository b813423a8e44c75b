"""`ulsam-cost layers`: costs and shapes of a model's layers, and where attention may stand."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from ulsam_cost.cli import main
from ulsam_cost.counting.count import count
from ulsam_cost.counting.layers import model_layers
from ulsam_cost.counting.loaded import LoadedModel
from ulsam_cost.errors import PlacementError
from ulsam_cost.formulas.networks import REGISTERED, network_spec
from ulsam_cost.nn.networks import build
from ulsam_cost.nn.places import ModuleCall, why_not_follow, why_not_replace

KEYS = ["path", "class", "output", "params", "macs", "may_follow", "may_replace", "why_not"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_json(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class Net(nn.Module):
    """One submodule for each reason why attention may not stand somewhere."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.same = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.twice = nn.ReLU()
        self.join = Join()
        self.split = Split()
        self.idle = nn.Linear(5, 7)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.same(self.stem(x))
        x = self.join(self.twice(x), self.twice(torch.cat([x, x], 1))[:, :8])
        return self.head(self.split(x)[0].mean((2, 3)))


class Join(nn.Module):
    def forward(self, x, y):
        return x + y


class Split(nn.Module):
    def forward(self, x):
        return x, x


def rows_of(model, x):
    return {row.path: row for row in model_layers(LoadedModel(name="net", model=model, inputs=x))}


def test_the_rules_look_at_each_call():
    rows = rows_of(Net(), torch.zeros(2, 3, 8, 10))
    assert {path: (row.may_follow, row.may_replace, row.why_not) for path, row in rows.items()} == {
        "": (False, False, "the model itself"),
        "stem": (True, False, "changes the shape"),
        "same": (True, True, ""),
        "same.0": (True, True, ""),
        "same.1": (True, True, ""),
        "twice": (False, False, "it runs 2 times, and the shape of its output differs"),
        "join": (True, False, "takes 2 tensors"),
        "split": (False, False, "its output is not a tensor"),
        "idle": (False, False, "not called"),
        "head": (False, False, "its output has 2 dimensions, not 4"),
    }
    assert rows["stem"].output == (2, 8, 4, 5)
    assert rows["twice"].output is None  # two shapes
    assert rows["idle"].output is None
    assert (rows["stem"].params, rows["stem"].macs) == (8 * 3 * 3 * 3 + 8, 2 * 4 * 5 * 8 * 3 * 3 * 3)
    assert (rows["same"].params, rows["same"].macs) == (8 * 8 * 3 * 3 + 8, 2 * 4 * 5 * 8 * 8 * 3 * 3)
    assert (rows["idle"].params, rows["idle"].macs) == (5 * 7 + 7, 0)
    assert rows[""].macs == sum(rows[path].macs for path in ("stem", "same", "head"))


def called(*shapes, dtype=torch.float32):
    return [ModuleCall(taken=(shape,), output=shape, dtype=dtype) for shape in shapes]


def test_maps_of_several_sizes_are_refused_and_the_same_map_is_not():
    for rule in (why_not_follow, why_not_replace):
        assert rule("x", called((1, 4, 8, 8), (1, 4, 4, 4))) == "it runs 2 times, and the shape of its output differs"
        assert rule("x", called((1, 4, 8, 8), (1, 4, 8, 8))) == ""


def test_tokens_are_for_those_that_take_them_and_whole_numbers_for_none():
    tokens = called((2, 49, 8))
    assert why_not_follow("x", tokens) == "its output has 3 dimensions, not 4"
    assert why_not_follow("x", tokens, tokens=True) == ""
    assert why_not_replace("x", tokens, tokens=True) == ""
    assert why_not_follow("x", called((2, 8)), tokens=True) == "its output has 2 dimensions, not 3 or 4"
    assert why_not_follow("x", called((1, 4, 8, 8), dtype=torch.int64)) == "its output has numbers of type torch.int64"


def test_a_model_that_asks_for_values_has_its_layers_too():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = self.conv(x)
            return x if float(x.detach().sum()) > 1e9 else self.conv(x)

    row = rows_of(Asks(), torch.zeros(1, 3, 4, 4))["conv"]
    assert (row.may_replace, row.macs) == (True, 2 * 4 * 4 * 3 * 3)


def test_modules_in_other_threads_are_seen():
    from concurrent.futures import ThreadPoolExecutor

    class Threaded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self.conv, x).result()

    assert rows_of(Threaded(), torch.zeros(1, 3, 4, 4))["conv"].output == (1, 3, 4, 4)


@pytest.mark.parametrize("network", sorted(REGISTERED))
def test_layers_of_a_network_add_up_and_agree_with_what_positions_accept(network):
    rows = run_json("layers", network)
    assert list(rows[0]) == ["layer", *KEYS]
    whole = count(build(network), torch.empty(1, 3, 224, 224))
    assert sum(row["macs"] for row in rows) == whole.macs
    assert sum(row["params"] for row in rows) == whole.params
    for row in rows:
        assert bool(row["why_not"]) != row["may_replace"]
        for position, may in ((row["layer"], row["may_replace"]), (f"{row['layer']}:1", row["may_follow"])):
            if may:
                network_spec(network, positions=position)
            else:
                with pytest.raises(PlacementError):
                    network_spec(network, positions=position)


def test_the_paths_classes_and_shapes_are_the_networks_own():
    rows = run_json("layers", "resnet50 --resolution 128x64")
    model, shapes = build("resnet50", resolution=(128, 64)).eval(), {}
    for row in rows:
        if row["path"]:
            module = model.get_submodule(row["path"])
            assert row["class"] == type(module).__name__
            module.register_forward_hook(lambda _, x, y, path=row["path"]: shapes.update({path: list(y.shape)}))
    model(torch.zeros(1, 3, 128, 64))
    numbered = [row for row in rows if row["path"] and row["may_follow"]]
    assert len(numbered) == 3 + 4 + 6 + 3
    assert all(row["output"] == shapes[row["path"]] for row in numbered)


def test_a_readers_model_has_the_contracts_keys(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten())\n")
    rows = run_json("layers", f"{file}:net", "--input", "1x3x5x6")
    assert list(rows[1]) == KEYS
    assert rows[1] == {
        "path": "0", "class": "Conv2d", "output": [1, 3, 5, 6], "params": 3 * 3 + 3, "macs": 5 * 6 * 3 * 3,
        "may_follow": True, "may_replace": True, "why_not": "",
    }  # fmt: skip
    assert run("layers", f"{file}:net", "--input", "1x3x5x6", "--format", "csv").stdout.splitlines()[0] == ",".join(
        KEYS
    )
    table = run("layers", f"{file}:net", "--input", "1x3x5x6").stdout
    assert "follow, replace" in table
    assert "no: its output has 2 dimensions, not 4" in table


def test_attention_stands_at_its_papers_places():
    stands = {row["layer"]: row["attention"] for row in run_json("layers", "resnet50", "--attention", "bam")}
    assert {layer: paths for layer, paths in stands.items() if paths} == {
        "4": ["layer1.bam4_1"], "8": ["layer2.bam8_1"], "14": ["layer3.bam14_1"],
    }  # fmt: skip
    pyramid = {row["layer"]: row["attention"] for row in run_json("layers", "resnet101_fpn", "--attention", "se")}
    assert pyramid["lateral 5"] == ["fpn.inner_blocks.3.attention"]
    table = run("layers", "resnet50", "--attention", "gct").stdout
    assert "{conv1,conv2,conv3,downsample.0}.attention" in table
    assert max(map(len, table.splitlines())) <= 100


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("layers", "nomodel"), "mv1"),
        (("layers", "mv1", "--input", "1x3x8x8"), "stride"),
        (("layers", "mv1", "--input", "1x3x64x64", "--input", "1x3x64x64"), "takes one input"),
        (("layers", "mv1", "--attention", "sea"), "did you mean"),
        (("layers", "torch.nn:Identity", "--input", "1x3x8x8", "--attention", "se"), "resnet101_fpn"),
        (("layers", "torch.nn:Identity"), "--input 1x3x224x224"),
        (("profile", "mv1", "--positions", "list"), "`ulsam-cost layers NETWORK`"),
        (("measure", "mv1", "--positions", "list"), "`ulsam-cost layers NETWORK`"),
    ],
)
def test_bad_input_is_one_sentence(args, message):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
