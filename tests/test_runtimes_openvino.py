"""OpenVINO: what it gives, in which number format, and that its files have the products of the model."""

import json
import sys
import warnings

import pytest
import torch
from click.testing import CliRunner
from exported import MACS, NET, WEIGHTS
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import Arguments

pytest.importorskip("openvino", reason="pip install 'ulsam-cost[openvino]'")
pytest.importorskip("nncf", reason="pip install 'ulsam-cost[openvino]'")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)


def measured(model, inputs, **options):
    return uc.measure(model, inputs, runtime="openvino", **{"threads": 1, "repeats": 7, **options})


class Mixed(nn.Module):
    """Inputs that give another result in another order, one of them whole numbers."""

    def forward(self, x, b, a):
        return x + 2 * b - 3 * a


def test_a_row_a_number_format():
    words = ["measure", "net.py:net", "--device", "cpu", "--runtime", "openvino", "--dtype"]
    words += ["float32,bfloat16,float16,int8", "--threads", "1", "--repeats", "7", "--format", "json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    rows = {row["dtype"]: row for row in json.loads(done.stdout)["rows"]}
    whole, quantized = rows["float32"]["exported"], rows["int8"]["exported"]
    assert rows["float32"]["network"]["runs"] == 7
    assert whole["settings"]["inference_precision"] == "f32"
    assert (whole["settings"]["inference_num_threads"], whole["settings"]["num_streams"]) == (1, 1)
    assert 0 < whole["network"]["agreement"]["difference"] < 1e-4
    assert whole["network"]["file_bytes"] > 4 * WEIGHTS
    assert whole["network"]["macs"] == whole["network"]["counted_macs"] == MACS == quantized["network"]["macs"]
    assert quantized["calibration"] == "random data: times only, no accuracy"
    assert quantized["network"]["agreement"]["difference"] > whole["network"]["agreement"]["difference"]
    for dtype, precision in (("bfloat16", "bf16"), ("float16", "f16")):
        row = rows[dtype]
        if row["error"]:  # it depends on the processor
            assert row["error"].startswith("OpenVINO does not load the network: this processor computes ")
            assert row["error"].endswith(f" in place of {precision}")
        else:
            assert row["exported"]["settings"]["inference_precision"] == precision


def test_inputs_keep_their_places_and_their_kinds():
    inputs = {"x": torch.randn(2, 3), "a": torch.arange(3), "b": torch.randn(2, 3)}
    assert measured(Mixed(), inputs).exported.network.agreement.difference < 1e-4


def test_inputs_by_place_and_by_name():
    x, a, b = torch.randn(2, 3), torch.arange(3), torch.randn(2, 3)
    for inputs in (Arguments((x,), {"a": a, "b": b}), Arguments((x, b), {"a": a})):
        assert measured(Mixed(), inputs).exported.network.agreement.difference < 1e-4


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_that_are_asked_for(threads):
    timed = measured(nn.Linear(64, 64), torch.randn(64, 64), threads=threads)
    assert timed.exported.settings["inference_num_threads"] == threads


def test_the_products_of_its_own_nodes(tmp_path):
    import openvino

    from ulsam_cost.measuring.runtimes import openvino as backend

    model = uc.build("mv1", positions="11", width=0.25, resolution=32).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend.export(model, (torch.randn(1, 3, 32, 32),), {}, tmp_path, "float32", tmp_path)
    products = 0
    for node in openvino.Core().read_model(tmp_path / backend.FILE).get_ops():
        output = list(node.output(0).get_shape()) if node.get_output_size() else []
        if node.get_type_name() == "Convolution":  # weights are [out, in, h, w]
            weight = list(node.input_value(1).get_shape())
            products += output[1] * output[2] * output[3] * weight[1] * weight[2] * weight[3]
        elif node.get_type_name() == "GroupConvolution":  # [groups, out, in, h, w]
            weight = list(node.input_value(1).get_shape())
            products += output[1] * output[2] * output[3] * weight[2] * weight[3] * weight[4]
        elif node.get_type_name() == "MatMul":
            products += output[0] * output[1] * list(node.input_value(0).get_shape())[1]
    assert backend.macs(tmp_path) == products == uc.network_cost("mv1", positions="11", width=0.25, resolution=32).macs


def test_an_operator_that_it_does_not_have_is_one_sentence():
    class Unknown(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    with pytest.raises(CostError, match="the network cannot be exported to OpenVINO: ") as raised:
        measured(Unknown(), torch.randn(2, 3))
    assert "\n" not in str(raised.value)


def test_without_it_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(CostError, match=r"nncf is not installed: pip install 'ulsam-cost\[openvino\]'"):
        measured(nn.Linear(2, 2), torch.randn(2, 2))
