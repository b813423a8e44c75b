"""Sizes beyond any number or memory, and names that a picture could read as formulas: a sentence, or the picture."""

import math

import pytest
from click.testing import CliRunner
from matplotlib import pyplot as plt

from ulsam_cost.cli import main
from ulsam_cost.errors import first_line, says_too_large
from ulsam_cost.report.figures.measured import roofline_figure
from ulsam_cost.report.figures.style import plain_label
from ulsam_cost.report.views.measured import Panel, Point

HUGE = "999999999999999999"
NAMES = ("$a_$", "$", "$$", "a$b", "$\\frac{$", "^_{}\\", "$x^$ and \\$", "line\nfeed", "\x1b[31m", "#%&~")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "odd.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "def small():\n    return nn.Linear(4, 4), torch.zeros(1, 4)\n"
        "class Growing(nn.Module):\n    def forward(self, x):\n        return x.expand(2**62, 4).contiguous()\n"
        "def growing():\n    return Growing(), torch.zeros(1, 4)\n"
        "def huge():\n    return nn.Linear(2**40, 2**40), torch.zeros(1, 4)\n"
        f"def odd():\n    model = nn.Sequential()\n    for name in {NAMES!r}:\n"
        "        model.add_module(name.replace('.', ''), nn.Linear(4, 4))\n    return model, torch.zeros(1, 4)\n",
        encoding="utf-8",
    )
    return path


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("profile", "mv1", "--positions", "11", "--no-latency", "--classes", HUGE), HUGE),
        (("profile", "mv1", "--classes", HUGE), HUGE),
        (("count", f"mv1 --classes {HUGE}"), HUGE),
        (("compare", "mv1", f"mv1 --classes {HUGE}"), HUGE),
        (("explain", "--model", f"mv1 --classes {HUGE}", "--printed", "1M"), HUGE),
        (("measure", "mv1", "--classes", HUGE), HUGE),
        (("measure", "mv1", "--batch", HUGE), HUGE),
        (("measure", "mv1", "--resolution", "99999x99999"), "memory"),
        (("profile", "mv1", "--resolution", "99999x99999"), "memory"),
        (("profile", "mv1", "--resolution", "999999999", "--no-latency"), "999999999"),
        (("table1", "--counted", "--m", HUGE), HUGE),
        (("count", "{}:small", "--input", "999999x999999x4"), "'999999x999999x4' does not fit into memory"),
        (("count", "{}:small", "--input", "x".join(["999999999"] * 4)), "does not fit into memory"),
        (("measure", "{}:small", "--input", "999999x999999x4"), "does not fit into memory"),
        (("measure", "{}:small", "--batch", HUGE), HUGE),
        (("count", "{}:growing"), "overflow"),
        (("count", "{}:huge"), "huge() does not give a model"),
    ],
    ids=lambda value: " ".join(value).replace(HUGE, "HUGE") if isinstance(value, tuple) else "",
)
def test_an_absurd_size_is_one_sentence(models, args, said):
    result = run(*(arg.replace("{}", str(models)) for arg in args))
    assert result.exit_code == 2, result.exception
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert not result.stdout


def test_a_large_size_that_can_be_counted_is():
    """On the meta device nothing has to fit: the sum by hand."""
    side = 99999
    result = run("profile", "mv1", "--resolution", side, "--no-latency", "--format", "csv")
    positions = {2**k: math.ceil(side / 2**k) ** 2 for k in range(1, 6)}  # of a map after k strides
    blocks = [(32, 64, 2), (64, 128, 4), (128, 128, 4), (128, 256, 8), (256, 256, 8), (256, 512, 16)]
    blocks += [(512, 512, 16)] * 5 + [(512, 1024, 32), (1024, 1024, 32)]
    macs = 3 * 9 * 32 * positions[2] + sum(positions[k] * c * (9 + n) for c, n, k in blocks) + 1024 * 1000
    assert result.exit_code == 0
    assert str(macs) in result.stdout


def test_other_errors_are_not_called_sizes():
    for error in (ValueError("no"), RuntimeError("mat1 and mat2 shapes"), KeyError("overflow"), OSError("overflow")):
        assert not says_too_large(error)
    for error in (OverflowError("int too large"), MemoryError(), RuntimeError("Storage size calculation overflowed")):
        assert says_too_large(error)
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(ValueError(" a.\nb")) == "a"


def test_what_fails_otherwise_still_shows_where(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("ulsam_cost.cli.table1.table1_rows", broken)
    result = run("table1")
    assert isinstance(result.exception, RuntimeError)


def test_names_in_a_picture_are_no_formulas(models, tmp_path):
    result = run("count", f"{models}:odd", "--figure", tmp_path / "$a_$.png")
    assert result.exit_code == 0, result.exception
    assert (tmp_path / "$a_$.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_a_label_shows_the_name_itself(name):
    with plt.rc_context():
        figure, axis = plt.subplots()
        text = axis.text(0, 0, plain_label(name))
        shown, is_formula = text._preprocess_math(text.get_text())
        plt.close(figure)
    assert is_formula is False
    assert shown == name.replace("\n", "\\n").replace("\x1b", "\\x1b")


def test_names_under_the_roofline_are_no_formulas():
    panel = Panel("cpu", flops_per_second=1e9, bytes_per_second=1e9, points=(Point("$a_$", None, 2.0, 2e6),))
    assert roofline_figure([panel], "$a_$").startswith(b"\x89PNG")
