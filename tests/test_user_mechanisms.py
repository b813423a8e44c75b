"""A mechanism of the reader's, `FILE.py:NAME`, wherever a name is accepted; attention inserted by a MODEL's text."""

import json
import sys

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.counting.loading import load_model
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.formulas.networks.text import imports_code, inserts, names_spec, read_model

MINE = """
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.up = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))

class Needs(Gate):
    def __init__(self, channels, reduction):
        super().__init__(channels, reduction)

class Halves(Gate):
    def forward(self, x):
        return x[:, ::2]

class Pair(Gate):
    def forward(self, x):
        return x, x

class Raises(Gate):
    def forward(self, x):
        raise RuntimeError("not\\non this map")

class Items(Gate):  # cannot be made on the meta device
    def __init__(self, channels):
        super().__init__(channels, int(torch.tensor(4).item()))

def several(channels, **options):
    return Gate(channels, **options)

gate = Gate(8)
"""
NET = """
import torch
from torch import nn

def net():
    stem = nn.Conv2d(3, 16, 3, 2, 1)
    layers = nn.Sequential(*(nn.Conv2d(16, 16, 1, bias=False) for _ in range(12)))
    return nn.Sequential(stem, layers, nn.Flatten()), torch.zeros(1, 3, 8, 12)
"""
CONV = 16 * 16 * 4 * 6  # MACs of a layer, on a map of 4 x 6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_json(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def gate_cost(m, r=4):
    """Parameters, and MACs on one map of any size."""
    return 2 * m * (m // r)


@pytest.mark.usefixtures("folder")
class TestCommands:
    def test_table1_counts_it_and_derives_nothing(self):
        se, mine = run_json("table1", "--m", 64, "--mechanisms", "se,mine.py:Gate", "--exact")
        assert se["exact_params"] == se["counted_params"] == 2 * 64 * 64 // 16
        assert (mine["mechanism"], mine["group"], mine["source"]) == ("mine.py:Gate", "", "mine.py")
        assert mine["counted_params"] == mine["counted_macs"] == gate_cost(64)
        for key in ("printed_params", "printed_macs", "params_formula", "macs_formula", "exact_params", "exact_macs"):
            assert mine[key] is None
        assert mine["why"] == "no closed form: counted"
        [mine] = run_json("table1", "--m", 64, "--mechanisms", "mine.py:Gate", "--option", "reduction=8")
        assert mine["counted_params"] == gate_cost(64, 8)
        assert "exact_params" not in mine

    def test_overhead_counts_it_at_each_size(self):
        rows = run_json("overhead", "--m", "32,64", "--hw", "7,14x7", "--mechanisms", "mine.py:several", "--option",
                        "reduction=2")  # fmt: skip
        assert [row["macs"] for row in rows] == [gate_cost(32, 2)] * 2 + [gate_cost(64, 2)] * 2

    def test_a_network_takes_it_at_positions_and_at_the_papers_places(self):
        at = run_json("profile", "mv1", "--positions", "8:1,11", "--attention", "mine.py:Gate", "--no-latency")
        plain = uc.network_layers(uc.network_spec("mv1"))
        eleven = next(layer.cost.macs for layer in plain if layer.layer == "11")
        assert at["delta"]["macs"] == 2 * gate_cost(512) - eleven
        assert at["derived"] == {"params": None, "macs": None}
        assert [layer["path"] for layer in at["layers"] if layer["kind"] == "mine.py:Gate"] == [
            "features.Gate8_1", "features.Gate11",
        ]  # fmt: skip
        blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
        inside = run_json("profile", "resnet50", "--attention", "mine.py:Gate", "--option", "reduction=16",
                          "--no-latency")  # fmt: skip
        assert inside["delta"]["params"] == sum(number * gate_cost(m, 16) for m, number in blocks.items())

    def test_its_papers_places_are_the_blocks(self):
        texts = [f"resnet50 --attention mine.py:Gate --sites {sites}" for sites in ("block", "paper")]
        blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
        inside = uc.network_cost("resnet50").macs + sum(number * gate_cost(m) for m, number in blocks.items())
        assert [run_json("count", text)["macs"] for text in texts] == [inside] * 2

    def test_networks_with_it_are_compared_layer_by_layer(self):
        compared = run_json("compare", "mv1", "mv1 --positions 8:1,9:1 --attention se,mine.py:Gate")
        layers = {layer["layer"]: layer["networks"][1] for layer in compared["layers"]}
        assert layers["9:1"]["macs"] == gate_cost(512)
        assert layers["8:1"]["macs"] == 2 * 512 * 512 // 16

    def test_count_and_layers_show_it(self):
        counted = run_json("count", "mv1 --positions 9:1 --attention mine.py:Items")
        assert counted["macs"] == uc.network_cost("mv1").macs + gate_cost(512)
        rows = {row["layer"]: row for row in run_json("layers", "resnet50", "--attention", "mine.py:Gate")}
        assert rows["2"]["attention"] == ["layer1.0.attention"]

    def test_measure_times_it(self):
        measured = run_json("measure", "mv1", "--positions", "9:1", "--attention", "mine.py:Gate", "--width", 0.25,
                            "--resolution", 32, "--repeats", 1, "--layers")  # fmt: skip
        assert "9:1" in {layer["layer"] for layer in measured["rows"][0]["layers"]["rows"]}

    def test_dca_says_why_not(self):
        result = run("profile", "resnet50", "--attention", "mine.py:Gate", "--connection", "dca", "--no-latency")
        assert result.exit_code == 2
        assert "dca is not defined for mine.py:Gate: it joins what a mechanism extracts" in result.stderr

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("mine.py:Gat", "unknown name of mine.py 'Gat': did you mean 'Gate'?"),
            ("bad.py:Gate", "bad.py does not import: SyntaxError"),
            ("gone.py:Gate", "there is no file gone.py"),
            ("gone.there:Gate", "gone.there does not import: ModuleNotFoundError"),
            ("mine.py:Needs", "mine.py:Needs needs reduction: --option reduction=VALUE"),
            ("mine.py:Halves", "mine.py:Halves gives 1x8x14x14 for 1x16x14x14"),
            ("mine.py:Pair", "mine.py:Pair gives tuple for 1x16x14x14"),
            ("mine.py:Raises", "mine.py:Raises raises on 1x16x14x14: RuntimeError: on this map"),
            ("mine.py:gate", "mine.py:gate is a module, Gate"),
            ("mine.py:torch", "mine.py:torch is a module: a class or a function"),
            ("math:sqrt", "math:sqrt(16) gives float"),
        ],
    )
    def test_bad_code_is_one_sentence(self, folder, name, message):
        (folder / "bad.py").write_text("def Gate(:\n")
        for args in (
            ("table1", "--m", 16, "--mechanisms", name),
            ("count", f"net.py:net --attention {name} --after 0"),
        ):
            result = run(*args)
            assert (result.exit_code, result.stdout) == (2, ""), result.output
            assert len(result.stderr.splitlines()) == 1
            assert message.replace("14x14", "4x6" if args[0] == "count" else "14x14") in result.stderr

    def test_an_option_is_for_those_who_have_it(self):
        for args, message in (
            (
                ("--mechanisms", "mine.py:Gate", "--option", "reductio=2"),
                "unknown option of mine.py:Gate 'reductio': did",
            ),
            (("--option", "reduction=2"), "a mechanism of your own, FILE.py:NAME, is accepted beside it"),
        ):
            result = run("table1", *args)
            assert result.exit_code == 2
            assert message in result.stderr

    def test_a_text_inserts(self):
        text = "net.py:net --attention se --after 1.5,1.[7-8] --replace 1.11 --option reduction=8"
        plain, changed = run_json("count", "net.py:net"), run_json("count", text)
        se = 2 * 16 * 16 // 8
        assert changed["macs"] == plain["macs"] + 4 * se - CONV
        assert changed["model"] == text
        compared = run_json("compare", "net.py:net", text)
        assert [layer["layer"] for layer in compared["layers"]] == [
            "1.5_attention", "1.7_attention", "1.8_attention", "1.11", "all others",
        ]  # fmt: skip
        rows = {row["path"]: row for row in run_json("layers", text)}
        assert (rows["1.5_attention"]["class"], rows["1.5_attention"]["macs"]) == ("SE", se)
        assert rows["1.11"]["output"] == [1, 16, 4, 6]

    def test_profile_sets_it_beside_the_model_alone(self):
        text = "net.py:net --attention mine.py:Gate --after 1.5 --replace 1.11 --option reduction=2"
        profile = run_json("profile", text, "--device", "cpu", "--repeats", 6)
        assert profile["delta"] == {"params": 2 * gate_cost(16, 2) - 16 * 16, "macs": 2 * gate_cost(16, 2) - CONV}
        assert profile["derived"] == {"params": None, "macs": None}
        said = {
            key: profile[key] for key in ("network", "width", "batch", "attention", "after", "replace", "positions")
        }
        assert said == {
            "network": "net.py:net", "width": None, "batch": 1, "attention": "mine.py:Gate", "after": "1.5",
            "replace": "1.11", "positions": "none",
        }  # fmt: skip
        assert sum(layer["macs"] for layer in profile["layers"]) == profile["macs"]
        rows = {layer["path"]: layer for layer in profile["layers"]}
        assert (rows["1.5_attention"]["macs"], rows["1.5_attention"]["output"]) == (gate_cost(16, 2), [1, 16, 4, 6])
        assert profile["latency"]["network"]["runs"] == 6
        assert profile["memory"]["peak_bytes"] > 0
        network = run_json("profile", "mv1 --width 0.5 --attention se --after features.3", "--no-latency")
        assert (network["width"], network["resolution"], network["classes"]) == (0.5, 224, 1000)
        beside = run("profile", text, "--groups", 2)
        assert (beside.exit_code, beside.stdout) == (2, "")
        assert "--groups beside" in beside.stderr

    def test_measure_sets_it_beside_the_model_alone(self):
        text = "net.py:net --attention se --after 1.5 --option reduction=8"
        measured = run_json("measure", text, "--device", "cpu", "--repeats", 6, "--input", "2x3x8x8", "--layers")
        assert (measured["model"], measured["baseline"]) == (text, "net.py:net")
        [row] = measured["rows"]
        assert row["batch"] == 2
        assert row["ratio"]["median"] > 0
        assert "1.5_attention" in {layer["layer"] for layer in row["layers"]["rows"]}

    def test_a_text_inserts_into_a_network_of_the_project(self):
        counted = run_json("count", "mv1 --width 0.5 --resolution 96 --attention mine.py:Gate --after features.[8-9]")
        plain = uc.network_cost("mv1", width=0.5, resolution=96)
        assert counted["macs"] == plain.macs + gate_cost(256) + gate_cost(256)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("net.py:net --after 1.5", "has no --attention"),
            ("net.py:net --attention se", "has neither --after nor --replace"),
            ("net.py:net --attention se --after 1.50", "'1.50' is not a submodule: did you mean '1.5'?"),
            ("net.py:net --attention se --after 2", "attention cannot follow '2': its output has 2 dimensions, not 4"),
            ("net.py:net --attention se --replace 0", "attention cannot replace '0': changes the shape"),
            ("net.py:net --attention se --after 0 --positions 8:1", "--positions places attention in the networks"),
            ("mv1 --positions 8:1 --attention se --after features.3", "--positions places attention in the networks"),
            ("net.py:net --attention se --after 0 --after 1", "after is given twice"),
            ("net.py:net --attention sea --after 0", "did you mean 'se'"),
            ("net.py:net --attention se --after 0 --option nothing=1", "unknown option of se 'nothing'"),
            ("net.py:net se", "unknown name of net.py 'net se'"),
        ],
    )
    def test_a_bad_text_is_one_sentence(self, text, message):
        result = run("count", text)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    def test_a_model_that_does_not_run_says_so(self):
        result = run("count", "net.py:net --attention se --after 0 --input 1x4x8x8")
        assert result.exit_code == 2
        assert "net.py:net does not run on these inputs: RuntimeError" in result.stderr

    def test_no_code_refuses_a_readers_mechanism_inside_of_a_model(self, folder):
        (folder / "mine.py").write_text("raise SystemExit('this code ran')\n")
        for model in (
            "mv1 --positions 8:1 --attention mine.py:Gate",
            "mv1 --positions 8:1,9:1 --attention=se,mine.py:Gate",
            "mv1 --attention mine.py:Gate --after features.3",
            "net.py:net --attention se --after 0",
        ):
            (folder / "cells.csv").write_text(f'source,table,row,metric,printed,MODEL\nme,T,1,macs,1M,"{model}"\n')
            result = run("crosscheck", "--cells", "cells.csv", "--no-code")
            assert result.exit_code == 2
            assert "would import code" in result.stderr
        assert not imports_code("mv1 --attention se --after features.3")

    def test_a_cell_may_be_about_a_model_with_it(self, folder):
        macs = uc.network_cost("mv1").macs + gate_cost(512)
        model = "mv1 --positions 9:1 --attention mine.py:Gate"
        (folder / "cells.csv").write_text(f"source,table,row,metric,printed,MODEL\nme,T,1,macs,{macs},{model}\n")
        assert [finding.verdict.words for finding in uc.check_cells(folder / "cells.csv")] == ["match"]


def test_what_a_text_says():
    said = read_model("my dir/net.py:net --input 1x3x8x8 --attention=se --after 'a, b.[0,2]' --reduction 4")
    assert (said.model, said.input, said.options) == ("my dir/net.py:net", "1x3x8x8", ())
    assert (said.insertion.attention, said.insertion.after, said.insertion.options) == (
        "se",
        "a, b.[0,2]",
        (("reduction", 4),),
    )
    assert read_model("mv1 --width 0.5").insertion is None
    assert names_spec("mv1 --positions 8:1")
    assert not names_spec("mv1 --attention se --after x")
    assert not inserts("net.py:net --option after=3")


def test_two_files_of_one_name_and_a_file_that_changes_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, reduction in (("a", 2), ("b", 8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gate.py").write_text(MINE.replace("reduction=4", f"reduction={reduction}"))
    path, modules = list(sys.path), set(sys.modules)

    def params(text):
        return sum(p.numel() for p in uc.build_attention(text, 16).parameters())

    assert [params(f"{name}/gate.py:Gate") for name in "ab"] == [gate_cost(16, 2), gate_cost(16, 8)]
    (tmp_path / "a" / "gate.py").write_text(MINE + "# changed\n")
    assert params("a/gate.py:Gate") == gate_cost(16, 4)
    assert sys.path == path
    assert "gate" not in set(sys.modules) - modules
    assert not [name for name in REGISTERED if ":" in name]


def test_a_file_may_change_the_path(tmp_path):
    file = tmp_path / "paths.py"
    file.write_text(
        "import sys\nsys.path.clear()\nsys.path.append('/nowhere')\nfrom torch import nn\nGate = nn.BatchNorm2d\n"
    )
    before = list(sys.path)
    try:
        assert isinstance(uc.build_attention(f"{file}:Gate", 8), nn.BatchNorm2d)
        assert set(before) <= set(sys.path)
    finally:
        sys.path[:] = before


def test_it_has_no_derived_cost(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    text = f"{tmp_path}/mine.py:Gate"
    with pytest.raises(CostError, match="has no closed form"):
        uc.attention_cost(text, channels=8, height=4, width=4)
    with pytest.raises(CostError, match=r"mv1 with .*mine\.py:Gate is counted, not derived"):
        uc.network_cost("mv1", positions="8:1", attention=text)
    model = uc.build("mv1", positions="8:1", attention=text, width=0.25, resolution=32)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)


def test_a_network_keeps_the_values_that_a_readers_module_has_drawn(tmp_path):
    drawn = "bias=False)\n        nn.init.constant_(self.up.weight, 7)\n\n    def forward"
    (tmp_path / "mine.py").write_text(MINE.replace("bias=False)\n\n    def forward", drawn))
    model = uc.build("mv1", positions="8:1", attention=f"{tmp_path}/mine.py:Gate", width=0.25, resolution=32)
    assert model.get_submodule("features.Gate8_1.up").weight.unique().tolist() == [7]
    assert len(model.classifier.weight.unique()) > 2


def test_a_loaded_text_has_the_model_and_its_inputs(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    loaded = load_model(f"{tmp_path}/net.py:net --attention eca --after 1")
    assert loaded.spec is None
    assert [name for name, _ in loaded.model.named_children()] == ["0", "1", "1_attention", "2"]
    assert loaded.inputs.shape == (1, 3, 8, 12)
