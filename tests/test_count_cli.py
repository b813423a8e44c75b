"""`count` and `conventions` on other people's models."""

import csv
import importlib
import io
import json

import pytest
import torch
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.counting.loading import load_model

MODELS = """
import torch
from torch import nn

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 5, bias=False), nn.Linear(5, 4)
        self.second.weight.requires_grad_(False)
        self.again = self.first

    def forward(self, x, scale=None):
        y = self.second(self.first(x))
        return y if scale is None else y * scale

class Odd(nn.Module):
    def forward(self, x):
        return torch.linalg.matrix_exp(x)

def net():
    return Mixed(), torch.zeros(3, 6)

def by_name():
    return Mixed(), {"x": torch.zeros(3, 6), "scale": torch.zeros(3, 4)}

def bare():
    return Mixed()

def wrong():
    return Mixed(), torch.zeros(3, 7)

@torch.library.custom_op("uc_count_cli::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x

twice.register_fake(lambda x: torch.empty_like(x))

class Custom(nn.Module):
    def forward(self, x):
        return twice(x)

def custom():
    return Custom(), torch.zeros(3, 3)

class Half(nn.Linear):
    def forward(self, x):
        if x.dtype is not torch.bfloat16:
            raise RuntimeError(f"Expected inputs of BF16 type but got {x.dtype}")
        return super().forward(x)

half = Half(6, 5)
words = nn.Embedding(9, 4)

def odd():
    return nn.Sequential(Odd()), torch.zeros(3, 3)

def fails():
    raise RuntimeError("no such luck")

markup = nn.Sequential()
markup.add_module("<script>|", nn.Linear(2, 3))
number = 7
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "models.py"
    path.write_text(MODELS, encoding="utf-8")
    return path


def run(*args):
    return CliRunner().invoke(main, ["count", *map(str, args)])


def test_json_keeps_its_contract(models):
    record = json.loads(run(f"{models}:net", "--format", "json").stdout)
    assert {"model", "params", "macs", "conventions", "by_kind", "layers", "uncounted"} <= set(record)
    assert record["macs"] == 3 * (6 * 5 + 5 * 4)
    assert record["params"] == 6 * 5 + 5 * 4 + 4
    assert record["params_split"] == {"trainable": 6 * 5 + 4, "frozen": 5 * 4, "shared": 6 * 5}
    assert set(record["conventions"]) == set(CONVENTIONS)
    assert record["conventions"]["flops"] == 2 * 3 * (6 * 5 + 5 * 4)
    rows = {row["path"]: row for row in record["layers"]}
    assert (rows["first"]["macs"], rows["second"]["macs"], rows[""]["macs"]) == (3 * 30, 3 * 20, 3 * 50)


def test_inputs_by_name_and_by_shape(models):
    assert "150 MACs" in run(f"{models}:by_name").stdout
    assert "150 MACs" in run(f"{models}:bare", "--input", "3x6").stdout
    assert "150 MACs" in run(f"{models}:bare", "--input", "3x6", "--input", "3x4").stdout


def test_rows_by_kind_and_operator(models):
    rows = list(csv.DictReader(io.StringIO(run(f"{models}:by_name", "--by", "kind", "--format", "csv").stdout)))
    assert {row["kind"]: int(row["macs"]) for row in rows} == {"linear": 150, "bias": 0, "multiply": 0}
    assert "linear" in run(f"{models}:net", "--by", "operator").stdout


def test_a_networks_name_is_a_model():
    record = json.loads(run("mv2 --positions 14,17", "--format", "json").stdout)
    assert (record["params"], record["macs"]) == (3_067_112, 262_659_328)


def test_strict_ends_with_1_for_a_product_without_a_rule(models):
    assert run(f"{models}:odd").exit_code == 0
    result = run(f"{models}:odd", "--strict")
    assert result.exit_code == 1
    assert "linalg_matrix_exp" in result.stdout
    assert run(f"{models}:net", "--strict").exit_code == 0


def test_peers_say_the_same_by_their_rules():
    result = run("mv2 --width 0.25 --resolution 32", "--peers", "--format", "json")
    peers = {peer["tool"]: peer for peer in json.loads(result.stdout)["peers"]}
    assert {"fvcore", "thop", "torch"} <= set(peers)
    assert all(peer["difference"] == 0 and not peer["error"] for peer in peers.values())
    for peer in peers.values():
        assert peer["plain"] + sum(peer["by_kind"].values()) == peer["number"]


def test_the_picture_is_written_whole(models, tmp_path):
    picture = tmp_path / "out" / "count.png"
    assert run("mv2", "--figure", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in picture.parent.iterdir()] == ["count.png"]


@pytest.mark.parametrize("style", ["markdown", "latex"])
def test_names_of_modules_stay_text(models, style):
    output = run(f"{models}:markup", "--input", "1x2", "--format", style).stdout
    assert "<script>|" not in output


@pytest.mark.parametrize("args", [("resnet50",), ("mv1", "--depth", "4"), ("resnet50", "--peers", "--depth", "1")])
def test_tables_read_at_100_columns(args):
    assert max(map(len, run(*args).stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (":wrong", "mat1 and mat2 shapes cannot be multiplied"),
        (":wrong", "module 'first'"),
        (":nett", "did you mean 'net'"),
        (":bare", "gives no example inputs"),
        (":number", "gives int: an nn.Module"),
        (":fails", "RuntimeError: no such luck"),
    ],
)
def test_a_bad_model_is_one_sentence(models, name, said):
    result = run(f"{models}{name}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_does_not_import_says_why(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n", encoding="utf-8")
    result = run(f"{path}:net")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "broken.py does not import: ModuleNotFoundError: No module named 'nothing_of_that_name'" in result.stderr


def test_conventions_lists_all_with_their_sources():
    runner = CliRunner()
    output = runner.invoke(main, ["conventions"]).stdout
    assert all(f"{name} (" in output for name in CONVENTIONS)
    records = json.loads(runner.invoke(main, ["conventions", "--format", "json"]).stdout)
    assert [record["name"] for record in records][:2] == ["macs", "flops"]
    assert all(record["source"] and record["counts"] for record in records)


def test_training_is_three_times_the_forward_less_the_first_layers_input():
    """A linear layer's backward is one product for its weight and one for its input, which the first does not need."""
    forward = json.loads(run("mv1 --width 0.25 --resolution 32", "--format", "json").stdout)
    training = json.loads(run("mv1 --width 0.25 --resolution 32", "--train", "--format", "json").stdout)
    stem = 16 * 16 * 8 * 3 * 3 * 3
    assert training["macs"] == 3 * forward["macs"] - stem
    assert run("mv1", "--train", "--peers").exit_code == 2


TWICE = """
import torch
from torch import nn

class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())
        self.unused = nn.Linear(2, 2)
    def forward(self, x):
        y = self.conv(x)
        z = self.conv(nn.functional.avg_pool2d(y, 2))
        return self.head(y).sum() + self.head(z).sum() + self.head(z).sum()

def twice(): return Twice(), torch.zeros(1, 4, 8, 8)
def looks(): return Looks(), torch.ones(1, 4, 8, 8)

class Looks(Twice):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x
"""


@pytest.fixture
def twice(tmp_path):
    path = tmp_path / "twice.py"
    path.write_text(TWICE)
    return f"{path}:twice"


@pytest.mark.parametrize("name", ["twice", "looks"])  # counted without values, and by a real run
def test_each_call_of_a_module_is_a_row(name, twice):
    model = twice.replace(":twice", f":{name}")
    data = json.loads(CliRunner().invoke(main, ["count", model, "--by", "call", "--format", "json"]).stdout)
    assert bool(data["real_run"]) == (name == "looks")
    rows = {(row["path"], row["call"]): row for row in data["calls"]}
    large, small = 8 * 8, 4 * 4
    macs = {
        ("", 1): (large + small) * 4 * 4 * 9 + (large + 2 * small) * 4 * 2,
        ("conv", 1): large * 4 * 4 * 9,
        ("conv", 2): small * 4 * 4 * 9,
        **{("head", call): pixels * 4 * 2 for call, pixels in ((1, large), (2, small), (3, small))},
        **{("head.0", call): pixels * 4 * 2 for call, pixels in ((1, large), (2, small), (3, small))},
        **{("head.1", call): 0 for call in (1, 2, 3)},
    }
    assert {key: row["macs"] for key, row in rows.items()} == macs
    assert [rows["conv", call]["params"] for call in (1, 2)] == [4 * 4 * 9 + 4, 0]
    assert rows["conv", 2]["inputs"] == rows["conv", 2]["outputs"] == [[1, 4, 4, 4]]
    assert rows["head", 3]["activations"] == 2 * small


def test_a_module_that_is_called_with_different_shapes_is_said_to_be(twice):
    result = CliRunner().invoke(main, ["count", twice])
    said = "conv, head.0 are called with different shapes: the numbers are sums over all calls; --by call shows each."
    assert said in " ".join(result.stdout.split())
    assert "1 of 2" in CliRunner().invoke(main, ["count", twice, "--by", "call"]).stdout
    assert "different shapes" not in CliRunner().invoke(main, ["count", "mv1"]).stdout
    assert "conv, head.0 are called" in CliRunner().invoke(main, ["count", twice, "--train"]).stdout
    small = ["count", "mv1 --width 0.25 --resolution 32", "--train"]
    assert "different shapes" not in CliRunner().invoke(main, small).stdout


def test_calls_stand_within_100_columns(twice):
    for model in (twice, "mv2"):
        result = CliRunner().invoke(main, ["count", model, "--by", "call", "--depth", "3"])
        assert max(map(len, result.stdout.splitlines())) <= 100


def test_calls_are_of_a_forward_pass(twice):
    result = CliRunner().invoke(main, ["count", twice, "--by", "call", "--train"])
    assert result.exit_code == 2
    assert "--by call or --train is accepted, not both" in result.stderr


def test_operators_of_other_libraries_are_named_with_the_way_to_count_them(models):
    output = " ".join(run(f"{models}:custom").stdout.split())
    assert "uc_count_cli::twice" in output
    assert "with ulsam_cost.register_rule(" in output
    assert "register_rule" not in run(f"{models}:odd").stdout


@pytest.mark.parametrize("options", [(), ("--by", "call"), ("--peers",)], ids=["modules", "calls", "peers"])
def test_a_model_for_one_data_type_names_the_option_that_gives_it(models, options):
    model = f"{models}:half", "--input", "3x6", *options
    refused = run(*model)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "BF16" in refused.stderr
    assert "--dtype float32, float16 or bfloat16 counts a copy in that data type" in refused.stderr
    assert "90 MACs" in run(*model, "--dtype", "bfloat16").stdout
    other = run(*model, "--dtype", "float16")
    assert (other.exit_code, "--dtype" in other.stderr) == (2, False)


def test_a_model_in_another_data_type_is_a_copy(models, monkeypatch):
    monkeypatch.syspath_prepend(models.parent)
    module = importlib.import_module(models.stem)
    loaded = load_model("models:half", inputs=["3x6"], dtype="bfloat16")
    assert (loaded.model.weight.dtype, loaded.inputs[0].dtype) == (torch.bfloat16, torch.bfloat16)
    assert module.half.weight.dtype is torch.float32


def test_an_onnx_file_keeps_its_data_types():
    refused = run("none.onnx", "--dtype", "bfloat16")
    assert refused.exit_code == 2
    assert "none.onnx is an ONNX file, and counted in its own data types" in refused.stderr


def test_inputs_of_another_kind_name_the_option_that_gives_them(models):
    refused = run(f"{models}:words", "--input", "1x5")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--input 1x64:int64=ones gives whole numbers" in refused.stderr
    assert run(f"{models}:words", "--input", "1x5:int64").exit_code == 0
