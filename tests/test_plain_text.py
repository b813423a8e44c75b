"""Names and messages of other people stay text: on a terminal, in CSV, Markdown and LaTeX."""

import csv
import io
import json
import re
import unicodedata

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ulsam_cost.cli import main
from ulsam_cost.plain_text import visible, visible_json, visible_line
from ulsam_cost.report.formats import FORMATS, Table, number, prose, render, to_json, words

NAMES = (
    "\x1b[31mred\x1b[0m",
    "\x9b31mshort",
    "line\nfeed",
    "back\rto start",
    "tab\tbed",
    "right\u202eto left",
    "\x7fdeleted",
    "nul\x00",
    "half\ud800",
    "next\x85line",
    "line\u2028separator",
)
FORMULAS = ("=1+1", "+1+1", "-1+1|cmd", "@SUM(A1)", "\tx", "\rx", "=HYPERLINK(0)", "\uff1d1", "-", "-cmd")
NUMBERS = ("-3", "-3.4M", "+12%", "-1,234", "+0.50 M")


def table_of(*names):
    return Table(columns=(words("name", "name"), number("n", "n")), records=[{"name": name, "n": -1} for name in names])


def is_obeyed(character):
    """Whether a character is a control, a format mark or half a character, by Unicode's own table."""
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_format_prints_a_control_character(style, name):
    shown = render(table_of(name), style)
    assert not [character for character in shown if is_obeyed(character) or character == "\u202e"]
    assert shown.count("\n") == render(table_of("name"), style).count("\n") + (style == "csv" and "\n" in name)


@given(st.text(st.characters()))
def test_what_is_visible_is_obeyed_by_nothing(text):
    assert not any(map(is_obeyed, visible(text).replace("\t", "")))
    assert not any(map(is_obeyed, visible_line(text)))
    assert "\n" not in visible_line(text)
    assert visible(visible(text)) == visible(text)
    dumped = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible_json(dumped)) == text
    assert not any(map(is_obeyed, visible_json(dumped)))


def test_the_names_written_out_are_read_again():
    assert visible("\x1b[31m\x9b\u202e") == r"\x1b[31m\x9b\u202e"
    assert visible_line("a\tb\nc") == r"a\tb\nc"
    assert visible("a\tb\nc · é 漢字 🙂") == "a\tb\nc · é 漢字 🙂"
    assert json.loads(to_json(list(NAMES))) == list(NAMES)


@pytest.mark.parametrize("name", FORMULAS, ids=ascii)
def test_a_formula_in_csv_is_text(name):
    _, (cell, number_cell) = csv.reader(io.StringIO(render(table_of(name), "csv"), newline=""))
    assert cell == f"'{visible_line(name)}"
    assert number_cell == "-1"


@pytest.mark.parametrize("name", [*NUMBERS, "layer.-1", "a=b", "", "'quoted"])
def test_a_number_or_a_name_in_csv_is_left(name):
    _, (cell, _) = csv.reader(io.StringIO(render(table_of(name), "csv"), newline=""))
    assert cell == name


def test_markdown_and_latex_between_tables_are_text():
    said = "a|b `c` <script> *d* $e$ x_y\nnext"
    assert prose(said, "markdown") == r"a\|b \`c\` &lt;script&gt; \*d\* \$e\$ x\_y" + "\nnext"
    assert prose(said, "latex") == r"a|b `c` \ensuremath{<}script\ensuremath{>} *d* \$e\$ x\_y" + "\nnext"
    assert prose(said, "table") == said


@pytest.mark.parametrize("style", FORMATS)
def test_names_of_modules_and_errors_reach_no_terminal(style, tmp_path):
    (tmp_path / "odd\x1b[2J\x07.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def odd():\n"
        "    class Odd(nn.Sequential): pass\n    Odd.__name__ = '=Odd\\x1b[2J'\n"
        "    model = Odd()\n    model.add_module('=a\\x1b[31m\\r\\u202e', nn.Linear(4, 4))\n"
        "    return model, torch.zeros(1, 4)\n"
        "def bad():\n    raise ValueError('\\x1b]0;title\\x07')\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["count", f"{tmp_path}/odd\x1b[2J\x07.py:odd", "--format", style])
    assert result.exit_code == 0, result.output
    assert not re.search("[\x1b\x07\r\u202e]", result.stdout)
    assert (r"\u001b[31m" if style == "json" else "x1b") in result.stdout.replace(r"\textbackslash{}", "\\")
    refused = CliRunner().invoke(main, ["count", f"{tmp_path}/odd\x1b[2J\x07.py:bad", "--format", style])
    assert refused.exit_code == 2
    assert r"\x1b]0;title\x07" in refused.stderr
    missing = CliRunner().invoke(main, ["count", f"{tmp_path}/\x1b[31m.py:bad", "--format", style])
    assert missing.stderr == f"Error: there is no file {tmp_path}/\\x1b[31m.py\n"
