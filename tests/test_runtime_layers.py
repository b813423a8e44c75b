"""Times by layer from a runtime's profiler: nodes go back to the modules that they were exported from."""

import json
from importlib.resources import files

import pytest
import torch
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.formulas.networks import layer_parts, network_spec
from ulsam_cost.measuring.layer_times import layer_times
from ulsam_cost.measuring.rounds import make_effort
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.runtimes.measured import measure_exported_layers
from ulsam_cost.measuring.runtimes.profiled import profiled_layers
from ulsam_cost.measuring.runtimes.runtime import NodeTime, Profiled

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from ulsam_cost.counting.onnx.modules import ExportedNode, known_name, modules_of_run

pytestmark = pytest.mark.usefixtures("onnx_operators")

MODELS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(8, 64, 7, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x))).flatten(1)

def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), Block(), nn.Linear(64 * 40 * 40, 5)
    return nn.Sequential(*layers).eval(), torch.randn(1, 3, 40, 40)
"""
RUNTIMES = ("onnxruntime", "openvino")


def node(name, inputs, output, *modules):
    return ExportedNode(name=name, inputs=inputs, outputs=[output], modules=modules)


NODES = [
    node("node_Conv_1", ["x", "0.weight"], "getitem", "0", "1"),
    node("node_relu", ["getitem"], "relu", "2"),
    node("node_Conv_2", ["relu", "3.weight"], "conv2d", "3"),
    node("node_gelu_5", ["conv2d"], "gelu_5", "4"),
    node("node_view", ["gelu_5"], "view", "5"),
]


def test_nodes_that_run_under_no_name_of_their_own_are_fused():
    found = modules_of_run(NODES, ["relu_nchwc", "ReorderOutput_token_3", "node_Conv_2_token_12", "node_view"])
    assert found == {
        "relu_nchwc": ("0", "1", "2"),  # the convolution's output goes to the activation alone
        "node_Conv_2_token_12": ("3",),
        "node_view": ("4", "5"),
    }
    # what nobody that runs takes was fused into what it takes
    assert modules_of_run(NODES, ["relu_nchwc", "node_Conv_2"])["node_Conv_2"] == ("3", "4", "5")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("relu_nchwc", "relu"),
        ("fused node_Conv_2", "node_Conv_2"),
        ("node_Conv_1/WithoutBiases", "node_Conv_1"),
        ("gelu_5_QuantizeLinear/duplicated", "gelu_5"),
        ("relu_7_nchwc", None),  # it is another one
        ("Transpose_token_4", None),
    ],
)
def test_what_runtimes_append_to_names(name, known):
    names = {each for one in NODES for each in (one.name, *one.outputs)}
    assert known_name(name, names) == known


def test_the_times_of_modules_add_up_to_the_run():
    def profiled(scale):
        nodes = [
            NodeTime(kind="Conv", modules=("0.a", "0.b"), ms=3.0 * scale),
            NodeTime(kind="Mul", modules=("0.a",), ms=1.0 * scale),
            NodeTime(kind="Gemm", modules=("1",), ms=2.0 * scale),
            NodeTime(kind="Reorder", modules=(), ms=0.25 * scale),
            NodeTime(kind="Reorder", modules=(), ms=0.25 * scale),
        ]
        return Profiled(nodes=nodes, ms=7.0 * scale)

    timing = profiled_layers([profiled(1), profiled(3)], [6.0, 18.0])
    assert timing.laps == ({"0.a": 4.0, "1": 2.0, "unmapped": 1.0}, {"0.a": 12.0, "1": 6.0, "unmapped": 3.0})
    assert timing.fused == (("0.a", "0.b"),)
    assert timing.unmapped == {"Reorder": 1.0, "between nodes": 1.0}  # means of 0.5 and 1.5
    times = layer_times(timing)
    assert [(row.layer, row.timing.median_ms, row.fused) for row in times.rows] == [
        ("0.a", 8.0, (("0.a", "0.b"),)),
        ("1", 4.0, ()),
        ("unmapped", 2.0, ()),
    ]
    assert times.sum_ms == 14.0
    assert times.overhead.median == pytest.approx(7 / 6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)


def measured(runtime, *words):
    pytest.importorskip(runtime, reason=f"pip install 'ulsam-cost[{runtime}]'")
    words = ["measure", "net.py:net", "--device", "cpu", "--runtime", runtime, "--threads", "1", "--layers", *words]
    return CliRunner().invoke(main, [*words, "--repeats", "12"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_layers_of_a_model(folder, runtime):
    done = measured(runtime, "--format", "json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    schema = json.loads((files("ulsam_cost") / "schemas" / "measure.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(record)
    [row] = record["rows"]
    assert row["error"] is None
    rows = {each["layer"]: each for each in row["layers"]["rows"]}
    assert set(rows) - {"3"} == {"0", "3.conv", "4", "unmapped"}
    assert rows["0"]["fused"] == [["0", "1", "2"]]
    assert rows["3.conv"]["fused"] == [["3.conv", "3.norm", "3.act"]]
    # 40 * 40 * 64 * 8 * 7 * 7 products against 40 * 40 * 8 * 3
    assert rows["3.conv"]["median_ms"] > 5 * rows["0"]["median_ms"] > 0
    assert row["layers"]["unmapped"]["between nodes"] > 0
    assert rows["4"]["runs"] == 6


def test_the_table_names_what_runs_as_one(folder):
    done = measured("onnxruntime")
    assert done.exit_code == 0, done.output
    assert "runs as one" in done.stdout
    assert "3.{conv, norm, act}" in done.stdout
    assert "0 + 1 + 2" in done.stdout
    assert "the profiler changes its time by a factor of" in " ".join(done.stdout.split())
    assert "unmapped is what belongs to no module: " in done.stdout


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_numbered_layer_of_a_network_has_its_time(runtime):
    pytest.importorskip(runtime, reason=f"pip install 'ulsam-cost[{runtime}]'")
    options = {"positions": "11:1", "width": 0.25, "resolution": 64}
    setting, effort = make_setting(device="cpu", runtime=runtime, threads=1), make_effort(repeats=6)
    model, inputs = uc.build("mv1", **options), torch.randn(1, 3, 64, 64)
    timing = measure_exported_layers(model, inputs, setting=setting, effort=effort, progress=lambda share: None)
    layers = layer_parts(network_spec("mv1", **options))
    rows = {row.layer: row for row in layer_times(timing, layers).rows}
    assert {layer.layer for layer in layers if layer.cost.macs} <= set(rows)
    assert set(rows) <= {layer.layer for layer in layers} | {"unmapped", "rest"}
    for laps, run in zip(timing.laps, timing.hooked.times_ms, strict=True):
        assert sum(laps.values()) == pytest.approx(run)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runtime", "executorch", "--layers"], "ExecuTorch does not tell the times of layers: leave out --layers"),
        (["--runtime", "onnxruntime", "--roofline"], "a roofline and kernels are given with runtime torch alone"),
    ],
)
def test_what_is_not_told_is_refused(folder, words, said):
    done = CliRunner().invoke(main, ["measure", "net.py:net", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_model_whose_modules_are_named_alike():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(16, 16)

        def forward(self, x):
            return self.one(self.one(x)).relu()

    setting = make_setting(device="cpu", runtime="onnxruntime", threads=1)
    timing = measure_exported_layers(
        Twice(), torch.randn(4, 16), setting=setting, effort=make_effort(repeats=6), progress=lambda share: None
    )
    assert set(timing.laps[0]) <= {"one", "", "unmapped"}
    assert timing.laps[0]["one"] > 0
