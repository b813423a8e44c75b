"""What fvcore counts as activations, by hand and as it runs; and its numbers with attention unfused."""

import json

import pytest
import torch
from click.testing import CliRunner
from counting import Call, count_both_ways, fvcore_activations, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.audit.cells_file import _computed
from ulsam_cost.audit.solve import solve
from ulsam_cost.cli import main
from ulsam_cost.peers import run_peer
from ulsam_cost.units import parse_printed

# A module or a function, the shapes of its inputs, and the elements of the results that fvcore sees.
CASES = {
    "convolution": (nn.Conv2d(4, 6, 3), [(2, 4, 9, 7)], 2 * 6 * 7 * 5),
    "of one image": (nn.Conv2d(4, 6, 3), [(4, 9, 7)], 6 * 7 * 5),
    "grouped, strided": (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), [(2, 4, 9, 7)], 2 * 6 * 5 * 4),
    "padding 'same'": (nn.Conv2d(4, 6, 3, padding="same"), [(2, 4, 9, 7)], 0),
    "padding 'valid'": (nn.Conv2d(4, 6, 3, padding="valid"), [(2, 4, 9, 7)], 0),
    "padding by reflection": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), [(2, 4, 9, 7)], 2 * 6 * 9 * 7),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), [(2, 4, 5, 3)], 2 * 6 * 11 * 7),
    "in one dimension": (nn.Conv1d(4, 6, 3), [(2, 4, 9)], 2 * 6 * 7),
    "linear": (nn.Linear(4, 6), [(2, 5, 4)], 2 * 5 * 6),
    "norm, activation, pool": (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2)), [(2, 4, 6, 8)], 0),
    "@": (lambda a, b: a @ b, [(2, 3, 5, 4), (2, 3, 4, 6)], 2 * 3 * 5 * 6),
    "@ that broadcasts": (lambda a, b: a @ b, [(2, 1, 5, 4), (3, 4, 6)], 2 * 3 * 5 * 6),
    "@ with a vector": (lambda a, b: a @ b, [(2, 5, 4), (4,)], 2 * 5),
    "@ of two vectors": (lambda a, b: a @ b, [(4,), (4,)], 1),
    "mm": (torch.mm, [(5, 4), (4, 6)], 0),
    "bmm": (torch.bmm, [(2, 5, 4), (2, 4, 6)], 2 * 5 * 6),
    "baddbmm": (torch.baddbmm, [(2, 5, 6), (2, 5, 4), (2, 4, 6)], 0),
    "addmm": (torch.addmm, [(6,), (5, 4), (4, 6)], 5 * 6),
    "addmm in place": (lambda c, a, b: c.addmm_(a, b), [(5, 6), (5, 4), (4, 6)], 0),
    "mv": (torch.mv, [(5, 4), (4,)], 0),
    "einsum": (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), [(2, 3, 5, 4), (2, 3, 7, 4)], 2 * 3 * 5 * 7),
    "einsum that sums nothing": (lambda a, b: torch.einsum("bi,bj->bij", a, b), [(2, 3), (2, 5)], 2 * 3 * 5),
    "einsum that sums first": (
        lambda a, b: torch.einsum("bik,bjl->bij", a, b), [(2, 3, 5), (2, 4, 6)], 2 * 3 * 4
    ),
    "LSTM": (nn.LSTM(3, 5), [(7, 2, 3)], 0),
    "LSTM in two directions": (nn.LSTM(3, 5, bidirectional=True, batch_first=True), [(2, 7, 3)], 0),
    "LSTM cell": (nn.LSTMCell(3, 5), [(2, 3)], 2 * (4 * 5) + 2 * (4 * 5)),
    "attention": (F.scaled_dot_product_attention, [(2, 4, 5, 8)] * 3, 0),
    "attention in a layer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), [(3, 5, 8)],
        3 * 5 * (3 * 8) + 3 * 5 * 8 + 3 * 5 * 16 + 3 * 5 * 8,
    ),
    "attention with its weights": (
        nn.MultiheadAttention(8, 2, batch_first=True), [(3, 5, 8)] * 3,
        3 * 5 * (3 * 8) + 3 * 2 * (5 * 5) + 3 * 2 * (5 * 4) + 3 * 5 * 8,
    ),
}  # fmt: skip


def _model(subject):
    return (subject if isinstance(subject, nn.Module) else Call(subject)).eval()


@pytest.mark.parametrize("name", CASES)
def test_activations_by_hand_and_by_fvcore(name):
    subject, shapes, by_hand = CASES[name]
    model, inputs = _model(subject), tuple(zeros(*shape) for shape in shapes)
    assert count_both_ways(model, inputs).number("fvcore_activations") == by_hand
    assert fvcore_activations(model, inputs) == by_hand


class Attention(nn.Module):
    """Attention after a projection, fused or as two products: in timm's words, `fused_attn`."""

    def __init__(self, *, fused):
        super().__init__()
        self.qkv, self.fused = nn.Linear(8, 3 * 8), fused

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v)
        return (q * 4**-0.5 @ k.mT).softmax(-1) @ v


@pytest.mark.parametrize("name", ["fvcore", "fvcore_activations"])
def test_a_number_with_attention_unfused_is_that_of_the_unfused_model(name):
    x, rule = zeros(3, 5, 8), uc.CONVENTIONS[name]
    fused, unfused = (uc.count(Attention(fused=fused), x).cost for fused in (True, False))
    live = fvcore_activations if name == "fvcore_activations" else lambda *of: run_peer("fvcore", *of)
    projected = 3 * 5 * (3 * 8)
    pairs = 3 * 2 * 5 * 5
    by_hand = {
        "fvcore": (projected * 8, 2 * pairs * 4),
        "fvcore_activations": (projected, pairs + 3 * 2 * 5 * 4),
    }[name]
    assert rule.number(fused) == live(Attention(fused=True), x) == by_hand[0]
    assert rule.number_unfused(fused) == live(Attention(fused=False), x) == sum(by_hand)
    assert rule.number_unfused(unfused) is None


def test_rules_that_see_fused_attention_or_none_at_all_have_no_other_number():
    cost = uc.count(Attention(fused=True), zeros(3, 5, 8)).cost
    named = {name for name, rule in uc.CONVENTIONS.items() if rule.number_unfused(cost) is not None}
    assert named == {"fvcore", "fvcore_activations"}


@pytest.fixture
def models(tmp_path):
    path = tmp_path / "models.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "def layer():\n"
        "    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.zeros(1, 5, 8)\n"
        "def linear():\n"
        "    return nn.Linear(4, 6), torch.zeros(2, 4)\n",
        encoding="utf-8",
    )
    return path


def printed(model, style):
    result = CliRunner().invoke(main, ["count", model, "--format", style])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_count_notes_the_number_with_attention_unfused(models):
    linear = 5 * 8 * (3 * 8) + 5 * 8 * 8 + 2 * (5 * 8 * 16) + 2 * 5 * (5 * 8)  # and two norms
    record = json.loads(printed(f"{models}:layer", "json"))
    assert record["conventions"]["fvcore"] == linear
    assert record["with_attention_unfused"]["fvcore"] == linear + 2 * (2 * 5 * 5 * 4)
    for style in ("table", "markdown"):
        rows = {
            line.replace("|", " ").split()[0]: line for line in printed(f"{models}:layer", style).splitlines() if line
        }
        assert "with attention unfused" in rows["convention"]
        assert [f"{linear:,}" in rows["fvcore"], f"{linear + 400:,}" in rows["fvcore"]] == [True, True]


def test_count_notes_nothing_where_no_attention_is_fused(models):
    assert json.loads(printed(f"{models}:linear", "json"))["with_attention_unfused"] == {}
    for style in ("table", "markdown"):
        assert "unfused" not in printed(f"{models}:linear", style)


def test_a_printed_number_of_operations_is_not_read_as_activations():
    cost = uc.network_cost("mv2")
    activations = uc.CONVENTIONS["fvcore_activations"].number(cost)
    assert "fvcore_activations" not in {rule.convention for rule in solve([cost], [parse_printed(str(activations))])}
    assert "network under fvcore_activations" not in {each.reading for each in _computed(cost, lambda _: "")["macs"]}
