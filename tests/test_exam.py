"""The public exam: the recorded counts against the printed ones, closed forms and products by hand; its page."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import ulsam_cost as uc
from analyses import timm_exam
from ulsam_cost.published import read_rows
from ulsam_cost.published.exam import EXAM, UNITS, exam_rows, later_rows
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.site import exam

SCRIPT = Path(timm_exam.__file__)
ROWS = {(row.model, row.size): row for row in exam_rows()}
# timm's names of networks whose closed forms are this project's
DERIVED = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "resnext50_32x4d": "resnext50_32x4d",
    "mobilenetv2_100": "mv2",
}


def test_every_row_rounds_to_what_timm_prints():
    assert (len(ROWS), len({model for model, _ in ROWS})) == (1627, 1282)
    for row in read_rows(EXAM):
        for name, printed in (("params", "params_m"), ("fvcore", "gmacs"), ("fvcore_activations", "mact_m")):
            miss = abs(int(row[name]) - Fraction(row[printed]) * UNITS[name])
            assert miss <= Fraction(UNITS[name], 200), (row["model"], name)
    assert not any(row.differs for row in exam_rows())


@pytest.mark.parametrize("model", DERIVED)
def test_counts_are_those_of_the_closed_forms(model):
    for (name, size), row in ROWS.items():
        if name == model:
            cost = uc.network_cost(DERIVED[model], resolution=size)
            numbers = {rule: uc.CONVENTIONS[rule].number(cost) for rule in ("fvcore", "fvcore_activations")}
            assert row.counted == {"params": cost.params, **numbers}, size


def test_a_convolution_padded_by_a_word_is_not_seen_in_the_table():
    """ConvMixer's depthwise convolutions have padding="same": patches and 20 pointwise ones are left, and the head."""
    maps = 1536 * 32 * 32
    assert ROWS["convmixer_1536_20", 224].counted["fvcore_activations"] == maps + 20 * maps + 1000


def test_what_a_later_release_defines_otherwise():
    later = {row.model: row for row in later_rows()}
    assert {row.release for row in later_rows()} == {"1.0.31"}
    assert ROWS["ecaresnext50t_32x4d", 224].printed == ROWS["ecaresnext26t_32x4d", 224].printed
    assert later["ecaresnext50t_32x4d"].differs == tuple(UNITS)
    mixed = {"small": (12, 6), "base": (12, 12), "large": (24, 16)}  # blocks, heads
    for size, (blocks, heads) in mixed.items():
        for ape in ("", "_ape"):
            name = f"vit_{size}_patch16_rope_mixed{ape}_224"
            assert later[name].differs == ("fvcore_activations",)
            products = 2 * blocks * heads * (14 * 14) * (64 // 2)  # of both axes, each of one element's length
            row = ROWS[name, 224].counted
            assert row["fvcore_activations"] - later[name].counted["fvcore_activations"] == products
            # fvcore counts a matrix that meets many once
            assert row["fvcore"] - later[name].counted["fvcore"] == 2 * (14 * 14) * (64 // 2)
    assert len(later) == 1 + 6


def test_the_page_says_what_agrees_and_what_differs(monkeypatch):
    page = markdown(exam.exam_page()).decode()
    assert "1,627 of 1,627 rows agree in all three numbers" in page
    assert "## Rows that differ" not in page
    row = ROWS["resnet18", 224]
    changed = replace(row, counted=row.counted | {"fvcore": row.counted["fvcore"] + 10**7})
    monkeypatch.setattr(exam, "exam_rows", lambda: (changed, *exam_rows()[1:]))
    page = markdown(exam.exam_page()).decode()
    assert "1,626 of 1,627 rows agree in all three numbers" in page
    assert "GMACs of 1,626" in page
    assert "GMACs differ" in page[page.index("## Rows that differ") :]


def test_without_timm_the_study_says_what_it_needs():
    if find_spec("timm") is not None:
        pytest.skip("timm is installed")
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "pip install timm==1.0.24" in done.stderr


def test_a_network_that_cannot_be_built_on_meta_is_counted_on_the_cpu(monkeypatch):
    made = []

    def build(name, size, device):
        made.append(device)
        if device == "meta":
            raise NotImplementedError("aten::_unique2")
        return nn.Linear(4, 6), torch.empty(size, 4)

    monkeypatch.setattr(timm_exam, "build", build)
    row, seconds = timm_exam.counted({"model": "x", "size": "3"})
    assert row == {"model": "x", "size": "3", "params": "30", "fvcore": "72", "fvcore_activations": "18"}
    assert (made, seconds > 0) == (["meta", "cpu"], True)


def test_a_count_that_leaves_products_out_is_refused(monkeypatch):
    class Unknown(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x)

    monkeypatch.setattr(timm_exam, "build", lambda name, size, device: (Unknown(), torch.empty(size, size)))
    with pytest.raises(ValueError, match="x: the count leaves out 1 operation without a rule"):
        timm_exam.counted({"model": "x", "size": "3"})


def test_parameters_without_initial_values_have_their_shapes():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with timm_exam.WithoutInitialValues():
        layer = nn.Linear(4, 6)
        nn.init.trunc_normal_(layer.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert (layer.weight.shape, layer.bias.shape) == ((6, 4), (6,))
