"""ExecuTorch: what it gives, what XNNPACK takes of a model, and that its file has the products of the model."""

import json
import sys

import pytest
import torch
from click.testing import CliRunner
from exported import MACS, NET, WEIGHTS
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import Arguments

pytest.importorskip("executorch", reason="pip install 'ulsam-cost[executorch]'")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)


def measured(model, inputs, **options):
    return uc.measure(model, inputs, runtime="executorch", **{"threads": 1, "repeats": 7, **options})


class Normed(nn.Module):
    """Inputs that give another result in another order, an operator that XNNPACK leaves, and a product after it."""

    def __init__(self):
        super().__init__()
        self.norm, self.product = nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x, b, a=None):
        return self.product(self.norm(x + 2 * b - 3 * a))


def test_a_row_a_number_format(capfd):
    words = ["measure", "net.py:net", "--device", "cpu", "--runtime", "executorch", "--dtype"]
    words += ["float32,bfloat16,float16,int8", "--threads", "1", "--repeats", "7", "--format", "json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert capfd.readouterr() == ("", "")
    rows = {row["dtype"]: row for row in json.loads(done.stdout)["rows"]}
    assert [row["error"] for row in rows.values()] == [
        None,
        "ExecuTorch has no bfloat16 on this device: float32, float16, int8 are accepted",
        None,
        None,
    ]
    whole, halves, quantized = (rows[dtype]["exported"] for dtype in ("float32", "float16", "int8"))
    assert rows["float32"]["network"]["runs"] == 7
    assert whole["settings"] == {"backend": "XNNPACK", "delegated_operators": "4 of 4", "threads": 1}
    assert 0 < whole["network"]["agreement"]["difference"] < 1e-4
    assert whole["network"]["file_bytes"] > 4 * WEIGHTS
    for files in (whole, halves, quantized):
        assert files["network"]["macs"] == files["network"]["counted_macs"] == MACS
    assert quantized["calibration"] == "random data: times only, no accuracy"
    differences = [files["network"]["agreement"]["difference"] for files in (whole, halves, quantized)]
    assert differences == sorted(differences)


def test_what_xnnpack_leaves_runs_and_is_told():
    inputs = {name: torch.randn(2, 6) for name in ("x", "a", "b")}
    timed = measured(Normed(), inputs, threads=2, dtype="float32").exported
    assert timed.network.agreement.difference < 1e-4
    assert timed.network.macs == 2 * 6 * 4
    taken, all_of_them = map(int, timed.settings["delegated_operators"].split(" of "))
    assert 0 < taken < all_of_them
    assert timed.settings["threads"] == 2


def test_inputs_by_place_and_by_name():
    x, a, b = (torch.randn(2, 6) for _ in range(3))
    for inputs in (Arguments((x,), {"a": a, "b": b}), Arguments((x, b), {"a": a})):
        files = measured(Normed(), inputs).exported.network
        assert files.agreement.difference < 1e-4
        assert files.macs == files.counted_macs == 2 * 6 * 4


def test_given_data_calibrate_keywords_too():
    samples = [{name: torch.randn(2, 6) for name in ("x", "a", "b")} for _ in range(2)]
    timed = measured(Normed(), samples[0], dtype="int8", calibration=samples).exported
    assert timed.calibration == "given data"
    assert 0 < timed.network.agreement.difference < 0.1


def test_an_operator_without_a_kernel_is_one_sentence():
    with pytest.raises(
        CostError, match=r"the network cannot be exported to ExecuTorch: .*adaptive_max_pool2d"
    ) as raised:
        measured(nn.AdaptiveMaxPool2d(2), torch.randn(1, 2, 7, 7))
    assert "\n" not in str(raised.value)


def test_without_it_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(CostError, match=r"executorch is not installed: pip install 'ulsam-cost\[executorch\]'"):
        measured(nn.Linear(2, 2), torch.randn(2, 2))
